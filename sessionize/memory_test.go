package sessionize

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
)

// TestSize holds Size against the heap: with many open visits, with what is remembered of closed
// ones, read back from a checkpoint, and with nothing left.
func TestSize(t *testing.T) {
	const visitors, least, most = 50_000, 0.85, 1.15
	var out stage.Output
	records := inTurn(t, visitors, 3*visitors)
	before := liveBytes()
	m := New(DefaultConfig(), 0)
	start := m.Size()
	check := func(what string, m *Machine) {
		t.Helper()
		heap := float64(liveBytes() - before)
		if of := float64(m.Size()) / heap; of < least || of > most {
			t.Errorf("%s: size is %d, %.2f of the %.0f bytes held", what, m.Size(), of, heap)
		}
	}
	m.Apply(records, &out)
	if n := m.Counts().Open; n != visitors {
		t.Fatalf("%d open visits", n)
	}
	check("open visits", m)

	state := changelog{}
	state.take(m)
	m = nil
	before = liveBytes()
	m = New(DefaultConfig(), 0)
	for key, value := range state {
		if err := m.Restore([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
	check("visits read back", m)

	end := records[len(records)-1].Timestamp + 40*60_000
	m.Apply([]stage.Record{tickAt(t, end, 0)}, &out)
	out = stage.Output{}
	m.Checkpoint(func([]byte, []byte) {})
	if n := m.Counts().Open; n != 0 {
		t.Fatalf("%d open visits", n)
	}
	check("closed visits", m)

	m.Apply([]stage.Record{tickAt(t, end+2*3_600_000, 1)}, &out)
	m.Checkpoint(func([]byte, []byte) {})
	// What is left is free for the next visits, see maxFree and poolBytes.
	const left = 3 << 19
	if heap := int64(liveBytes() - before); heap > left || m.Size() > start+left {
		t.Errorf("with nothing left size is %d of %d bytes held, and was %d", m.Size(), heap, start)
	}
	runtime.KeepAlive(records)
	runtime.KeepAlive(state)
}

// TestComeAndGone says that nothing is held, or written, of a visitor who came and went between two
// checkpoints, and that the next checkpoint says so of one whom the last holds.
func TestComeAndGone(t *testing.T) {
	m := New(DefaultConfig(), 0)
	var out stage.Output
	at := storyDay().UnixMilli()
	come := func(visitor string) {
		b := fullBeacon()
		b.VisitorId, b.OccurredAtUs, b.ClockUs = visitor, at*1000, at*1000
		m.Apply([]stage.Record{encoded(t, 0, at, beaconEntry(b))}, &out)
	}
	checkpoint := func() (keys []string) {
		m.Checkpoint(func(key, value []byte) {
			keys = append(keys, fmt.Sprintf("%s %t", key, value != nil))
		})
		return keys
	}
	come("held")
	if diff := cmp.Diff([]string{"s\x00held true", " true"}, checkpoint()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	come("gone")
	at += 3 * 3_600_000
	m.Apply([]stage.Record{tickAt(t, at, 1)}, &out)
	if n := len(m.sessions.visitors.of); n != 1 || m.Counts().Visits != 2 {
		t.Errorf("%d visitors are held; %+v", n, m.Counts())
	}
	if diff := cmp.Diff([]string{"s\x00held false", " true"}, checkpoint()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// checkHeld counts again what belongs to visitors and visits.
func checkHeld(t failing, m *Machine) {
	s := m.sessions
	want := int64(0)
	count := func(v *visitor) {
		want += visitorBytes + keyBytes(v.key) + pointerBytes*int64(cap(v.open)) +
			closedBytes*int64(cap(v.closed))
		for _, c := range v.closed {
			want += idBytes * int64(cap(c.ids))
		}
	}
	for _, v := range s.visitors.of {
		count(v)
	}
	for _, v := range s.memory.visitors {
		count(v)
	}
	for _, due := range s.deadlines { // open, or gone and not yet free
		want += visitBytes + due.value.bytes()
	}
	want += visitBytes * int64(len(s.memory.visits))
	if s.memory.held != want {
		t.Fatalf("%d bytes are counted, there are %d", s.memory.held, want)
	}
}

// TestPool says that a slice handed out has the room asked for, a power of two, and is nobody
// else's.
func TestPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pool[byte]{most: 64}
		used := map[byte][]byte{} // by the value of all that lies in it
		for i := range byte(rapid.IntRange(1, 60).Draw(t, "steps")) {
			n := rapid.IntRange(1, 40).Draw(t, "n")
			of := byte(rapid.IntRange(0, int(i)).Draw(t, "of"))
			s, known := used[of]
			switch {
			case !known:
				s = p.get(n)
			case rapid.Bool().Draw(t, "put"):
				p.put(s)
				delete(used, of)
				continue
			default:
				s = p.grow(s, n)
			}
			if room := cap(s) - len(s); room < n || cap(s)&(cap(s)-1) != 0 {
				t.Fatalf("room for %d of %d, want %d", room, cap(s), n)
			}
			used[of] = append(s, bytes.Repeat([]byte{of}, n)...)
			for of, s := range used {
				if bytes.Count(s, []byte{of}) != len(s) {
					t.Fatalf("%x is not of %d alone", s, of)
				}
			}
		}
	})
}
