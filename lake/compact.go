package lake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"crumbtrail/internal/fault"
)

// Days that are over are compacted: all files of a partition, table and day become one that is
// sorted by who did what, in small row groups, so that one visitor's history is a few of them. That
// is done beside the flow of records, in a process of its own, and what came of it is published
// with the partition's next manifest.

// Rewriter makes Parquet files in a process of its own.
type Rewriter interface {
	// Rewrite makes files of what queries over files below dir give, and returns their rows. It
	// syncs nothing.
	Rewrite(ctx context.Context, dir string, files []Rewrite) (rows []int64, err error)
}

// Rewrite is a Parquet file to be made.
type Rewrite struct {
	Path, SQL string
	// FieldIDs are the ids of its columns by name.
	FieldIDs map[string]int
	RowGroup int
}

const (
	// compactRowGroup is how many rows a row group of a compacted file has.
	compactRowGroup = 8 << 10
	// compactRows is how many rows are sorted at once, and so are in one file. A day with more is in
	// several, each with other visitors.
	compactRows = 512 << 10
	// fewestRows is how few rows a day's only file may have to stay as it is.
	fewestRows = 1 << 10
	// lateShare is which part of a compacted day has to have come late for the day to be compacted
	// again, and lateFiles in how many files.
	lateShare = 10
	lateFiles = 2 * mergeFiles
	// compactDays and jobRows bound what is done in one go.
	compactDays = 32
	jobRows     = 2 << 20
	// compactPause is how long a partition waits after it has failed.
	compactPause = time.Minute
)

// compactor is what the partitions of a lake compact with.
type compactor struct {
	rewriter Rewriter
	// after is how long a day must have been over.
	after time.Duration
	// slots has a place for each process at a time.
	slots chan struct{}
}

// tableDay is a day of a table.
type tableDay struct{ table, day string }

func (f dataFile) tableDay() tableDay { return tableDay{f.Table, f.Day} }

// replacement is files that go and files that come instead, with the same rows but for those of
// erased persons.
type replacement struct{ gone, come []dataFile }

// compaction is what a partition has under way; its goroutine alone touches it.
type compaction struct {
	// days are being rewritten: their files are not merged meanwhile.
	days map[tableDay]bool
	// done gives what came of it; the channel has room for it.
	done chan rewritten
}

type rewritten struct {
	replacements []replacement
	err          error
}

// compactNext begins to compact days that are due, if nothing is under way.
func (p *partition) compactNext(ctx context.Context) {
	if p.compactor == nil || p.compaction != nil {
		return
	}
	forced := p.forced.Load()
	if now := p.now(); forced || !now.Before(p.compactNotBefore) {
		if sets := p.due(now, forced); len(sets) > 0 {
			p.compactSets(ctx, sets)
			return
		}
	}
	if forced {
		p.forced.Store(false)
		p.moved.raise()
	}
}

func (p *partition) compactSets(ctx context.Context, sets [][]dataFile) {
	c := &compaction{days: map[tableDay]bool{}, done: make(chan rewritten, 1)}
	for _, set := range sets {
		c.days[set[0].tableDay()] = true
	}
	p.compaction = c
	number := p.published.Number + 1
	go func() {
		r, err := p.compactor.rewrite(ctx, p, sets, number)
		c.done <- rewritten{r, err}
	}()
}

// due returns the files of days that are to be compacted, the oldest days first. What has changed
// since it was looked at last is left to come to rest, unless forced.
func (p *partition) due(now time.Time, forced bool) (sets [][]dataFile) {
	days := map[tableDay][]dataFile{}
	for _, f := range p.published.Files {
		days[f.tableDay()] = append(days[f.tableDay()], f)
	}
	looked := map[tableDay]int{}
	for at, files := range days {
		hot := slices.DeleteFunc(slices.Clone(files), func(f dataFile) bool { return f.Compacted })
		if len(hot) == 0 || !over(at.day, p.compactor.after, now) || !worthIt(files, hot, forced) {
			continue
		}
		if before, ok := p.looked[at]; forced || ok && before == len(hot) {
			sets = append(sets, files)
		}
		looked[at] = len(hot)
	}
	p.looked = looked
	slices.SortFunc(sets, func(a, b []dataFile) int {
		return cmp.Or(strings.Compare(a[0].Day, b[0].Day), strings.Compare(a[0].Table, b[0].Table))
	})
	rows := int64(0)
	for i, set := range sets {
		if rows += countRows(set); i > 0 && (i >= compactDays || rows > jobRows) {
			return sets[:i]
		}
	}
	return sets
}

// over says whether a day has been over for so long.
func over(day string, after time.Duration, now time.Time) bool {
	began, err := time.Parse(time.DateOnly, day)
	return err == nil && !now.Before(began.Add(24*time.Hour+after))
}

// worthIt says whether a day's hot files are worth the work.
func worthIt(files, hot []dataFile, forced bool) bool {
	late, all := countRows(hot), countRows(files)
	if forced {
		return true
	}
	if len(files) == len(hot) {
		return len(files) > 1 || all > fewestRows
	}
	return len(hot) >= lateFiles || late*lateShare >= all
}

func countRows(files []dataFile) (rows int64) {
	for _, f := range files {
		rows += f.Rows
	}
	return rows
}

// rewrite makes compacted files of each set of files, in the part of the manifest with a number.
// After an error there is none.
func (c *compactor) rewrite(
	ctx context.Context, p *partition, sets [][]dataFile, number int64,
) (made []replacement, err error) {
	began := time.Now()
	tables := newTables()
	var jobs []rewriteJob
	for _, set := range sets {
		t := tables.named(set[0].Table)
		r := replacement{gone: set}
		parts := int((countRows(set) + compactRows - 1) / compactRows)
		for part := range parts {
			into := compactedFile(p.source, set, number, part, parts)
			r.come = append(r.come, into)
			jobs = append(jobs, rewriteJob{t, into, p.layout.compactSQL(t, set, part, parts)})
		}
		made = append(made, r)
	}
	files, err := c.files(ctx, p, jobs)
	if err != nil {
		return nil, err
	}
	for _, r := range made {
		files = files[copy(r.come, files):]
		if got, want := countRows(r.come), countRows(r.gone); got != want {
			err = errors.Join(err, fmt.Errorf("files of %s, %s have %d rows, and %d when they were "+
				"compacted", r.gone[0].Table, r.gone[0].Day, want, got))
		}
	}
	if err != nil {
		p.removeUnnamed(made)
		return nil, err
	}
	p.metrics.compacted(made, time.Since(began))
	fault.Point(fault.LakeCompacted)
	return made, nil
}

// rewriteJob is a file to be made of what a query gives.
type rewriteJob struct {
	table *table
	file  dataFile
	sql   string
}

// files makes files and returns them with their rows and sizes, durable and under their names.
// After an error there is none.
func (c *compactor) files(
	ctx context.Context, p *partition, jobs []rewriteJob,
) (files []dataFile, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	made := make([]Rewrite, len(jobs))
	for i, j := range jobs {
		made[i] = Rewrite{
			Path: uniqueTmp(p.layout.file(j.file.Path)), SQL: j.sql, FieldIDs: j.table.fieldIDs(),
		}
		if j.file.Compacted {
			made[i].RowGroup = compactRowGroup
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.removeAll(jobs, made))
		}
	}()
	rows, err := c.rewriter.Rewrite(ctx, p.layout.root(), made)
	if err != nil {
		return nil, err
	}
	for i, j := range jobs {
		f := j.file
		f.Rows = rows[i]
		if f.Bytes, err = settle(p.disk, made[i].Path, p.layout.file(f.Path)); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// compactedFile is one of the files that take the place of others.
func compactedFile(s source, gone []dataFile, number int64, part, parts int) dataFile {
	into := dataFile{
		Table: gone[0].Table, Day: gone[0].Day, Compacted: true, First: gone[0].First, Last: gone[0].Last,
	}
	for _, f := range gone {
		into.First, into.Last = min(into.First, f.First), max(into.Last, f.Last)
		into.ClockUs = max(into.ClockUs, f.ClockUs)
	}
	into.Path = dataPath(into.Table, into.Day, s, into.First, into.Last, number)
	if parts > 1 {
		into.Path = strings.TrimSuffix(into.Path, ".parquet") + fmt.Sprintf("p%d.parquet", part)
	}
	return into
}

// settle makes a file durable under its name and returns its size.
func settle(d disk, tmp, path string) (size int64, err error) {
	if err := d.sync(tmp); err != nil {
		return 0, err
	}
	info, err := os.Stat(tmp)
	if err != nil {
		return 0, err
	}
	if err := d.rename(tmp, path); err != nil {
		return 0, err
	}
	return info.Size(), d.sync(filepath.Dir(path))
}

// removeAll removes what was made of files that nobody will name.
func (p *partition) removeAll(jobs []rewriteJob, made []Rewrite) (err error) {
	for i := range jobs {
		for _, path := range []string{made[i].Path, p.layout.file(jobs[i].file.Path)} {
			if e := p.disk.remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// compactSQL selects the rows of files, or those of a part of the visitors, in the order of a
// compacted file.
func (l layout) compactSQL(t *table, files []dataFile, part, parts int) string {
	paths := l.paths(files)
	slices.Sort(paths)
	keys := t.sortedBy()
	where := ""
	if parts > 1 {
		where = fmt.Sprintf("\nWHERE hash(%s) %% %d = %d", keys[0], parts, part)
	}
	return selectSQL(t, paths) + where + "\nORDER BY " + strings.Join(keys, ", ")
}

// replace publishes what a compaction has made. What is not as it was meanwhile stays.
func (p *partition) replace(ctx context.Context, r rewritten) error {
	p.compaction = nil
	if r.err != nil && ctx.Err() != nil {
		return nil // the end has come between
	}
	if r.err != nil {
		p.compactNotBefore = p.now().Add(compactPause)
		p.metrics.compactFailures.Inc()
		p.log.Error("compact past days", "topic", p.topic, "partition", p.partition, "err", r.err)
		if p.forced.Load() {
			p.forced.Store(false)
			p.compactFailed.Store(&r.err)
			p.moved.raise()
		}
		return nil
	}
	if err := p.commit(r.replacements, nil); err != nil {
		return err
	}
	fault.Point(fault.LakeReplaced)
	p.compactNext(ctx)
	return nil
}

// abandon waits for what is under way and removes what came of it: nobody has named it.
func (p *partition) abandon() {
	if p.compaction != nil {
		r := <-p.compaction.done
		p.compaction = nil
		p.removeUnnamed(r.replacements)
	}
	if p.erasing.found != nil {
		c := <-p.erasing.found
		p.erasing.found = nil
		p.removeUnnamed(c.replacements)
	}
}

// removeUnnamed removes the new files of replacements that are not to be published.
func (p *partition) removeUnnamed(replacements []replacement) {
	for _, r := range replacements {
		for _, f := range r.come {
			if err := p.disk.remove(p.layout.file(f.Path)); err != nil {
				p.log.Warn("remove a rewritten file that is not needed", "path", f.Path, "err", err)
			}
		}
	}
}

// Compact compacts every day that has been over for long enough, at once, and returns when that is
// in the catalog. Run must be running.
func (l *Lake) Compact(ctx context.Context) error {
	if l.partitions[0].compactor == nil {
		return errors.New("compact the lake: it was opened without a rewriter")
	}
	for _, p := range l.partitions {
		p.compactFailed.Store(nil)
		p.forced.Store(true)
	}
	for {
		changed := l.moved.wait()
		busy := false
		for _, p := range l.partitions {
			if err := p.compactFailed.Load(); err != nil {
				return fmt.Errorf("compact the lake: %s: %w", p.source, *err)
			}
			busy = busy || p.forced.Load()
		}
		if err := l.drain(ctx); err != nil || !busy {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("compact the lake: %w", ctx.Err())
		case <-l.ended:
			return errEnded
		}
	}
}
