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
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// catalogFormat is the version of generation's format.
const catalogFormat = 1

// generation is what is kept of the catalog beside it: its number, which only grows.
type generation struct {
	Format int   `json:"format"`
	Number int64 `json:"number"`
}

// refresh builds the catalog where it does not show the newest manifests of partitions.
func (l *Lake) refresh(ctx context.Context, of []*partition) error {
	changed := false
	for _, p := range of {
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
	err := l.withCatalog(ctx, func() error { return l.buildCatalog(ctx) })
	l.unshown.Store(nil)
	if err != nil {
		l.unshown.Store(&err)
	}
	return err
}

// buildCatalog makes a catalog of the newest manifests of all partitions, also of those that other
// processes write, beside the one that is there, and renames it over. One process does so at a
// time, and the last to begin shows the most.
func (l *Lake) buildCatalog(ctx context.Context) error {
	began := time.Now()
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
	l.freshen(manifests)
	l.show(manifests, number)
	l.log.Debug("catalog built", "generation", number, "seconds", time.Since(began).Seconds())
	l.metrics.catalog.Observe(time.Since(began).Seconds())
	l.metrics.built.SetToCurrentTime()
	return nil
}

// freshen measures how long what the catalog shows for the first time has waited for it.
func (l *Lake) freshen(manifests []*manifest) {
	for _, m := range manifests {
		at := source{m.Topic, m.Partition}
		if m.Fresh == nil || m.Owner != l.owner || m.Fresh.PublishedUs <= l.freshest[at] {
			continue
		}
		l.freshest[at] = m.Fresh.PublishedUs
		wait := time.Since(time.UnixMicro(m.Fresh.OldestUs))
		l.metrics.freshness.WithLabelValues(m.Topic).Observe(wait.Seconds())
	}
}

// show notes what the catalog shows that is in place now.
func (l *Lake) show(manifests []*manifest, number int64) {
	facts := int64(0)
	l.built = map[source]int64{}
	for _, m := range manifests {
		l.built[source{m.Topic, m.Partition}] = m.Number
		if m.Topic != string(schemas.Scores) && m.Topic != string(schemas.Handoffs) {
			facts += m.Number
		}
	}
	if facts != l.facts || l.generation.Load() == 0 {
		l.facts = facts
		l.generation.Store(number)
	}
	for _, p := range l.partitions {
		p.shown.put(l.built[p.source], p.now())
	}
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

// lockWait is how long another process may build its catalog.
const lockWait = 30 * time.Second

// withCatalog does something while no other process builds. Who stands still with the lock in hand
// holds up what is shown, not what is published.
func (l *Lake) withCatalog(ctx context.Context, do func() error) error {
	f, err := os.OpenFile(l.layout.lock(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("build catalog: %w", err)
	}
	defer f.Close() // unlocks; nothing was written
	wait, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return do()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("build catalog: lock %q: %w", f.Name(), err)
		}
		if !kafka.Pause(wait, lockPause) {
			return fmt.Errorf("build catalog: %w: another process has %q locked for so long: see "+
				"whether one that writes this lake stands still, and end it", context.Cause(wait), f.Name())
		}
	}
}

const lockPause = 10 * time.Millisecond
