package spill

import (
	"maps"
	"slices"
	"testing"
)

// FuzzDirectory damages what a run has left, as the bytes say: four of them are which file, what is
// done to it, and where. It is opened all the same; what comes out was put in, as it was and in
// order, and what is put in afterwards comes out behind it.
func FuzzDirectory(f *testing.F) {
	f.Add([]byte{0, 0, 0, 20, 1, 1, 0, 60})
	f.Add([]byte{0, 2, 0, 0, 2, 3, 1, 0})
	f.Add([]byte{255, 0, 0, 20, 255, 1, 0, 9})
	f.Add([]byte{0, 4, 0, 0, 1, 4, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		const frames, more = 40, 3
		m := newMemory(1)
		log := mustOpen(t, m, 64*small)
		marks := fill(t, log, 1, frames)
		log.Delivered(marks[4])
		log.Close()
		for ; len(script) >= 4; script = script[4:] {
			names := slices.Sorted(maps.Keys(m.names))
			if len(names) == 0 {
				break
			}
			name := names[int(script[0])%len(names)]
			at := int(script[2])<<8 | int(script[3])
			if script[1]%5 == 4 {
				delete(m.names, name)
				delete(m.durable, name)
				continue
			}
			err := m.damage(name, func(b []byte) []byte { return damaged(b, script[1]%5, at) })
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // a second start, in front of what the first one made of it
			log = mustOpen(t, m, 64*small)
			log.Close()
		}
		log = mustOpen(t, m, 64*small)
		fill(t, log, frames+1, frames+more)
		got := all(t, log)
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("came out %v", got)
		}
		if n := len(got); n < more || !slices.Equal(got[n-more:], upTo(frames+1, frames+more)) {
			t.Errorf("what was put in afterwards is missing: %v", got)
		}
		if log.Pending() {
			t.Error("something waits for ever")
		}
	})
}

// damaged does to bytes what happens to files: one flips, the end is lost, zeroed or said again.
func damaged(b []byte, how byte, at int) []byte {
	b = slices.Clone(b)
	if len(b) == 0 {
		return b
	}
	at %= len(b)
	switch how {
	case 0:
		b[at] ^= 1 << (at % 8)
	case 1:
		b = b[:at]
	case 2:
		clear(b[at:])
	case 3:
		b = append(b, b[at:]...)
	}
	return b
}
