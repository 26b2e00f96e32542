package kafka

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// markVersion is raised with a change of the mark's shape. The one before is read.
const markVersion = 1

const (
	markName   = "verified.json"
	damageName = "damage.json"
)

// mark says how far each partition of an embedded broker was verified, so that a start reads only
// what is new, and where it ended, so that an end that is gone is seen.
type mark struct {
	Version    int                       `json:"version"`
	Partitions map[string]*partitionMark `json:"partitions"` // by name of the partition's folder
	// Closed is true after Close, and not after a stop in the middle of something.
	Closed bool `json:"closed"`
}

type partitionMark struct {
	// TopicID tells a topic from one that was deleted and had its name.
	TopicID string `json:"topic_id"`
	// Segment is the base offset of the last segment that was read, or noSegment, and Position where
	// its last whole batch begins. That one is read again: it may be the one that a stop has torn.
	Segment  int64 `json:"segment"`
	Position int64 `json:"position"`
	// Offset is the first one of the batch at Position, Batches how many stand before it.
	Offset  int64 `json:"offset"`
	Batches int64 `json:"batches"`
	// End is the offset after the last that was verified.
	End int64 `json:"end"`
	// Segments are those that were read, to tell one that retention took from one that is gone.
	Segments []segmentMark `json:"segments,omitempty"`
	// Open are the transactions that have neither been committed nor aborted, by producer.
	Open map[int64]int16 `json:"open,omitempty"`
	// Gaps are offsets that are known to be missing, ascending and apart.
	Gaps []gap `json:"gaps,omitempty"`
}

// noSegment stands in a mark that asks for everything to be read.
const noSegment = -1

// unread is the mark of a partition that is to be read from its beginning: what is known of it
// stays.
func (m *partitionMark) unread() partitionMark {
	return partitionMark{TopicID: m.TopicID, Segment: noSegment, End: m.End, Gaps: m.Gaps}
}

type segmentMark struct {
	Base   int64 `json:"base"`
	Next   int64 `json:"next"`
	Newest int64 `json:"newest"` // Unix milliseconds
}

// gap is a range of offsets, To not included.
type gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// covers says whether a range of offsets is known to be missing.
func (m *partitionMark) covers(from, to int64) bool {
	for _, g := range m.Gaps {
		if g.From <= from && to <= g.To {
			return true
		}
	}
	return false
}

// addGap notes that offsets are missing.
func (m *partitionMark) addGap(from, to int64) {
	all := append(slices.Clone(m.Gaps), gap{from, to})
	slices.SortFunc(all, func(a, b gap) int { return cmp.Compare(a.From, b.From) })
	m.Gaps = all[:1]
	for _, g := range all[1:] {
		if last := &m.Gaps[len(m.Gaps)-1]; g.From <= last.To {
			last.To = max(last.To, g.To)
		} else {
			m.Gaps = append(m.Gaps, g)
		}
	}
}

// readMark reads a directory's mark. One that cannot be read is put aside, and everything is
// verified; one of a later version is refused.
func readMark(dir string, now time.Time) (m mark, aside string, err error) {
	m = mark{Version: markVersion, Partitions: map[string]*partitionMark{}}
	path := filepath.Join(dir, markName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, "", nil
	}
	if err != nil {
		return m, "", err
	}
	var read mark
	if err := json.Unmarshal(text, &read); err == nil && read.Version > markVersion {
		return m, "", fmt.Errorf("%s has version %d and this program knows up to %d: a later "+
			"version of it has run here, run that one again", path, read.Version, markVersion)
	} else if err != nil || read.Version < 1 || !read.sound() {
		aside = corruptName(path, now)
		return m, aside, os.Rename(path, aside)
	}
	return read, "", nil
}

// sound says whether a mark can be worked with.
func (m *mark) sound() bool {
	if m.Partitions == nil {
		return false
	}
	for _, p := range m.Partitions {
		if p == nil || p.Segment < noSegment || p.Position < 0 || p.Offset < p.Segment ||
			p.End < p.Offset || p.Batches < 0 {
			return false
		}
	}
	return true
}

// readDamage reads what earlier starts found and nobody has acknowledged by deleting the file. A
// file that cannot be read is put aside.
func readDamage(dir string, now time.Time) (known []Damage, aside string, err error) {
	path := filepath.Join(dir, damageName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if json.Unmarshal(text, &known) != nil {
		aside = corruptName(path, now)
		return nil, aside, os.Rename(path, aside)
	}
	return known, "", nil
}

// corruptName is what a file is called that is put aside.
func corruptName(path string, now time.Time) string {
	return path + ".corrupt-" + now.UTC().Format("20060102T150405.000Z")
}

// writeJSON replaces a file so that a stop at any moment leaves the old one or the new one.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	next := path + ".next"
	if err := writeSynced(next, append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, content []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
