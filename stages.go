package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/internal/admin"
	"crumbtrail/internal/kafka"
)

// Each of these runs one stage against a Kafka cluster, any number of times beside each other.

// collectorGarbage is how much more than it holds the collector may have on its heap, in percent.
// It holds little, so that Go's own 100 has it look for garbage many times a second.
const collectorGarbage = 400

func runIngest(ctx context.Context, c *call) error {
	c.publicFlag()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorGarbage)
	}
	return runAlone(ctx, c, func(ctx context.Context, p *pipeline) ([]part, error) {
		log, found, err := p.seekLog(ctx)
		if err != nil {
			return nil, err
		}
		collector, err := p.openCollector(ctx, edgeOptions{log: found})
		if err != nil {
			return nil, err
		}
		edge, err := p.servePublic(c, collector)
		if err != nil {
			return nil, err
		}
		private, err := p.serveAdmin(c, edgeHealth(collector))
		return append(edge, log, private), err
	})
}

// seekLog has the log looked at and its topics made. A log that does not answer at once is sought
// by the part that it returns, while the collector fills its spill; found closes when it is there.
// One that is the wrong log ends the process.
func (p *pipeline) seekLog(ctx context.Context) (part, <-chan struct{}, error) {
	const atOnce = 2 * time.Second
	found, outcome := make(chan struct{}), make(chan error, 1)
	// Not ended with ctx, but by the part, in its turn: a stop while the log is away is a clean one.
	seekCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		err := p.prepareLog(seekCtx, pipelineOptions{})
		if err == nil {
			err = p.refuseFuture(seekCtx)
		}
		if err == nil {
			close(found)
		}
		outcome <- err
	}()
	seek := part{"log", func(ctx context.Context) error {
		defer cancel()
		select {
		case err := <-outcome:
			if err == nil {
				<-ctx.Done()
			}
			return err
		case <-ctx.Done():
			cancel()
			<-outcome
			return nil
		}
	}}
	select {
	case err := <-outcome:
		outcome <- err
		return seek, found, err
	case <-ctx.Done():
		cancel()
		<-outcome
		return seek, found, ctx.Err()
	case <-time.After(atOnce):
		p.log.Warn("the log does not answer; beacons go to the spill until it does")
		return seek, found, nil
	}
}

// awaited is the producer of a log that may not be there yet.
type awaited struct {
	found    <-chan struct{}
	producer ingest.Producer
}

// Produce implements ingest.Producer.
func (a awaited) Produce(ctx context.Context, msgs []kafka.Message) error {
	select {
	case <-a.found:
		return a.producer.Produce(ctx, msgs)
	case <-ctx.Done():
		return fmt.Errorf("seek the log: %w", ctx.Err())
	}
}

func runSessionize(ctx context.Context, c *call) error {
	return runAlone(ctx, c, func(_ context.Context, p *pipeline) ([]part, error) {
		private, err := p.serveAdmin(c, admin.Check{Name: "sessionize", Ready: p.sessionize.Ready})
		return append(p.stageParts(), private), err
	})
}

func runResolve(ctx context.Context, c *call) error {
	var dry dryRun
	dry.flagsOf(c)
	if err := cmp.Or(c.parseStage(), dry.check()); err != nil {
		return err
	}
	if dry.on {
		return dry.run(ctx, c)
	}
	return runParsed(ctx, c, func(_ context.Context, p *pipeline) ([]part, error) {
		private, err := p.serveAdmin(c, p.resolveHealth(), p.mailHealth())
		return append(p.stageParts(), private), err
	})
}

// resolveHealth says also whether this process is the resolver or stands by for it.
func (p *pipeline) resolveHealth() admin.Check {
	return admin.Check{Name: "resolve", Ready: func() error {
		err := p.resolve.Ready()
		if words := p.resolve.Standby(); err == nil && words != "" {
			return admin.Degraded(words)
		}
		return err
	}}
}

func runLake(ctx context.Context, c *call) error {
	return runAlone(ctx, c, func(_ context.Context, p *pipeline) ([]part, error) {
		private, err := p.serveAdmin(c, p.lakeHealth(),
			p.handoffHealth())
		return append(p.stageParts(), private), err
	})
}

// lakeHealth is the lake's health, with what is to be known of one that does its work.
func (p *pipeline) lakeHealth() admin.Check {
	return admin.Check{Name: "lake", Ready: func() error {
		err := p.lake.Ready()
		if notice := p.lake.Notice(); err == nil && notice != "" {
			return admin.Degraded(notice)
		}
		return err
	}}
}

// runAlone runs the parts of the stage that the command is named after, until ctx ends.
func runAlone(
	ctx context.Context, c *call, open func(context.Context, *pipeline) ([]part, error),
) error {
	if err := c.parseStage(); err != nil {
		return err
	}
	return runParsed(ctx, c, open)
}

// parseStage is parse for a stage by itself.
func (c *call) parseStage() error {
	c.clusterFlags()
	c.adminFlag()
	return c.parseAlone()
}

// runParsed is runAlone once the flags are read.
func runParsed(
	ctx context.Context, c *call, open func(context.Context, *pipeline) ([]part, error),
) error {
	if len(splitList(c.brokers)) == 0 {
		return usagef("a stage in a process of its own needs --brokers; " +
			"`crumbtrail up` runs all of them with an embedded broker")
	}
	cfg, _, err := c.settings()
	if err != nil {
		return err
	}
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{
		alone: c.flags.Name(), later: c.flags.Name() == "ingest",
	})
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
