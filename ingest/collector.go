// Package ingest is the edge: it reads beacons and forms that browsers send over HTTP, and recorded
// traffic from files; it writes the topics beacons, submissions and bad-beacons; it guarantees that
// what it has accepted is durable, that every input counts exactly once, as accepted, rejected with
// a reason or shed, and that nothing of a visitor goes further than the consent for it.
package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"crumbtrail/ingest/daily"
	"crumbtrail/ingest/enrich"
	"crumbtrail/ingest/spill"
	"crumbtrail/internal/token"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// Config says how a collector works. Every field but Collector and Partitions may be left out.
type Config struct {
	// Collector names this collector in the log; the same after a restart on the same directory.
	Collector string
	// Partitions is how many the topic of beacons has.
	Partitions int
	// Sites are those whose beacons are taken; none is DefaultSite alone.
	Sites []Site
	// AnySite takes every other site, too, under the rules of the site "default".
	AnySite bool
	// Limits with no field set are DefaultLimits.
	Limits Limits
	// Clock is nil where time is the machine's.
	Clock *RecordedClock
	// SigningKey signs ct_visit; empty draws one, so that a restart begins new visits in cookies.
	SigningKey []byte
	// Keys sign what the collector hands out to come back; nil draws one, as SigningKey.
	Keys *token.Keys
	// TrustedProxies are the peers whose X-Forwarded-For and X-Forwarded-Proto are believed.
	TrustedProxies []netip.Prefix
	Snowplow       Snowplow
	// StrictKeys answers 401 to a library whose write key is no site's, instead of 200.
	StrictKeys bool
	// Countries tell where an address is; nil knows nothing of it.
	Countries *enrich.Countries
	// Forms are read as they say; others by the fields' own names.
	Forms []Form
	// Links are the named redirects.
	Links []Link
	// Linger waits for company before each append, for slow logs; 0 appends at once.
	Linger time.Duration
	// Salts is the directory of the secrets behind cookieless visitors, which collectors may share;
	// empty keeps them in memory.
	Salts string
	// Spill is the directory, this process's alone, that takes what the log does not; nil for none,
	// as where time is recorded: that input can be sent again.
	Spill spill.FS
}

// Collector takes beacons and appends them to the log. Its methods are for concurrent use.
type Collector struct {
	cfg       Config
	limits    Limits
	log       *slog.Logger
	sites     *sites
	enricher  *enrich.Enricher
	days      *daily.Visitors
	arrivals  *arrivals
	appender  *appender
	metrics   *metrics
	strangers *bucket
	addresses *buckets
	// connections are those of Server.
	connections *connections
	// turnedAway are the answers to requests for postBeacons that net/http has not seen.
	turnedAway *answers
	signer     *signer
	unzippers  sync.Pool
	bodies     sync.Pool // of *buffer
	intakes    sync.Pool // of *intake
	scripts    *scripts
	confirmed  *confirmed
	links      map[string]Link
}

// New makes a collector, which goes on with what an earlier one left in the spill. Nothing is
// appended before Run, which must be called.
func New(
	cfg Config, producer Producer, log *slog.Logger, reg prometheus.Registerer,
) (*Collector, error) {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	if len(cfg.SigningKey) == 0 {
		cfg.SigningKey = make([]byte, 32)
		_, _ = rand.Read(cfg.SigningKey) // never fails, as documented
	}
	if cfg.Keys == nil {
		cfg.Keys = token.Draw()
	}
	sites, err := newSites(cfg.Sites, cfg.AnySite)
	links, linksErr := linksOf(cfg.Links)
	if err = errors.Join(err, linksErr, cfg.validate()); err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	l := cfg.Limits
	a := &appender{
		producer: producer, log: log, linger: cfg.Linger, timeout: l.ProduceTimeout,
		arrivals: &arrivals{recorded: cfg.Clock, machine: machineClock()},
		ticks:    newTicks(cfg.Collector, cfg.Partitions),
		queue:    make(chan *parcel, l.QueueRequests),
		room:     semaphore.NewWeighted(int64(l.QueueBytes)), most: int64(l.QueueBytes),
		stopped: make(chan struct{}), outcome: make(chan error, 1),
		spillAfter: l.SpillAfter, chunk: mostChunk,
	}
	if cfg.Clock != nil {
		a.timeout = 0
	}
	clients := newConnections(l.Connections)
	if a.metrics, err = newMetrics(reg, a, clients, cfg.Countries); err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	if cfg.Spill != nil {
		a.spill, err = spill.Open(cfg.Spill, spill.Config{
			Capacity: int64(l.SpillBytes), Observe: a.metrics.synced,
		}, log)
		if err != nil {
			return nil, fmt.Errorf("collector: %w", err)
		}
	}
	days, err := daily.Open(cfg.Salts, log)
	if err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	return &Collector{
		cfg: cfg, limits: l, log: log, sites: sites, enricher: enrich.New(cfg.Countries),
		days:   days,
		signer: newSigner(cfg.SigningKey), arrivals: a.arrivals, appender: a, metrics: a.metrics,
		scripts:     newScripts(cfg.Forms),
		links:       links,
		strangers:   newBucket(l.StrangersPerSecond, 10*l.StrangersPerSecond),
		addresses:   newBuckets(l.RequestsPerSecond, float64(l.RequestsAtOnce)),
		connections: clients,
		turnedAway:  a.metrics.answers(postBeaconsPattern),
		confirmed:   newConfirmed(maxConfirmed),
	}, nil
}

func (cfg Config) validate() error {
	var errs []error
	if cfg.Collector == "" {
		errs = append(errs, errors.New("want an id: the log must know who speaks"))
	}
	if cfg.Partitions < 1 {
		errs = append(errs, fmt.Errorf("%d partitions: want at least one", cfg.Partitions))
	}
	if cfg.Clock != nil && cfg.Spill != nil {
		errs = append(errs, errors.New("a spill and recorded time: one or the other"))
	}
	return errors.Join(append(errs, cfg.Limits.validate(), cfg.Snowplow.validate())...)
}

// Run appends to the log what comes in, and the time, until ctx ends. It returns once all that was
// queued before then is settled; what comes later is refused. It always returns nil: of a log that
// takes nothing, requests and Ready tell.
func (c *Collector) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	if c.cfg.Countries != nil {
		beside.Go(func() { c.cfg.Countries.Watch(ctx, c.log) })
	}
	if c.cfg.Clock == nil {
		beside.Go(func() { c.days.Run(ctx) })
	}
	c.appender.run(ctx)
	beside.Wait()
	return nil
}

// ID is the name of the collector in the log.
func (c *Collector) ID() string { return c.cfg.Collector }

// Counts says what became of everything that came in so far.
func (c *Collector) Counts() Counts { return c.metrics.snapshot() }

// Ready returns nil if what comes in now can be made durable, as far as is known.
func (c *Collector) Ready() error {
	select {
	case <-c.appender.stopped:
		return errStopped
	default:
		return c.appender.check()
	}
}

// Notice is what those who run the collector should know although it is ready, such as that the
// spill is in use; empty is nothing.
func (c *Collector) Notice() string { return c.appender.notice() }

// Append appends recorded input, in order, and returns nil once it is durable. It waits for room
// in the queue, and its entries, which are the collector's from then on, move the recorded clock.
func (c *Collector) Append(ctx context.Context, entries []Entry) error {
	p := newParcel(len(entries) * 256)
	for i := range entries {
		c.record(p, &entries[i])
	}
	return c.through(ctx, p)
}

func (c *Collector) record(p *parcel, e *Entry) {
	if e.Bad != nil {
		p.refuse(e.Bad.Reason, e.Bad)
		return
	}
	b := e.Beacon
	b.Collector = c.cfg.Collector
	if c.cfg.Clock != nil {
		b.ClockUs = c.cfg.Clock.advance(max(b.ClockUs, b.ReceivedAtUs))
	}
	p.beacon(b, c.cfg.Partitions)
	if e.Submission != nil {
		p.submission(e.Submission, b.ClockUs)
	}
}

// Flush closes every visit that is open once all before it has been appended, without moving the
// clock: a replay ends with it.
func (c *Collector) Flush(ctx context.Context) error {
	clockUs, _ := c.arrivals.times()
	p := newParcel(0)
	p.msgs = c.appender.ticks.flush(clockUs)
	return c.through(ctx, p)
}

func (c *Collector) through(ctx context.Context, p *parcel) error {
	if len(p.msgs) == 0 {
		return nil
	}
	if err := c.appender.enqueue(ctx, p); err != nil {
		return err
	}
	return c.appender.wait(ctx, p)
}
