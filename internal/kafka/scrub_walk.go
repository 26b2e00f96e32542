package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// partitionWalk is what a walk through a partition's segments found.
type partitionWalk struct {
	mark   partitionMark // how far everything is certain
	damage []Damage
	mends  map[int64]*segmentMend // by base offset of the segment
	torn   span                   // the unfinished end of the last segment
	// expired is the offset behind what retention may have taken with its segments.
	expired int64
}

// segmentMend is what is to be done to a segment.
type segmentMend struct {
	drop  []span          // bytes that are no batch
	bases map[int64]int64 // first offsets to put right, by the position of the batch
	index bool            // the index is to be written anew
}

func (w *partitionWalk) mend(base int64) *segmentMend {
	if w.mends[base] == nil {
		w.mends[base] = &segmentMend{bases: map[int64]int64{}}
	}
	return w.mends[base]
}

// lose notes offsets that are missing, unless that is known.
func (w *partitionWalk) lose(d Damage) {
	if d.From < d.To && w.mark.covers(d.From, d.To) {
		return
	}
	w.damage = append(w.damage, d)
	if d.From < d.To {
		w.mark.addGap(d.From, d.To)
	}
}

// walk verifies a partition from its mark on. Everything before the mark stays as it was certain.
func (s *scrub) walk(p *partitionFiles, m partitionMark, now time.Time) (partitionWalk, error) {
	w := partitionWalk{mark: m, mends: map[int64]*segmentMend{}}
	w.mark.Segments = nil
	for _, known := range m.Segments {
		left := len(p.segments) == 0 || known.Base < p.segments[0]
		switch {
		case slices.Contains(p.segments, known.Base):
			w.mark.Segments = append(w.mark.Segments, known)
		case left && p.topic.expires(known.Newest, now):
			w.expired = max(w.expired, known.Next)
		default:
			w.lose(p.damage(known.Base, 0, known.Base, known.Next, "the segment is gone"))
		}
	}
	first := slices.Index(p.segments, m.Segment)
	resume := first >= 0 && m.End > 0
	if !resume {
		first = 0
		w.mark.Segment, w.mark.Position, w.mark.Offset, w.mark.Batches = noSegment, 0, 0, 0
		w.mark.Segments = nil
		if len(p.segments) > 0 {
			w.mark.Segment, w.mark.Offset = p.segments[0], p.segments[0]
		}
	}
	w.mark.Open = map[int64]int16{}
	if resume {
		maps.Copy(w.mark.Open, m.Open)
	}
	w.mark.End = w.mark.Offset
	for i, base := range p.segments[first:] {
		if i > 0 || !resume {
			w.follow(p, base)
		}
		if err := s.walkSegment(p, &w, base, i == 0 && resume); err != nil {
			return w, err
		}
	}
	return w, nil
}

// follow puts the mark at the beginning of the next segment.
func (w *partitionWalk) follow(p *partitionFiles, base int64) {
	if w.torn != (span{}) {
		// What looked like an unfinished end has a segment behind it.
		w.lose(p.damage(w.mark.Segment, w.torn.from, w.mark.End, base,
			"the end of the segment is unreadable"))
		m := w.mend(w.mark.Segment)
		m.drop = append(m.drop, w.torn)
		w.torn = span{}
	} else if end := w.mark.End; base > end && end > 0 && !p.topic.compacted() {
		w.lose(p.damage(base, 0, end, base, "the segment before this one is gone"))
	} else if base < end {
		w.lose(p.damage(base, 0, end, end,
			fmt.Sprintf("begins at %d, before the segment before it ends", base)))
	}
	w.mark.Segment, w.mark.Position, w.mark.Offset, w.mark.Batches = base, 0, base, 0
}

// walkSegment verifies one segment from the mark's position on. exact is true where the mark says
// what the offset of the batch there is.
func (s *scrub) walkSegment(p *partitionFiles, w *partitionWalk, base int64, exact bool) error {
	f, err := s.open(p.segment(base))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	index, err := readIndex(p.index(base))
	if err != nil {
		return err
	}
	reader := newSegmentReader(f, info.Size())
	reader.exact = exact
	entry := w.mark.Batches
	sparse := p.topic.compacted()
	scan, err := reader.scan(w.mark.Position, w.mark.Offset, sparse, func(b frame) bool {
		entry++
		if b.control() {
			delete(w.mark.Open, b.producerID)
		} else if b.inTransaction() {
			w.mark.Open[b.producerID] = b.producerEpoch
		}
		return index.agrees(entry-1, b, sparse)
	})
	s.read += reader.read
	if err != nil {
		return err
	}
	if scan.next > w.mark.Offset {
		// What was read of the page cache is not certain to outlast the machine.
		if err := f.Sync(); err != nil {
			return err
		}
	}
	w.take(p, base, scan)
	if scan.odd || index.entries() != entry {
		w.mend(base).index = true
	}
	return nil
}

// take adds what the walk through a segment found.
func (w *partitionWalk) take(p *partitionFiles, base int64, scan segmentScan) {
	for _, f := range scan.findings {
		switch {
		case f.base >= 0:
			w.mend(base).bases[f.bytes.from] = f.base
			w.lose(p.damage(base, f.bytes.from, f.from, f.to, "a batch's first offset was changed"))
		case f.bytes.from < f.bytes.to:
			w.mend(base).drop = append(w.mend(base).drop, f.bytes)
			w.lose(p.damage(base, f.bytes.from, f.from, f.to,
				fmt.Sprintf("%d bytes are unreadable", f.bytes.to-f.bytes.from)))
		default:
			w.lose(p.damage(base, f.bytes.from, f.from, f.to, "offsets are missing"))
		}
	}
	w.torn = scan.tail
	if scan.batches == 0 {
		return
	}
	w.mark.Position, w.mark.Offset = scan.last.at, scan.last.base
	w.mark.Batches += scan.batches - 1
	w.mark.End = scan.next
	seen := segmentMark{Base: base, Next: scan.next, Newest: scan.newest}
	i := slices.IndexFunc(w.mark.Segments, func(m segmentMark) bool { return m.Base == base })
	if i < 0 {
		w.mark.Segments = append(w.mark.Segments, seen)
	} else {
		seen.Newest = max(seen.Newest, w.mark.Segments[i].Newest)
		w.mark.Segments[i] = seen
	}
}

// segmentIndex is the content of the index file beside a segment: for each batch a version, a
// byte of checksum, the leader's epoch, a timestamp, and whether the batch is of a transaction.
// The broker takes an entry that is missing or broken for "no transaction", and what was aborted
// would be read as committed: so the index is checked, and written anew from the batches where it
// is wrong.
type segmentIndex []byte

const (
	indexEntry   = 15
	indexVersion = 1
	indexFlags   = 14
)

func readIndex(path string) (segmentIndex, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// entries is how many there are, -1 where the last one is cut short.
func (x segmentIndex) entries() int64 {
	if len(x)%indexEntry != 0 {
		return -1
	}
	return int64(len(x) / indexEntry)
}

// agrees says whether an entry may be that of a batch. Compaction takes the flag off.
func (x segmentIndex) agrees(i int64, f frame, compacted bool) bool {
	if i < 0 || (i+1)*indexEntry > int64(len(x)) {
		return false
	}
	e := x[i*indexEntry:][:indexEntry]
	if e[0] != indexVersion || e[1] != byte(crc32.Checksum(e[2:], castagnoli())) {
		return false
	}
	flag := e[indexFlags]&1 != 0
	return flag == f.inTransaction() || compacted && !flag
}

// indexOf makes the entry of a batch.
func indexOf(f frame) []byte {
	e := make([]byte, indexEntry)
	e[0] = indexVersion
	binary.LittleEndian.PutUint32(e[2:], uint32(f.epoch))
	binary.LittleEndian.PutUint64(e[6:], uint64(f.newest))
	if f.inTransaction() {
		e[indexFlags] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli()))
	return e
}
