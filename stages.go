package main

import "context"

// Each of these runs one stage against a Kafka cluster, any number of times beside each other.

func runIngest(ctx context.Context, c *call) error {
	c.publicFlag()
	return runAlone(ctx, c, func(ctx context.Context, p *pipeline) ([]part, error) {
		if err := p.refuseFuture(ctx); err != nil {
			return nil, err
		}
		collector, err := p.openCollector(ctx, edgeOptions{})
		if err != nil {
			return nil, err
		}
		edge, err := p.servePublic(c, collector)
		if err != nil {
			return nil, err
		}
		private, err := p.serveAdmin(c, collector.Ready)
		return append(edge, private), err
	})
}

func runSessionize(ctx context.Context, c *call) error {
	return runAlone(ctx, c, func(_ context.Context, p *pipeline) ([]part, error) {
		private, err := p.serveAdmin(c, p.sessionize.Ready)
		return append(p.stageParts(), private), err
	})
}

func runResolve(ctx context.Context, c *call) error {
	return runAlone(ctx, c, func(_ context.Context, p *pipeline) ([]part, error) {
		private, err := p.serveAdmin(c, p.resolve.Ready)
		return append(p.stageParts(), private), err
	})
}

func runLake(ctx context.Context, c *call) error {
	return runAlone(ctx, c, func(_ context.Context, p *pipeline) ([]part, error) {
		private, err := p.serveAdmin(c)
		return append(p.stageParts(), private), err
	})
}

// runAlone runs the parts of the stage that the command is named after, until ctx ends.
func runAlone(
	ctx context.Context, c *call, open func(context.Context, *pipeline) ([]part, error),
) error {
	c.clusterFlags()
	c.adminFlag()
	if err := c.parseAlone(); err != nil {
		return err
	}
	if len(splitList(c.brokers)) == 0 {
		return usagef("a stage in a process of its own needs --brokers; " +
			"`crumbtrail up` runs all of them with an embedded broker")
	}
	cfg, _, err := c.settings()
	if err != nil {
		return err
	}
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{alone: c.flags.Name()})
	if err != nil {
		return err
	}
	defer p.close()
	parts, err := open(ctx, p)
	if err != nil {
		return err
	}
	return until(ctx, parts...)
}
