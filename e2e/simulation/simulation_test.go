//go:debug randseednop=0

// Package simulation runs the whole pipeline in fake time: it reads seeds, and for each writes
// beacons and forms through a real collector to a broker in memory, with real sessionizers and
// resolvers that are killed, cut off and started again, on a network that loses, delays and repeats
// messages. It guarantees that what comes out is what a program would say that has all the time
// there is and the whole log before it, for every seed that was tried.
//
// Time is that of a live collector, and a visit's gap is a few seconds instead of half an hour:
// sessions, transactions and their faults last seconds, too, and a run costs what its messages
// cost. So a minute of fake time holds hundreds of visits, and most transactions have some.
//
// CRUMBTRAIL_SEEDS is how many seeds to run, CRUMBTRAIL_SEED the first one. With a single seed,
// CRUMBTRAIL_TRACE names a file for every message of its run.
package simulation

import (
	"fmt"
	"io"
	"maps"
	"math/rand"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"crumbtrail/internal/kafka/simnet"
)

// TestMain lets the heap grow: what a run leaves behind goes at once when it ends.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	m.Run()
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

// run simulates one seed in a bubble of its own.
func run(t *testing.T, s scenario) (r result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, s.seed)
		//lint:ignore SA1019 the broker draws from the global generator, which nothing else seeds
		rand.Seed(int64(s.seed))
		r = simulate(t, s)
	})
	return r
}

// TestSeeds runs seed after seed; each must come out exactly once.
func TestSeeds(t *testing.T) {
	first, seeds := setting(t, "CRUMBTRAIL_SEED", 1), setting(t, "CRUMBTRAIL_SEEDS", 150)
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	began, total := time.Now(), result{fired: map[simnet.Kind]int{}}
	for seed := first; seed < first+seeds; seed++ {
		s := scenario{seed: seed}
		if path := os.Getenv("CRUMBTRAIL_TRACE"); path != "" && seeds == 1 {
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			s.log = func(line string) { _, _ = io.WriteString(file, line+"\n") }
		}
		r := run(t, s)
		for _, problem := range r.problems {
			t.Errorf("seed %d: %s", seed, problem)
		}
		if len(r.problems) > 0 {
			t.Errorf("seed %d: %v; to run it again: CRUMBTRAIL_SEED=%d CRUMBTRAIL_SEEDS=1 "+
				"go test -run '^TestSeeds$' ./e2e/simulation", seed, r, seed)
		}
		total.add(r)
	}
	for _, kind := range simnet.Kinds() {
		if total.fired[kind] == 0 && seeds >= 20 {
			t.Errorf("no fault of the kind %q in any of %d runs", kind, seeds)
		}
	}
	took := time.Since(began)
	t.Logf("%d seeds in %v, %.0f a minute: %v", seeds, took.Round(time.Millisecond),
		float64(seeds)/took.Minutes(), total)
}

// result is what a run did, and what was wrong with it.
type result struct {
	problems []string

	messages int
	sum      uint64
	fired    map[simnet.Kind]int
	lives    int
	beacons  int
	visits   int
	late     int
	decided  int
	settled  time.Duration // from the last fault until everything was out
}

func (r *result) add(o result) {
	r.messages += o.messages
	r.lives += o.lives
	r.beacons += o.beacons
	r.visits += o.visits
	r.late += o.late
	r.decided += o.decided
	r.settled = max(r.settled, o.settled)
	for kind, times := range o.fired {
		r.fired[kind] += times
	}
}

// String is for the log of a test.
func (r result) String() string {
	var faults []string
	for _, kind := range slices.Sorted(maps.Keys(r.fired)) {
		faults = append(faults, fmt.Sprintf("%v %d", kind, r.fired[kind]))
	}
	return fmt.Sprintf("%d messages, %d lives, %d beacons in %d visits (%d late), %d decisions, "+
		"settled after %v, faults: %s", r.messages, r.lives, r.beacons, r.visits, r.late, r.decided,
		r.settled, strings.Join(faults, ", "))
}

// TestSame runs a seed twice: all messages must be the same, at the same instants.
func TestSame(t *testing.T) {
	first := setting(t, "CRUMBTRAIL_SEED", 1)
	for seed := first; seed < first+setting(t, "CRUMBTRAIL_SEEDS", 2); seed++ {
		var lines [2][]string
		var sums [2]uint64
		for i := range lines {
			r := run(t, scenario{seed: seed, log: func(line string) {
				if !strings.Contains(line, " Heartbeat ") {
					lines[i] = append(lines[i], line)
				}
			}})
			if len(r.problems) > 0 {
				t.Errorf("seed %d: %v", seed, r.problems)
			}
			sums[i] = r.sum
		}
		if sums[0] == sums[1] {
			continue
		}
		at := 0
		for at < min(len(lines[0]), len(lines[1])) && lines[0][at] == lines[1][at] {
			at++
		}
		t.Errorf("seed %d: the runs differ from message %d on", seed, at)
		for i := range lines {
			t.Logf("run %d:\n%s", i+1,
				strings.Join(lines[i][max(0, at-3):min(at+3, len(lines[i]))], "\n"))
		}
	}
}
