package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// Crew is the processes that write one lake together. Each has some partitions of the topic
// beacons, and of every other topic the partitions that go with them. A group says who works. Who
// may write a partition is who has published its newest manifest: whoever takes one over begins
// with a manifest of its own, so that the one before it, who may only have been slow, finds the
// next number taken (V4).
type Crew struct {
	// Share calls hold with what falls to this process in each generation of the group:
	// (*kafka.Client).Share of one group.
	Share func(
		ctx context.Context, topic string, hold func(context.Context, kafka.Assignment),
		joining func(error),
	) error
	// Session is how long a member of the group may be silent.
	Session time.Duration
}

// crewHealth is what keeps a member of a crew from its work.
type crewHealth struct {
	mu     sync.Mutex
	joined bool
	halted map[source]error
}

func (h *crewHealth) set(joined bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joined, h.halted = joined, map[source]error{}
}

func (h *crewHealth) halt(s source, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.halted[s] = err
}

// Notice says why what is published is not shown; empty: it is.
func (l *Lake) Notice() string {
	if err := l.unshown.Load(); err != nil {
		return (*err).Error()
	}
	return ""
}

// Ready returns nil if this process works on all partitions that are its own.
func (l *Lake) Ready() error {
	var all []error
	for _, p := range l.partitions {
		if err := p.trouble.Load(); err != nil {
			all = append(all, fmt.Errorf("partition %s is tried again: %w", p.source, *err))
		}
	}
	if l.cfg.Crew == nil {
		return errors.Join(all...)
	}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	for s, err := range l.health.halted {
		all = append(all, fmt.Errorf("partition %s halted: %w", s, err))
	}
	if !l.health.joined {
		all = append(all, errors.New("not a member of the group that shares the lake out"))
	}
	return errors.Join(all...)
}

// share works on what falls to this process until ctx ends.
func (l *Lake) share(ctx context.Context) error {
	defer l.health.set(false)
	return l.cfg.Crew.Share(ctx, string(schemas.Beacons), l.hold, func(err error) {
		l.health.set(false)
		l.log.Warn("join the group again", "err", err)
	})
}

// hold works on the partitions of one generation until ctx ends with it.
func (l *Lake) hold(ctx context.Context, a kafka.Assignment) {
	held := l.release(a.Partitions)
	l.log.Info("partitions of the lake assigned", "generation", a.Generation,
		"partitions", a.Partitions)
	l.claim(held)
	l.health.set(true)
	defer l.health.set(false)
	var all sync.WaitGroup
	for _, p := range held {
		all.Go(func() { l.keep(ctx, p) })
	}
	l.pace(ctx, held)
	all.Wait()
	<-ctx.Done()
}

// release returns this process's partitions and forgets the others.
func (l *Lake) release(numbers []int32) (held []*partition) {
	for _, p := range l.partitions {
		if slices.Contains(numbers, p.partition%l.shares) {
			held = append(held, p)
		} else {
			p.leave()
		}
	}
	return held
}

// claim takes over the partitions that another process may have had, and sweeps what was left of
// their unfinished work. One that cannot be had now is tried again by keep.
func (l *Lake) claim(held []*partition) {
	taken := map[source]*manifest{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(claimsAtOnce)
	for _, p := range held {
		g.Go(func() error {
			if p.ours() {
				return nil
			}
			if err := p.claim(); err != nil {
				l.log.Warn("take a partition of the lake over", "partition", p.source, "err", err)
				return nil
			}
			if l.publisher.wentBack(p.source) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			taken[p.source] = p.published
			return nil
		})
	}
	_ = g.Wait() // errors are logged
	if len(taken) > 0 {
		l.sweepTaken(taken)
	}
}

// sweepTaken removes what was left of partitions that have been taken over.
func (l *Lake) sweepTaken(taken map[source]*manifest) {
	// What is for a later manifest is of who has taken the partition over since then.
	removed, err := sweep(l.disk, l.layout, taken, func(s source, number int64) bool {
		return taken[s] != nil && number <= taken[s].Number
	})
	if err != nil {
		l.log.Warn("sweep what another process left", "err", err)
	}
	if removed > 0 {
		l.log.Info("removed files that no manifest names", "files", removed)
	}
}

// claimsAtOnce bounds how many manifests wait for the disk together.
const claimsAtOnce = 16

// keep works on a partition until ctx ends. Who is fenced rests long enough for word of the
// generation's end, where it was another member that took over: that one must not be fenced in
// turn.
func (l *Lake) keep(ctx context.Context, p *partition) {
	pause := retryFirst
	for ctx.Err() == nil {
		err := p.work(ctx)
		rest := pause
		switch {
		case err == nil:
			return
		case errors.Is(err, errStale):
			l.metrics.fenced.Inc()
			l.log.Warn("fenced: nothing is published, the partition will be read back", "err", err)
			rest = l.cfg.Crew.Session / 2
		case errors.Is(err, kafka.ErrOffsetOutOfRange), errors.Is(err, errDamaged):
			l.log.Error("partition of the lake halted until somebody helps", "err", err)
			l.health.halt(p.source, err)
			for ctx.Err() == nil {
				p.rest(ctx, retryMost, err)
			}
		case ctx.Err() != nil:
			l.log.Warn("partition not handed over; it will be read again from what is published",
				"err", err)
		default:
			l.log.Error("work on a partition of the lake", "err", err)
			pause = min(2*pause, retryMost)
		}
		p.leave()
		p.trouble.Store(&err)
		p.rest(ctx, rest, err)
	}
}

// work takes a partition over where it is not ours, and follows it.
func (p *partition) work(ctx context.Context) error {
	if !p.ours() {
		if err := p.claim(); err != nil {
			return err
		}
	}
	if p.tables == nil {
		if err := p.load(ctx); err != nil {
			return err
		}
	}
	return p.run(ctx)
}

// ours is true where the newest manifest is this process's, and what it knows is of that one.
func (p *partition) ours() bool {
	if p.published == nil {
		return false
	}
	newest, err := p.publish.latest(p.source)
	return err == nil && newest.Number == p.published.Number && newest.Owner == p.owner
}

// claim publishes what is there as this process's own. Nothing is read back yet.
func (p *partition) claim() error {
	p.leave()
	m, err := p.newestWhole()
	if err != nil {
		return err
	}
	if m.Number == 0 {
		m.NextOffset = p.start
	}
	m.Format, m.Number, m.Owner, m.Columns = manifestFormat, m.Number+1, p.owner, columnsKnown()
	if err := p.publish.publish(m); err != nil {
		return err
	}
	p.published = m
	return nil
}

// leave drops what is in memory of a partition, which others may write from now on.
func (p *partition) leave() {
	p.hold(0)
	p.tables, p.published = nil, nil
	p.shown.reset()
	p.trouble.Store(nil)
	p.metrics.forget(p.source)
}
