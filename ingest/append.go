package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

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

// roundBytes is about how much goes into one produce request.
const roundBytes = 8 << 20

// appender is the one goroutine that appends to the log. While a produce request is under way
// others wait, and the next request carries all of them: the busier it is, the more records share
// one fsync (group commit).
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

	queue chan *parcel
	// room is the bytes that may wait or be under way.
	room *semaphore.Weighted
	most int64
	// stopped closes when nothing will be appended any more.
	stopped chan struct{}
	health  health
}

// offer queues a parcel if there is room.
func (a *appender) offer(p *parcel) error {
	if !a.room.TryAcquire(a.share(p)) {
		return a.shed(p, errFull)
	}
	select {
	case <-a.stopped:
		a.room.Release(a.share(p))
		return a.shed(p, errStopped)
	case a.queue <- p:
		return nil
	default:
		a.room.Release(a.share(p))
		return a.shed(p, errFull)
	}
}

// enqueue queues a parcel and waits for room.
func (a *appender) enqueue(ctx context.Context, p *parcel) error {
	if err := a.room.Acquire(ctx, a.share(p)); err != nil {
		return a.shed(p, fmt.Errorf("append: %w", err))
	}
	select {
	case a.queue <- p:
		return nil
	case <-a.stopped:
		a.room.Release(a.share(p))
		return a.shed(p, errStopped)
	case <-ctx.Done():
		a.room.Release(a.share(p))
		return a.shed(p, fmt.Errorf("append: %w", ctx.Err()))
	}
}

// share is the parcel's part of the room: one that is larger than all of it takes all of it.
func (a *appender) share(p *parcel) int64 { return min(p.weight(), a.most) }

// shed counts a parcel that will not be appended.
func (a *appender) shed(p *parcel, err error) error {
	if p.arrival != nil {
		a.arrivals.leave(p.arrival)
	}
	a.metrics.shed(&p.tally)
	return err
}

// wait returns what became of a queued parcel; nil means that it is durable.
func (a *appender) wait(ctx context.Context, p *parcel) error {
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("append: %w", ctx.Err())
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
		a.tick(ctx) // the time is known from the start, and whether the log takes it
	}
	for ctx.Err() == nil {
		select {
		case <-due: // goes first, and so seldom that nobody waits long for it
			a.tick(ctx)
			continue
		default:
		}
		select {
		case p := <-a.queue:
			_ = a.round(ctx, p) // those who wait hear of it
		case <-due:
			a.tick(ctx)
		case <-ctx.Done():
		}
	}
	a.drain(ctx)
}

// drain appends what is queued, as long as the log takes it: a stop is not to wait for it.
func (a *appender) drain(ctx context.Context) {
	for {
		select {
		case p := <-a.queue:
			if a.round(ctx, p) != nil {
				return
			}
		default:
			return
		}
	}
}

// close sheds what was left in the queue, or slipped into it.
func (a *appender) close() {
	close(a.stopped)
	for {
		select {
		case p := <-a.queue:
			a.settle([]*parcel{p}, errStopped)
		default:
			return
		}
	}
}

// round appends a parcel together with all that wait behind it.
func (a *appender) round(ctx context.Context, first *parcel) error {
	parcels := a.collect(ctx, first)
	var msgs []kafka.Message
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
	err := a.produce(ctx, msgs)
	if err == nil {
		a.ticks.said(msgs)
	}
	a.settle(parcels, err)
	return err
}

// collect takes what waits, up to about roundBytes.
func (a *appender) collect(ctx context.Context, first *parcel) []*parcel {
	parcels, bytes := []*parcel{first}, len(first.buf)
	if a.linger > 0 && ctx.Err() == nil {
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

// produce is not cut short by the end of the run: those who wait would not know the outcome. A
// replay is, since it may wait for ever.
func (a *appender) produce(ctx context.Context, msgs []kafka.Message) error {
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
		defer cancel()
	}
	began := time.Now()
	err := a.producer.Produce(ctx, msgs)
	a.metrics.produced(time.Since(began), err)
	switch changed := a.health.note(err); {
	case changed && err != nil:
		a.log.Error("the log takes nothing; requests are answered 503 until it does", "err", err)
	case changed:
		a.log.Info("the log takes records")
	}
	return err
}

// settle tells those who wait, and counts.
func (a *appender) settle(parcels []*parcel, err error) {
	for _, p := range parcels {
		if p.arrival != nil {
			a.arrivals.leave(p.arrival)
		}
		if err != nil {
			a.metrics.shed(&p.tally)
		} else {
			a.metrics.took(&p.tally)
		}
		a.room.Release(a.share(p))
		p.done <- err
	}
}

// tick appends the collector's time to every partition that has not heard it lately.
func (a *appender) tick(ctx context.Context) {
	clockUs, lowUs := a.arrivals.times()
	msgs := a.ticks.live(clockUs, lowUs)
	if len(msgs) == 0 {
		return
	}
	if a.produce(ctx, msgs) != nil {
		// Next time to all of them: which ones heard it is not known.
		a.ticks.forget()
	}
}

// health knows whether the log takes anything. Safe for concurrent use.
type health struct{ state atomic.Pointer[error] }

// note takes in an outcome and says whether it differs from the one before.
func (h *health) note(err error) (changed bool) {
	before := h.state.Swap(&err)
	return before == nil || (*before == nil) != (err == nil)
}

// check returns nil if the last that was appended got through.
func (h *health) check() error {
	switch state := h.state.Load(); {
	case state == nil:
		return errors.New("nothing has been appended to the log yet")
	case *state != nil:
		return fmt.Errorf("the log takes nothing: %w", *state)
	}
	return nil
}
