package sessionize

import (
	"slices"

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
// the few ids of a usual visit need. 0 marks a free slot.
type idSet struct {
	slots []uint64
	len   int
}

const idSetLeast = 4 // slots; a power of two

func (s *idSet) has(id uint64) bool {
	return s.len > 0 && s.slots[s.slot(id)] == id
}

func (s *idSet) add(id uint64) {
	if 4*(s.len+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint64, max(idSetLeast, 2*len(old)))
		for _, other := range old {
			if other != 0 {
				s.slots[s.slot(other)] = other
			}
		}
	}
	if at := s.slot(id); s.slots[at] == 0 {
		s.slots[at] = id
		s.len++
	}
}

// slot is where id is, or the free slot where it would go.
func (s *idSet) slot(id uint64) int {
	mask := len(s.slots) - 1
	at := int(id) & mask
	for s.slots[at] != 0 && s.slots[at] != id {
		at = (at + 1) & mask
	}
	return at
}

// sorted returns the ids, ascending.
func (s *idSet) sorted() []uint64 {
	ids := make([]uint64, 0, s.len)
	for _, id := range s.slots {
		if id != 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
