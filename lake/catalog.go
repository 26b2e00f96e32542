package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crumbtrail/internal/fault"
	"crumbtrail/schemas"
)

// catalogFormat is the version of generation's format.
const catalogFormat = 1

// generation is what is kept of the catalog beside it: its number, which only grows.
type generation struct {
	Format int   `json:"format"`
	Number int64 `json:"number"`
}

// refresh builds the catalog where it does not show the newest manifests.
func (l *Lake) refresh(ctx context.Context) error {
	changed := false
	for _, p := range l.partitions {
		// A partition's number may grow under our eyes: then the next refresh shows it.
		m, err := l.publisher.newest(p.source)
		if err != nil {
			return err
		}
		changed = changed || m != l.built[p.source]
	}
	if !changed {
		return nil
	}
	return l.buildCatalog(ctx)
}

// buildCatalog makes a catalog of the newest manifests of all partitions, also of those that other
// processes write, beside the one that is there, and renames it over. One process does so at a
// time, and the last to begin shows the most.
func (l *Lake) buildCatalog(ctx context.Context) error {
	began := time.Now()
	unlock, err := l.lockCatalog()
	if err != nil {
		return fmt.Errorf("build catalog: %w", err)
	}
	defer unlock()
	manifests, err := l.publisher.all()
	if err != nil {
		return fmt.Errorf("build catalog: %w", err)
	}
	number, err := l.nextGeneration()
	if err != nil {
		return fmt.Errorf("build catalog: %w", err)
	}
	if err := l.replaceCatalog(ctx, catalogSQL(l.layout, manifests, number)); err != nil {
		return fmt.Errorf("build catalog %d: %w", number, err)
	}
	facts := int64(0)
	l.built = map[source]int64{}
	for _, m := range manifests {
		l.built[source{m.Topic, m.Partition}] = m.Number
		if m.Topic != string(schemas.Scores) {
			facts += m.Number
		}
	}
	if facts != l.facts || l.generation.Load() == 0 {
		l.facts = facts
		l.generation.Store(number)
	}
	l.log.Debug("catalog built", "generation", number, "seconds", time.Since(began).Seconds())
	l.metrics.catalog.Observe(time.Since(began).Seconds())
	l.metrics.built.SetToCurrentTime()
	return nil
}

func (l *Lake) replaceCatalog(ctx context.Context, statements []string) error {
	path := l.layout.catalog()
	tmp := path + tmpSuffix
	if err := l.catalog.Build(ctx, tmp, statements); err != nil {
		return err
	}
	if err := l.disk.sync(tmp); err != nil {
		return err
	}
	fault.Point(fault.LakeBuilt)
	if err := l.disk.rename(tmp, path); err != nil {
		return err
	}
	fault.Point(fault.LakeShown)
	return l.disk.sync(l.layout.data)
}

// nextGeneration takes the next number. One that a crash leaves unused stays so.
func (l *Lake) nextGeneration() (int64, error) {
	g := generation{}
	data, err := os.ReadFile(l.layout.generation())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, err
	default:
		if err := json.Unmarshal(data, &g); err != nil {
			return 0, fmt.Errorf("read %q: %w", l.layout.generation(), err)
		}
		if g.Format > catalogFormat {
			return 0, fmt.Errorf("%q has format %d, this program knows up to %d: a newer version of "+
				"it has written this lake; use that one", l.layout.generation(), g.Format,
				catalogFormat)
		}
	}
	g.Format, g.Number = catalogFormat, g.Number+1
	if data, err = json.Marshal(g); err != nil {
		return 0, err
	}
	return g.Number, writeFile(l.disk, l.layout.generation(), func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// lockCatalog waits until no other process builds.
func (l *Lake) lockCatalog() (unlock func(), err error) {
	f, err := os.OpenFile(l.layout.lock(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks; nothing was written
}
