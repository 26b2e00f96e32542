package faults

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
	"crumbtrail/internal/fault"
)

// V1, V2, V3, V5: a sessionizer may be killed between any two requests of a transaction, and within
// recovery, a checkpoint and a hand-over. Every point does fire.
func TestKillAtEachPoint(t *testing.T) {
	b := onEmbedded(t)
	binary(t, shared.faulty)
	random, seed := seeded(t)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	other := w.stage()
	other.awaitReady(t)
	eventually(t, patience, "a checkpoint with enough keys of every partition", func() bool {
		return slices.Min(w.keys()) >= mostRestored
	})
	rounds := count(t, "CRUMBTRAIL_ROUNDS", 1)
	fired := 0
	for round := range rounds {
		for _, name := range fault.StageNames() {
			other = w.dieAt(random, name, other, round)
			fired++
		}
	}
	t.Logf("%d points, %d faults fired", len(fault.StageNames()), fired)
	w.settle()
}

// hits is up to which hit a point is certain to be reached. A process has at least two partitions
// of its own, and those of the other one too if that is dead. The load goes on meanwhile, so that
// whatever happens at commits happens again and again.
func hits(name fault.Name) int {
	switch name {
	case fault.Restore:
		return mostRestored // those of one partition alone
	case fault.Replay:
		return partitions // each has something to replay
	case fault.Checkpoint:
		return 40
	case fault.HandOver:
		return 2
	default:
		return 3
	}
}

// mostRestored is how many keys the checkpoint of any partition has.
const mostRestored = 40

// dieAt runs a sessionizer to its death at a point and returns the one that goes on.
func (w *world) dieAt(random *rand.Rand, name fault.Name, other *process, round int) *process {
	w.t.Helper()
	// Without the other one, all partitions are taken over from a process that handed nothing over.
	alone := name == fault.Replay || (round+random.IntN(2))%2 == 1
	switch {
	case name == fault.Replay:
		w.dieUnsaved(other)
	case alone:
		w.commitsMore(5)
		other.kill()
		w.kills++
	}
	p := w.condemn(random, name, hits(name))
	if name == fault.HandOver {
		// The other one may have been too slow for its session, and come back by now.
		harness.WaitFor(patience, func() bool { return p.ready() || !p.alive() })
		if alone {
			other = w.stage() // to which it has to hand something over
		} else {
			p.signal(syscall.SIGTERM)
		}
	}
	w.die(p)
	w.t.Logf("%-30s hit %2d, alone %t, %.1f s after the start", name, p.hit, alone,
		time.Since(p.began).Seconds())
	if !other.alive() {
		other = w.stage()
	}
	fell := time.Now()
	other.awaitReady(w.t)
	eventually(w.t, patience, "one owner for each partition", func() bool { return w.lag() >= 0 })
	w.recoveries = append(w.recoveries, time.Since(fell))
	return other
}

// commitsMore waits until transactions have been committed.
func (w *world) commitsMore(n int) {
	w.t.Helper()
	from, _ := w.reader.transactions()
	if !harness.WaitFor(patience, func() bool {
		now, _ := w.reader.transactions()
		return now >= from+n
	}) {
		w.t.Fatalf("waited for %d transactions from %d on: %s", n, from, w.state())
	}
}
