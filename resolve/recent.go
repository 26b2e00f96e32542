package resolve

import (
	"encoding/binary"
	"fmt"
)

// recent remembers the submissions that were decided last, as 64-bit hashes, so that one sent
// again changes nothing. A client sends again within hours; the window is of a million submissions
// and 8 MB of ids, after which one would be decided as a new one of the same contact.
//
// The ids lie in segments of the order of their arrival, which are the bounded keys of a
// checkpoint: as a rule one of them has changed.
type recent struct {
	ids      map[uint64]struct{} // nil from decode on, until settle
	segments map[uint64][]uint64
	// last is the number of the segment that is being filled; the oldest is at most window-1 below.
	last    uint64
	window  uint64
	length  int
	changed map[uint64]bool
}

const (
	recentWindow = 1024 // segments
	recentLength = 1024 // ids in a segment
)

func newRecent(window uint64, length int) recent {
	return recent{
		ids: map[uint64]struct{}{}, segments: map[uint64][]uint64{}, window: window, length: length,
		changed: map[uint64]bool{},
	}
}

// add reports whether the id is new, and remembers it.
func (r *recent) add(id uint64) bool {
	if _, known := r.ids[id]; known {
		return false
	}
	if len(r.segments[r.last]) == r.length {
		r.last++
		if r.last >= r.window {
			r.forget(r.last - r.window)
		}
	}
	r.ids[id] = struct{}{}
	r.segments[r.last] = append(r.segments[r.last], id)
	r.changed[r.last] = true
	return true
}

func (r *recent) forget(segment uint64) {
	for _, id := range r.segments[segment] {
		delete(r.ids, id)
	}
	delete(r.segments, segment)
	r.changed[segment] = true
}

// encode returns a segment's bytes, nil where it is forgotten.
func (r *recent) encode(segment uint64) (value []byte) {
	for _, id := range r.segments[segment] {
		value = binary.LittleEndian.AppendUint64(value, id)
	}
	return value
}

// decode reads a segment's bytes, in the place of what was read of it before; nil: it is forgotten.
func (r *recent) decode(segment uint64, value []byte) error {
	if len(value)%8 != 0 || len(value) > 8*r.length {
		return fmt.Errorf("segment %d of decided submissions has %d bytes", segment, len(value))
	}
	r.ids = nil
	delete(r.segments, segment)
	if value == nil {
		return nil
	}
	var ids []uint64
	for ; len(value) > 0; value = value[8:] {
		ids = append(ids, binary.LittleEndian.Uint64(value))
	}
	r.segments[segment] = ids
	r.last = max(r.last, segment)
	return nil
}

// settle makes what was read ready to be looked up.
func (r *recent) settle() {
	if r.ids != nil {
		return
	}
	r.ids = map[uint64]struct{}{}
	for _, segment := range r.segments {
		for _, id := range segment {
			r.ids[id] = struct{}{}
		}
	}
}
