package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/peers"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
)

// IngestOptions say what load is put on the collectors.
type IngestOptions struct {
	// Batches are how many beacons a request has, one measurement each.
	Batches     []int
	Connections int
	Seconds     int
	// Rate is how many beacons a second come in the open loop; 0 is half of what the collector can
	// take.
	Rate int
	// Profile is the file that gets a CPU profile of the collector at its capacity; empty is none.
	Profile string
}

// Collector is what one collector did with requests of one size.
type Collector struct {
	// Server is crumbtrail, or one of the peers that are the floor.
	Server      string `json:"server"`
	Batch       int    `json:"batch"`
	Connections int    `json:"connections"`
	// Closed is at its capacity, each connection sending as soon as it has the answer; Open is at a
	// steady rate.
	Closed       EdgeLoad `json:"closed"`
	Open         EdgeLoad `json:"open"`
	PeakRSSBytes int64    `json:"peak_rss_bytes"`
}

// EdgeLoad is one load on one collector. Events are acknowledged beacons.
type EdgeLoad struct {
	// Rate is how many beacons a second were due, 0 in a closed loop.
	Rate                float64 `json:"rate,omitempty"`
	Events              int     `json:"events"`
	Seconds             float64 `json:"seconds"`
	EventsPerSecond     float64 `json:"events_per_second"`
	EventsPerCoreSecond float64 `json:"events_per_core_second"`
	CoreSeconds         float64 `json:"core_seconds"`
	// BrokerCoreSeconds and LoadCoreSeconds are what the embedded broker and the load took.
	BrokerCoreSeconds float64        `json:"broker_core_seconds"`
	LoadCoreSeconds   float64        `json:"load_core_seconds"`
	LatencyMS         edge.Quantiles `json:"latency_ms"`
	// LateMS is how much of the latency passed before the load had sent the request.
	LateMS  edge.Quantiles `json:"late_ms"`
	Refused int            `json:"refused"`

	used usage
}

// crumbtrailServer is ours among the servers.
const crumbtrailServer = "crumbtrail"

// edgeSettings are what the collector is configured with.
func edgeSettings() string {
	return fmt.Sprintf("sites: [{key: %s, origins: [%q], consent: implied}]\n", edge.Site, edge.Origin)
}

// Ingest measures the collector beside the least that one can be.
func Ingest(ctx context.Context, cfg Config, o IngestOptions) (r Result, err error) {
	cfg.Topics = append(cfg.Topics, kafka.TopicSpec{
		Name: forwarded, Partitions: cfg.Topics[0].Partitions, Replication: cfg.Topics[0].Replication,
	})
	b, err := makeBed(ctx, cfg, edgeSettings())
	if err != nil {
		return r, err
	}
	defer b.close()
	for _, batch := range o.Batches {
		for _, name := range []string{peers.Discard, peers.Forward, crumbtrailServer} {
			c, err := b.collector(ctx, name, batch, o)
			if err != nil {
				return r, fmt.Errorf("%s, %d a request: %w", name, batch, err)
			}
			r.Collectors = append(r.Collectors, c)
		}
	}
	if r.Repeated, err = b.checkLoads(ctx); err != nil {
		return r, err
	}
	for _, c := range r.Collectors {
		if c.Server == crumbtrailServer {
			r.ofCollector(c)
			break
		}
	}
	return r, nil
}

// ofCollector makes a collector's figures those of the bench.
func (r *Result) ofCollector(c Collector) {
	r.Name, r.Events, r.Seconds = "ingest", c.Closed.Events, c.Closed.Seconds
	r.EventsPerSecond = c.Closed.EventsPerSecond
	r.EventsPerCoreSecond = c.Closed.EventsPerCoreSecond
	r.UserSeconds, r.SystemSeconds = c.Closed.used.user.Seconds(), c.Closed.used.system.Seconds()
	r.PeakRSSBytes, r.BrokerCoreSeconds = c.PeakRSSBytes, c.Closed.BrokerCoreSeconds
	r.LatencyMS = &c.Open.LatencyMS
}

// forwarded is the topic of the peer that forwards.
const forwarded = "forwarded"

// server is a collector under load.
type server struct {
	*process
	name    string
	address string
	// admin is nil for a peer.
	admin *daemon
}

// serve starts a collector and waits until it can take beacons.
func (b *bed) serve(ctx context.Context, name string) (*server, error) {
	s := &server{name: name}
	if name == crumbtrailServer {
		d, err := b.daemon(ctx, "ingest", "--listen", "127.0.0.1:0", "--data",
			filepath.Join(b.scratch, "collector-"+strconv.Itoa(len(b.children))))
		if err != nil {
			return nil, err
		}
		s.process, s.admin = d.process, d
		if err := d.ready(ctx); err != nil {
			return nil, err
		}
	} else {
		args := []string{childPeer, name, "--brokers", b.brokers, "--topic", b.prefix + forwarded}
		p, err := launch(ctx, b.cfg.Exe, ChildCommand, args...)
		if err != nil {
			return nil, err
		}
		b.children = append(b.children, p)
		s.process = p
	}
	url, err := s.process.address(ctx, s.listens)
	s.address = hostOf(url)
	return s, err
}

// warmUp is how many seconds a collector runs before it is measured.
const warmUp = 2

// collector measures one collector in a process of its own.
func (b *bed) collector(
	ctx context.Context, name string, batch int, o IngestOptions,
) (c Collector, err error) {
	c = Collector{Server: name, Batch: batch, Connections: o.Connections}
	s, err := b.serve(ctx, name)
	if err != nil {
		return c, err
	}
	defer s.kill()
	plan := edge.Plan{Address: s.address, Connections: o.Connections, Batch: batch}
	if _, err = b.put(ctx, s, plan, edge.Step{Seconds: warmUp}); err != nil {
		return c, err
	}
	profiled := make(chan error, 1)
	if o.Profile != "" && s.admin != nil {
		go func() { profiled <- s.admin.profile(ctx, o.Profile, o.Seconds) }()
	} else {
		profiled <- nil
	}
	if c.Closed, err = b.put(ctx, s, plan, edge.Step{Seconds: float64(o.Seconds)}); err != nil {
		return c, err
	}
	if err := <-profiled; err != nil {
		return c, err
	}
	rate := float64(o.Rate)
	if rate == 0 {
		rate = c.Closed.EventsPerSecond / 2
	}
	c.Open, err = b.put(ctx, s, plan, edge.Step{
		Rate: rate / float64(batch), Seconds: float64(o.Seconds),
	})
	c.PeakRSSBytes = s.using().peakRSSBytes
	return c, errors.Join(err, s.alive())
}

// put puts a load of one step on a server.
func (b *bed) put(
	ctx context.Context, s *server, plan edge.Plan, step edge.Step,
) (l EdgeLoad, err error) {
	plan.Steps = []edge.Step{step}
	used, broker := s.using(), b.brokerUse()
	report, err := b.fire(ctx, s, plan)
	if err != nil {
		return l, err
	}
	total := report.Steps[0]
	if broken := report.Broken(); broken > 0 {
		return l, fmt.Errorf("%d requests broke, one of them: %s", broken, report.Problem)
	}
	now := s.using()
	l = EdgeLoad{
		Rate: step.Rate * float64(plan.Batch), Events: total.Acknowledged * plan.Batch,
		Seconds: step.Seconds, BrokerCoreSeconds: (b.brokerUse() - broker).Seconds(),
		LoadCoreSeconds: report.CoreSeconds, Refused: total.Refused, LatencyMS: total.Latency,
		LateMS: total.Late, used: usage{user: now.user - used.user, system: now.system - used.system},
	}
	l.CoreSeconds = l.used.core().Seconds()
	l.EventsPerSecond = float64(l.Events) / step.Seconds
	l.EventsPerCoreSecond = float64(l.Events) / l.CoreSeconds
	return l, nil
}

// fire has a child carry out a plan, and keeps what became of the beacons.
func (b *bed) fire(ctx context.Context, s *server, plan edge.Plan) (*edge.Report, error) {
	plan.First, plan.States = b.beacons, filepath.Join(b.scratch, "states")
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	bar := progress.New(b.cfg.Progress, progress.Options{What: s.name})
	child, err := launch(ctx, b.cfg.Exe, ChildCommand, childLoad, string(text))
	if err != nil {
		return nil, err
	}
	b.children = append(b.children, child)
	<-child.ended
	report := &edge.Report{}
	if err := json.Unmarshal(child.stdout.Bytes(), report); err != nil {
		return nil, child.failed(errors.Join(err, s.alive()))
	}
	states, err := os.ReadFile(plan.States)
	if err != nil {
		return nil, fmt.Errorf("what became of the requests: %w", err)
	}
	b.beacons += report.Requests * uint64(plan.Batch)
	b.loads = append(b.loads, firedLoad{server: s.name, plan: plan, states: states})
	bar.Done("%d requests", report.Requests)
	return report, nil
}
