package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"crumbtrail/benchmarks/traffic"
	"crumbtrail/ingest"
	"crumbtrail/internal/progress"
	"crumbtrail/score"
)

// runDemo makes some days of traffic, sends it through the real HTTP edge on recorded time, prints
// what came out, and keeps serving on the machine's time.
func runDemo(ctx context.Context, c *call) error {
	c.clusterFlags()
	c.listenFlags()
	once := c.flags.Bool("once", false, "stop after printing what came out")
	days := c.flags.Int("days", 0, "days of traffic; 0: four")
	visitors := c.flags.Int("visitors", 0, "about how many browsers come; 0: 1,500")
	seed := c.flags.Uint64("seed", 1, "which traffic")
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) > 0 {
		return usagef("no arguments, got %q", c.args)
	}
	cfg, problems := LoadConfig(c.config)
	if len(problems) > 0 {
		return problems
	}
	models, err := loadModels(cfg.Models)
	if err != nil {
		return err
	}
	cfg.addDemoSites()
	wanted := traffic.Config{Seed: *seed, Days: *days, Visitors: *visitors}
	if err := makeDemo(ctx, c, cfg, models, wanted); err != nil || *once {
		return err
	}
	fmt.Fprint(c.stdout, "\nserving; stop with Ctrl-C\n")
	return up(ctx, c, cfg, models)
}

// addDemoSites adds the sites that the traffic is of, unless the configuration has them.
func (c *Config) addDemoSites() {
	for _, key := range []string{traffic.CompanySite, traffic.EventSite} {
		if slices.ContainsFunc(c.Sites, func(s Site) bool { return s.Key == key }) {
			continue
		}
		var s Site
		s.SetDefaults()
		s.Key, s.Origins, s.Consent = key, []string{"*"}, ConsentImplied
		c.Sites = append(c.Sites, s)
	}
}

// makeDemo sends the traffic through a pipeline and prints what came out.
func makeDemo(
	ctx context.Context, c *call, cfg Config, models []*score.Model, wanted traffic.Config,
) error {
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{recorded: true, commit: replayCommit})
	if err != nil {
		return err
	}
	defer p.close()
	d := &demo{pipeline: p, call: c}
	if err := d.prepare(ctx, wanted); err != nil {
		return err
	}
	r := start(ctx, append([]part{{"collector", d.collector.Run}}, p.stageParts()...)...)
	err = d.play(r.ctx)
	if err == nil {
		_, err = p.score(r.ctx, models, d.clock.Now())
	}
	if err == nil {
		err = p.drainLake(r.ctx)
	}
	if err == nil {
		err = d.tell(r.ctx)
	}
	return errors.Join(err, r.stop())
}

// demo is made-up traffic on its way through a pipeline.
type demo struct {
	*pipeline
	call      *call
	traffic   *traffic.Traffic
	clock     *ingest.RecordedClock
	collector *ingest.Collector
}

// prepare makes the traffic. A directory that has seen a demo before gets the days that follow.
func (d *demo) prepare(ctx context.Context, cfg traffic.Config) error {
	clockUs, err := lastClock(ctx, d.client)
	if err != nil {
		return err
	}
	d.clock = ingest.NewRecordedClock()
	if clockUs > 0 {
		seen := time.UnixMicro(clockUs).UTC()
		d.clock.Advance(seen)
		cfg.Start = seen.Truncate(24*time.Hour).AddDate(0, 0, 1)
		cfg.Seed ^= uint64(cfg.Start.Unix())
	}
	if d.traffic, err = traffic.New(cfg); err != nil {
		return err
	}
	if cfg.Start.After(time.Now()) {
		return fmt.Errorf("%s has already seen traffic of %s, so the next days have not come yet: "+
			"choose another directory with --data", d.data,
			time.UnixMicro(clockUs).UTC().Format(time.DateOnly))
	}
	d.collector, err = d.openCollector(ctx, edgeOptions{
		clock:   d.clock,
		trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // the traffic's own addresses
	})
	return err
}

// senders is how many requests of one minute are sent at once.
const senders = 32

// play sends the traffic over HTTP, minute by minute: the clock moves, the minute's requests go
// out at once, those of one visitor in order.
func (d *demo) play(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the demo's own traffic: %w", err)
	}
	server := d.collector.Server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Close()
		<-served
	}()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	bar := progress.New(d.call.stderr, progress.Options{
		What: "traffic", Total: int64(d.traffic.Expected().Requests),
	})
	base, sent := "http://"+listener.Addr().String(), int64(0)
	for minute, requests := range d.traffic.Minutes() {
		d.clock.Advance(minute)
		if err := sendAll(ctx, client, base, requests); err != nil {
			return err
		}
		sent += int64(len(requests))
		bar.Set(sent)
	}
	bar.Done("%s requests over HTTP", number(sent))
	if err := d.collector.Flush(ctx); err != nil {
		return err
	}
	return d.drain(ctx)
}

// sendAll sends the requests of one minute.
func sendAll(
	ctx context.Context, client *http.Client, base string, requests []traffic.Request,
) error {
	byVisitor := map[string][]traffic.Request{}
	var order []string
	for _, r := range requests {
		if byVisitor[r.Visitor] == nil {
			order = append(order, r.Visitor)
		}
		byVisitor[r.Visitor] = append(byVisitor[r.Visitor], r)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	for _, visitor := range order {
		group.Go(func() error {
			for _, r := range byVisitor[visitor] {
				if err := send(ctx, client, base, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// send posts one request. Garbage is part of the traffic, so a 4xx is an answer like any other.
func send(ctx context.Context, client *http.Client, base string, r traffic.Request) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	req.Header.Set("X-Forwarded-For", r.RemoteIP)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("the collector answered %s to %s", res.Status, r.Path)
	}
	return nil
}

// tell prints what came out.
func (d *demo) tell(ctx context.Context) error {
	w := d.call.stdout
	if err := d.report(ctx, w, d.collector.Counts()); err != nil {
		return err
	}
	if err := d.bestLeads(ctx, w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nthe lake is %s\nask it with: crumbtrail sql --data %s "+
		"\"from visits\"\n", catalogPath(d.data), d.call.data)
	return err
}
