package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

const (
	// rebuildRecords is about how many visits one transaction of a rebuild has.
	rebuildRecords = 1000
	// rebuildRows is about how many beacons are sorted at once; a million takes half a gigabyte.
	rebuildRows = 250_000
	// rebuildAround is how much before and after the days is read at first, and rebuildWiden how much
	// more where that turns out not to be enough.
	rebuildAround = 24 * time.Hour
	rebuildWiden  = 4
)

// rebuild is one call of the command.
type rebuild struct {
	*pipeline
	rules    sessionize.Config
	child    duck.Child
	from, to time.Time // the first and the last day, at 00:00 UTC
	dryRun   bool
	stderr   io.Writer

	// transaction is nil where nothing is to be written.
	transaction *kafka.Transactional
	// partitions are those of the topic of beacons, which those of visits follow.
	partitions []rebuildPartition
	hashes     maphash.Seed

	// Of one attempt.
	id      string
	at      time.Time
	waiting []kafka.Message
	report  *rebuildReport
	read    int // beacons
	bar     *progress.Bar
}

// rebuildPartition is how far the sessionizer is in a partition.
type rebuildPartition struct {
	// reached is its last checkpoint: all before it is in visits, but for what is open.
	reached int64
	// open holds the beacons of open visits, by a hash of the visitor's key.
	open map[uint64]sessionize.Span
}

// runRebuild makes the visits of some days again. Where stages run on the directory already, it
// hands them to their broker; else it runs the lake itself for as long as it takes.
func runRebuild(ctx context.Context, c *call) error {
	c.clusterFlags()
	r := &rebuild{hashes: maphash.MakeSeed(), stderr: c.stderr}
	day := func(to *time.Time) func(string) error {
		return func(text string) (err error) {
			if *to, err = time.Parse(time.DateOnly, text); err != nil {
				return errors.New("want a day such as 2026-01-31")
			}
			return nil
		}
	}
	c.flags.Func("from", "the first `DAY`, UTC, such as 2026-01-31", day(&r.from))
	c.flags.Func("to", "the last `DAY`; default: the first", day(&r.to))
	c.flags.BoolVar(&r.dryRun, "dry-run", false, "publish nothing; say what would change")
	format := c.flags.String("format", "table", "table or json")
	if err := c.parseAlone(); err != nil {
		return err
	}
	if r.to.IsZero() {
		r.to = r.from
	}
	switch {
	case r.from.IsZero():
		return usagef("want --from DAY and --to DAY")
	case r.to.Before(r.from):
		return usagef("--to %s is before --from %s", r.to.Format(time.DateOnly),
			r.from.Format(time.DateOnly))
	case *format != "table" && *format != "json":
		return usagef("--format %q: want table or json", *format)
	}
	cfg, _, err := c.settings()
	if err != nil {
		return err
	}
	if r.child, err = queryChild(); err != nil {
		return err
	}
	r.rules = cfg.sessionizeConfig()
	if r.pipeline, err = openPipeline(ctx, c, cfg, pipelineOptions{join: true}); err != nil {
		return err
	}
	defer r.close()
	if err := r.besideLake(ctx); err != nil {
		return err
	}
	return r.report.print(c.stdout, *format)
}

// besideLake rebuilds while a lake runs: that of whoever holds the directory, or our own.
func (r *rebuild) besideLake(ctx context.Context) error {
	if r.joined {
		return r.run(ctx)
	}
	lake := start(ctx, r.lakePart())
	err := r.run(lake.ctx)
	return errors.Join(err, lake.stop())
}

// run rebuilds, reading as much around the days as visits turn out to reach.
func (r *rebuild) run(ctx context.Context) (err error) {
	if !r.dryRun {
		// Two at a time would each miss what the other changes: the later one fences the first.
		if r.transaction, err = r.client.NewTransactional(ctx, "rebuild"); err != nil {
			return err
		}
	}
	if err := r.locate(ctx); err != nil {
		return err
	}
	all, err := r.extent(ctx)
	if err != nil {
		return err
	}
	for around := rebuildAround; ; around *= rebuildWiden {
		err := r.attempt(ctx, widen(r.days(), around, all))
		if err == nil {
			break
		}
		if !errors.Is(err, sessionize.ErrReach) {
			return err
		}
		r.log.Info("visits reach further than was read; reading more", "around", around*rebuildWiden)
	}
	r.bar.Done("%s read, %s changed", plural(r.read, "beacon"),
		plural(r.report.changes(), "visit"))
	if r.dryRun {
		return nil
	}
	if err := r.publish(ctx); err != nil {
		return err
	}
	return r.awaitLake(ctx, nil)
}

// locate finds out how far the sessionizer is, and has the lake come as far.
func (r *rebuild) locate(ctx context.Context) error {
	cfg := r.stageConfig("sessionize", schemas.Beacons, schemas.SessionizeChangelog)
	cluster := stage.OnKafka(r.client)
	n, err := r.client.Partitions(ctx, string(schemas.Beacons))
	if err != nil {
		return err
	}
	r.partitions = make([]rebuildPartition, n)
	reached := make([]int64, n)
	for i := range r.partitions {
		p := &r.partitions[i]
		checkpoint, err := stage.LastCheckpoint(ctx, cluster, cfg, int32(i))
		if err != nil {
			return fmt.Errorf("sessionize, partition %d: %w", i, err)
		}
		p.reached, p.open = checkpoint.Offset, map[uint64]sessionize.Span{}
		reached[i] = checkpoint.Offset
		err = checkpoint.Show(ctx, cluster, cfg, int32(i), func(key, value []byte, later bool) error {
			return p.see(maphash.Bytes(r.hashes, key), key, value, later)
		})
		if err != nil {
			return fmt.Errorf("sessionize, partition %d: %w", i, err)
		}
	}
	return r.awaitLake(ctx, reached)
}

// see takes one key of the sessionizer's state.
func (p *rebuildPartition) see(hash uint64, key, value []byte, later bool) error {
	if later {
		p.open[hash] = sessionize.Always() // what it was is not known for sure
		return nil
	}
	delete(p.open, hash)
	open, err := sessionize.OpenSpan(key, value)
	if err == nil && open != nil {
		p.open[hash] = *open
	}
	return err
}

// openOf is the span of a visitor's open visits, nil where there are none.
func (r *rebuild) openOf(partition int32, key []byte) *sessionize.Span {
	if span, ok := r.partitions[partition].open[maphash.Bytes(r.hashes, key)]; ok {
		return &span
	}
	return nil
}

// days is what is rebuilt.
func (r *rebuild) days() sessionize.Span {
	return sessionize.Span{
		FirstUS: r.from.UnixMicro(), LastUS: r.to.AddDate(0, 0, 1).UnixMicro() - 1,
	}
}

// widen returns a span with so much around it: everything on a side on which there is no more.
func widen(s sessionize.Span, around time.Duration, all sessionize.Span) sessionize.Span {
	out := sessionize.Always()
	if first := s.FirstUS - around.Microseconds(); first > all.FirstUS {
		out.FirstUS = first
	}
	if last := s.LastUS + around.Microseconds(); last < all.LastUS {
		out.LastUS = last
	}
	return out
}

// attempt makes the visits of the days again. What it writes counts for nothing before publish.
func (r *rebuild) attempt(ctx context.Context, known sessionize.Span) error {
	r.id, r.at, r.read, r.waiting = schemas.NewID(), time.Now(), 0, nil
	r.report = newRebuildReport(r)
	rows, err := r.rowsOf(ctx, known)
	if err != nil {
		return err
	}
	total, done := int64(0), int64(0)
	for _, n := range rows {
		total += n
	}
	r.bar = progress.New(r.stderr, progress.Options{What: "visits again", Total: total})
	for i, n := range rows {
		parts := n/rebuildRows + 1
		for part := range parts {
			if err := r.rebuildPart(ctx, rebuildPart{int32(i), part, parts, known}); err != nil {
				return err
			}
			done += n / parts
			r.bar.Set(done)
		}
		if err := r.commit(ctx); err != nil { // so that the record that ends it stands behind it
			return err
		}
	}
	return nil
}

// take publishes what has changed of a visitor.
func (r *rebuild) take(
	ctx context.Context, partition int32, key []byte, stretches []sessionize.Stretch,
) error {
	for i := range stretches {
		changes := stretches[i].Changes()
		r.report.add(partition, &stretches[i], changes)
		for _, c := range changes {
			v := c.New
			if v == nil {
				v = &schemas.Visit{
					VisitId: c.Old.VisitId, Site: c.Old.Site, VisitorId: c.Old.VisitorId,
					StartedAtUs: c.Old.StartedAtUs, EndedAtUs: c.Old.EndedAtUs,
					InputPartition: partition, Gone: true,
				}
			}
			v.RebuildId = r.id
			if err := r.put(partition, key, v); err != nil {
				return err
			}
		}
	}
	if len(r.waiting) < rebuildRecords {
		return nil
	}
	return r.commit(ctx)
}

func (r *rebuild) put(partition int32, key []byte, v *schemas.Visit) error {
	if r.dryRun {
		return nil
	}
	value, err := v.MarshalVT()
	if err != nil {
		return fmt.Errorf("encode visit %q: %w", v.VisitId, err)
	}
	r.waiting = append(r.waiting, kafka.Message{
		Topic: string(schemas.Visits), Partition: partition, Timestamp: r.at.UnixMilli(),
		Key: key, Value: value,
	})
	return nil
}

// publish ends the rebuild in all partitions at once, from when on it counts.
func (r *rebuild) publish(ctx context.Context) error {
	for i, done := range r.report.partitions {
		v := &schemas.Visit{RebuildId: r.id, InputPartition: int32(i), Rebuild: done}
		if err := r.put(int32(i), nil, v); err != nil {
			return err
		}
	}
	return r.commit(ctx)
}

// commit writes what waits in one transaction.
func (r *rebuild) commit(ctx context.Context) error {
	if len(r.waiting) == 0 {
		return nil
	}
	if err := r.transaction.Commit(ctx, kafka.Commit{Messages: r.waiting}); err != nil {
		return fmt.Errorf("%w; visits are as they were unless this was the end of it: call it again",
			err)
	}
	r.waiting = nil
	return nil
}
