package ingest

import (
	"math"
	"math/rand/v2"
	runtimemetrics "runtime/metrics"
	"sync/atomic"
	"time"
)

// overload turns a share of the requests away while more come in than the processors can do. To
// answer 503 is cheap, and leaves the rest enough of them to be answered in time; without it all
// would wait in front of everything. How long work waits for a processor is what the runtime says
// of its goroutines; how long the log takes is not in it, which is the spill's to bear.
type overload struct {
	// share of the requests are turned away, in parts of all, which math.MaxUint32 stands for.
	share atomic.Uint32
	// inside are the requests that were let through and are not answered yet, most how many those may
	// be while the share is not 0; answered counts those that were let through and answered.
	inside, most, answered atomic.Int64
}

const (
	// overloadEvery is how often the wait is looked at.
	overloadEvery = 50 * time.Millisecond
	// overloadLeast is how many waits must have been seen to be worth anything, which is what some
	// 2,000 requests a second make: the runtime takes note of one wait in eight. Where less comes in,
	// it is somebody else who has the processors.
	overloadLeast = 100
	// Of all waits most are none: who wakes another one up makes way for it. So one counts that few
	// exceed.
	overloadQuantile = 0.9
	// While requests are turned away, no more are let through than are answered in that time, and
	// never fewer than the least: those who are taken do not wait behind everybody else.
	insideTime  = 250 * time.Millisecond
	insideLeast = 64
	// Once too much comes in, the share rises by as much at each look, and it falls more slowly: what
	// is not turned away must first have shown that there is room for it.
	shareUp   = 0.1
	shareDown = 0.05
	shareMost = 0.98
)

// sheds says whether a request is to be turned away.
func (o *overload) sheds() bool {
	share := o.share.Load()
	return share > 0 && (rand.Uint32() < share || o.inside.Load() >= o.most.Load())
}

// enter and leave are called around a request that was let through.
func (o *overload) enter() { o.inside.Add(1) }

func (o *overload) leave() {
	o.inside.Add(-1)
	o.answered.Add(1)
}

// watch steers the share until done is closed. Nine tenths of all waits may be as long as most.
func (o *overload) watch(most time.Duration, done <-chan struct{}) {
	ticker := time.NewTicker(overloadEvery)
	defer ticker.Stop()
	var waits schedulerWaits
	waits.next()
	share, each := 0.0, 0.0
	for {
		select {
		case <-ticker.C:
		case <-done:
			o.share.Store(0)
			return
		}
		each = smooth(each, float64(o.answered.Swap(0)))
		o.most.Store(max(insideLeast, int64(each*float64(insideTime/overloadEvery))))
		wait, seen := waits.next()
		if seen < overloadLeast {
			wait = 0
		}
		share = steer(share, float64(wait)/float64(most))
		o.share.Store(uint32(share * math.MaxUint32))
	}
}

// smooth is a mean over about a second of looks: the answers to all that the log took at once come
// in one of them.
func smooth(mean, now float64) float64 { return mean + (now-mean)/20 }

// steer returns the share after a look at which the wait was so many times as long as it may be.
func steer(share, waited float64) float64 {
	off := waited - 1
	if off > 0 {
		return min(share+shareUp*min(off, 1), shareMost)
	}
	return max(share+shareDown*off, 0)
}

// schedulerWaits reads how long goroutines have waited for a processor.
type schedulerWaits struct {
	sample [1]runtimemetrics.Sample
	before []uint64
}

// next returns what few waits since the last call exceeded, and how many were seen.
func (w *schedulerWaits) next() (wait time.Duration, seen uint64) {
	w.sample[0].Name = "/sched/latencies:seconds"
	runtimemetrics.Read(w.sample[:])
	if w.sample[0].Value.Kind() != runtimemetrics.KindFloat64Histogram {
		return 0, 0
	}
	h := w.sample[0].Value.Float64Histogram()
	if w.before == nil {
		w.before = make([]uint64, len(h.Counts))
	}
	for i, n := range h.Counts {
		w.before[i] = n - w.before[i]
		seen += w.before[i]
	}
	passed := uint64(0)
	for i, n := range w.before {
		if passed += n; n > 0 && float64(passed) > overloadQuantile*float64(seen) {
			wait = time.Duration(max(h.Buckets[i], 0) * float64(time.Second))
			break
		}
	}
	copy(w.before, h.Counts)
	return wait, seen
}
