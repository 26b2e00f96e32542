package spill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func mustOpen(t *testing.T, fs FS, capacity int64) *Log {
	t.Helper()
	log, err := Open(fs, Config{Capacity: capacity}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// fill appends the frames of these numbers, one by one, and returns the marks behind them.
func fill(t *testing.T, log *Log, from, to uint64) (marks []Mark) {
	t.Helper()
	for n := from; n <= to; n++ {
		taken, m, err := log.Append([]Frame{frame(n)})
		if err != nil || taken != 1 {
			t.Fatalf("frame %d: %v", n, err)
		}
		marks = append(marks, m)
	}
	return marks
}

// all drains a spill and returns the numbers that came out.
func all(t *testing.T, log *Log) (numbers []uint64) {
	t.Helper()
	for {
		batch, err := log.Next(4 << 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch.Messages) == 0 {
			return numbers
		}
		for at := 0; at < len(batch.Messages); at += 2 {
			n := binary.BigEndian.Uint64(batch.Messages[at].Key)
			if !same(batch.Messages[at:at+2], frame(n).Messages) {
				t.Fatalf("frame %d is not as it was", n)
			}
			numbers = append(numbers, n)
		}
		log.Delivered(batch.End)
	}
}

func upTo(from, to uint64) (numbers []uint64) {
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

func segmentsOf(m *memory) (names []string) {
	for name := range m.names {
		if _, corrupt, ok := segmentOf(name); ok && !corrupt {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestOnDisk(t *testing.T) {
	fs, err := Make(t.TempDir() + "/spill")
	if err != nil {
		t.Fatal(err)
	}
	log := mustOpen(t, fs, small)
	fill(t, log, 1, 30)
	log.Close()
	log = mustOpen(t, fs, small)
	fill(t, log, 31, 40)
	if s := log.Stats(); s.Records != 80 || s.LowUs != 1 || s.Err != nil || s.Used <= s.Bytes {
		t.Errorf("stats %+v", s)
	}
	if got := all(t, log); !slices.Equal(got, upTo(1, 40)) {
		t.Errorf("came out: %v", got)
	}
	if s := log.Stats(); s.Records != 0 || s.Bytes != 0 || s.LowUs != 0 || s.Used != headerBytes {
		t.Errorf("stats once it is drained %+v", s)
	}
	names, err := fs.ReadDir()
	if err != nil || len(names) != 2 {
		t.Errorf("once it is drained there are %v, want a position and an empty segment", names)
	}
	log.Close()
	if got := all(t, mustOpen(t, fs, small)); len(got) > 0 {
		t.Errorf("came out again: %v", got)
	}
}

// What was appended while a request was under way, and then turned out to be in the log, is not
// delivered again.
func TestDeliveredWithoutNext(t *testing.T) {
	m := newMemory(1)
	log := mustOpen(t, m, small)
	marks := fill(t, log, 1, 5)
	log.Delivered(marks[2])
	log.Delivered(marks[0])
	if s := log.Stats(); s.Records != 4 || s.LowUs != 3 {
		t.Errorf("stats %+v", s)
	}
	if !log.Beyond(marks[3]) || log.Beyond(marks[4]) {
		t.Error("frames 4 and 5 are after the mark, and none after the last")
	}
	if got := all(t, log); !slices.Equal(got, upTo(4, 5)) {
		t.Errorf("came out: %v", got)
	}
}

func TestFull(t *testing.T) {
	m := newMemory(1)
	log := mustOpen(t, m, small)
	var frames []Frame
	for n := range uint64(400) {
		frames = append(frames, frame(n+1))
	}
	n, _, err := log.Append(frames)
	if n == 0 || n == len(frames) || !errors.Is(err, ErrFull) {
		t.Fatalf("%d taken, %v", n, err)
	}
	for taken := n; taken > 0; n += taken { // each time a little of what was set aside is left
		if taken, _, err = log.Append(frames[n:]); !errors.Is(err, ErrFull) {
			t.Fatalf("%d taken, %v", taken, err)
		}
	}
	if s := log.Stats(); s.Used > small {
		t.Errorf("%d bytes are used, %d is the most", s.Used, small)
	}
	if got := all(t, log); !slices.Equal(got, upTo(1, uint64(n))) {
		t.Errorf("%d came out, want %d", len(got), n)
	}
	fill(t, log, uint64(n)+1, uint64(n)+9)
}

// A disk that others fill: refused, with a reserve left, until there is room again.
func TestFullDisk(t *testing.T) {
	m := newMemory(1)
	m.free = small/16 + 500
	log := mustOpen(t, m, small)
	if log.Stats().Err != nil {
		t.Error(log.Stats().Err)
	}
	n, _, err := log.Append([]Frame{frame(1), frame(2), frame(3)})
	if n == 3 || !errors.Is(err, ErrFull) {
		t.Errorf("%d taken, %v", n, err)
	}
	m.free = 0
	log.Check()
	if err := log.Stats().Err; !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "disk") {
		t.Errorf("%v, want that the disk is full", err)
	}
	m.free = 1 << 30
	log.Check()
	if log.Stats().Err != nil {
		t.Error(log.Stats().Err)
	}
	fill(t, log, 1, 3)
}

// A write or fsync that fails gives the segment up. Nothing is written for a second, then a new
// segment is, with nobody asking for it.
func TestFailedWrite(t *testing.T) {
	for _, operation := range []string{"write", "sync"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(1)
			log := mustOpen(t, m, small)
			fill(t, log, 1, 3)
			used := log.Stats().Used
			m.failAt = m.operations + map[string]int{"write": 1, "sync": 2}[operation]
			if n, _, err := log.Append([]Frame{frame(4)}); n != 0 || err == nil {
				t.Fatalf("%d taken", n)
			}
			if now := log.Stats().Used; operation == "write" && now != used {
				t.Errorf("%d bytes of a failed write are kept", now-used)
			}
			if _, _, err := log.Append([]Frame{frame(5)}); !errors.Is(err, ErrPaused) {
				t.Errorf("right after it: %v", err)
			}
			log.Check()
			if log.Stats().Err == nil {
				t.Error("nothing is wrong")
			}
			time.Sleep(failurePause)
			log.Check()
			if err := log.Stats().Err; err != nil {
				t.Errorf("a second later: %v", err)
			}
			fill(t, log, 6, 7)
			if got := all(t, log); !slices.Equal(got, []uint64{1, 2, 3, 6, 7}) {
				t.Errorf("%s: came out: %v", operation, got)
			}
		})
	}
}

// A disk that stays broken does not fill the directory with segments.
func TestFailingForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		log := mustOpen(t, m, small)
		for n := range uint64(50) {
			m.failAt = m.operations + 5 // a segment can be made: create, write, sync, directory
			if taken, _, err := log.Append([]Frame{frame(n + 1)}); taken != 0 || err == nil {
				t.Fatalf("%d taken", taken)
			}
			if l := len(m.names); l > 1 {
				t.Fatalf("%d files", l)
			}
			time.Sleep(failurePause)
		}
	})
}

// Bytes are changed, cut off, zeroed and added: what verifies comes out, in order, and nothing
// else.
func TestDamage(t *testing.T) {
	const frames = 60
	flip := func(at func(size int) int) func([]byte, *rand.Rand) []byte {
		return func(b []byte, _ *rand.Rand) []byte {
			b = slices.Clone(b)
			b[at(len(b))] ^= 0x10
			return b
		}
	}
	for name, c := range map[string]struct {
		change   func([]byte, *rand.Rand) []byte
		most     int // frames that may be gone
		position bool
		corrupt  bool
	}{
		"nothing":  {change: func(b []byte, _ *rand.Rand) []byte { return b }},
		"header":   {change: flip(func(int) int { return 20 }), corrupt: true},
		"magic":    {change: flip(func(int) int { return 0 }), corrupt: true},
		"marker":   {change: flip(func(int) int { return 37 }), corrupt: true},
		"first":    {change: flip(func(int) int { return headerBytes + 30 }), most: 1, corrupt: true},
		"middle":   {change: flip(func(n int) int { return n / 2 }), most: 1, corrupt: true},
		"last":     {change: flip(func(n int) int { return n - 1 }), most: 1},
		"cut":      {change: func(b []byte, _ *rand.Rand) []byte { return b[:len(b)-7] }, most: 1},
		"emptied":  {change: func([]byte, *rand.Rand) []byte { return nil }, most: frames},
		"zeros":    {change: func(b []byte, _ *rand.Rand) []byte { return append(b, make([]byte, 64)...) }},
		"repeated": {change: func(b []byte, _ *rand.Rand) []byte { return append(b, b...) }},
		"garbage": {change: func(b []byte, random *rand.Rand) []byte {
			for range 300 {
				b = append(b, byte(random.Uint32()))
			}
			return b
		}},
		"length": {change: func(b []byte, _ *rand.Rand) []byte {
			b = slices.Clone(b)
			b[headerBytes+12] = 0x7f
			return b
		}, most: 1, corrupt: true},
		"noise": {change: func(b []byte, random *rand.Rand) []byte {
			b = slices.Clone(b)
			from := random.IntN(len(b) - 100)
			for at := from; at < from+100; at++ {
				b[at] = byte(random.Uint32())
			}
			return b
		}, most: 2},
		"position":      {position: true, change: flip(func(int) int { return 20 }), corrupt: true},
		"position gone": {position: true, change: func([]byte, *rand.Rand) []byte { return nil }, corrupt: true},
		"position ahead": {
			position: true, corrupt: true,
			change: func([]byte, *rand.Rand) []byte { return encodePosition(1 << 40) },
		},
	} {
		for seed := range uint64(10) {
			random := rand.New(rand.NewPCG(seed, 7))
			m := newMemory(seed)
			log := mustOpen(t, m, 64*small)
			marks := fill(t, log, 1, frames)
			delivered := uint64(0)
			file := segmentsOf(m)[0]
			if c.position {
				delivered, file = 20, positionName
				log.Delivered(marks[delivered-1])
			}
			log.Close()
			if err := m.damage(file, func(b []byte) []byte { return c.change(b, random) }); err != nil {
				t.Fatal(err)
			}
			log = mustOpen(t, m, 64*small)
			fill(t, log, frames+1, frames+5)
			log.Close() // a second start, in front of what the first one made of it
			log = mustOpen(t, m, 64*small)
			got := all(t, log)
			if lost := frames + 5 - len(got); lost > c.most || !slices.IsSorted(got) ||
				len(slices.Compact(slices.Clone(got))) != len(got) ||
				!slices.Equal(got[len(got)-5:], upTo(frames+1, frames+5)) {
				t.Errorf("%s, seed %d: %d lost, came out %v", name, seed, lost, got)
			}
			asides := 0
			for name := range m.names {
				if strings.Contains(name, corruptInfix) {
					asides++
				}
			}
			if name != "noise" && (asides == 1) != c.corrupt {
				t.Errorf("%s: put aside %d files: %v", name, asides, slices.Sorted(maps.Keys(m.names)))
			}
		}
	}
}

// What is damaged while the process runs is noticed on the way out.
func TestDamageUnderWay(t *testing.T) {
	m := newMemory(1)
	log := mustOpen(t, m, small)
	fill(t, log, 1, 3)
	if err := m.damage(segmentsOf(m)[0], func(b []byte) []byte {
		b = slices.Clone(b)
		b[headerBytes+50] ^= 1
		return b
	}); err != nil {
		t.Fatal(err)
	}
	if got := all(t, log); !slices.Equal(got, upTo(2, 3)) || log.Stats().Corrupt != 1 {
		t.Errorf("came out: %v, %+v", got, log.Stats())
	}
}

func TestMissingSegment(t *testing.T) {
	m := newMemory(1)
	log := mustOpen(t, m, 2*small)
	fill(t, log, 1, 60)
	names := segmentsOf(m)
	if len(names) < 4 {
		t.Fatalf("only %d segments", len(names))
	}
	delete(m.names, names[1])
	log.Close()
	got := all(t, mustOpen(t, m, 2*small))
	if !slices.IsSorted(got) || got[0] != 1 || got[len(got)-1] != 60 || len(got) < 30 {
		t.Errorf("came out: %v", got)
	}
}

// A later version's files are refused in a sentence, and nothing is touched.
func TestNewerIsRefused(t *testing.T) {
	newer := func(b []byte) []byte {
		b = slices.Clone(b)
		binary.BigEndian.PutUint32(b[8:], formatVersion+1)
		return append(appendChecksum(b[:12], 0), b[preambleBytes:]...)
	}
	for _, which := range []string{"segment", positionName} {
		m := newMemory(1)
		log := mustOpen(t, m, 2*small)
		marks := fill(t, log, 1, 60)
		log.Delivered(marks[0])
		log.Close()
		name := which
		if which == "segment" {
			names := segmentsOf(m)
			name = names[len(names)-1]
		}
		if err := m.damage(name, newer); err != nil {
			t.Fatal(err)
		}
		before := m.operations
		_, err := Open(m, Config{Capacity: small}, quiet())
		if err == nil || !strings.Contains(err.Error(), "newer format, version 2") {
			t.Errorf("%s: %v", which, err)
		}
		if reads := len(m.names); m.operations > before+reads {
			t.Errorf("%s: %d operations besides reading", which, m.operations-before-reads)
		}
	}
}

func TestInspect(t *testing.T) {
	m := newMemory(1)
	log := mustOpen(t, m, 2*small)
	marks := fill(t, log, 1, 60)
	log.Delivered(marks[4])
	names := segmentsOf(m)
	if err := m.damage(names[1], func(b []byte) []byte {
		b = slices.Clone(b)
		b[len(b)/2] ^= 1
		return b
	}); err != nil {
		t.Fatal(err)
	}
	unfinished := func(b []byte) []byte { return append(b, 1, 2, 3) }
	if err := m.damage(names[len(names)-1], unfinished); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(m.names)
	var shown []uint64
	r, err := Inspect(m, func(r Record) error {
		shown = append(shown, binary.BigEndian.Uint64(r.Messages[0].Key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Segments) != len(names) || !r.Corrupt() || r.Position != 6 {
		t.Errorf("%+v", r)
	}
	frames := 0
	for i, s := range r.Segments {
		frames += s.Frames
		if (s.Err != nil) != (i == 1) || (s.Torn > 0) != (i == len(names)-1) {
			t.Errorf("%+v", s)
		}
	}
	if r.Waiting() != 2*54 {
		t.Errorf("%d records wait", r.Waiting())
	}
	if frames != 59 || len(shown) != 54 || shown[0] != 6 || !slices.IsSorted(shown) {
		t.Errorf("%d frames, %d pending: %v", frames, len(shown), shown)
	}
	if after := fmt.Sprint(m.names); after != before {
		t.Error("it changed something")
	}
}
