package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/load"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

const (
	// perVisit beacons make a visit, a second of recorded time apart, as all beacons are. So a visit
	// closes after gap/second + grace/second more beacons, and from then on they close all the time.
	perVisit = 3
	step     = time.Second
	// grace is that of a site which the configuration does not name.
	grace = time.Minute
	// batchEvery is how often what is due is appended.
	batchEvery = 10 * time.Millisecond
	// visibleTimeout is how long a visit may take to be seen.
	visibleTimeout = 30 * time.Second
)

// LiveVisits measures, on traffic of so many beacons a second, how long it takes from the answer to
// the beacon that closes a visit until a read_committed reader has the visit.
func LiveVisits(ctx context.Context, cfg Config, visits, rate int) (r Result, err error) {
	b, err := makeBed(ctx, cfg, "")
	if err != nil {
		return r, err
	}
	defer b.close()
	s, err := b.sessionizer(ctx)
	if err != nil {
		return r, err
	}
	if err := s.ready(ctx); err != nil {
		return r, err
	}
	reading, stop := context.WithCancel(ctx)
	seen := b.watch(reading)
	live := newLive(b)
	began := time.Now()
	err = live.run(ctx, visits, rate)
	r = Result{Name: "latency", Events: b.writer.Beacons(), Seconds: time.Since(began).Seconds()}
	var times []time.Duration
	if err == nil {
		times, err = seen.times(ctx, live.closed)
	}
	stop()
	if err := errors.Join(err, seen.wait()); err != nil {
		return r, err
	}
	if err := s.stop(); err != nil {
		return r, err
	}
	quantiles := edge.QuantilesOf(times)
	r.Visits, r.LatencyMS = len(times), &quantiles
	r.took(usageOf(s.cmd.ProcessState))
	return r, nil
}

// live is traffic in real time on a recorded clock that runs faster.
type live struct {
	*bed
	// waiting holds by partition the visits that are open, the first due first.
	waiting [][]waiting
	// closed is by visitor when the beacon was acknowledged that closed the visit.
	closed map[string]time.Time
}

func newLive(b *bed) *live {
	return &live{
		bed: b, waiting: make([][]waiting, b.partitions), closed: map[string]time.Time{},
	}
}

// waiting is an open visit and the time that the clock must pass.
type waiting struct {
	visitor uint64
	dueUS   int64
}

// run appends beacons until so many visits have closed.
func (l *live) run(ctx context.Context, visits, rate int) error {
	bar := progress.New(l.cfg.Progress, progress.Options{What: "latency", Total: int64(visits)})
	ticker := time.NewTicker(batchEvery)
	defer ticker.Stop()
	for began := time.Now(); len(l.closed) < visits; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); l.writer.Beacons() < due; {
			l.beacon()
		}
		if err := l.producer.Produce(ctx, l.writer.Take()); err != nil {
			return err
		}
		l.acknowledged(time.Now())
		bar.Set(int64(len(l.closed)))
	}
	bar.Done("%d visits closed by %d beacons", len(l.closed), l.writer.Beacons())
	return nil
}

// beacon writes the next beacon.
func (l *live) beacon() {
	n := l.writer.Beacons()
	at := load.Start().Add(time.Duration(n) * step)
	visitor := uint64(n / perVisit)
	partition := l.writer.Beacon(visitor, at.UnixMicro(), at.UnixMicro())
	if n%perVisit == perVisit-1 {
		l.waiting[partition] = append(l.waiting[partition],
			waiting{visitor, at.Add(gap + grace).UnixMicro()})
	}
}

// acknowledged notes the visits that close by what has been written.
func (l *live) acknowledged(now time.Time) {
	for p, open := range l.waiting {
		for len(open) > 0 && open[0].dueUS < l.writer.ClockUS(p) {
			l.closed[load.VisitorID(open[0].visitor)] = now
			open = open[1:]
		}
		l.waiting[p] = open
	}
}

// watcher notes when visits become visible.
type watcher struct {
	followers sync.WaitGroup
	mu        sync.Mutex
	seen      map[string]time.Time
	errs      []error
}

// watch follows the topic of visits until ctx ends.
func (b *bed) watch(ctx context.Context) *watcher {
	w := &watcher{seen: map[string]time.Time{}}
	for p := range b.partitions {
		batches := make(chan kafka.Fetched)
		w.followers.Go(func() {
			defer close(batches)
			w.note(kafka.Follow(ctx, b.client, string(schemas.Visits), int32(p), 0,
				kafka.GapsRefused, batches, func(error) {}))
		})
		w.followers.Go(func() {
			for batch := range batches {
				w.note(w.take(batch.Records, time.Now()))
			}
		})
	}
	return w
}

func (w *watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = append(w.errs, err)
	}
}

// take notes visits that have become visible. None may do so twice.
func (w *watcher) take(records []kafka.Record, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range records {
		_, visitor, _ := schemas.SplitVisitorKey(records[i].Key)
		if _, twice := w.seen[string(visitor)]; twice {
			return fmt.Errorf("the visit of %q came out twice", visitor)
		}
		w.seen[string(visitor)] = now
	}
	return nil
}

// times waits until all closed visits have been seen, and returns how long each took.
func (w *watcher) times(
	ctx context.Context, closed map[string]time.Time,
) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	for {
		times, failed := w.look(closed)
		if failed || len(times) == len(closed) {
			return times, nil
		}
		if !kafka.Pause(ctx, drainPoll) {
			return nil, fmt.Errorf("%d of %d visits are visible: %w", len(times), len(closed), ctx.Err())
		}
	}
}

func (w *watcher) look(closed map[string]time.Time) (times []time.Duration, failed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for visitor, at := range closed {
		if visible, ok := w.seen[visitor]; ok {
			// The stage may read a beacon before its sender has the answer.
			times = append(times, max(0, visible.Sub(at)))
		}
	}
	return times, len(w.errs) > 0
}

// wait returns what went wrong, after the context of watch has ended.
func (w *watcher) wait() error {
	w.followers.Wait()
	return errors.Join(w.errs...)
}
