package sessionize

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// idOf is the 64-bit hash that an event id is remembered by; never 0.
func idOf(eventID []byte) uint64 {
	if id := xxhash.Sum64(eventID); id != 0 {
		return id
	}
	return 1
}

// idSet is a set of event ids: one open-addressed table, at most three quarters full, as small as
// the few ids of a usual visit need. 0 marks a free slot. An id's place is given by its highest
// bits, so that the table is nearly in order.
type idSet struct {
	slots []uint64
	len   int
}

const (
	idBytes    = 8
	idSetLeast = 4 // slots; a power of two
)

func (s *idSet) has(id uint64) bool {
	return s.len > 0 && s.slots[s.slot(id)] == id
}

func (s *idSet) add(id uint64, from *pool[uint64]) {
	s.reserve(1, from)
	if at := s.slot(id); s.slots[at] == 0 {
		s.slots[at] = id
		s.len++
	}
}

// reserve makes room for n ids more.
func (s *idSet) reserve(n int, from *pool[uint64]) {
	if 4*(s.len+n) <= 3*len(s.slots) {
		return
	}
	old := s.slots
	s.slots = from.get(max(idSetLeast, (4*(s.len+n)+2)/3))
	s.slots = s.slots[:cap(s.slots)]
	clear(s.slots)
	for _, other := range old {
		if other != 0 {
			s.slots[s.slot(other)] = other
		}
	}
	from.put(old)
}

// slot is where id is, or the free slot where it would go.
func (s *idSet) slot(id uint64) int {
	mask := len(s.slots) - 1
	at := int(id>>bits.LeadingZeros64(uint64(mask))) & mask
	for s.slots[at] != 0 && s.slots[at] != id {
		at = (at + 1) & mask
	}
	return at
}

// take empties the set and returns its ids, ascending, in the table's own memory where they fill
// it well.
func (s *idSet) take(from *pool[uint64]) []uint64 {
	slots := s.slots
	ids := slots[:0]
	for _, id := range slots {
		if id != 0 {
			ids = append(ids, id)
		}
	}
	for i, id := range ids { // insertion sort, for what is nearly in order
		at := i
		for ; at > 0 && ids[at-1] > id; at-- {
			ids[at] = ids[at-1]
		}
		ids[at] = id
	}
	*s = idSet{}
	if 2*len(ids) > cap(ids) {
		return ids
	}
	fitting := append(from.get(len(ids)), ids...)
	from.put(slots)
	return fitting
}
