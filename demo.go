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
	begin := c.flags.String("start", "",
		"first day, such as 2026-01-05; default: the days before today")
	if err := c.parseAlone(); err != nil {
		return err
	}
	cfg, models, err := c.settings()
	if err != nil {
		return err
	}
	cfg.addDemoSites()
	wanted := traffic.Config{Seed: *seed, Days: *days, Visitors: *visitors}
	if *days < 0 || *visitors < 0 {
		return usagef("--days and --visitors: want 1 or more")
	}
	if *begin != "" {
		if wanted.Start, err = time.Parse(time.DateOnly, *begin); err != nil {
			return usagef("--start %q: want a day such as 2026-01-05", *begin)
		}
	}
	if err := makeDemo(ctx, c, cfg, models, wanted); err != nil || *once {
		return err
	}
	fmt.Fprintf(c.stdout, "\nserving on http://%s; stop with Ctrl-C\n", c.listen)
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
	if err == nil && d.traffic != nil {
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

// prepare makes the traffic: the days before today, or what is missing of them in a directory that
// has seen some already. Time in a directory never goes back.
func (d *demo) prepare(ctx context.Context, cfg traffic.Config) error {
	clockUs, err := lastClock(ctx, d.client)
	if err != nil {
		return err
	}
	d.clock = ingest.NewRecordedClock()
	d.clock.Advance(time.UnixMicro(clockUs))
	d.collector, err = d.openCollector(ctx, edgeOptions{
		clock:   d.clock,
		trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // the traffic's own addresses
	})
	if err != nil {
		return err
	}
	seen := time.UnixMicro(clockUs).UTC()
	cfg, some := demoDays(cfg, seen, clockUs > 0, time.Now().UTC())
	if !some {
		fmt.Fprintf(d.call.stderr, "traffic: none to make, %s has seen %s already\n", d.call.data,
			seen.Format(time.DateOnly))
		return nil
	}
	if cfg.Start.Before(seen) {
		return fmt.Errorf("%s has already seen %s: choose a later --start, or another directory "+
			"with --data; `crumbtrail up` serves what is there", d.data, seen.Format(time.RFC3339))
	}
	d.traffic, err = traffic.New(cfg)
	return err
}

const (
	demoDefaultDays = 4
	// demoTail is how far traffic may reach into the day after its last.
	demoTail = 2 * time.Hour
)

// demoDays says which days to make; some is false where none are missing.
func demoDays(
	cfg traffic.Config, seen time.Time, any bool, now time.Time,
) (_ traffic.Config, some bool) {
	if !cfg.Start.IsZero() {
		return cfg, true
	}
	if cfg.Days == 0 {
		cfg.Days = demoDefaultDays
	}
	const day = 24 * time.Hour
	end := now.Add(-demoTail).Truncate(day)
	cfg.Start = end.AddDate(0, 0, -cfg.Days)
	if !any {
		return cfg, true
	}
	if next := seen.Truncate(day).Add(day); next.After(cfg.Start) {
		cfg.Start, cfg.Days = next, int(end.Sub(next)/day)
	}
	cfg.Seed ^= uint64(cfg.Start.Unix()) // not the same people's same ids again
	return cfg, cfg.Days > 0
}

// senders is how many requests of one minute are sent at once.
const senders = 32

// play sends the traffic over HTTP, minute by minute: the clock moves, the minute's requests go
// out at once, those of one visitor in order.
func (d *demo) play(ctx context.Context) error {
	if d.traffic == nil {
		return d.drain(ctx)
	}
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
