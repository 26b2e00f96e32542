package spill

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
)

// Open finds out what an earlier run has left in a directory, which no other process may write to.
// Files of a newer format are an error, with nothing touched. Whatever else is wrong is counted,
// told of and put aside: it never keeps a process from starting.
func Open(fs FS, cfg Config, log *slog.Logger) (*Log, error) {
	l := &Log{fs: fs, cfg: cfg, log: log, next: 1, nextSegment: 1}
	names, err := fs.ReadDir()
	if err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	if err := refuseNewer(fs, names); err != nil {
		return nil, err
	}
	position, known := l.position(names)
	all, pending := l.load(names, position)
	if known && len(l.segments) > 0 && position > l.next {
		// It is of other segments. Left there, it would be believed once the numbers have come so far.
		l.putAside(positionName,
			fmt.Errorf("it says frame %d, and the last one is %d", position, l.next-1))
		position, pending = 1, all
	}
	l.next = max(l.next, position)
	l.read = Mark{next: position, segment: pending.segment, offset: pending.offset}
	l.appended, l.lowUs = pending.amount, pending.lowUs
	l.drop()
	l.publish()
	if l.Pending() {
		s := l.Stats()
		log.Info("the spill holds what the log has not taken yet",
			"records", s.Records, "bytes", s.Bytes)
	}
	return l, nil
}

// refuseNewer says no where a later version of the program has written.
func refuseNewer(fs FS, names []string) error {
	for _, name := range names {
		_, corrupt, isSegment := segmentOf(name)
		magic := segmentMagic
		if name == positionName {
			magic = positionMagic
		} else if !isSegment || corrupt {
			continue
		}
		b, err := readFile(fs, name, preambleBytes)
		if err != nil {
			continue // load tells of it
		}
		if err := checkPreamble(b, magic); errors.Is(err, errNewer) {
			return fmt.Errorf("spill: %s has %w, and this program reads up to %d: run the program that "+
				"wrote it until the spill is empty, or go back to it", name, err, formatVersion)
		}
	}
	return nil
}

// position returns the sequence number of the first frame that has not been delivered, as far as
// the position file says.
func (l *Log) position(names []string) (sequence uint64, known bool) {
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			if err := l.fs.Remove(name); err != nil {
				l.log.Warn("remove what is left of a write", "name", name, "err", err)
			}
		}
	}
	if !slices.Contains(names, positionName) {
		return 1, false
	}
	b, err := readFile(l.fs, positionName, 2*positionBytes)
	if err == nil {
		sequence, err = decodePosition(b)
	}
	if err != nil {
		l.putAside(positionName, err)
		return 1, false
	}
	return max(1, sequence), true
}

// putAside renames a file that cannot be used. Nothing is appended before that is durable.
func (l *Log) putAside(name string, why error) {
	to := corruptName(name)
	l.corrupt++
	l.log.Error("a file of the spill cannot be used and is put aside",
		"name", name, "as", to, "err", why)
	if err := errors.Join(l.fs.Rename(name, to), l.fs.SyncDir()); err != nil {
		l.log.Error("put a file of the spill aside", "name", name, "err", err)
	}
}

// held sums up frames from a place on.
type held struct {
	amount
	lowUs   int64
	segment uint64
	offset  int64
}

func (h *held) add(s *segment, offset int64, bytes int, f *Frame) {
	if h.segment == 0 {
		h.segment, h.offset, h.lowUs = s.id, offset, f.LowUs
	}
	h.records += int64(len(f.Messages))
	h.bytes += int64(bytes)
}

// load reads the segments: all of their frames, and those from position on.
func (l *Log) load(names []string, position uint64) (all, pending held) {
	var ids []uint64
	for _, name := range names {
		id, corrupt, ok := segmentOf(name)
		if !ok {
			continue
		}
		l.nextSegment = max(l.nextSegment, id+1)
		if !corrupt {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, cmp.Compare[uint64])
	for _, id := range ids {
		name := segmentName(id)
		data, err := readFile(l.fs, name, math.MaxInt64)
		if err != nil {
			data, err = readFile(l.fs, name, math.MaxInt64) // once more, before frames are given up
		}
		if err != nil {
			l.putAside(name, err)
			continue
		}
		r := readSegment(id, data)
		if r.empty() {
			if r.holdsNothing() {
				_ = l.fs.Remove(name) // it was being made
			} else {
				l.putAside(name, errDamaged)
			}
			continue
		}
		s := &segment{id: id, name: name, marker: r.marker, end: r.end, size: int64(len(data))}
		r.each(func(f *Frame, sequence uint64, offset int64, bytes int) {
			all.add(s, offset, bytes, f)
			if sequence >= position {
				pending.add(s, offset, bytes, f)
			}
		})
		s.last = r.last
		l.next = max(l.next, s.last+1, r.head.first)
		l.segments = append(l.segments, s)
		l.mend(s, r)
	}
	return all, pending
}

// mend cuts off what a write left unfinished, and notes damage.
func (l *Log) mend(s *segment, r *reading) {
	switch {
	case r.damaged:
		l.damage(s)
	case s.size > s.end:
		if err := l.fs.Truncate(s.name, s.end); err != nil {
			l.log.Warn("cut off an unfinished write to the spill", "segment", s.name, "err", err)
			return
		}
		l.log.Info("an unfinished write to the spill is cut off", "segment", s.name,
			"bytes", s.size-s.end)
		s.size = s.end
	}
}

// reading is what a segment's bytes say.
type reading struct {
	data   []byte
	head   header
	headed bool // the header verifies
	marker marker

	frames int
	// first and last are sequence numbers; end is where the last frame that verifies ends.
	first, last uint64
	end         int64
	damaged     bool
}

// readSegment takes a segment apart. Where its header is damaged, the first frame, whose place is
// known, gives the marker.
func readSegment(id uint64, data []byte) *reading {
	r := &reading{data: data, end: headerBytes}
	h, err := decodeHeader(data)
	r.headed = err == nil && h.segment == id
	switch {
	case err == nil:
		r.head, r.marker = h, h.marker
	case len(data) > headerBytes+len(r.marker):
		copy(r.marker[:], data[headerBytes:])
	}
	w := r.walker()
	for {
		_, sequence, ok := w.next()
		if !ok {
			break
		}
		if r.frames == 0 {
			r.first = sequence
		}
		r.frames++
		r.last = sequence
	}
	r.end += int64(w.at)
	r.damaged = w.skipped || !r.headed
	return r
}

func (r *reading) walker() walker {
	return walker{data: r.data[min(headerBytes, len(r.data)):], marker: r.marker}
}

// empty says that no frame and no header says anything.
func (r *reading) empty() bool { return !r.headed && r.frames == 0 }

// holdsNothing says that a power cut while the segment was being made explains all of it.
func (r *reading) holdsNothing() bool { return len(r.data) <= headerBytes }

// each goes over the frames that verify; offset is where the frame begins or, after something that
// does not verify, where that does.
func (r *reading) each(yield func(f *Frame, sequence uint64, offset int64, bytes int)) {
	w := r.walker()
	for {
		before := w.at
		f, sequence, ok := w.next()
		if !ok {
			return
		}
		yield(&f, sequence, int64(headerBytes+before), w.at-before)
	}
}
