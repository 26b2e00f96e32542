package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	pqfile "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"crumbtrail/internal/fault"
)

// A partition writes a file per table and day at each flush, sixty an hour. Files are merged by
// tiers: as soon as a tier of a table and day has mergeFiles files, they become one of the next.
// What was made of n flushes is thus in about 7·log8(n) files, and each row is written again about
// log8(n) times.
const (
	mergeFiles = 8
	// mergeRows is how many rows are not merged any more: such a file is large enough.
	mergeRows = 512 << 10
)

// retiredFile does not count any more, and is removed once its grace is over.
type retiredFile struct {
	// Path is relative to the lake.
	Path string `json:"path"`
	// AtUs is when it was replaced, microseconds since the epoch.
	AtUs int64 `json:"at_us"`
	// In is the number of the manifest that replaced it.
	In int64 `json:"in,omitempty"`
}

// merge puts small files of the manifest together. The merged ones are retired: the manifest that
// is published with the new file still knows them.
func (p *partition) merge(m *manifest) error {
	damaged := map[string]bool{} // first files of tiers of which one cannot be read
	for again := true; again; {
		again = false
		for _, tier := range p.tiers(m) {
			if damaged[tier[0].Path] {
				continue
			}
			into, err := p.mergeTier(tier, m.Number)
			if errors.Is(err, errDamaged) { // what comes new is published all the same
				p.metrics.damaged.Inc()
				p.log.Error("files are not merged", "err", err)
				damaged[tier[0].Path] = true
				continue
			}
			if err != nil {
				return err
			}
			m.replace(replacement{tier, []dataFile{into}}, p.now().UnixMicro())
			again = true // the next tier may be full now
		}
	}
	return nil
}

// tiers returns the sets of files that are to be merged, in the order of the manifest.
func (p *partition) tiers(m *manifest) (full [][]dataFile) {
	type tier struct {
		table, day string
		level      int
	}
	var order []tier
	files := map[tier][]dataFile{}
	for _, f := range m.Files {
		if f.Compacted || p.compaction != nil && p.compaction.days[f.tableDay()] {
			continue
		}
		at := tier{f.Table, f.Day, f.Level}
		if files[at] == nil {
			order = append(order, at)
		}
		files[at] = append(files[at], f)
	}
	for _, at := range order {
		set := files[at]
		if len(set) < p.fanIn {
			continue
		}
		set = set[:p.fanIn]
		rows := int64(0)
		for _, f := range set {
			rows += f.Rows
		}
		if rows <= mergeRows {
			full = append(full, set)
		}
	}
	return full
}

// mergeTier writes one file, for the manifest with a number, with the rows of several in their
// order.
func (p *partition) mergeTier(files []dataFile, number int64) (dataFile, error) {
	first, last := files[0], files[len(files)-1]
	into := dataFile{
		Table: first.Table, Day: first.Day, Level: first.Level + 1, First: first.First, Last: last.Last,
	}
	for _, f := range files {
		into.Rows += f.Rows
		into.ClockUs = max(into.ClockUs, f.ClockUs)
	}
	into.Path = dataPath(into.Table, into.Day, p.source, into.First, into.Last, number)
	rows, err := p.readAll(files)
	if err != nil {
		return into, fmt.Errorf("merge files of %s: %w", first.Table, err)
	}
	into.Bytes, err = p.encoders.writeParquet(p.disk, p.layout.file(into.Path), rows)
	return into, err
}

// readAll reads files of one table back, in order.
func (p *partition) readAll(files []dataFile) (pending, error) {
	t := p.tables.named(files[0].Table)
	all := &rows{}
	for _, f := range files {
		if err := all.read(p.layout.file(f.Path), t); err != nil {
			return pending{}, err
		}
	}
	return pending{table: t, rows: all.n, groups: all.groups}, nil
}

// read appends the rows of a file. A column that the file does not have yet, since it is older than
// the column, is NULL.
func (r *rows) read(path string, t *table) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	defer asDamaged(context.Background(), path, &err)
	in, err := pqfile.NewParquetReader(f,
		pqfile.WithReadProps(parquet.NewReaderProperties(memory.DefaultAllocator)))
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	defer in.Close()
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	whole, err := reader.ReadTable(context.Background())
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	defer whole.Release()
	batches := array.NewTableReader(whole, rowGroup)
	defer batches.Release()
	for batches.Next() {
		if err := r.readBatch(batches.Record(), t); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	return batches.Err()
}

func (r *rows) readBatch(batch arrow.Record, t *table) error {
	g := r.group(t, int(batch.NumRows()))
	at := map[string]int{}
	for i, field := range batch.Schema().Fields() {
		at[fieldID(field)] = i
	}
	for i, field := range t.schema.Fields() {
		there, ok := at[fieldID(field)]
		if !ok {
			for range batch.NumRows() {
				g.chunks[i].null()
			}
			continue
		}
		column := batch.Column(there)
		if !arrow.TypeEqual(column.DataType(), field.Type) {
			return fmt.Errorf("column %q is %s, not %s", field.Name, column.DataType(), field.Type)
		}
		g.chunks[i].appendArray(column)
	}
	return nil
}

// fieldID is the field id of a column of a Parquet file, whatever the column is called.
func fieldID(f arrow.Field) string {
	id, _ := f.Metadata.GetValue(fieldIDKey)
	return id
}

// replace puts the new files in the place of the first of those that go. Where one of these does
// not count any more nothing is done: it is as if the replacement had not been made.
func (m *manifest) replace(r replacement, nowUs int64) bool {
	gone := map[string]bool{}
	for _, f := range r.gone {
		gone[f.Path] = true
	}
	isGone := func(f dataFile) bool { return gone[f.Path] }
	at := slices.IndexFunc(m.Files, isGone)
	kept := slices.DeleteFunc(slices.Clone(m.Files), isGone)
	if len(m.Files)-len(kept) != len(r.gone) {
		return false
	}
	for _, f := range r.gone {
		m.Retired = append(m.Retired, retiredFile{Path: f.Path, AtUs: nowUs, In: m.Number})
	}
	m.Files = slices.Insert(kept, at, r.come...)
	return true
}

// expire takes the retired files off the manifest that may go, and returns them: those that a
// manifest up to the given one has replaced.
func (m *manifest) expire(upTo int64) (over []retiredFile) {
	m.Retired = slices.DeleteFunc(m.Retired, func(f retiredFile) bool {
		if upTo == 0 || f.In > upTo {
			return false
		}
		over = append(over, f)
		return true
	})
	return over
}

// shown is which manifest of a partition the catalogs have shown, and since when. A file may go
// once a catalog without it has been in place for the grace, whenever it was replaced: as long as
// no catalog could be built, queries begin under the one before.
type shown struct {
	mu  sync.Mutex
	log []shownAt // both ascend
}

type shownAt struct {
	number int64
	at     time.Time
}

// put notes that a catalog shows a manifest from now on.
func (s *shown) put(number int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.log); n == 0 || s.log[n-1].number < number {
		s.log = append(s.log, shownAt{number, now})
	}
}

// since returns the newest manifest that has been shown since a time, or one after it; 0 is none.
func (s *shown) since(t time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.log) > 1 && !s.log[1].at.After(t) {
		s.log = s.log[1:]
	}
	if len(s.log) == 0 || s.log[0].at.After(t) {
		return 0
	}
	return s.log[0].number
}

// reached returns when a manifest, or a later one, was first in a catalog.
func (s *shown) reached(number int64) (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.log {
		if one.number >= number {
			return one.at, true
		}
	}
	return at, false
}

// reset forgets all, as when another process has had the partition meanwhile.
func (s *shown) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
}

// discard removes files that no manifest names any more. One that is left behind is swept at the
// next start.
func (p *partition) discard(files []retiredFile) {
	for _, f := range files {
		fault.Point(fault.LakeRetired)
		err := p.disk.remove(p.layout.file(f.Path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			p.log.Warn("remove a file that was merged", "path", f.Path, "err", err)
		}
	}
}
