// Package faults runs the built program as several processes, with a broker in a process of its
// own, and kills and stops them. It writes numbered beacons, reads topics with a client that is not
// the program's, and guarantees by a verifier that knows only what was sent, acknowledged and read
// that no beacon is lost, no visit is there twice and none vanishes (V1, V2, V4, V5, V8), and that
// a resolver writes the same, record by record, as one that nobody disturbs.
//
// Each test prints its seed and its figures. CRUMBTRAIL_E2E=1 runs them with small counts; larger
// ones, and one run again, are asked for by the settings below:
//
//	CRUMBTRAIL_E2E=1 CRUMBTRAIL_KILLS=200 go test ./e2e/faults -run Kill -count=1 -v -timeout 2h
//
//	CRUMBTRAIL_KILLS          kills at random moments, embedded broker (8)
//	CRUMBTRAIL_KAFKA_KILLS    the same, real Kafka (4)
//	CRUMBTRAIL_ROUNDS         rounds over all fault points of a stage (1)
//	CRUMBTRAIL_RESOLVER_KILLS kills of the resolver at random moments (6)
//	CRUMBTRAIL_SUBMISSIONS    of which a standby has the state that takes the resolver over (3000)
//	CRUMBTRAIL_EDGE_ROUNDS    rounds over all fault points of the collector (5)
//	CRUMBTRAIL_EDGE_KILLS     kills of the collector at random moments (20)
//	CRUMBTRAIL_STOPPED        how long a zombie stands still (3s)
//	CRUMBTRAIL_REBALANCING    how long members of a group come and go, real Kafka (25s)
//	CRUMBTRAIL_BOUNCES        bounces of each broker (4)
//	CRUMBTRAIL_BEACONS        beacons sent at least while brokers bounce (20000)
//	CRUMBTRAIL_LAKE_KILLS     kills among three processes that write one lake (2)
//	CRUMBTRAIL_LOOP           how long a lake is queried while its writers die (1m)
//	CRUMBTRAIL_SEED           the seed of an earlier run
package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// scratch is what the tests of one run share. Nothing of it is made before it is needed.
type scratch struct {
	dir      string
	program  func() (string, error)
	faulty   func() (string, error)
	realOnce sync.Once
	real     *broker
}

// shared is set once, before any test.
var shared *scratch

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crumbtrail-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared = &scratch{
		dir:     dir,
		program: sync.OnceValues(func() (string, error) { return build(dir, "crumbtrail") }),
		faulty: sync.OnceValues(func() (string, error) {
			return build(dir, "crumbtrail-faulty", "-tags", "fault")
		}),
	}
	code := m.Run()
	if shared.real != nil {
		shared.real.process.kill()
	}
	return code
}

// build makes a binary of the program. No debugging information: it takes longer to write than the
// rest.
func build(dir, name string, flags ...string) (string, error) {
	path := filepath.Join(dir, name)
	args := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", path}, flags...)
	out, err := exec.Command("go", append(args, "../..")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

// binary is the program, or ends the test.
func binary(t *testing.T, built func() (string, error)) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// needE2E skips a test that runs processes.
func needE2E(t *testing.T) {
	t.Helper()
	if os.Getenv("CRUMBTRAIL_E2E") != "1" {
		t.Skip("it runs and kills processes for seconds to hours: set CRUMBTRAIL_E2E=1")
	}
}

// onEmbedded lets a test run beside others: it has a broker of its own.
func onEmbedded(t *testing.T) *broker {
	t.Helper()
	needE2E(t)
	t.Parallel()
	return embedded(t)
}

// onKafka lets a test run on the one Kafka broker, which another may bounce, so after the others.
func onKafka(t *testing.T) *broker {
	t.Helper()
	needE2E(t)
	return realKafka(t)
}

// lacking ends a test for want of something: a failure in CI, a skip elsewhere.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("missing in CI: " + what)
	}
	t.Skip("missing: " + what)
}

// count is a number from the environment.
func count(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number from 1", name, text)
	}
	return n
}

// lasting is a duration from the environment.
func lasting(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s=%q: want a duration such as 60s", name, text)
	}
	return d
}

// seeded returns the source of all that a test draws, and says how to have the same again.
func seeded(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CRUMBTRAIL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CRUMBTRAIL_SEED=%q: %v", text, err)
		}
	}
	t.Logf("CRUMBTRAIL_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// eventually waits until a condition holds, and ends the test where it does not.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	if !harness.WaitFor(within, holds) {
		t.Fatalf("waited %v for %s", within, what)
	}
}

// lapse lets a random moment of a run come: there is no condition to wait for.
func lapse(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// freePorts finds a port that is free, and so is the next.
func freePorts(t *testing.T) int {
	t.Helper()
	port, err := harness.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
