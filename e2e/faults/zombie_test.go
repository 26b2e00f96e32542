package faults

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"crumbtrail/internal/fault"
)

// V2, V4: who stands still for longer than the session finds on waking that others have taken over.
// It writes nothing, says so once, and joins again.
func TestZombieOnEmbedded(t *testing.T) {
	zombie(t, onEmbedded(t))
}

// The same holds on Kafka, which has other codes for it.
func TestZombieOnKafka(t *testing.T) {
	zombie(t, onKafka(t))
}

func zombie(t *testing.T, b *broker) {
	_, seed := seeded(t)
	stopped := lasting(t, "CRUMBTRAIL_STOPPED", 3*time.Second)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	// One stands still wherever it is, one with a whole transaction written but for its end.
	note := filepath.Join(t.TempDir(), "fired")
	other := w.stage()
	other.awaitReady(t)
	anywhere := w.stage()
	w.shared(other, anywhere)
	anywhere.signal(syscall.SIGSTOP)
	w.wakes(anywhere, other, stopped)
	anywhere.stop(t, 0)
	ending := w.stage("CRUMBTRAIL_FAULT="+string(fault.End)+":20:stop", "CRUMBTRAIL_FAULT_LOG="+note)
	eventually(t, patience, "a process to stop before the end of a transaction", func() bool {
		text, err := os.ReadFile(note)
		return err == nil && len(text) > 0
	})
	w.wakes(ending, other, stopped)
	w.settle()
}

// fenced is how often the process says that it was fenced.
func (p *process) fenced() int {
	return int(p.metric("crumbtrail_stage_fenced_total", "")[""])
}

// transactions is how many of its transactions have had a result.
func (p *process) transactions(result string) int {
	return int(p.metric("crumbtrail_stage_transactions_total", "result")[result])
}

// shared waits until each of two processes works on half of the partitions.
func (w *world) shared(a, b *process) {
	w.t.Helper()
	eventually(w.t, patience, "two processes to share the partitions", func() bool {
		return a.ready() && b.ready() && len(a.partitions()) == w.partitions/2 &&
			len(b.partitions()) == w.partitions/2
	})
}

// wakes lets a process that stands still lose its partitions to another, and wakes it.
func (w *world) wakes(zombie, other *process, stopped time.Duration) {
	w.t.Helper()
	began, lines := time.Now(), zombie.lines("fenced") // so many times it was too slow before
	eventually(w.t, patience, "the other one to take over", func() bool {
		return len(other.partitions()) == w.partitions && other.ready()
	})
	lapse(w.t, stopped-time.Since(began))
	w.commitsMore(10)
	woke := time.Now()
	zombie.signal(syscall.SIGCONT)
	w.kills++
	w.shared(zombie, other)
	w.recoveries = append(w.recoveries, time.Since(woke))
	fenced, said := zombie.fenced()-lines, zombie.lines("fenced")-lines
	w.t.Logf("%s stood still for %.1f s: fenced %d times, %d lines, %v", zombie.name,
		woke.Sub(began).Seconds(), fenced, said,
		zombie.metric("crumbtrail_stage_transactions_total", "result"))
	// Once more is what a machine may need that is too busy for a heartbeat within half a session.
	if fenced < 1 || fenced > 2 || said != fenced {
		w.t.Errorf("%s was fenced %d times and said so %d times, want once, and not by partition",
			zombie.name, fenced, said)
	}
}

// V2, V4: somebody who starts a second instance by mistake, with the same transactional id, costs a
// partition no visit.
func TestTransactionalIDTakenOver(t *testing.T) {
	b := onEmbedded(t)
	_, seed := seeded(t)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	p := w.stage()
	p.awaitReady(t)
	const times = 3
	for range times {
		w.commitsMore(20)
		before := p.transactions("fenced")
		began := time.Now()
		takeID(t, w.client, w.prefix+"sessionize-3")
		w.kills++
		eventually(t, patience, "the stage to find out", func() bool {
			return p.transactions("fenced") > before
		})
		eventually(t, patience, "the stage to go on", func() bool {
			return p.ready() && w.lag() >= 0
		})
		w.recoveries = append(w.recoveries, time.Since(began))
	}
	if fenced, lines := p.fenced(), p.lines("fenced"); fenced != lines {
		t.Errorf("%d lines about %d times that it was fenced", lines, fenced)
	}
	w.settle()
}
