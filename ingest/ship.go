package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"crumbtrail/ingest/spill"
	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
)

const (
	// Each failed request halves what the next one takes from the spill, and each one that gets
	// through doubles it: a slow way to the log lets less through before the request times out.
	leastChunk = 64 << 10
	mostChunk  = 4 << 20
	// askAgain is how long the log is left alone after an error; a request by itself asks again all
	// the time, as long as that may help.
	askAgain = time.Second
)

// Where a parcel is durable.
const (
	pathKafka = "kafka"
	pathSpill = "spill"
)

// shipment is one produce request.
type shipment struct {
	msgs []kafka.Message
	// parcels wait for it.
	parcels []*parcel
	// mark is behind those frames of the spill that it carries, or nil.
	mark *spill.Mark
	// ticks says that it carries the time.
	ticks  bool
	began  time.Time
	cancel context.CancelFunc
}

// ship sends what is in the spill, and the time if that is due.
func (a *appender) ship(ctx context.Context) {
	if a.underWay != nil || a.again != nil {
		return
	}
	s := &shipment{}
	if a.spill != nil {
		batch, err := a.spill.Next(a.chunk)
		if err != nil {
			a.log.Error("read the spill", "err", err)
			a.again = time.After(askAgain)
			return
		}
		if len(batch.Messages) > 0 {
			s.msgs, s.mark = batch.Messages, &batch.End
		}
	}
	if a.tickDue {
		a.tickDue, s.ticks = false, true
		s.msgs = append(s.msgs, a.ticks.live(a.times())...)
	}
	if len(s.msgs) > 0 {
		a.send(ctx, s)
	}
}

// times returns the clock and the time of the oldest request that is not in the log yet, or the
// clock: what waits in the spill holds the time back, so that it will not come late.
func (a *appender) times() (clockUs, lowUs int64) {
	clockUs, lowUs = a.arrivals.times()
	if a.spill != nil {
		if us := a.spill.Stats().LowUs; us > 0 {
			lowUs = min(lowUs, us)
		}
	}
	return clockUs, lowUs
}

// send begins a produce request. It is not cut short by the end of the run: those who wait would
// not know the outcome. A replay's is, since it may wait for ever.
func (a *appender) send(ctx context.Context, s *shipment) {
	if a.timeout > 0 {
		ctx, s.cancel = context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
	} else {
		ctx, s.cancel = context.WithCancel(ctx)
	}
	if a.spill != nil {
		a.overdue = time.After(a.spillAfter)
	}
	s.began, a.underWay = time.Now(), s
	go func() { a.outcome <- a.producer.Produce(ctx, s.msgs) }()
}

// late has the parcels of a request that is overdue durable in the spill. It stays under way: if it
// gets through after all, they need not go again.
func (a *appender) late() {
	a.overdue, a.away = nil, true
	a.note(&slowError{a.spillAfter})
	s := a.underWay
	n, mark, _ := a.store(s.parcels)
	if n > 0 {
		s.mark = &mark
	}
	s.parcels = s.parcels[n:] // these have only the log to hope for
}

// landed takes in the outcome of the request that was under way.
func (a *appender) landed(err error) {
	s := a.underWay
	s.cancel()
	a.underWay, a.overdue = nil, nil
	took := time.Since(s.began)
	a.metrics.produced(took, err)
	a.note(err)
	if err != nil {
		if s.ticks {
			// Next time to all of them: which ones heard it is not known.
			a.ticks.forget()
		}
		a.failed(s, err)
		return
	}
	if s.mark != nil {
		a.spill.Delivered(*s.mark)
		a.chunk = min(2*a.chunk, mostChunk)
	}
	if len(s.parcels) > 0 {
		fault.Point(fault.Acknowledged)
		a.ticks.said(s.msgs)
	}
	a.settle(s.parcels, pathKafka, nil)
	a.away = a.spill != nil && took > a.spillAfter
}

// failed does with a shipment what is left to do: the log may have it or not.
func (a *appender) failed(s *shipment, err error) {
	if a.spill == nil {
		a.settle(s.parcels, "", err)
		return
	}
	a.away, a.again = true, time.After(askAgain)
	a.chunk = max(a.chunk/2, leastChunk)
	a.divert(s.parcels)
}

// diverted says whether parcels go to the spill: the log is away, or something in the spill must go
// before them and is not on its way yet. For the last of it they wait, and then go to the log.
func (a *appender) diverted() bool {
	switch {
	case a.spill == nil:
		return false
	case a.away:
		return true
	case a.underWay != nil && a.underWay.mark != nil:
		return a.spill.Beyond(*a.underWay.mark)
	}
	return a.spill.Pending()
}

// divert has parcels durable in the spill, or says no to those who wait.
func (a *appender) divert(parcels []*parcel) {
	n, _, err := a.store(parcels)
	if err != nil {
		err = fmt.Errorf("append: %w", errors.Join(err, a.health.log()))
	}
	a.settle(parcels[n:], "", err)
}

// store has parcels durable in the spill, as many as it takes from the first on, and settles those.
func (a *appender) store(parcels []*parcel) (n int, mark spill.Mark, err error) {
	if len(parcels) == 0 {
		return 0, mark, nil
	}
	_, lowUs := a.arrivals.times()
	frames := make([]spill.Frame, len(parcels))
	for i, p := range parcels {
		frames[i] = spill.Frame{LowUs: lowUs, Messages: p.msgs}
	}
	n, mark, err = a.spill.Append(frames)
	a.settle(parcels[:n], pathSpill, nil)
	return n, mark, err
}
