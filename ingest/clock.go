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
	// machine is the machine's clock: the time of day in microseconds since the epoch, which
	// somebody may set, and how long it has run, which nobody can.
	machine func() (us int64, ran time.Duration)

	mu sync.Mutex
	us int64
	// seenUs and ran are what the machine's clock said last, step how far it was set since.
	seenUs int64
	ran    time.Duration
	step   time.Duration
	// oldest and newest are the ends of a list that is in order of time.
	oldest, newest *arrival
}

// arrival is one request on its way.
type arrival struct {
	us           int64
	older, newer *arrival
}

// clockHold is how far the machine's clock may be set back without the collector's going back. What
// is more was a mistake before or is one now: time would stand still for as long.
const clockHold = time.Minute

// machineClock is the clock of this machine.
func machineClock() func() (us int64, ran time.Duration) {
	start := time.Now()
	return func() (int64, time.Duration) {
		now := time.Now()
		return now.UnixMicro(), now.Sub(start)
	}
}

// now goes back by no less than clockHold. The lock is held.
func (a *arrivals) now() int64 {
	if a.recorded != nil {
		a.us = max(a.us, a.recorded.advance(0))
		return a.us
	}
	us, ran := a.machine()
	if a.seenUs != 0 {
		a.step += time.Duration(us-a.seenUs)*time.Microsecond - (ran - a.ran)
	}
	a.seenUs, a.ran = us, ran
	if us > a.us || us < a.us-clockHold.Microseconds() {
		a.us = us
	}
	return a.us
}

// stepped returns how far the machine's clock was set since the last call, 0 where it went on as
// clocks do, or was corrected a little.
func (a *arrivals) stepped() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.step.Abs() < clockHold {
		return 0
	}
	step := a.step
	a.step = 0
	return step
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
	return clockUs, min(clockUs, a.oldest.us) // it may have come before the clock was set back
}
