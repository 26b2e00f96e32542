package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// keys counts by partition what its checkpoint holds. As visitors come all the time and are kept
// for as long as their visits may go on, it grows until as many are forgotten as come.
func (w *world) keys() []int {
	w.t.Helper()
	type key struct {
		partition int32
		name      string
	}
	held := map[key]bool{}
	topic := w.prefix + "sessionize.changelog"
	for _, r := range readAll(w.t, w.broker.address, topic, w.partitions) {
		shells := len(r.Key) > 0 && r.Key[0] == 0 // its own keys
		held[key{r.Partition, string(r.Key)}] = r.Value != nil && !shells
	}
	counts := make([]int, w.partitions)
	for k, there := range held {
		if there {
			counts[k.partition]++
		}
	}
	return counts
}

// dieUnsaved ends a stage and lets another one live without checkpoints, and die once it has
// committed something of every partition: all of that is to be replayed.
func (w *world) dieUnsaved(other *process) {
	w.t.Helper()
	other.stop(w.t, 0)
	p := w.stageWith(w.configured(time.Hour))
	eventually(w.t, patience, "commits after the last checkpoint", func() bool {
		for _, c := range committed(w.t, w.client, w.prefix+"sessionize", w.load.topic, w.partitions) {
			if c.offset <= c.checkpoint {
				return false
			}
		}
		return true
	})
	p.kill()
	w.kills++
}

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
	note := filepath.Join(w.t.TempDir(), "fired")
	action := "kill"
	if name == fault.Produce {
		action = fmt.Sprintf("kill=%v", 1+time.Duration(random.Int64N(int64(3*time.Millisecond))))
	}
	hit := 1 + random.IntN(hits(name))
	began := time.Now()
	p := w.stage(fmt.Sprintf("CRUMBTRAIL_FAULT=%s:%d:%s", name, hit, action),
		"CRUMBTRAIL_FAULT_LOG="+note)
	if name == fault.HandOver {
		// The other one may have been too slow for its session, and come back by now.
		harness.WaitFor(patience, func() bool { return p.ready() || !p.alive() })
		if alone {
			other = w.stage() // to which it has to hand something over
		} else {
			p.signal(syscall.SIGTERM)
		}
	}
	p.wait(w.t, patience)
	w.kills++
	text, err := os.ReadFile(note)
	if err != nil || !strings.HasPrefix(string(text), string(name)+" ") || !p.killed() {
		w.t.Fatalf("%s did not fire: %q, %v, %v\n%s", name, text, err, p.cmd.ProcessState, p.said())
	}
	w.t.Logf("%-30s hit %2d, alone %t, %.1f s after the start", name, hit, alone,
		time.Since(began).Seconds())
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
