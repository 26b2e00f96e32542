package load

import (
	"slices"
	"time"
)

// Windows counts visits in the plainest way: all times of a visitor in order, a new visit wherever
// the silence is longer than the gap. Its zero value is empty.
type Windows struct {
	// seen holds visitor and time in one number each, the visitor in the upper bits.
	seen    []uint64
	startUS int64
}

// timeBits hold microseconds up to 101 days from the first time less windowsBefore.
const (
	timeBits      = 43
	windowsBefore = int64(time.Hour / time.Microsecond)
)

// add takes in that a visitor was seen. No time is an hour before the first one, or 101 days after.
func (w *Windows) add(visitor uint64, us int64) {
	if len(w.seen) == 0 {
		w.startUS = us - windowsBefore
	}
	after := us - w.startUS
	if after < 0 || after >= 1<<timeBits || visitor >= 1<<(64-timeBits) {
		panic("load: visitor or time out of range")
	}
	w.seen = append(w.seen, visitor<<timeBits|uint64(after))
}

// Count returns how many visits there are for a gap. A time exactly at the gap joins.
func (w *Windows) Count(gap time.Duration) int {
	slices.Sort(w.seen)
	visits := 0
	for i, now := range w.seen {
		if i == 0 || now>>timeBits != w.seen[i-1]>>timeBits ||
			now-w.seen[i-1] > uint64(gap.Microseconds()) {
			visits++
		}
	}
	return visits
}
