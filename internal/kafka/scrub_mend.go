package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// atRest verifies and mends everything, before the broker opens it.
func (s *scrub) atRest(now time.Time) ([]Damage, error) {
	if err := s.complete(); err != nil {
		return nil, err
	}
	if s.killed {
		if err := removeIfThere(filepath.Join(s.dir, "session_state.json")); err != nil {
			return nil, err
		}
	}
	if err := s.takeBackHalfCommit(now); err != nil {
		return nil, fmt.Errorf("take back half a commit: %w", err)
	}
	committed, found, err := s.stateLogs(now)
	if err != nil {
		return nil, err
	}
	err = s.each(func(p *partitionFiles, m partitionMark) error {
		known := max(m.End, p.snapshotEnd(), committed[topicPartition{p.topic.Name, p.number}])
		damage, err := s.partition(p, m, known, now)
		found = append(found, damage...)
		return err
	})
	return found, err
}

// complete refuses a directory whose lists are gone while its records are not: the broker would
// take it for an empty one, and write new records among the old.
func (s *scrub) complete() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "partitions"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"meta.json", "topics.json"} {
		if _, err := os.Stat(filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("%w: the directory holds records, and without the file they would be "+
				"overwritten: put it back from a copy, or move the directory away to begin anew", err)
		}
	}
	return nil
}

// partition verifies and mends one partition, which is known to have ended at an offset or later.
func (s *scrub) partition(
	p *partitionFiles, m partitionMark, known int64, now time.Time,
) ([]Damage, error) {
	w, err := s.walk(p, m, now)
	if err != nil {
		return nil, err
	}
	if cut := known > w.mark.End; cut || len(w.mends) > 0 || w.torn != (span{}) {
		if cut {
			w.cutShort(p, known)
		}
		if err := s.mend(p, &w, known, now); err != nil {
			return w.damage, err
		}
		// Positions have moved.
		again, err := s.partitionFiles(p.topic, int(p.number))
		if err != nil {
			return w.damage, err
		}
		mended, err := s.walk(again, w.mark.unread(), now)
		if err != nil {
			return w.damage, err
		}
		if len(mended.damage)+len(mended.mends) > 0 {
			return w.damage, fmt.Errorf("mending it left %v", mended.damage)
		}
		w.mark = mended.mark
	}
	if s.killed && len(w.mark.Open) > 0 {
		if err := s.abortOpen(p, &w.mark, now); err != nil {
			return w.damage, fmt.Errorf("abort what was open: %w", err)
		}
	}
	s.mark.Partitions[p.name] = &w.mark
	// The broker believes a snapshot that fits the sizes of the segments. One that is of another end
	// would have it serve offsets that it does not hold, or hide some that it does.
	if end := p.snapshotEnd(); end != w.mark.End && end > 0 {
		return w.damage, os.Remove(filepath.Join(p.dir, "snapshot.json"))
	}
	return w.damage, nil
}

// cutShort notes that a partition ends before it is known to have ended. Where retention has taken
// the last segment nothing is lost, but the end has to be put back all the same.
func (w *partitionWalk) cutShort(p *partitionFiles, known int64) {
	end := w.mark.End
	if w.torn != (span{}) {
		// The unfinished end is part of what is lost: it is kept for a person to see.
		m := w.mend(w.mark.Segment)
		m.drop, w.torn = append(m.drop, w.torn), span{}
	}
	if from := max(end, w.expired); from < known {
		w.lose(p.damage(w.mark.Segment, w.mark.Position, from, known,
			"the end of the partition is gone"))
	}
	w.mark.addGap(end, known)
}

// mend does what a walk found to be done, and makes the partition end no earlier than it is known
// to have ended.
func (s *scrub) mend(p *partitionFiles, w *partitionWalk, known int64, now time.Time) error {
	for base, m := range w.mends {
		aside, err := s.mendSegment(p, base, m, now)
		if err != nil {
			return fmt.Errorf("mend segment %d: %w", base, err)
		}
		for i := range w.damage {
			if d := &w.damage[i]; aside != "" && d.File == s.rel(p.segment(base)) {
				d.Copy = s.rel(aside)
			}
		}
	}
	last := w.mark.Segment
	if w.torn != (span{}) {
		s.torn += w.torn.to - w.torn.from
		s.log.Warn("embedded broker: cut off what a stop left unfinished", "file", s.rel(p.segment(last)),
			"bytes", w.torn.to-w.torn.from)
		if err := truncateSynced(p.segment(last), w.torn.from); err != nil {
			return err
		}
	}
	if known > w.mark.End {
		if len(p.segments) == 0 {
			last = known
		} else {
			last = p.segments[len(p.segments)-1]
		}
		if err := os.MkdirAll(p.dir, 0o755); err != nil {
			return err
		}
		if err := appendSynced(p.segment(last), emptyBatch(known, now)); err != nil {
			return err
		}
		if err := s.writeIndex(p, last); err != nil {
			return err
		}
	}
	return syncDir(p.dir)
}

// mendSegment puts what is whole of a segment in its place and the segment as it was beside it.
// A stop in between leaves a segment without an index, and those are written anew.
func (s *scrub) mendSegment(
	p *partitionFiles, base int64, m *segmentMend, now time.Time,
) (aside string, err error) {
	path := p.segment(base)
	if len(m.drop)+len(m.bases) > 0 {
		aside = corruptName(path, now)
		if err := copyWithout(path, path+".mending", m); err != nil {
			return "", err
		}
		if err := removeIfThere(p.index(base)); err != nil {
			return "", err
		}
		if err := os.Link(path, aside); err != nil {
			return "", err
		}
		if err := os.Rename(path+".mending", path); err != nil {
			return "", err
		}
		if err := syncDir(p.dir); err != nil {
			return "", err
		}
	}
	return aside, s.writeIndex(p, base)
}

// copyWithout copies a segment without the bytes that are to be dropped, first offsets put right.
func copyWithout(from, to string, m *segmentMend) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	at, shift := int64(0), int64(0)
	drop := append(slices.Clone(m.drop), span{info.Size(), info.Size()})
	slices.SortFunc(drop, func(a, b span) int { return int(a.from - b.from) })
	for _, d := range drop {
		if _, err = io.Copy(dst, io.NewSectionReader(src, at, d.from-at)); err != nil {
			break
		}
		for pos, base := range m.bases {
			if pos >= at && pos < d.from {
				b := binary.BigEndian.AppendUint64(nil, uint64(base))
				if _, e := dst.WriteAt(b, pos-shift); e != nil {
					err = e
				}
			}
		}
		at, shift = d.to, shift+d.to-d.from
	}
	return errors.Join(err, dst.Sync(), dst.Close())
}

// writeIndex writes a segment's index anew from its batches.
func (s *scrub) writeIndex(p *partitionFiles, base int64) error {
	f, err := s.open(p.segment(base))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var index []byte
	reader := newSegmentReader(f, info.Size())
	_, err = reader.scan(0, base, true, func(b frame) bool {
		index = append(index, indexOf(b)...)
		return true
	})
	if err != nil {
		return err
	}
	next := p.index(base) + ".mending"
	if err := writeSynced(next, index); err != nil {
		return err
	}
	return os.Rename(next, p.index(base))
}

// emptyBatch is a batch of no records that takes one offset, as compaction leaves them on a Kafka
// broker: with it a partition ends where it did, and no offset is given out a second time.
func emptyBatch(offset int64, now time.Time) []byte {
	b := make([]byte, batchHeader)
	binary.BigEndian.PutUint64(b, uint64(offset))
	binary.BigEndian.PutUint32(b[atLength:], batchHeader-lengthCovers)
	b[atMagic] = 2
	binary.BigEndian.PutUint64(b[atBaseTime:], uint64(now.UnixMilli()))
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(now.UnixMilli()))
	none := ^uint64(0)
	binary.BigEndian.PutUint64(b[atProducerID:], none)
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(none))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(none))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli()))
	return b
}

// stateLogs verifies and mends the logs of groups and producers, and returns how far groups have
// come. The broker reads such a log up to the first entry that it cannot read and then appends
// behind what it could not, so that what it writes next is lost at the stop after.
func (s *scrub) stateLogs(now time.Time) (map[topicPartition]int64, []Damage, error) {
	offsets, producers := committedOffsets{}, producerEpochs{}
	var found []Damage
	for _, l := range []struct {
		name, loss string
		read       func([]byte)
	}{
		{"groups.log", "offsets that a group has committed may have stepped back", offsets.read},
		{"pids.log", "producers may be unknown, and have to begin anew", producers.read},
	} {
		path := filepath.Join(s.dir, l.name)
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		scan := scanLog(raw, l.read)
		torn := scan.tail.to - scan.tail.from
		if torn > 0 {
			s.torn += torn
			s.log.Warn("embedded broker: cut off what a stop left unfinished", "file", l.name, "bytes", torn)
		}
		if len(scan.holes) == 0 {
			if torn > 0 {
				err = truncateSynced(path, scan.tail.from)
			}
		} else {
			aside := corruptName(path, now)
			for _, h := range scan.holes {
				found = append(found, Damage{
					Partition: -1, File: l.name, Position: h.from, Copy: s.rel(aside),
					What: fmt.Sprintf("%d bytes are unreadable: %s", h.to-h.from, l.loss),
				})
			}
			err = replaceLog(path, aside, raw, scan.whole)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("mend %s: %w", path, err)
		}
	}
	if s.killed {
		if err := producers.fence(filepath.Join(s.dir, "pids.log")); err != nil {
			return nil, nil, err
		}
	}
	return offsets.furthest(), found, nil
}

// replaceLog puts the whole entries of a state log in its place, and the log as it was aside.
func replaceLog(path, aside string, raw []byte, whole []span) error {
	var kept []byte
	for _, e := range whole {
		kept = append(kept, raw[e.from:e.to]...)
	}
	if err := writeSynced(path+".mending", kept); err != nil {
		return err
	}
	if err := os.Link(path, aside); err != nil {
		return err
	}
	if err := os.Rename(path+".mending", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (s *scrub) rel(path string) string {
	rel, err := filepath.Rel(s.dir, path)
	if err != nil {
		return path
	}
	return rel
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func truncateSynced(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

func appendSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// settle undoes what a stop in the middle of mending, or of a start, left.
func (s *scrub) settle() error {
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(path, ".mending") {
			return os.Remove(path)
		}
		if segment, ok := strings.CutSuffix(path, hiddenSuffix); ok {
			return os.Rename(path, segment)
		}
		return nil
	})
}
