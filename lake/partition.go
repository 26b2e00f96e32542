package lake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// partition copies one partition of a topic into files. One goroutine, in run, owns all of it but
// for the atomics.
type partition struct {
	source
	decode decoder
	reader Source
	gaps   kafka.Gaps
	// skipMissing goes on without files that are damaged or gone; unreadable is the last one found.
	skipMissing bool
	unreadable  string
	// start is where a partition of which nothing is published yet begins.
	start    int64
	layout   layout
	disk     disk
	publish  publisher
	log      *slog.Logger
	metrics  *metrics
	budget   *budget
	encoders encoders
	// fanIn is how many files of a tier are merged into one.
	fanIn int
	// owner is the name that this process's manifests have.
	owner string
	// shown is which manifests are in catalogs.
	shown shown
	// grace is how long a file stays that newer ones have replaced: a query that began under the
	// catalog before may still read it.
	grace time.Duration
	// keep is how long rows of what happened are kept; 0 is for ever.
	keep time.Duration
	// now is the clock by which retired files are removed and days are over; Arrow's readers run in no
	// bubble of fake time, so a test has its own.
	now func() time.Time
	// compactor is nil where nothing is compacted.
	compactor *compactor
	// moved is raised whenever a position below has changed.
	moved *signal
	// regrouped is Lake's.
	regrouped chan<- struct{}
	erasures  *erasures
	ask       Ask
	erasing   erasing

	tables    *tables
	published *manifest
	// held is what the rows in tables take, as the budget knows it.
	held int64
	// next is the offset after the last record in tables.
	next        int64
	undecodable int64
	// fresh is of the rows in tables; nil: none.
	fresh *fresh

	// compaction is what is being compacted; nil: nothing. looked has the number of hot files of days
	// that are over as it was at the last look.
	compaction       *compaction
	looked           map[tableDay]int
	compactNotBefore time.Time
	// forced is true while all days that are over are to be compacted at once, and compactFailed
	// says why that came to nothing.
	forced        atomic.Bool
	compactFailed atomic.Pointer[error]

	// trouble is why the last try to publish failed; nil: it did not.
	trouble atomic.Pointer[error]

	// applied is next, for others to read; settled is up to where all is published or has no rows.
	applied, settled atomic.Int64
	// flushes takes requests to publish what there is.
	flushes chan flushRequest
}

// flushRequest asks a partition to publish; the answer says whether it could.
type flushRequest struct{ done chan<- error }

const (
	// maxRows makes a partition write a file of its own accord.
	maxRows = 128 << 10
	// skipOffsets is how far a partition that has no rows gets before it publishes that fact, so
	// that a restart does not read weeks of ticks again.
	skipOffsets = 100_000
	// retryFirst and retryMost bound the pause after a failure.
	retryFirst = 100 * time.Millisecond
	retryMost  = 30 * time.Second
)

// load goes back to what is published: rows in memory are dropped, and will be read again.
func (p *partition) load(ctx context.Context) error {
	m, err := p.newestWhole()
	if err != nil {
		return err
	}
	if p.published != nil && m.Number > p.published.Number && m.Owner != p.owner {
		return errStale
	}
	if m.Number == 0 {
		m.NextOffset = p.start
	}
	if m, err = p.whole(m); err != nil {
		return err
	}
	p.reset()
	p.published, p.next = m, m.NextOffset
	p.tables.duplicates, p.undecodable = m.Duplicates, m.Undecodable
	p.tables.dropped, p.erasing = cloneRows(m.Erased), erasing{to: m.ErasedTo}
	p.tables.seen.clock = m.ClockUs
	switch err := p.loadSeen(ctx); {
	case errors.Is(err, errDamaged) && p.skipMissing:
		return p.load(ctx)
	case errors.Is(err, errDamaged):
		return fmt.Errorf("lake: read back %s: %w: %s", p.source, err, mendFile)
	case err != nil:
		return fmt.Errorf("lake: read back %s: %w", p.source, err)
	}
	p.at(p.next)
	p.settled.Store(p.next)
	p.moved.raise()
	return nil
}

// at tells how far the partition has been read.
func (p *partition) at(offset int64) {
	p.applied.Store(offset)
	p.metrics.offset.WithLabelValues(p.topic, strconv.Itoa(int(p.partition))).Set(float64(offset))
}

// hold tells the budget what the rows in memory take.
func (p *partition) hold(bytes int64) {
	p.budget.add(bytes - p.held)
	p.held = bytes
}

func (p *partition) reset() {
	p.hold(0)
	p.tables, p.fresh = newTables(), nil
}

// loadSeen reads the ids of the last two days back from the files.
func (p *partition) loadSeen(ctx context.Context) error {
	var room []byte
	for _, f := range p.published.Files {
		old := hourOf(p.published.ClockUs)-hourOf(f.ClockUs) > windowHours
		if f.Table != p.tables.beacons.table.name || old {
			continue
		}
		err := readIDs(ctx, p.layout.file(f.Path),
			func(site, visitor, event string, receivedUs int64) {
				p.tables.seen.put(idOf(&room, site, visitor, event), receivedUs)
			})
		if errors.Is(err, errDamaged) {
			p.unreadable = f.Path
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run follows the partition until ctx ends, and then publishes what it has. What may pass by
// itself, such as a full disk, is tried again from what is published.
func (p *partition) run(ctx context.Context) error {
	pause := retryFirst
	for {
		began := p.published.Number
		err := p.follow(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, errStale) || errors.Is(err, kafka.ErrOffsetOutOfRange) {
			return fmt.Errorf("lake: %s: %w", p.source, err)
		}
		for err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("lake: %s: %w", p.source, err)
			}
			p.metrics.retries.Inc()
			cause := err
			p.trouble.Store(&cause)
			p.log.Error("lake partition goes back to what is published", "topic", p.topic,
				"partition", p.partition, "offset", p.published.NextOffset, "again_in", pause,
				"err", err)
			if p.published.Number > began {
				began, pause = p.published.Number, retryFirst
			}
			p.rest(ctx, pause, err)
			pause = min(2*pause, retryMost)
			if err = p.load(ctx); errors.Is(err, errStale) {
				return fmt.Errorf("lake: %s: %w", p.source, err)
			}
		}
	}
}

// rest waits, and tells those who ask it to publish why it does not.
func (p *partition) rest(ctx context.Context, pause time.Duration, cause error) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case request := <-p.flushes:
			request.done <- fmt.Errorf("%s: %w", p.source, cause)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// follow reads on and publishes. A goroutine fetches ahead while rows are built.
func (p *partition) follow(ctx context.Context) error {
	fetching, stop := context.WithCancel(ctx)
	batches, failed := make(chan kafka.Fetched), make(chan error, 1)
	go func() {
		defer close(batches)
		failed <- kafka.Follow(fetching, p.reader, p.topic, p.partition, p.next, p.gaps, batches,
			func(err error) {
				p.log.Warn("fetch for the lake", "topic", p.topic, "partition", p.partition, "err", err)
			})
	}()
	defer func() {
		stop()
		for range batches { // until the goroutine has ended
		}
		p.abandon()
	}()
	for {
		var compacted <-chan rewritten
		if p.compaction != nil {
			compacted = p.compaction.done
		}
		select {
		case batch, ok := <-batches:
			if !ok {
				if err := <-failed; err != nil {
					return err
				}
				return p.flush()
			}
			p.apply(batch)
			if p.full() {
				if err := p.flush(); err != nil {
					return err
				}
			}
		case request := <-p.flushes:
			err := p.flush()
			if err == nil {
				p.search(fetching)
				p.compactNext(fetching)
			}
			request.done <- err
			if err != nil {
				return err
			}
		case r := <-compacted:
			if err := p.replace(fetching, r); err != nil {
				return err
			}
		case c := <-p.erasing.found:
			if err := p.takeOut(fetching, c); err != nil {
				return err
			}
		}
	}
}

// apply puts a batch's records into the tables.
func (p *partition) apply(batch kafka.Fetched) {
	p.tables.filter = p.erasures.filter.Load()
	for _, r := range batch.Records {
		at := place{p.partition, r.Offset}
		if r.Value == nil {
			continue // a tombstone of a compacted topic: what was written of its key stays history
		}
		rows := p.tables.rows
		if err := p.decode(p.tables, at, r); err != nil {
			p.undecodable++
			p.metrics.undecodable.WithLabelValues(p.topic).Inc()
			p.tables.undecodable(at, schemas.Topic(p.topic), r, err)
		}
		if p.tables.rows > rows {
			p.came(r.Timestamp * 1000)
		}
	}
	p.next = batch.Next
	p.hold(p.tables.bytes())
	p.at(p.next)
	p.moved.raise()
	if p.tables.regrouped {
		p.tables.regrouped = false
		select {
		case p.regrouped <- struct{}{}:
		default: // whoever waits will find this one, too
		}
	}
}

// came notes when a record with rows came on its topic.
func (p *partition) came(us int64) {
	if p.fresh == nil {
		p.fresh = &fresh{OldestUs: us, NewestUs: us}
	}
	p.fresh.OldestUs, p.fresh.NewestUs = min(p.fresh.OldestUs, us), max(p.fresh.NewestUs, us)
}

// full is true where the partition has enough rows for a file, or all have too many together and
// it has its share of them.
func (p *partition) full() bool {
	return p.tables.rows >= maxRows || p.budget.over() && p.held > p.budget.share()
}

// flush writes the rows to files and publishes them with the offset that they reach.
func (p *partition) flush() error {
	if p.nothingNew() && !p.cleared() {
		p.trouble.Store(nil)
		p.settled.Store(p.next)
		p.moved.raise()
		return nil
	}
	return p.commit(nil, nil)
}

// commit publishes the rows as files, files in the place of others, and what was erased from them.
func (p *partition) commit(replacements []replacement, c *cleared) error {
	began := time.Now()
	m := *p.published
	m.Format, m.Number, m.NextOffset, m.Owner = manifestFormat, m.Number+1, p.next, p.owner
	m.ClockUs, m.Duplicates, m.Undecodable = p.tables.seen.clock, p.tables.duplicates, p.undecodable
	m.Columns = columnsKnown()
	m.Erased, p.tables.droppedAny = cloneRows(p.tables.dropped), false
	m.Files, m.Retired = slices.Clone(m.Files), slices.Clone(m.Retired)
	p.hold(0)
	fault.Point(fault.LakeRows)
	now := p.now().UnixMicro()
	var unwanted []retiredFile
	for _, r := range replacements {
		if m.replace(r, now) {
			continue
		}
		for _, f := range r.come {
			unwanted = append(unwanted, retiredFile{Path: f.Path})
		}
	}
	written, err := p.write(&m)
	if c != nil && err == nil {
		p.without(&m, *c, now)
	}
	if p.erasing.found == nil && err == nil {
		err = p.merge(&m)
	}
	if err != nil {
		p.withdraw(&m)
		return err
	}
	m.drop(p.outdated, now)
	over, err := p.expire(&m)
	if err != nil {
		p.withdraw(&m)
		return err
	}
	if p.fresh != nil {
		m.Fresh = p.fresh
		m.Fresh.PublishedUs = p.now().UnixMicro()
	}
	fault.Point(fault.LakeFiles)
	if err := p.publish.publish(&m); err != nil {
		return err
	}
	fault.Point(fault.LakePublished)
	p.discard(append(over, unwanted...))
	p.metrics.published(p.published, &m, written, time.Since(began))
	p.published, p.fresh = &m, nil
	p.trouble.Store(nil)
	p.settled.Store(p.next)
	p.moved.raise()
	return nil
}

// withdraw removes the files of a manifest that was not published. The next try reads further, and
// gives them other names.
func (p *partition) withdraw(m *manifest) {
	for _, f := range m.Files {
		if !slices.ContainsFunc(p.published.Files, func(b dataFile) bool { return b.Path == f.Path }) {
			_ = p.disk.remove(p.layout.file(f.Path)) // else a sweep does it
		}
	}
}

// nothingNew is true where a manifest would say nothing but a slightly greater offset.
func (p *partition) nothingNew() bool {
	return p.tables.rows == 0 && p.tables.duplicates == p.published.Duplicates &&
		p.next-p.published.NextOffset < skipOffsets && !p.mayRemove() && !p.tables.droppedAny &&
		!slices.ContainsFunc(p.published.Files, p.outdated)
}

// passed is the manifest up to which replaced files may go.
func (p *partition) passed() int64 { return p.shown.since(p.now().Add(-p.grace)) }

// mayRemove is true where replaced files may go.
func (p *partition) mayRemove() bool {
	upTo := p.passed()
	return upTo > 0 && slices.ContainsFunc(p.published.Retired, func(f retiredFile) bool {
		return f.In <= upTo
	})
}

// write makes the files of all rows and adds them to the manifest.
func (p *partition) write(m *manifest) (written []dataFile, err error) {
	for _, rows := range p.tables.take() {
		if err != nil {
			continue
		}
		f := dataFile{
			Table: rows.table.name, Day: dayName(rows.day), Rows: int64(rows.rows),
			First: p.published.NextOffset, Last: p.next - 1, ClockUs: m.ClockUs,
		}
		f.Path = dataPath(f.Table, f.Day, p.source, f.First, f.Last, m.Number)
		f.Bytes, err = p.encoders.writeParquet(p.disk, p.layout.file(f.Path), rows)
		m.Files = append(m.Files, f)
		written = append(written, f)
	}
	return written, err
}
