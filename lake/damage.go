package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A crash leaves nothing half-written under its name. What is damaged all the same, by a disk or a
// hand, is told with its path and what to do, and put aside under a name that says so. A manifest
// has one before it, whose records are read again. A file of rows has nothing in its place: the
// lake goes on without it once somebody has accepted the loss.

// errDamaged means that a file is not as it was written.
var errDamaged = errors.New("damaged")

// corrupt is where a damaged file is put, out of every reader's way.
func corrupt(path string, now time.Time) string {
	return fmt.Sprintf("%s.corrupt-%s", path, now.UTC().Format("20060102T150405"))
}

// check refuses what a newer version has written, before anything is touched.
func (p linkPublisher) check() error {
	sources, err := p.sources()
	if err != nil {
		return err
	}
	for _, s := range sources {
		if _, err := p.latest(s); err != nil && !errors.Is(err, errDamaged) {
			return err
		}
	}
	return nil
}

// newestWhole puts damaged manifests of a partition aside and returns the newest that is whole.
func (p *partition) newestWhole() (*manifest, error) {
	for {
		m, err := p.publish.latest(p.source)
		if !errors.Is(err, errDamaged) {
			return m, err
		}
		p.metrics.damaged.Inc()
		aside, failed := p.publish.putAside(p.source, p.now())
		if failed != nil {
			return nil, fmt.Errorf("%w; %w", err, failed)
		}
		p.log.Error("a manifest is put aside: its records are read again", "err", err, "path", aside)
	}
}

// putAside renames the newest manifest of a partition, if there is one before it.
func (p linkPublisher) putAside(s source, now time.Time) (aside string, err error) {
	numbers, err := p.numbers(s)
	if err != nil {
		return "", err
	}
	path := p.path(s, numbers[len(numbers)-1])
	if len(numbers) == 1 {
		return "", fmt.Errorf("there is none before it: put it back from a copy of the data directory, "+
			"or remove %q, and all of the topic partition is read again as far as the log has it",
			filepath.Dir(path))
	}
	aside = corrupt(path, now)
	return aside, errors.Join(p.disk.rename(path, aside), p.disk.sync(filepath.Dir(path)))
}

// wentBack says whether a damaged manifest of a partition lies aside. As long as it does, the files
// that only it named are not swept: they may be all that there is of their records.
func (p linkPublisher) wentBack(s source) bool {
	entries, err := os.ReadDir(p.layout.manifestsOf(s))
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return strings.Contains(e.Name(), ".json.corrupt-")
	})
}

// whole returns the manifest once all its files are there in their full length: itself, or one
// without those that are not, where that loss is accepted.
func (p *partition) whole(m *manifest) (*manifest, error) {
	isDamaged := func(f dataFile) bool {
		info, err := os.Stat(p.layout.file(f.Path))
		return errors.Is(err, fs.ErrNotExist) || f.Path == p.unreadable ||
			err == nil && f.Bytes > 0 && info.Size() != f.Bytes
	}
	at := slices.IndexFunc(m.Files, isDamaged)
	if at < 0 {
		return m, nil
	}
	if !p.skipMissing {
		f := m.Files[at]
		p.metrics.damaged.Inc()
		return nil, fmt.Errorf("%w: %q, of %d rows, is not there with its %d bytes: %s", errDamaged,
			p.layout.file(f.Path), f.Rows, f.Bytes, mendFile)
	}
	less := *m
	less.Format, less.Number, less.Owner = manifestFormat, m.Number+1, p.owner
	less.Columns = columnsKnown()
	less.Files = slices.DeleteFunc(slices.Clone(m.Files), func(f dataFile) bool {
		if !isDamaged(f) {
			return false
		}
		path := p.layout.file(f.Path)
		p.metrics.damaged.Inc()
		p.log.Error("a file of the lake is damaged or gone: its rows are left out", "path", path,
			"rows", f.Rows, "put_aside", corrupt(path, p.now()))
		err := p.disk.rename(path, corrupt(path, p.now()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.log.Warn("put a damaged file aside", "path", path, "err", err)
		}
		return true
	})
	return &less, p.publish.publish(&less)
}

// mendFile is what to do about a damaged file of rows.
const mendFile = "put it back from a copy of the data directory, or start once with " +
	"--skip-missing to go on without its rows"

// asDamaged makes whatever reading a Parquet file ends with, a panic too, the error that it is.
func asDamaged(ctx context.Context, path string, err *error) {
	cause := recover()
	if cause == nil && *err != nil && ctx.Err() == nil {
		cause = *err
	}
	if cause != nil {
		*err = fmt.Errorf("%w: read %q: %v", errDamaged, path, cause)
	}
}
