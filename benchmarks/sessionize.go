package benchmarks

import (
	"context"
	"time"

	"crumbtrail/benchmarks/load"
)

// Sessionize measures how fast the sessionizer gets through a topic that is there already.
func Sessionize(ctx context.Context, cfg Config, events, visitors int) (r Result, err error) {
	b, err := makeBed(ctx, cfg, "")
	if err != nil {
		return r, err
	}
	defer b.close()
	shop := load.NewShop(b.writer, events, visitors)
	if err := b.preload(ctx, events, shop.Next); err != nil {
		return r, err
	}
	broker := b.brokerUse()
	s, err := b.sessionizer(ctx)
	if err != nil {
		return r, err
	}
	if err := b.drain(ctx, s); err != nil {
		return r, err
	}
	r = Result{Name: "sessionize", Events: events, Seconds: time.Since(s.began).Seconds()}
	if err := s.stop(); err != nil {
		return r, err
	}
	r.took(usageOf(s.cmd.ProcessState))
	r.BrokerCoreSeconds = (b.brokerUse() - broker).Seconds()
	out, err := b.check(ctx)
	r.Visits = out.visits
	return r, err
}
