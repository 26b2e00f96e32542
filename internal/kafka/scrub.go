package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Damage is something that the embedded broker's files no longer hold, or hold no longer in a way
// that can be read.
type Damage struct {
	// Topic has the prefix. It is empty for the broker's own state: groups and producers.
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// File is relative to the broker's directory, Position where in it.
	File     string `json:"file"`
	Position int64  `json:"position"`
	// From and To are the offsets that are lost, To not included; the same where none are.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// What happened, for people.
	What string `json:"what"`
	// Copy is the file as it was found, relative to the directory; empty where nothing was left of it.
	Copy string `json:"copy,omitempty"`
}

// scrub verifies the files of an embedded broker: each batch's frame and checksum, that offsets go
// on, and that a partition ends where it is known to have ended. At rest it also mends.
//
// The broker's own load is no place to find out: it cuts a segment at the first batch that it
// cannot read and gives the offsets behind the cut to other records, so what was acknowledged is
// gone and a reader that had come further skips what comes next. So before the broker opens
// them, a damaged segment is put aside untouched, and what can be read of it takes its place
// with a gap where the rest was. A partition that has lost its end gets an empty batch where the
// end was. Either way no offset has two meanings, a reader is told by the gap, and a person has
// the bytes as they were found. Partitions without damage are not touched.
type scrub struct {
	dir  string
	log  *slog.Logger
	mark mark
	// open reads a file; it is paced in the background.
	open func(path string) (segmentFile, error)
	// killed is true at the start after a stop that was no Close.
	killed bool
	read   int64 // bytes of segments that were read
	torn   int64 // bytes at the ends of files that a stop had left unfinished
}

// segmentFile is an open segment.
type segmentFile interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
}

func openSegment(path string) (segmentFile, error) { return os.Open(path) }

// topicAtRest is a topic as the broker's own file has it.
type topicAtRest struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int               `json:"partitions"`
	Configs    map[string]string `json:"configs"`
}

// topicsAtRest reads the list of topics of an embedded broker.
func topicsAtRest(dir string) ([]topicAtRest, error) {
	text, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("topics of the embedded broker: %w", err)
	}
	var file struct {
		Topics []topicAtRest `json:"topics"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("topics of the embedded broker in %s: %w", dir, err)
	}
	return file.Topics, nil
}

// compacted says whether offsets of the topic have gaps by design.
func (t *topicAtRest) compacted() bool {
	return strings.Contains(t.Configs["cleanup.policy"], "compact")
}

// expires says whether retention may have taken a segment whose newest record is from then.
func (t *topicAtRest) expires(newest int64, now time.Time) bool {
	if size, err := strconv.ParseInt(t.Configs["retention.bytes"], 10, 64); err == nil && size >= 0 {
		return true
	}
	kept, err := strconv.ParseInt(t.Configs["retention.ms"], 10, 64)
	return err == nil && kept >= 0 && now.UnixMilli()-newest >= kept
}

// partitionFiles are the files of one partition.
type partitionFiles struct {
	topic    *topicAtRest
	number   int32
	name     string // of its folder, below partitions
	dir      string
	segments []int64 // base offsets, ascending
}

func (s *scrub) partitionFiles(t *topicAtRest, number int) (*partitionFiles, error) {
	p := &partitionFiles{
		topic: t, number: int32(number), name: url.PathEscape(t.Name) + "-" + strconv.Itoa(number),
	}
	p.dir = filepath.Join(s.dir, "partitions", p.name)
	entries, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), ".dat"); ok {
			if n, err := strconv.ParseInt(base, 10, 64); err == nil && n >= 0 {
				p.segments = append(p.segments, n)
			}
		}
	}
	slices.Sort(p.segments)
	return p, nil
}

func (p *partitionFiles) segment(base int64) string {
	return filepath.Join(p.dir, strconv.FormatInt(base, 10)+".dat")
}

func (p *partitionFiles) index(base int64) string {
	return filepath.Join(p.dir, strconv.FormatInt(base, 10)+".idx")
}

// damage describes something wrong in a segment of the partition.
func (p *partitionFiles) damage(base, at, from, to int64, what string) Damage {
	return Damage{
		Topic: p.topic.Name, Partition: p.number, Position: at, From: from, To: to, What: what,
		File: filepath.Join("partitions", p.name, strconv.FormatInt(base, 10)+".dat"),
	}
}

// snapshotEnd is where the broker's own snapshot, written at a clean stop, says that the partition
// ended. The broker ignores one that it cannot read, and so does this.
func (p *partitionFiles) snapshotEnd() int64 {
	text, err := os.ReadFile(filepath.Join(p.dir, "snapshot.json"))
	var snapshot struct {
		HighWatermark int64 `json:"high_watermark"`
	}
	if err != nil || json.Unmarshal(text, &snapshot) != nil {
		return 0
	}
	return snapshot.HighWatermark
}

// each calls fn for the files of every partition of every topic, and drops the marks of those that
// are no more.
func (s *scrub) each(fn func(*partitionFiles, partitionMark) error) error {
	topics, err := topicsAtRest(s.dir)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range topics {
		for n := range topics[i].Partitions {
			p, err := s.partitionFiles(&topics[i], n)
			if err != nil {
				return err
			}
			known[p.name] = true
			m := s.mark.Partitions[p.name]
			if m == nil || m.TopicID != topics[i].ID {
				m = &partitionMark{TopicID: topics[i].ID, Segment: noSegment}
			}
			if err := fn(p, *m); err != nil {
				return fmt.Errorf("verify partition %d of %q: %w", n, topics[i].Name, err)
			}
		}
	}
	for name := range s.mark.Partitions {
		if !known[name] {
			delete(s.mark.Partitions, name)
		}
	}
	return nil
}
