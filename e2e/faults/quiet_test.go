package faults

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// Time passes where nothing else does: a log that hears the time alone closes what is open, and
// partitions that hear less do not hold the others up.
func TestTicksAloneCloseVisits(t *testing.T) {
	b := onEmbedded(t)
	_, seed := seeded(t)
	w := newWorld(t, b, seed, loadConfig{
		traffic: []int32{0, 1, 2, 3, 4, 5}, // 6 hears the time, 7 nothing at all
		ticks:   []int32{0, 1, 2, 3, 4, 5, 6},
	})
	go w.load.run()
	p := w.stage()
	p.awaitReady(t)
	w.commitsMore(30)
	w.load.halt(t)
	p.kill()
	w.kills++
	w.stage().awaitReady(t)
	before := w.reader.visits()
	for range 40 { // a gap and a grace are 31 of them
		w.load.step()
	}
	w.load.flush(t)
	eventually(t, patience, "ticks to close visits", func() bool {
		return w.reader.visits() > before
	})
	w.settle()
}

// Records that are gone before they were read halt their partition, loudly, and no other one.
func TestDeletedRecordsOnEmbedded(t *testing.T) {
	halts(t, onEmbedded(t), (*world).removeAtRest)
}

// The same on Kafka.
func TestDeletedRecordsOnKafka(t *testing.T) {
	halts(t, onKafka(t), (*world).removeAtRest)
}

// A reader that has fallen behind does not jump to what is left.
func TestDeletedRecordsUnderReader(t *testing.T) {
	halts(t, onEmbedded(t), (*world).removeUnderReader)
}

func halts(t *testing.T, b *broker, remove func(*world)) {
	_, seed := seeded(t)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	w.stage().awaitReady(t)
	w.commitsMore(20)
	remove(w)
	p := w.living()[0]
	eventually(t, patience, "/readyz to name the partition", func() bool {
		status, why := p.get("/readyz")
		return status == http.StatusServiceUnavailable &&
			strings.Contains(why, fmt.Sprintf("partition %d halted", removed))
	})
	if n := p.metric("crumbtrail_stage_halted_partitions", "")[""]; n != 1 {
		t.Errorf("%v partitions are halted, want 1", n)
	}
	w.spared[removed], w.exit = true, 1
	w.commitsMore(50)
	w.settle()
}

// removed is the partition that loses its records.
const removed = 2

// removeAtRest removes what has come in since a clean stop.
func (w *world) removeAtRest() {
	w.living()[0].stop(w.t, 0)
	from := w.load.count()
	eventually(w.t, patience, "beacons to come in", func() bool {
		return w.load.count() > from+200
	})
	w.remove()
	w.stage()
}

// removeUnderReader removes what comes in while the reader stands still. A fetch that it has sent
// is answered with what comes first, so it is what comes next that it misses.
func (w *world) removeUnderReader() {
	p := w.living()[0]
	p.signal(syscall.SIGSTOP)
	for range 3 {
		end := w.end()
		eventually(w.t, patience, "records to come in", func() bool { return w.end() > end })
	}
	w.remove()
	p.signal(syscall.SIGCONT)
}

func (w *world) remove() {
	w.t.Helper()
	deleteBefore(w.t, w.client, w.input, removed, w.end())
}

// end is where the partition ends whose records are removed.
func (w *world) end() int64 {
	w.t.Helper()
	return offsets(w.t, w.client, w.input, w.partitions, latest)[removed]
}
