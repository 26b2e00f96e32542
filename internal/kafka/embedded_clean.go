package kafka

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The broker's own cleaner does not outlive a restart, and is not for what must not be lost: it
// removes the segments of a partition and then writes the new ones, so that a stop in between
// takes the partition with it, and it lets a record of an open transaction, which may yet be
// aborted, take the place of the committed one before it. So it is called from here, at a moment
// at which the broker serves nobody and no transaction is open, with the segments kept beside
// until the new ones are on the disk. A start that finds them there puts them back.

const (
	cleanEvery = time.Minute
	// Compaction is due when the compacted topics hold more than compactAbove bytes and have doubled
	// since the last time.
	compactAbove = 32 << 20
	// compactWait is how long a moment without transactions is waited for. It comes with a request.
	compactWait = 10 * time.Second
	// compactingName is there from before the broker begins to replace segments until it is done.
	compactingName = "compacting"
	// beforeName is the folder in a partition's that holds its segments as they were.
	beforeName = "before-compaction"
)

// clean applies retention, and compacts when it is due, until ctx ends.
func (b *Broker) clean(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	var after int64
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			b.retain()
			size, err := b.compactedBytes()
			if err == nil && size > max(compactAbove, 2*after) {
				if err = b.compact(ctx); err == nil {
					after, err = b.compactedBytes()
				}
			}
			if err != nil && ctx.Err() == nil {
				b.keeper.log.Warn("embedded broker: clean its log", "error", err)
			}
		}
	}
}

// retain drops what topics no longer keep.
func (b *Broker) retain() {
	b.keeper.files.Lock()
	defer b.keeper.files.Unlock()
	b.cluster.ApplyRetention()
}

// compactedTopics lists the topics that keep the last record of a key.
func (b *Broker) compactedTopics() (out []topicAtRest, err error) {
	topics, err := topicsAtRest(b.keeper.scrub.dir)
	for _, t := range topics {
		if t.compacted() {
			out = append(out, t)
		}
	}
	return out, err
}

func (b *Broker) compactedBytes() (size int64, err error) {
	topics, err := b.compactedTopics()
	for _, t := range topics {
		for _, p := range b.cluster.PartitionInfos(t.Name) {
			size += p.NumBytes
		}
	}
	return size, err
}

var errNoQuietMoment = errors.New("no moment without open transactions came")

// compact waits for a request at whose time no transaction is open, and compacts before the broker
// answers it.
func (b *Broker) compact(ctx context.Context) error {
	b.keeper.files.Lock()
	defer b.keeper.files.Unlock()
	ctx, cancel := context.WithTimeout(ctx, compactWait)
	defer cancel()
	var mu sync.Mutex
	over, done := false, make(chan error, 1)
	b.cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			topics, err := b.compactedTopics()
			if err == nil && !b.quiet(topics) {
				return nil, nil, false
			}
			if err == nil {
				err = b.keeper.keepingOld(topics, b.cluster.Compact)
			}
			over = true
			done <- err
		}
		b.cluster.DropControl()
		return nil, nil, false
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		mu.Lock()
		defer mu.Unlock()
		if over {
			return <-done
		}
		over = true
		return errNoQuietMoment
	}
}

// quiet says whether no transaction is open in the topics.
func (b *Broker) quiet(topics []topicAtRest) bool {
	for _, t := range topics {
		for _, p := range b.cluster.PartitionInfos(t.Name) {
			if p.LastStableOffset < p.HighWatermark {
				return false
			}
		}
	}
	return true
}

// keepingOld calls replace, which replaces the segments of topics, and keeps the old ones until the
// new ones are certain. The caller holds files.
func (k *keeper) keepingOld(topics []topicAtRest, replace func()) error {
	var parts []*partitionFiles
	for i := range topics {
		for n := range topics[i].Partitions {
			p, err := k.scrub.partitionFiles(&topics[i], n)
			if err != nil {
				return err
			}
			if len(p.segments) > 0 {
				parts = append(parts, p)
			}
			if m := k.scrub.mark.Partitions[p.name]; m != nil {
				unread := m.unread()
				k.scrub.mark.Partitions[p.name] = &unread
			}
		}
	}
	if err := k.save(); err != nil {
		return err
	}
	for _, p := range parts {
		if err := p.keepOld(); err != nil {
			return fmt.Errorf("keep the segments of %s: %w", p.name, err)
		}
	}
	compacting := filepath.Join(k.scrub.dir, compactingName)
	if err := writeSynced(compacting, nil); err != nil {
		return err
	}
	if err := syncDir(k.scrub.dir); err != nil {
		return err
	}
	replace()
	for _, p := range parts {
		if err := syncDir(p.dir); err != nil {
			return err
		}
	}
	if err := os.Remove(compacting); err != nil {
		return err
	}
	if err := syncDir(k.scrub.dir); err != nil {
		return err
	}
	for _, p := range parts {
		if err := os.RemoveAll(filepath.Join(p.dir, beforeName)); err != nil {
			return err
		}
	}
	return nil
}

// keepOld links a partition's segments and indexes into a folder of their own. The broker removes
// them before it writes new ones of the same names.
func (p *partitionFiles) keepOld() error {
	before := filepath.Join(p.dir, beforeName)
	if err := os.RemoveAll(before); err != nil {
		return err
	}
	if err := os.Mkdir(before, 0o755); err != nil {
		return err
	}
	for _, base := range p.segments {
		for _, path := range []string{p.segment(base), p.index(base)} {
			if err := os.Link(path, filepath.Join(before, filepath.Base(path))); err != nil {
				return err
			}
		}
	}
	return errors.Join(syncDir(before), syncDir(p.dir))
}

// undoCompaction puts the old segments back where a stop came before the new ones were certain.
func (s *scrub) undoCompaction() error {
	compacting := filepath.Join(s.dir, compactingName)
	_, err := os.Stat(compacting)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	interrupted := err == nil
	folders, err := filepath.Glob(filepath.Join(s.dir, "partitions", "*", beforeName))
	if err != nil {
		return err
	}
	for _, before := range folders {
		if interrupted {
			if err := putBack(before); err != nil {
				return fmt.Errorf("put back what was there before compaction: %w", err)
			}
		}
		if err := os.RemoveAll(before); err != nil {
			return err
		}
	}
	if !interrupted {
		return nil
	}
	s.log.Warn("embedded broker: compaction was interrupted, and is undone",
		"partitions", len(folders))
	if err := os.Remove(compacting); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// putBack puts the segments in a folder in the place of those in the folder above. A stop in
// between leaves it to be done again: nothing is taken from the folder before everything is above
// it.
func putBack(before string) error {
	dir := filepath.Dir(before)
	above, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range above {
		if strings.HasSuffix(e.Name(), ".dat") || strings.HasSuffix(e.Name(), ".idx") {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	old, err := os.ReadDir(before)
	if err != nil {
		return err
	}
	for _, e := range old {
		if err := os.Link(filepath.Join(before, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(dir)
}
