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
	random, seed := seeded(t)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	other := w.stage()
	other.awaitReady(t)
	eventually(t, time.Minute, "a checkpoint of every partition", func() bool {
		changelog := w.prefix + "sessionize.changelog"
		return slices.Min(offsets(t, w.client, changelog, w.partitions, latest)) > 10
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

// dieAt runs a sessionizer to its death at a point and returns the one that goes on.
func (w *world) dieAt(random *rand.Rand, name fault.Name, other *process, round int) *process {
	w.t.Helper()
	// Without the other one, all partitions are taken over from a process that handed nothing over:
	// there is something to replay.
	alone := name == fault.Replay || (round+random.IntN(2))%2 == 1
	if alone {
		w.commitsMore(5)
		other.kill()
		w.kills++
	}
	note := filepath.Join(w.t.TempDir(), "fired")
	action := "kill"
	if name == fault.Produce {
		action = fmt.Sprintf("kill=%v", 1+time.Duration(random.Int64N(int64(3*time.Millisecond))))
	}
	hit := 1 + random.IntN(map[fault.Name]int{fault.Restore: 40, fault.Checkpoint: 40}[name]+3)
	began := time.Now()
	p := w.stage(fmt.Sprintf("CRUMBTRAIL_FAULT=%s:%d:%s", name, hit, action),
		"CRUMBTRAIL_FAULT_LOG="+note)
	if name == fault.HandOver {
		p.awaitReady(w.t)
		if alone {
			other = w.stage() // to which it has to hand something over
		} else {
			p.signal(syscall.SIGTERM)
		}
	}
	p.wait(w.t, time.Minute)
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
	eventually(w.t, time.Minute, "one owner for each partition", func() bool { return w.lag() >= 0 })
	w.recoveries = append(w.recoveries, time.Since(fell))
	return other
}

// commitsMore waits until transactions have been committed.
func (w *world) commitsMore(n int) {
	w.t.Helper()
	from, _ := w.reader.transactions()
	if !harness.WaitFor(time.Minute, func() bool {
		now, _ := w.reader.transactions()
		return now >= from+n
	}) {
		w.t.Fatalf("waited for %d transactions from %d on: %s", n, from, w.state())
	}
}
