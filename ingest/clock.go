package ingest

import (
	"sync"
	"time"
)

// RecordedClock is the clock of a replay or a demo: the running maximum of the times that its
// input says. It is handed to the collector in the process, never by a request. Safe for
// concurrent use.
type RecordedClock struct {
	mu    sync.Mutex
	nowUs int64
}

// NewRecordedClock returns a clock that stands at the epoch.
func NewRecordedClock() *RecordedClock { return &RecordedClock{} }

// Advance moves the clock to t, if that is later.
func (c *RecordedClock) Advance(t time.Time) { c.advance(t.UnixMicro()) }

// Now returns where the clock stands.
func (c *RecordedClock) Now() time.Time { return time.UnixMicro(c.advance(0)).UTC() }

func (c *RecordedClock) advance(us int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nowUs = max(c.nowUs, us)
	return c.nowUs
}

// arrivals gives each request the time at which it came in and knows which of them are still on
// their way to the log. Safe for concurrent use.
type arrivals struct {
	// recorded is nil where time is the machine's.
	recorded *RecordedClock

	mu sync.Mutex
	us int64
	// oldest and newest are the ends of a list that is in order of time.
	oldest, newest *arrival
}

// arrival is one request on its way.
type arrival struct {
	us           int64
	older, newer *arrival
}

// now never goes back, not even where the machine's clock is set back. The lock is held.
func (a *arrivals) now() int64 {
	us := time.Now().UnixMicro()
	if a.recorded != nil {
		us = a.recorded.advance(0)
	}
	a.us = max(a.us, us)
	return a.us
}

// arrive takes a request in, of which it keeps note in it until it leaves.
func (a *arrivals) arrive(it *arrival) *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	*it = arrival{us: a.now(), older: a.newest}
	if a.newest == nil {
		a.oldest = it
	} else {
		a.newest.newer = it
	}
	a.newest = it
	return it
}

// leave says that a request is in the log, or never will be.
func (a *arrivals) leave(it *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if it.older == nil {
		a.oldest = it.newer
	} else {
		it.older.newer = it.newer
	}
	if it.newer == nil {
		a.newest = it.older
	} else {
		it.newer.older = it.older
	}
}

// times returns the clock and the time of the oldest request on its way, or the clock.
func (a *arrivals) times() (clockUs, lowUs int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clockUs = a.now()
	if a.oldest == nil {
		return clockUs, clockUs
	}
	return clockUs, a.oldest.us
}
