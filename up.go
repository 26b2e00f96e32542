package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/ingest/spill"
	"crumbtrail/internal/admin"
	"crumbtrail/schemas"
	"crumbtrail/score"
)

// runUp runs all stages in one process until it is told to stop.
func runUp(ctx context.Context, c *call) error {
	c.clusterFlags()
	c.listenFlags()
	if err := c.parseAlone(); err != nil {
		return err
	}
	cfg, models, err := c.settings()
	if err != nil {
		return err
	}
	return up(ctx, c, cfg, models)
}

// edgeOptions say how a process's collector differs from what the configuration says.
type edgeOptions struct {
	// clock is nil where time is the machine's.
	clock *ingest.RecordedClock
	// anySite takes sites that the configuration does not have, under the default's rules.
	anySite bool
	// log closes once the log has been found to be the right one; nil: it has been.
	log <-chan struct{}
	// trusted are peers, besides those of the configuration, that may say whom they speak for.
	trusted []netip.Prefix
}

// up runs all stages until ctx ends.
func up(ctx context.Context, c *call, cfg Config, models []*score.Model) error {
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{})
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.refuseFuture(ctx); err != nil {
		return err
	}
	collector, err := p.openCollector(ctx, edgeOptions{})
	if err != nil {
		return err
	}
	edge, err := p.servePublic(c, collector)
	if err != nil {
		return err
	}
	private, err := p.serveAdmin(c, edgeHealth(collector), p.mailHealth(), p.handoffHealth())
	if err != nil {
		return err
	}
	parts := append(append(edge, private), p.stageParts()...)
	parts = append(parts, p.scorePart(models))
	err = until(ctx, parts...)
	counts := collector.Counts()
	p.log.Info("stopped", "received", counts.Received, "accepted", counts.Accepted,
		"rejected", counts.Rejected(), "shed", counts.Shed)
	return err
}

// clockAhead is how far the log's time may be ahead of the machine's; as much is let pass between
// collectors.
const clockAhead = 30 * time.Second

// refuseFuture says no to a log whose time is ahead of the machine's, as after recorded input with
// wrong dates: time in a log never goes back, so no visit would close before the machine is there.
func (p *pipeline) refuseFuture(ctx context.Context) error {
	clockUs, err := lastClock(ctx, p.client)
	if err != nil {
		return err
	}
	last, now := time.UnixMicro(clockUs), time.Now()
	if last.After(now.Add(clockAhead)) {
		return fmt.Errorf("the log in %s has come to %s, and this machine's clock says %s: no visit "+
			"would close before then; set the clock right, or choose another directory with --data",
			p.data, last.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// openCollector makes the collector of this process.
func (p *pipeline) openCollector(ctx context.Context, o edgeOptions) (*ingest.Collector, error) {
	producer, err := p.client.NewProducer(ctx)
	if err != nil {
		return nil, err
	}
	cfg := p.cfg.collectorConfig()
	// After a restart the collector goes on with its own clock instead of leaving a silent one
	// behind, and browsers go on with their visit.
	if cfg.Collector, err = kept(p.data, "collector-id", 0o644, schemas.NewID); err != nil {
		return nil, err
	}
	key, err := signingKey(p.data)
	if err != nil {
		return nil, err
	}
	cfg.SigningKey = []byte(key)
	if cfg.Keys, err = p.cfg.tokenKeys(p.data); err != nil {
		return nil, err
	}
	cfg.Partitions, cfg.Clock, cfg.AnySite = p.cfg.Topics.Partitions, o.clock, o.anySite
	if cfg.Countries, err = p.cfg.countries(); err != nil {
		return nil, err
	}
	p.countries = cfg.Countries
	cfg.TrustedProxies = append(cfg.TrustedProxies, o.trusted...)
	if o.clock == nil {
		cfg.Salts = cmp.Or(p.cfg.Salts, filepath.Join(p.data, saltsDir))
		if cfg.Spill, err = spill.Make(filepath.Join(p.data, spillDir)); err != nil {
			return nil, err
		}
	}
	if o.log != nil {
		return ingest.New(cfg, awaited{o.log, producer}, p.log, p.registry)
	}
	return ingest.New(cfg, producer, p.log, p.registry)
}

// saltsDir is where the secrets behind cookieless visitors are in the data directory.
const saltsDir = "salts"

// spillDir is where beacons wait in the data directory.
const spillDir = "spill"

// edgeHealth is a collector's health, with what is to be known of one that is ready.
func edgeHealth(collector *ingest.Collector) admin.Check {
	return admin.Check{Name: "ingest", Ready: func() error {
		if err := collector.Ready(); err != nil {
			return err
		}
		if notice := collector.Notice(); notice != "" {
			return admin.Degraded(notice)
		}
		return nil
	}}
}

// kept returns the text of a small file of the data directory, made on the first start: what a
// restart must find as it was.
func kept(data, name string, mode os.FileMode, make func() string) (string, error) {
	path := filepath.Join(data, name)
	text, err := os.ReadFile(path)
	if kept := strings.TrimSpace(string(text)); err == nil && kept != "" {
		return kept, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s of the data directory: %w", name, err)
	}
	tmp := fmt.Sprintf("%s.%016x.tmp", path, rand.Uint64())
	defer os.Remove(tmp) // of a name of its own: nobody finds a part of it, and the first one counts
	if err := os.WriteFile(tmp, []byte(make()+"\n"), mode); err != nil {
		return "", fmt.Errorf("%s of the data directory: %w", name, err)
	}
	give := os.Link
	if err == nil { // the one that is there has nothing in it
		give = os.Rename
	}
	if err := give(tmp, path); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("%s of the data directory: %w", name, err)
	}
	if text, err = os.ReadFile(path); err != nil {
		return "", fmt.Errorf("%s of the data directory: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// servePublic opens the collector's listener and returns the parts of the edge, the listener
// before the collector, so that at a stop the requests under way are answered first.
func (p *pipeline) servePublic(c *call, collector *ingest.Collector) ([]part, error) {
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; choose another address with --listen", c.listen, err)
	}
	p.log.Info("collector listens", "url", "http://"+listener.Addr().String())
	return []part{
		{"collector's listener", serveUntil(collector.Server(), collector.Listener(listener))},
		{"collector", collector.Run},
	}, nil
}

// serveAdmin opens the listener for those who run the process. It is ready when all checks are.
func (p *pipeline) serveAdmin(c *call, checks ...admin.Check) (part, error) {
	listener, err := net.Listen("tcp", c.adminListen)
	if err != nil {
		return part{}, fmt.Errorf("listen on %s: %w; choose another address with --admin-listen",
			c.adminListen, err)
	}
	p.log.Info("admin listens", "url", "http://"+listener.Addr().String())
	server := &http.Server{
		Handler:           admin.Handler(p.registry, checks...),
		ReadHeaderTimeout: 5 * time.Second,
	}
	return part{"admin listener", serveUntil(server, listener)}, nil
}

// requestGrace is how long requests under way have at a stop.
const requestGrace = 10 * time.Second

// serveUntil serves until its context ends, then lets the requests under way finish.
func serveUntil(server *http.Server, listener net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		failed := make(chan error, 1)
		go func() { failed <- server.Serve(listener) }()
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
		defer cancel()
		err := server.Shutdown(grace)
		<-failed
		return err
	}
}
