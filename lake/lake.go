// Package lake reads the topics beacons, submissions, bad-beacons, visits, records, edges, aliases,
// contacts, identities, decisions, scores and handoffs, and writes Parquet files, manifests and the
// catalog lake.duckdb. It guarantees that every record is in exactly one row of a file that a
// manifest names, less beacons that were sent twice, and that the catalog is one snapshot of the
// manifests (V1, V5).
package lake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// Config says where the lake is and how often it shows what is new.
type Config struct {
	// Dir is the data directory: the catalog is Dir/lake.duckdb, all else is below Dir/lake.
	Dir string
	// Flush is how often rows are written to files and the catalog is built; default a minute.
	Flush time.Duration
	// Memory bounds the rows that wait in memory, in bytes; default 64 MiB.
	Memory int64
	// ErasureGrace is how long a file that holds rows of somebody who was erased stays for queries
	// that began before; 0: no longer than the catalog shows it.
	ErasureGrace time.Duration
	// Ask asks the catalog, or files beside it, in a process of its own. Nil: nothing can be erased.
	Ask Ask
	// SkipMissing goes on behind records that are lost in the middle of a topic, and without files
	// that are lost.
	SkipMissing bool
	// Crew shares the partitions out among processes; nil: this one writes all of the lake, and
	// nobody else may.
	Crew *Crew
	// Rewriter compacts past days; nil: they stay as they were written.
	Rewriter Rewriter
	// CompactAfter is how long a day must be over before it is compacted; default an hour.
	CompactAfter time.Duration
	// Grace is how long a file stays that newer ones have replaced, for queries that began before;
	// default an hour.
	Grace time.Duration
	// Keep is how long beacons, visits and bad beacons are kept, by their day; 0 is for ever.
	Keep time.Duration
}

// gaps says what missing offsets of a topic mean.
func (c Config) gaps(t schemas.TopicSpec) kafka.Gaps {
	switch {
	case t.Compacted:
		return kafka.GapsExpected
	case c.SkipMissing:
		return kafka.GapsSkipped
	}
	return kafka.GapsRefused
}

func (c Config) withDefaults() Config {
	if c.Flush <= 0 {
		c.Flush = time.Minute
	}
	if c.Memory <= 0 {
		c.Memory = 64 << 20
	}
	if c.CompactAfter <= 0 {
		c.CompactAfter = time.Hour
	}
	if c.Grace <= 0 {
		c.Grace = time.Hour
	}
	return c
}

// Ask asks a query and hands on the rows of an answer. Values are as DuckDB has them: nil, bool,
// int64, float64 or text.
type Ask func(ctx context.Context, sql string, row func(values []any) error) error

// Source is where topics are read: *kafka.Client.
type Source interface {
	// Starts returns the oldest offset of each of a topic's partitions.
	Starts(ctx context.Context, topic string) ([]int64, error)
	// Ends returns the offset after the last record of each of a topic's partitions.
	Ends(ctx context.Context, topic string) ([]int64, error)
	kafka.Fetcher
}

// Catalog makes a DuckDB file by running statements on an empty one.
type Catalog interface {
	Build(ctx context.Context, path string, statements []string) error
}

// Lake copies topics into files.
type Lake struct {
	cfg        Config
	layout     layout
	disk       disk
	publisher  linkPublisher
	catalog    Catalog
	log        *slog.Logger
	metrics    *metrics
	partitions []*partition
	// owner is the name of this process in its manifests.
	owner string
	// shares is how many partitions a crew shares out.
	shares   int32
	health   crewHealth
	budget   budget
	encoders encoders
	moved    signal
	erasures *erasures

	// drains takes requests to flush now.
	drains chan chan<- error
	// regrouped holds one value where contacts have become one or several.
	regrouped chan struct{}
	// ended is closed when Run returns.
	ended chan struct{}

	// built is which manifests the catalog shows, by source.
	built map[source]int64
	// unshown is why the last try to build a catalog failed; nil: it did not.
	unshown atomic.Pointer[error]
	// freshest is up to when what a partition published has been measured, in microseconds.
	freshest map[source]int64
	// facts counts the manifests of topics that the catalog shows and scores are made of.
	facts      int64
	generation atomic.Int64
}

// shutdownTimeout bounds the last build of the catalog.
const shutdownTimeout = 30 * time.Second

// Open makes the lake ready: it reads every manifest, removes what a crash left behind, and builds
// the catalog, so that every view exists from now on. The topics must exist. A lake that a newer
// version has written is an error, and nothing of it is touched.
func Open(
	ctx context.Context, cfg Config, from Source, catalog Catalog, log *slog.Logger,
	reg prometheus.Registerer,
) (*Lake, error) {
	return open(ctx, cfg, from, catalog, log, reg, osDisk{})
}

func open(
	ctx context.Context, cfg Config, from Source, catalog Catalog, log *slog.Logger,
	reg prometheus.Registerer, d disk,
) (*Lake, error) {
	data, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	l := &Lake{
		cfg: cfg.withDefaults(), layout: layout{data}, disk: d, catalog: catalog,
		log: log, metrics: newMetrics(reg), drains: make(chan chan<- error),
		regrouped: make(chan struct{}, 1), freshest: map[source]int64{},
		owner:    fmt.Sprintf("%016x", rand.Uint64()),
		encoders: newEncoders(),
		ended:    make(chan struct{}),
	}
	l.publisher = linkPublisher{l.layout, d}
	l.erasures = newErasures(from, l.cfg.ErasureGrace, log)
	if err := l.erasures.load(ctx); err != nil {
		return nil, fmt.Errorf("open lake: read erasures: %w", err)
	}
	if err := l.addPartitions(ctx, from); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if err := l.recover(ctx); err != nil {
		return nil, fmt.Errorf("open lake %q: %w", l.layout.root(), err)
	}
	return l, nil
}

func (l *Lake) addPartitions(ctx context.Context, from Source) error {
	known := decoders()
	var compact *compactor
	if l.cfg.Rewriter != nil {
		compact = &compactor{l.cfg.Rewriter, l.cfg.CompactAfter, make(chan struct{}, 1)}
	}
	for _, t := range schemas.Topics() {
		decode, ok := known[t.Topic]
		if !ok {
			continue
		}
		topic := string(t.Topic)
		starts, err := from.Starts(ctx, topic)
		if err != nil {
			return err
		}
		for i, start := range starts {
			l.partitions = append(l.partitions, &partition{
				source: source{topic, int32(i)}, owner: l.owner, decode: decode, reader: from,
				gaps: l.cfg.gaps(t), skipMissing: l.cfg.SkipMissing, start: start,
				layout: l.layout, disk: l.disk, publish: l.publisher, log: l.log,
				metrics: l.metrics, budget: &l.budget, moved: &l.moved, regrouped: l.regrouped,
				encoders: l.encoders, erasures: l.erasures, ask: l.cfg.Ask,
				fanIn: mergeFiles, grace: l.cfg.Grace, keep: l.cfg.Keep, now: time.Now, compactor: compact,
				flushes: make(chan flushRequest),
			})
		}
		if t.Topic == schemas.Beacons {
			l.shares = int32(len(starts))
		}
	}
	l.budget.limit, l.budget.holders = l.cfg.Memory, int64(len(l.partitions))
	return nil
}

// recover reads all manifests before it changes anything. What a crash has left of partitions is
// removed now where this process has all of them, else at each takeover.
func (l *Lake) recover(ctx context.Context) error {
	if err := l.publisher.check(); err != nil {
		return err
	}
	own := map[source]*manifest{}
	for _, p := range l.partitions {
		if l.cfg.Crew != nil {
			break
		}
		if err := p.load(ctx); err != nil {
			return err
		}
		if !l.publisher.wentBack(p.source) {
			own[p.source] = p.published
		}
	}
	if err := l.disk.mkdir(l.layout.root()); err != nil {
		return err
	}
	return l.withCatalog(ctx, func() error {
		removed, err := sweep(l.disk, l.layout, own, func(s source, _ int64) bool {
			return s == source{} || own[s] != nil // others may be another process's, or nobody's
		})
		if err != nil {
			return err
		}
		if removed > 0 {
			l.log.Info("removed files that no manifest names", "files", removed)
		}
		for _, t := range newTables().all() {
			if err := l.encoders.writeEmpty(l.disk, l.layout.schema(t.name), t); err != nil {
				return err
			}
		}
		return l.buildCatalog(ctx)
	})
}

// Run copies until ctx ends; then it publishes what it has, builds the catalog a last time and
// returns nil. It runs once.
func (l *Lake) Run(ctx context.Context) error {
	defer close(l.ended)
	run := l.all
	if l.cfg.Crew != nil {
		run = l.share
	}
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return run(running) })
	g.Go(func() error { return l.erasures.follow(running) })
	err := g.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return errors.Join(err, l.refresh(last, l.partitions))
}

// all works on every partition until ctx ends.
func (l *Lake) all(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	for _, p := range l.partitions {
		g.Go(func() error { return p.run(running) })
	}
	g.Go(func() error { l.pace(running, l.partitions); return nil })
	return g.Wait()
}

// pace has partitions flush, and refreshes, on time and on request, until ctx ends.
func (l *Lake) pace(ctx context.Context, held []*partition) {
	ticker := time.NewTicker(l.cfg.Flush)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := l.cycle(ctx, held); err != nil && ctx.Err() == nil {
				l.log.Error("show what is new in the lake", "err", err)
			}
		case <-l.erasures.hurry:
			if err := l.cycle(ctx, held); err != nil && ctx.Err() == nil {
				l.log.Error("show what is erased from the lake", "err", err)
			}
		case done := <-l.drains:
			done <- l.cycle(ctx, held)
		}
	}
}

// cycle has partitions publish what they have, and then builds one catalog of it all.
func (l *Lake) cycle(ctx context.Context, held []*partition) error {
	var g errgroup.Group
	for _, p := range held {
		g.Go(func() error {
			done := make(chan error, 1)
			select {
			case p.flushes <- flushRequest{done}:
				return <-done
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	// What one partition could not publish, which it tells and tries again itself, is no reason to
	// hold the others back.
	err := g.Wait()
	return errors.Join(err, l.refresh(ctx, held))
}

// Drain returns once all records below the given ends, by topic and partition, are in the catalog.
// Run must be running.
func (l *Lake) Drain(ctx context.Context, ends map[string][]int64) error {
	for {
		changed := l.moved.wait()
		if l.reached(ends, func(p *partition) int64 { return p.applied.Load() }) {
			if err := l.drain(ctx); err != nil {
				return err
			}
			if l.reached(ends, func(p *partition) int64 { return p.settled.Load() }) {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("drain the lake: %w", ctx.Err())
		case <-l.ended:
			return errEnded
		}
	}
}

// drain has all partitions publish what they have, and the catalog show it.
func (l *Lake) drain(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case l.drains <- done:
	case <-ctx.Done():
		return fmt.Errorf("drain the lake: %w", ctx.Err())
	case <-l.ended:
		return errEnded
	}
	if err := <-done; err != nil {
		return fmt.Errorf("drain the lake: %w", err)
	}
	return nil
}

// errEnded is what Drain says of a lake that no longer runs.
var errEnded = errors.New("drain the lake: it has stopped")

func (l *Lake) reached(ends map[string][]int64, position func(*partition) int64) bool {
	for _, p := range l.partitions {
		if at := ends[p.topic]; int(p.partition) < len(at) && position(p) < at[p.partition] {
			return false
		}
	}
	return true
}

// Generation is the number of the newest catalog that shows facts which no catalog before showed.
// It does not grow with new scores and hand-offs alone, which are made of the facts.
func (l *Lake) Generation() int64 { return l.generation.Load() }

// Regrouped gives a value once contacts have become one, or one has become several, since it last
// did. A catalog shows that after the next Drain.
func (l *Lake) Regrouped() <-chan struct{} { return l.regrouped }

// Counts is what the published files hold.
type Counts struct {
	// Rows by table.
	Rows map[string]int64
	// Duplicates are beacons of the topic that have no row, as the lake had them already.
	Duplicates int64
	// Undecodable are records that went to the table bad_beacons because nobody could read them.
	Undecodable int64
}

// Counts adds up the newest manifests.
func (l *Lake) Counts() (Counts, error) {
	all, err := l.publisher.all()
	if err != nil {
		return Counts{}, err
	}
	c := Counts{Rows: map[string]int64{}}
	for _, m := range all {
		c.Duplicates += m.Duplicates
		c.Undecodable += m.Undecodable
		for _, f := range m.Files {
			c.Rows[f.Table] += f.Rows
		}
	}
	return c, nil
}

// budget bounds the rows in memory over all partitions.
type budget struct {
	limit, holders int64
	used           atomic.Int64
}

func (b *budget) add(n int64) { b.used.Add(n) }
func (b *budget) over() bool  { return b.used.Load() > b.limit }

// share is what a partition may keep even when all together have too much: files would get tiny.
// With it, the whole stays below one and a half times the limit.
func (b *budget) share() int64 { return b.limit / (2 * b.holders) }

// signal wakes whoever waits for something to have changed.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed at the next raise.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
