package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"crumbtrail/ingest/spill"
	"crumbtrail/internal/kafka"

	"golang.org/x/sync/semaphore"
)

// Producer appends to the log. It returns nil only once all messages are durable; the order
// within a partition is that of msgs, which are the caller's again once it has returned.
type Producer interface {
	Produce(ctx context.Context, msgs []kafka.Message) error
}

var (
	errFull    = errors.New("append: the queue is full")
	errStopped = errors.New("append: the collector has stopped")
)

// roundBytes is about how much goes into one produce request, or with one fsync into the spill.
const roundBytes = 8 << 20

// appender is the one goroutine that decides where parcels go. While a produce request is under way
// others wait, and the next request carries all of them: the busier it is, the more records share
// one fsync (group commit). Where the log is slow or away, they go to the spill instead, and so do
// those that come while the spill holds anything, so that what comes later stays behind.
type appender struct {
	producer Producer
	log      *slog.Logger
	metrics  *metrics
	arrivals *arrivals
	ticks    *ticks
	// linger waits for company before each request; 0 sends at once.
	linger time.Duration
	// timeout bounds a produce request; 0 waits for as long as it takes.
	timeout time.Duration
	// spill is nil where there is none. Its methods, but for Stats, are called by run alone.
	spill *spill.Log
	// spillAfter is how long a request may be under way before its parcels go to the spill.
	spillAfter time.Duration

	queue chan *parcel
	// room is the bytes that may wait or be under way.
	room *semaphore.Weighted
	most int64
	// stopped closes when nothing will be appended any more.
	stopped chan struct{}
	health  health

	// The rest is run's. underWay is nil while the log has nothing to answer; its answer comes on
	// outcome.
	underWay *shipment
	// msgs are those of the last shipment of several parcels, to be overwritten by the next.
	msgs    []kafka.Message
	outcome chan error
	// overdue fires once underWay has been so for spillAfter.
	overdue <-chan time.Time
	// away is true while the log does not answer in that time.
	away bool
	// again fires when the log is to be asked again after an error.
	again <-chan time.Time
	// chunk is about how many bytes of the spill go in one request.
	chunk int64
	// tickDue says that the log is to be told the time.
	tickDue bool
}

// offer queues a parcel if there is room.
func (a *appender) offer(p *parcel) error {
	p.room = min(p.weight(), a.most)
	if !a.room.TryAcquire(p.room) {
		return a.shed(p, errFull)
	}
	select {
	case <-a.stopped:
		a.room.Release(p.room)
		return a.shed(p, errStopped)
	case a.queue <- p:
		a.slipped()
		return nil
	default:
		a.room.Release(p.room)
		return a.shed(p, errFull)
	}
}

// slipped sheds what has come into the queue although nobody takes it any more.
func (a *appender) slipped() {
	select {
	case <-a.stopped:
		a.empty()
	default: // whoever closes it empties the queue after that
	}
}

// enqueue queues a parcel and waits for room.
func (a *appender) enqueue(ctx context.Context, p *parcel) error {
	p.room = min(p.weight(), a.most)
	if err := a.room.Acquire(ctx, p.room); err != nil {
		return a.shed(p, fmt.Errorf("append: %w", err))
	}
	select {
	case a.queue <- p:
		a.slipped()
		return nil
	case <-a.stopped:
		a.room.Release(p.room)
		return a.shed(p, errStopped)
	case <-ctx.Done():
		a.room.Release(p.room)
		return a.shed(p, fmt.Errorf("append: %w", ctx.Err()))
	}
}

// shed counts a parcel that will not be appended.
func (a *appender) shed(p *parcel, err error) error {
	if p.arrival != nil {
		a.arrivals.leave(p.arrival)
	}
	a.metrics.shed(&p.tally)
	return err
}

// wait returns what became of a queued parcel; nil means that it is durable.
func (a *appender) wait(ctx context.Context, p *parcel) error { return a.await(ctx, nil, p) }

// await is wait until a timer fires.
func (a *appender) await(ctx context.Context, late <-chan time.Time, p *parcel) error {
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("append: %w", ctx.Err())
	case <-late:
		return fmt.Errorf("append: %w", context.DeadlineExceeded)
	case <-a.stopped:
	}
	select {
	case err := <-p.done: // both were ready
		return err
	default:
		return errStopped
	}
}

// run appends until ctx ends, and then what was queued before.
func (a *appender) run(ctx context.Context) {
	defer a.close()
	var due <-chan time.Time
	if a.arrivals.recorded == nil {
		ticker := time.NewTicker(tickEvery)
		defer ticker.Stop()
		due = ticker.C
		a.tickDue = true // the time is known from the start, and whether the log takes it
	}
	for ctx.Err() == nil {
		a.ship(ctx)
		if a.hasten(due) {
			continue
		}
		select {
		case p := <-a.ready():
			a.take(ctx, p)
		case err := <-a.outcome:
			a.landed(err)
		case <-a.overdue:
			a.late()
		case <-a.again:
			a.again = nil
		case <-due:
			a.tick()
		case <-ctx.Done():
		}
	}
	a.finish(ctx)
}

// hasten does what goes first where several things are ready, so that the same input runs the same
// way in fake time, and says whether there was such a thing.
func (a *appender) hasten(due <-chan time.Time) bool {
	select {
	case err := <-a.outcome:
		a.landed(err)
		return true
	default:
	}
	select {
	case <-a.overdue:
		a.late()
		return true
	default:
	}
	select {
	case <-due: // so seldom that nobody waits long for it
		a.tick()
		return true
	default:
		return false
	}
}

// tick has the log told the time once it is free for that, and looks after the spill.
func (a *appender) tick() {
	a.tickDue = true
	if a.spill != nil {
		a.spill.Check()
	}
	if step := a.arrivals.stepped(); step != 0 {
		a.log.Warn("the machine's clock was set; beacons come in at its new time, and what is before "+
			"the log's may be late", "by", step.Round(time.Second).String())
	}
}

// finish appends what is queued, as long as anything takes it: a stop is not to wait for a log that
// is away. What is in the spill stays there for the next start.
func (a *appender) finish(ctx context.Context) {
	if a.underWay != nil && a.spill != nil && a.overdue == nil {
		a.underWay.cancel()
	}
	for a.underWay != nil || len(a.queue) > 0 {
		select {
		case p := <-a.ready():
			a.take(ctx, p)
		case err := <-a.outcome:
			a.landed(err)
			if err != nil && a.spill == nil {
				return
			}
		case <-a.overdue:
			a.underWay.cancel()
		}
	}
}

// close ends the run and sheds what was left in the queue.
func (a *appender) close() {
	if a.spill != nil {
		a.spill.Close()
	}
	close(a.stopped)
	a.empty()
}

// empty sheds what is in the queue.
func (a *appender) empty() {
	for {
		select {
		case p := <-a.queue:
			a.settle([]*parcel{p}, "", errStopped)
		default:
			return
		}
	}
}

// ready is the queue where parcels are taken from it now: to the spill, or to the log if nothing is
// under way.
func (a *appender) ready() <-chan *parcel {
	if a.underWay == nil || a.diverted() {
		return a.queue
	}
	return nil
}

// take appends a parcel together with all that wait behind it.
func (a *appender) take(ctx context.Context, first *parcel) {
	parcels := a.collect(ctx, first)
	if a.diverted() {
		a.divert(parcels)
		return
	}
	msgs := a.msgs[:0]
	if len(parcels) == 1 {
		msgs = first.msgs
	}
	for _, p := range parcels {
		if len(parcels) > 1 {
			msgs = append(msgs, p.msgs...)
		}
		if a.arrivals.recorded != nil {
			msgs = a.ticks.recorded(msgs, p.clockUs)
		}
	}
	if len(parcels) > 1 {
		a.msgs = msgs
	}
	a.send(ctx, &shipment{msgs: msgs, parcels: parcels})
}

// collect takes what waits, up to about roundBytes.
func (a *appender) collect(ctx context.Context, first *parcel) []*parcel {
	parcels, bytes := append(make([]*parcel, 0, 1+len(a.queue)), first), len(first.buf)
	if a.linger > 0 && ctx.Err() == nil && !a.diverted() {
		select {
		case <-time.After(a.linger):
		case <-ctx.Done():
		}
	}
	for bytes < roundBytes {
		select {
		case p := <-a.queue:
			parcels = append(parcels, p)
			bytes += len(p.buf)
			continue
		default:
		}
		break
	}
	return parcels
}

// settle tells those who wait, and counts; path is where a parcel is durable.
func (a *appender) settle(parcels []*parcel, path string, err error) {
	for _, p := range parcels {
		if p.arrival != nil {
			a.arrivals.leave(p.arrival)
		}
		if err != nil {
			a.metrics.shed(&p.tally)
		} else {
			a.metrics.took(&p.tally)
			a.metrics.acknowledged(path)
		}
		a.room.Release(p.room)
		p.path = path
		p.done <- err
	}
}
