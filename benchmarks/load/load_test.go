package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		name string
		at   [][2]int64 // visitor, minute
		want int
	}{
		{"nobody", nil, 0},
		{"one", [][2]int64{{1, 0}}, 1},
		{"at the gap", [][2]int64{{1, 0}, {1, 30}, {1, 60}}, 1},
		{"past the gap", [][2]int64{{1, 0}, {1, 31}, {1, 62}}, 3},
		{"a bridge that comes last", [][2]int64{{1, 0}, {1, 40}, {1, 20}}, 1},
		{"two visitors", [][2]int64{{1, 0}, {2, 1}, {1, 2}, {2, 3}}, 2},
		{"before the first time", [][2]int64{{1, 40}, {1, 0}}, 2},
	} {
		var w Windows
		for _, at := range c.at {
			w.add(uint64(at[0]), at[1]*time.Minute.Microseconds())
		}
		if got := w.Count(30 * time.Minute); got != c.want {
			t.Errorf("%s: %d visits, want %d", c.name, got, c.want)
		}
	}
}

func shop(t *testing.T, events int) []kafka.Message {
	t.Helper()
	w := NewWriter(3)
	for s := NewShop(w, events, 500); s.Next(); {
	}
	if w.Beacons() != events {
		t.Fatalf("%d beacons, want %d", w.Beacons(), events)
	}
	return w.Take()
}

func TestSameCallsSameBytes(t *testing.T) {
	if diff := cmp.Diff(shop(t, 300), shop(t, 300)); diff != "" {
		t.Error(diff)
	}
}

// Beacons come in the order of their clock, each to the partition of its key, up to 20 s after they
// happened. Every partition hears the time each minute, and a flush last.
func TestShop(t *testing.T) {
	const events = 20_000
	beacons, flushes, ids := 0, 0, map[string]bool{}
	clocks := map[int32]int64{}
	last := int64(0)
	for _, m := range shop(t, events) {
		var r schemas.BeaconRecord
		if err := r.UnmarshalVT(m.Value); err != nil {
			t.Fatal(err)
		}
		clock := r.GetTick().GetClockUs()
		if b := r.GetBeacon(); b != nil {
			beacons++
			ids[b.EventId] = true
			clock = b.ClockUs
			if late := clock - b.OccurredAtUs; late < 0 || late >= 20e6 {
				t.Fatalf("a beacon came %d us after it happened", late)
			}
			if m.Partition != kafka.PartitionOf(m.Key, 3) {
				t.Fatalf("key %q is in partition %d", m.Key, m.Partition)
			}
		}
		if r.GetFlush() != nil {
			flushes++
			continue
		}
		// The next beacon after a minute brings the tick, 17 s on at most.
		if before, ok := clocks[m.Partition]; clock < last || ok && clock-before > 78e6 {
			t.Fatalf("partition %d goes from %d to %d, after %d", m.Partition, before, clock, last)
		}
		clocks[m.Partition], last = clock, clock
	}
	if beacons != events || len(ids) != events || flushes != 3 {
		t.Errorf("%d beacons with %d ids, %d flushes", beacons, len(ids), flushes)
	}
}
