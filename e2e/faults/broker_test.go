package faults

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crumbtrail/e2e/harness"
)

// broker is a Kafka broker in a process of its own, which comes back at the same address with the
// same data.
type broker struct {
	name    string
	address string
	command func() *exec.Cmd
	process *process
	past    []*process // all of them
}

// sessionTimeout is what the brokers here let members of a group ask for, so that a killed one does
// not hold up the next for long.
const sessionTimeout = time.Second

// embedded starts the program's own broker for one test.
func embedded(t *testing.T) *broker {
	t.Helper()
	program, dir := binary(t, shared.program), t.TempDir()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePorts(t)))
	b := &broker{name: "embedded", address: address, command: func() *exec.Cmd {
		cmd := exec.Command(program, "broker", "--data", dir, "--listen", address,
			"--min-session", sessionTimeout.String())
		cmd.Dir = dir
		return cmd
	}}
	b.start(t)
	t.Cleanup(func() { b.process.kill() })
	return b
}

// realKafka starts one Kafka broker for all tests: each has topics of its own there.
func realKafka(t *testing.T) *broker {
	t.Helper()
	for _, tool := range []string{"bash", "java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
	shared.realOnce.Do(func() {
		dir, port := filepath.Join(shared.dir, "kafka"), freePorts(t)
		shared.real = &broker{
			name: "Kafka", address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			command: func() *exec.Cmd {
				return exec.Command("bash", "../kafka.sh", dir, strconv.Itoa(port))
			},
		}
		shared.real.start(t)
	})
	if !shared.real.process.alive() {
		t.Fatalf("Kafka has ended:\n%s", shared.real.process.said())
	}
	return shared.real
}

// start runs the broker and waits until it answers.
func (b *broker) start(t *testing.T) {
	t.Helper()
	const within = 3 * time.Minute // the first time, Maven brings Kafka's jars
	b.process = launch(t, b.name, b.command())
	b.past = append(b.past, b.process)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answers := harness.WaitFor(within, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return !b.process.alive() || client.Ping(ctx) == nil
	})
	if !answers || !b.process.alive() {
		t.Fatalf("broker %s does not answer:\n%s", b.name, b.process.said())
	}
}

// dropsMarkers skips the rest of a test that has failed on a broker that says it has given up the
// markers of a transaction: Kafka 4.4.0 takes a partition that has no leader yet, as all have after
// a kill of the only broker, for a deleted one, and the transaction for complete. What it had
// committed is then open in the log, and no client can tell.
func (b *broker) dropsMarkers(t *testing.T, failed string) {
	t.Helper()
	for _, p := range b.past {
		if p.has("these partitions are likely deleted already and hence can be skipped") {
			t.Skipf("Kafka has given up markers of a committed transaction: %s", failed)
		}
	}
}

// stop ends the broker as an operator does.
func (b *broker) stop(t *testing.T) {
	t.Helper()
	code := 0
	if b == shared.real {
		code = 128 + int(syscall.SIGTERM) // a JVM's
	}
	b.process.stop(t, code)
}
