package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// cleared reports whether a manifest would say that erasures are done.
func (p *partition) cleared() bool {
	return p.published.Number > 0 && p.erasing.to > p.published.ErasedTo && p.graceIsOver()
}

// graceIsOver reports whether files may go that held what was erased: the catalog shows none of
// them any more, and queries that began before have had their time.
func (p *partition) graceIsOver() bool {
	at, ok := p.shown.reached(p.erasing.number)
	return ok && p.now().Sub(at) >= p.erasures.grace
}

// takeOut publishes what a search has found: files without the rows. Where one of the files does
// not count any more, the partition is searched anew.
func (p *partition) takeOut(ctx context.Context, c cleared) error {
	p.erasing.found = nil
	gone := slices.ContainsFunc(c.replacements, func(r replacement) bool {
		return !slices.ContainsFunc(p.published.Files, func(f dataFile) bool {
			return f.Path == r.gone[0].Path
		})
	})
	if c.err != nil || gone {
		p.removeUnnamed(c.replacements)
		if c.err != nil && ctx.Err() == nil {
			p.log.Error("erase from files of the lake", "topic", p.topic, "partition", p.partition,
				"err", c.err)
		}
		p.erasures.again(retryMost)
		return nil
	}
	if err := p.commit(nil, &c); err != nil {
		return err
	}
	p.erasures.again(0)
	return nil
}

// without puts into the manifest what a search has found.
func (p *partition) without(m *manifest, c cleared, nowUs int64) {
	for _, r := range c.replacements {
		m.replace(r, nowUs)
	}
	for request, tables := range c.rows {
		for table, rows := range tables {
			addRows(p.tables.dropped, request, table, rows)
		}
	}
	m.Erased = cloneRows(p.tables.dropped)
	p.erasing = erasing{to: c.to, number: m.Number, us: nowUs}
}

// expire takes the retired files off the manifest that may go, and returns those that go once it is
// published. What holds erased rows goes before that, so that a manifest which says that it is gone
// is right.
func (p *partition) expire(m *manifest) (over []retiredFile, err error) {
	if p.erasing.to == m.ErasedTo || !p.graceIsOver() {
		return m.expire(p.passed()), nil
	}
	for _, f := range m.expire(p.erasing.number) {
		err := p.disk.remove(p.layout.file(f.Path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove a file with erased rows: %w", err)
		}
	}
	m.ErasedTo = p.erasing.to
	return nil, nil
}

// soon is when to look again for a catalog that is being built.
const soon = 100 * time.Millisecond

// search begins to look for what is erased in the partition's files, where there is something new
// to look for and no row is missing. It is called when all rows are in files.
func (p *partition) search(ctx context.Context) {
	if p.erasing.to > p.published.ErasedTo {
		over := time.UnixMicro(p.erasing.us).Add(p.erasures.grace)
		p.erasures.again(max(over.Sub(p.now()), soon))
		return
	}
	if p.erasing.found != nil || p.tables.rows > 0 || p.ask == nil || p.compactor == nil {
		return
	}
	list, to := p.erasures.due(p.source, p.next, p.erasing.to)
	if len(list) == 0 {
		return
	}
	found := make(chan cleared, 1)
	p.erasing.found = found
	m := p.published
	go func() {
		c := cleared{to: to, rows: map[string]tableRows{}}
		c.err = p.clearFiles(ctx, m, list, &c)
		found <- c
	}()
}

// clearFiles writes the files of a manifest anew that hold what is erased.
func (p *partition) clearFiles(
	ctx context.Context, m *manifest, list []*erasure, c *cleared,
) error {
	for _, t := range newTables().all() {
		var files []dataFile
		for _, f := range m.Files {
			if f.Table == t.name {
				files = append(files, f)
			}
		}
		var wheres []string
		var requests []string
		for _, e := range list {
			if where := e.where(t.name); where != "" {
				wheres, requests = append(wheres, where), append(requests, e.RequestId)
			}
		}
		if len(files) == 0 || len(wheres) == 0 {
			continue
		}
		offsets, rows, err := p.find(ctx, t, files, wheres, requests, c)
		if err == nil && rows > 0 {
			err = p.clearTable(ctx, t, files, m.Number+1, offsets, rows, c)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

// find returns the offsets of the rows which one of the conditions holds for, and how many rows.
func (p *partition) find(
	ctx context.Context, t *table, files []dataFile, wheres, requests []string, c *cleared,
) (offsets []int64, rows int64, err error) {
	err = p.ask(ctx, searchSQL(p.layout, t, files, wheres), func(values []any) error {
		offset, ok1 := values[0].(int64)
		which, ok2 := values[1].(int64)
		n, ok3 := values[2].(int64)
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("a search answered %v", values)
		}
		offsets = append(offsets, offset)
		rows += n
		addRows(c.rows, requests[which], t.name, n)
		return nil
	})
	return offsets, rows, err
}

// searchSQL asks which offsets have rows that a condition holds for, for which of them the first
// does, and how many rows.
func searchSQL(l layout, t *table, files []dataFile, wheres []string) string {
	var which strings.Builder
	for i, where := range wheres {
		fmt.Fprintf(&which, " WHEN %s THEN %d", where, i)
	}
	return fmt.Sprintf("SELECT topic_offset, which, count(*) FROM (SELECT topic_offset, CASE%s END::"+
		"BIGINT AS which FROM %s) WHERE which IS NOT NULL GROUP BY ALL", which.String(),
		readSQL(t, l.paths(files)))
}

// clearTable writes the files of a table anew that may have rows of some offsets, without them.
func (p *partition) clearTable(
	ctx context.Context, t *table, files []dataFile, number int64, offsets []int64, rows int64,
	c *cleared,
) error {
	var jobs []rewriteJob
	var gone []dataFile
	for _, f := range files {
		var within []string
		for _, offset := range offsets {
			if f.First <= offset && offset <= f.Last {
				within = append(within, fmt.Sprint(offset))
			}
		}
		if len(within) == 0 {
			continue
		}
		into := f
		into.Path = clearedPath(f.Path, number)
		gone = append(gone, f)
		jobs = append(jobs, rewriteJob{t, into, selectSQL(t, p.layout.paths([]dataFile{f})) +
			"\nWHERE topic_offset NOT IN (" + strings.Join(within, ", ") + ")"})
	}
	made, err := p.compactor.files(ctx, p, jobs)
	if err != nil {
		return err
	}
	before := countRows(gone)
	for i, f := range made {
		r := replacement{gone: gone[i : i+1], come: made[i : i+1]}
		if f.Rows == 0 || f.Rows == gone[i].Rows { // nothing is left, or nothing went
			if err := p.disk.remove(p.layout.file(f.Path)); err != nil {
				return err
			}
			r.come = nil
		}
		if f.Rows < gone[i].Rows {
			c.replacements = append(c.replacements, r)
		}
	}
	if went := before - countRows(made); went != rows {
		return fmt.Errorf("%d rows are erased, and %d went", rows, went)
	}
	return nil
}
