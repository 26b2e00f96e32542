package kafka

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// keeper keeps watch over the files of an embedded broker: before it opens them, while it runs, and
// after it has closed them.
type keeper struct {
	log *slog.Logger

	files sync.Mutex // held while the scrub or the broker's compaction goes over the files
	scrub scrub
	again scrub // verifies once more what the mark covered at the start, slowly
	// verified is closed when that is done.
	verified chan struct{}
	// suspects are partitions that looked damaged at the last look. A topic that is deleted while
	// it is looked at does, once.
	suspects map[string]bool

	torn atomic.Int64 // bytes cut off that a stop had left unfinished

	seen   sync.Mutex
	damage []Damage
	hidden []string // segments that the broker wanted to cut while it loaded
}

const (
	markEvery = time.Minute
	// againRate is how many bytes per second are verified again in the background.
	againRate = 16 << 20
	// hiddenSuffix is what a segment is called while the broker must not cut it.
	hiddenSuffix = ".hidden"
)

// newKeeper reads what is known of a directory.
func newKeeper(dir string, log *slog.Logger) (*keeper, error) {
	now := time.Now()
	m, aside, err := readMark(dir, now)
	if err != nil {
		return nil, err
	}
	if aside != "" {
		log.Error("embedded broker: the record of what was verified is unreadable: everything is "+
			"verified", "copy", aside)
	}
	k := &keeper{log: log, suspects: map[string]bool{}, verified: make(chan struct{})}
	if k.damage, aside, err = readDamage(dir, now); err != nil {
		return nil, err
	}
	if aside != "" {
		log.Error("embedded broker: the list of known damage is unreadable", "copy", aside)
	}
	k.scrub = scrub{dir: dir, log: log, mark: m, open: openSegment}
	for _, d := range k.damage {
		logDamage(log, dir, d)
	}
	return k, nil
}

// atRest verifies and mends what is new, and records how far everything is certain.
func (k *keeper) atRest() error {
	k.files.Lock()
	defer k.files.Unlock()
	if err := k.scrub.undoCompaction(); err != nil {
		return err
	}
	if err := k.scrub.settle(); err != nil {
		return err
	}
	k.scrub.killed = !k.scrub.mark.Closed
	k.scrub.mark.Closed = false
	if err := k.save(); err != nil {
		return err
	}
	found, err := k.scrub.atRest(time.Now())
	k.torn.Store(k.scrub.torn)
	k.report(found)
	if err != nil {
		return err
	}
	return k.save()
}

func (k *keeper) save() error {
	return writeJSON(filepath.Join(k.scrub.dir, markName), k.scrub.mark)
}

// report adds damage to the list, to the file that a person is to see and delete, and to the log.
func (k *keeper) report(found []Damage) {
	k.seen.Lock()
	defer k.seen.Unlock()
	changed := false
	for _, d := range found {
		i := slices.IndexFunc(k.damage, func(known Damage) bool {
			copied := known
			copied.Copy = d.Copy
			return copied == d
		})
		switch {
		case i < 0:
			k.damage = append(k.damage, d)
			logDamage(k.log, k.scrub.dir, d)
		case d.Copy != "" && k.damage[i].Copy == "": // found in the background, mended now
			k.damage[i] = d
		default:
			continue
		}
		changed = true
	}
	if !changed {
		return
	}
	if err := writeJSON(filepath.Join(k.scrub.dir, damageName), k.damage); err != nil {
		k.log.Error("embedded broker: write the list of damage", "error", err)
	}
}

func logDamage(log *slog.Logger, dir string, d Damage) {
	log.Error("embedded broker: damaged file: records may be lost; restore them from a copy or "+
		"accept the gap, then delete "+damageName,
		"topic", d.Topic, "partition", d.Partition, "file", filepath.Join(dir, d.File),
		"position", d.Position, "lost_from", d.From, "lost_to", d.To, "what", d.What, "copy", d.Copy)
}

// known returns what is damaged.
func (k *keeper) known() []Damage {
	k.seen.Lock()
	defer k.seen.Unlock()
	return slices.Clone(k.damage)
}

// damaged counts the partitions that are damaged, and the state logs.
func (k *keeper) damaged() int {
	type place struct {
		topicPartition
		log string
	}
	places := map[place]bool{}
	for _, d := range k.known() {
		at := place{topicPartition: topicPartition{d.Topic, d.Partition}}
		if d.Topic == "" {
			at.log = d.File
		}
		places[at] = true
	}
	return len(places)
}

// advance brings the mark up to what the broker has written. It mends nothing: where it finds
// damage it leaves the partition to the next start.
func (k *keeper) advance(closed bool) error {
	k.files.Lock()
	defer k.files.Unlock()
	err := k.scrub.each(func(p *partitionFiles, m partitionMark) error {
		w, err := k.scrub.walk(p, m, time.Now())
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted, or never written to
			return nil
		case err != nil:
			return err
		case len(w.damage) > 0:
			k.suspect(p, w, closed)
		default:
			delete(k.suspects, p.name)
			k.scrub.mark.Partitions[p.name] = &w.mark
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.scrub.mark.Closed = closed
	return k.save()
}

// suspect reports a partition that looks damaged for the second time.
func (k *keeper) suspect(p *partitionFiles, w partitionWalk, certain bool) {
	if !certain && !k.suspects[p.name] {
		k.suspects[p.name] = true
		return
	}
	k.report(w.damage)
	if m := k.scrub.mark.Partitions[p.name]; m != nil {
		unread := m.unread()
		k.scrub.mark.Partitions[p.name] = &unread
	}
}

// run keeps the mark up to date, and goes once more over what it covered at the start.
func (k *keeper) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(k.verified)
		if err := k.verifyAgain(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("embedded broker: verify its files in the background", "error", err)
		}
	})
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			if err := k.advance(false); err != nil {
				k.log.Error("embedded broker: verify its files", "error", err)
			}
		}
	}
	wg.Wait()
}

// verifyAgain walks over every partition from its beginning, at a gentle rate. What looks damaged
// is looked at again while nothing else goes over the files.
func (k *keeper) verifyAgain(ctx context.Context) error {
	k.again = scrub{
		dir: k.scrub.dir, log: k.log, mark: mark{Partitions: map[string]*partitionMark{}},
		open: func(path string) (segmentFile, error) {
			f, err := os.Open(path)
			return pacedFile{f, ctx}, err
		},
	}
	return k.again.each(func(p *partitionFiles, _ partitionMark) error {
		w, err := k.again.walk(p, k.gaps(p), time.Now())
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(w.damage) == 0 {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		return k.confirm(p)
	})
}

// gaps returns an empty mark with what is known to be missing from a partition.
func (k *keeper) gaps(p *partitionFiles) partitionMark {
	k.files.Lock()
	defer k.files.Unlock()
	if m := k.scrub.mark.Partitions[p.name]; m != nil {
		return m.unread()
	}
	return partitionMark{Segment: noSegment}
}

func (k *keeper) confirm(p *partitionFiles) error {
	m := k.gaps(p)
	k.files.Lock()
	defer k.files.Unlock()
	now, err := k.scrub.partitionFiles(p.topic, int(p.number))
	if err != nil {
		return err
	}
	w, err := k.scrub.walk(now, m, time.Now())
	if err == nil && len(w.damage) > 0 {
		k.suspect(p, w, true)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pacedFile reads no faster than againRate.
type pacedFile struct {
	*os.File
	ctx context.Context
}

// ReadAt reads, and then waits for as long as that much may take.
func (f pacedFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	if e := pause(f.ctx, time.Duration(n)*time.Second/againRate); e != nil {
		return 0, e
	}
	return n, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// cutting matches what the broker logs just before it cuts a segment while it loads.
var cutting = regexp.MustCompile(
	`^partition (.+)-(\d+) segment (\d+): truncating \d+ corrupt bytes$`)

// hide takes a segment away that the broker is about to cut: what is damaged behind the mark shows
// itself only now, and the broker goes on without cutting where there is no file. The start is then
// begun anew, with the segment back in its place and the partition verified from its beginning.
func (k *keeper) hide(message string) {
	m := cutting.FindStringSubmatch(message)
	if m == nil {
		return
	}
	k.seen.Lock()
	defer k.seen.Unlock()
	topic := &topicAtRest{Name: m[1]}
	var number int
	if _, err := fmt.Sscan(m[2], &number); err != nil {
		return
	}
	p, err := k.scrub.partitionFiles(topic, number)
	if err != nil {
		k.log.Error("embedded broker: keep a damaged segment", "partition", m[1]+"-"+m[2], "error", err)
		return
	}
	segment := filepath.Join(p.dir, m[3]+".dat")
	if err := os.Rename(segment, segment+hiddenSuffix); err != nil {
		k.log.Error("embedded broker: keep a damaged segment", "file", segment, "error", err)
		return
	}
	k.hidden = append(k.hidden, p.name)
}

// unhide says whether segments were taken away, and has their partitions verified from the
// beginning.
func (k *keeper) unhide() bool {
	k.seen.Lock()
	defer k.seen.Unlock()
	for _, name := range k.hidden {
		if m := k.scrub.mark.Partitions[name]; m != nil {
			unread := m.unread()
			k.scrub.mark.Partitions[name] = &unread
		}
	}
	taken := len(k.hidden) > 0
	k.hidden = nil
	return taken
}
