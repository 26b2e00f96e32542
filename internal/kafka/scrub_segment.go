package kafka

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// frame is a record batch as it lies in a segment file: what its header says, its records unread.
type frame struct {
	at, size      int64 // bytes in the file
	base, next    int64 // first offset, and the one after the last
	epoch         int32 // of the partition's leader
	attributes    uint16
	newest        int64 // Unix milliseconds
	producerID    int64
	producerEpoch int16
}

func (f *frame) end() int64 { return f.at + f.size }

func (f *frame) control() bool { return f.attributes&attrControl != 0 }

// inTransaction says what the index has to say of the batch: the broker sets the flag on the data
// of a transaction, and not on the marker that ends it.
func (f *frame) inTransaction() bool { return f.attributes&attrTxn != 0 && !f.control() }

var (
	errCutShort = errors.New("the file ends inside a batch")
	errNoBatch  = errors.New("no batch with a right checksum")
)

const (
	// segmentWindow is what is held of a segment at a time.
	segmentWindow = 256 << 10
	// maxFrame is the longest batch that the broker itself reads back.
	maxFrame = 1 << 30
	// resyncChecksums bounds the bytes that are checksummed in search of the next batch, so that a
	// file made to look like batches everywhere costs no more than a few reads of it.
	resyncChecksums = 256 << 20
	// resyncReach is how far ahead of the last offset the next batch may be.
	resyncReach = 1 << 32
)

// segmentReader finds the batches of one segment file. It holds a window of the file and never
// reads past size.
type segmentReader struct {
	src    io.ReaderAt
	size   int64
	window []byte
	from   int64 // where the window begins in the file
	read   int64 // bytes taken from src
	exact  bool  // the first offset of the first batch is known
}

func newSegmentReader(src io.ReaderAt, size int64) *segmentReader {
	return &segmentReader{src: src, size: size, window: make([]byte, 0, segmentWindow)}
}

// bytes returns n bytes at a position, valid until the next call. n is at most segmentWindow.
func (r *segmentReader) bytes(at int64, n int) ([]byte, error) {
	if at < 0 || at+int64(n) > r.size {
		return nil, errCutShort
	}
	if at < r.from || at+int64(n) > r.from+int64(len(r.window)) {
		want := int(min(segmentWindow, r.size-at))
		got, err := r.src.ReadAt(r.window[:want], at)
		r.read += int64(got)
		r.from, r.window = at, r.window[:got]
		if got < n {
			r.window = r.window[:0]
			if err == nil || errors.Is(err, io.EOF) {
				return nil, errCutShort
			}
			return nil, err
		}
	}
	return r.window[at-r.from:][:n], nil
}

// held is how many bytes to ask for at a position, so that none of the window is read again.
func (r *segmentReader) held(at int64) int64 {
	if n := r.from + int64(len(r.window)) - at; at >= r.from && n > 0 {
		return n
	}
	return segmentWindow
}

// header reads the batch header at a position without its checksum. What it returns fits the file.
func (r *segmentReader) header(at int64) (f frame, sum uint32, err error) {
	if at+batchHeader > r.size {
		return f, 0, errCutShort
	}
	b, err := r.bytes(at, batchHeader)
	if err != nil {
		return f, 0, err
	}
	length := int64(binary.BigEndian.Uint32(b[atLength:]))
	delta := int32(binary.BigEndian.Uint32(b[atLastDelta:]))
	count := int32(binary.BigEndian.Uint32(b[atCount:]))
	f = frame{
		at: at, size: lengthCovers + length,
		base:          int64(binary.BigEndian.Uint64(b)),
		epoch:         int32(binary.BigEndian.Uint32(b[lengthCovers:])),
		attributes:    binary.BigEndian.Uint16(b[atAttributes:]),
		newest:        int64(binary.BigEndian.Uint64(b[atMaxTime:])),
		producerID:    int64(binary.BigEndian.Uint64(b[atProducerID:])),
		producerEpoch: int16(binary.BigEndian.Uint16(b[atEpoch:])),
	}
	f.next = f.base + int64(delta) + 1
	switch {
	case length < batchHeader-lengthCovers, length > maxFrame, b[atMagic] != 2,
		f.base < 0, delta < 0, f.next <= f.base, count < 0, int64(count) > int64(delta)+1:
		return f, 0, errNoBatch
	case f.end() > r.size:
		return f, 0, errCutShort
	}
	return f, binary.BigEndian.Uint32(b[atCRC:]), nil
}

// frame reads the batch at a position: errCutShort where the file ends inside it, errNoBatch where
// there is none or its checksum is wrong, or what reading the file failed with.
func (r *segmentReader) frame(at int64) (frame, error) {
	f, sum, err := r.header(at)
	if err != nil {
		return f, err
	}
	got := uint32(0)
	for pos := at + atAttributes; pos < f.end(); {
		part, err := r.bytes(pos, int(min(r.held(pos), f.end()-pos)))
		if err != nil {
			return f, err
		}
		got = crc32.Update(got, castagnoli(), part)
		pos += int64(len(part))
	}
	if got != sum {
		return f, errNoBatch
	}
	return f, nil
}

// resync finds the first whole batch behind a position that begins no batch, whose offsets follow
// on the expected one.
func (r *segmentReader) resync(at, expected int64) (frame, bool, error) {
	// The header's own length is right more often than not, and looking there first steps over
	// batches that are somebody's payload.
	if f, _, err := r.header(at); err == nil {
		if g, ok, err := r.follower(f.end(), expected); ok || err != nil {
			return g, ok, err
		}
	}
	budget := int64(resyncChecksums)
	for pos := at + 1; pos+batchHeader <= r.size && budget > 0; pos++ {
		b, err := r.bytes(pos, batchHeader)
		if err != nil {
			return frame{}, false, err
		}
		base := binary.BigEndian.Uint64(b)
		if b[atMagic] != 2 || base < uint64(expected) || base-uint64(expected) > resyncReach {
			continue
		}
		f, _, err := r.header(pos)
		if err != nil {
			continue
		}
		budget -= f.size
		if g, ok, err := r.follower(pos, expected); ok || err != nil {
			return g, ok, err
		}
	}
	return frame{}, false, nil
}

// follower reads the batch at a position and says whether it is one that may follow.
func (r *segmentReader) follower(at, expected int64) (frame, bool, error) {
	f, err := r.frame(at)
	switch {
	case errors.Is(err, errNoBatch), errors.Is(err, errCutShort):
		return f, false, nil
	case err != nil:
		return f, false, err
	}
	return f, f.base >= expected && f.base-expected <= resyncReach, nil
}

// span is a range of bytes of a file.
type span struct{ from, to int64 }

// segmentFinding is something wrong inside one segment: bytes that are no batch, or none, and the
// offsets that are missing there.
type segmentFinding struct {
	bytes    span
	from, to int64 // offsets
	// base is not -1 where the only fault is a batch's first offset, which no checksum covers: this
	// is what it must be by its neighbours.
	base int64
}

// segmentScan is what a walk through a segment found.
type segmentScan struct {
	findings []segmentFinding
	tail     span  // bytes at the end that hold no whole batch
	last     frame // the last whole batch; size 0 where there is none
	batches  int64 // whole ones that were walked over
	next     int64 // the offset after the last
	newest   int64 // greatest timestamp
	odd      bool  // the index says something else
}

// scan walks over a segment from a position where a batch begins. sparse is true for a compacted
// topic, where offsets ascend with gaps; else a batch follows on the one before it. visit is called
// with each whole batch, and says whether what it knows of it agrees.
func (r *segmentReader) scan(
	at, expected int64, sparse bool, visit func(frame) bool,
) (segmentScan, error) {
	s := segmentScan{next: expected}
	for at < r.size {
		f, err := r.frame(at)
		bad := errors.Is(err, errNoBatch) || errors.Is(err, errCutShort)
		if err != nil && !bad {
			return s, err
		}
		if !bad && f.base != s.next {
			if f, bad, err = r.misplaced(&s, f, sparse); err != nil {
				return s, err
			}
		}
		if bad {
			g, ok, err := r.resync(at, s.next)
			if err != nil {
				return s, err
			}
			if !ok {
				s.tail = span{at, r.size}
				return s, nil
			}
			s.findings = append(s.findings, segmentFinding{
				bytes: span{at, g.at}, from: s.next, to: g.base, base: -1,
			})
			f = g
		}
		s.last, s.next, s.newest = f, f.next, max(s.newest, f.newest)
		s.batches++
		s.odd = !visit(f) || s.odd
		at = f.end()
	}
	return s, nil
}

// misplaced judges a whole batch whose first offset is not the one that follows. No checksum covers
// that offset, and one that is wrong must not make its neighbours look wrong, so they have a say.
func (r *segmentReader) misplaced(s *segmentScan, f frame, sparse bool) (frame, bool, error) {
	size := f.next - f.base
	after, whole, err := r.follower(f.end(), s.next)
	if err != nil {
		return f, false, err
	}
	known := r.exact && s.batches == 0 || whole && after.base == s.next+size ||
		!whole && oneBit(f.base, s.next)
	if known {
		s.findings = append(s.findings, segmentFinding{
			bytes: span{f.at, f.at + atLength}, from: s.next, to: s.next, base: s.next,
		})
		f.base, f.next = s.next, s.next+size
		return f, false, nil
	}
	if f.base < s.next || f.base-s.next > resyncReach {
		return f, true, nil
	}
	if whole && after.base < f.next {
		// One of the two is wrong: the one that the third does not follow on.
		_, third, err := r.follower(after.end(), f.next)
		if err != nil || !third {
			return f, true, err
		}
	}
	if !sparse {
		s.findings = append(s.findings, segmentFinding{
			bytes: span{f.at, f.at}, from: s.next, to: f.base, base: -1,
		})
	}
	return f, false, nil
}

// farFlip is a jump in the offsets that is too far for records that are missing.
const farFlip = 1 << 16

// oneBit says whether an offset is another one with a single high bit changed.
func oneBit(got, want int64) bool {
	d := uint64(got ^ want)
	return d >= farFlip && d&(d-1) == 0
}
