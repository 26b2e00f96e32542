package lake

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

// seen remembers the ids of a partition's beacons for dedupeWindow of the partition's own time, by
// their 64-bit hashes. It is a table with open addressing; an id takes 12 to 24 bytes (9 per slot,
// 38 to 75 % of them in use), and expired ones make room when it is full. Whether an id is
// remembered depends on the records before it alone, never on when the table last made room.
type seen struct {
	hashes []uint64
	// hours is when an id came, in hours since the epoch, modulo 256.
	hours []uint8
	used  int
	// clock is the greatest received_at so far, in microseconds since the epoch.
	clock int64
	// swept is the hour at which the table last dropped what had expired.
	swept int64
}

const (
	// dedupeWindow is how long an id is remembered, and up to an hour longer.
	dedupeWindow = 48 * time.Hour
	windowHours  = int64(dedupeWindow / time.Hour)
	hourMicros   = int64(time.Hour / time.Microsecond)
	firstSlots   = 1 << 10
	// sweepHours is well below 256, where two hours would look the same.
	sweepHours = 128
)

// idOf hashes what makes a beacon's id its own: the visitor's key, and the sender's event id. It
// uses room for it.
func idOf(room *[]byte, site, visitor, eventID string) uint64 {
	id := append((*room)[:0], site...)
	id = append(id, 0)
	id = append(id, visitor...)
	id = append(id, 0)
	id = append(id, eventID...)
	*room = id
	return max(xxhash.Sum64(id), 1) // 0 is an empty slot
}

// add notes an id that came at receivedUs, and says whether it is known already.
func (s *seen) add(id uint64, receivedUs int64) (known bool) {
	s.advance(receivedUs)
	return s.put(id, receivedUs)
}

// put is add for a time that has passed already, as when the table is read back.
func (s *seen) put(id uint64, receivedUs int64) (known bool) {
	if 4*(s.used+1) > 3*len(s.hashes) {
		s.sweep()
	}
	slot := s.find(id)
	if s.hashes[slot] == id && !s.expired(s.hours[slot]) {
		return true
	}
	if hourOf(s.clock)-hourOf(receivedUs) > windowHours {
		return false // it would be forgotten at once
	}
	if s.hashes[slot] != id {
		s.used++
	}
	s.hashes[slot], s.hours[slot] = id, uint8(hourOf(receivedUs))
	return false
}

// advance moves the clock on. No step is so long that two hours could look the same.
func (s *seen) advance(us int64) {
	if us <= s.clock {
		return
	}
	if hourOf(us)-hourOf(s.clock) > windowHours {
		clear(s.hashes)
		s.used, s.swept = 0, hourOf(us)
	}
	s.clock = us
	if hourOf(us)-s.swept > sweepHours {
		s.sweep()
	}
}

// find returns the slot of an id, or the empty one where it belongs.
func (s *seen) find(id uint64) int {
	mask := len(s.hashes) - 1
	slot := int(id) & mask
	for s.hashes[slot] != 0 && s.hashes[slot] != id {
		slot = (slot + 1) & mask
	}
	return slot
}

func (s *seen) expired(hour uint8) bool {
	return int64(uint8(hourOf(s.clock))-hour) > windowHours
}

// sweep drops what has expired and makes the table as large as the rest asks for.
func (s *seen) sweep() {
	live := 0
	for i, id := range s.hashes {
		if id != 0 && !s.expired(s.hours[i]) {
			live++
		}
	}
	size := firstSlots
	for 3*size < 8*(live+1) { // at most 38 % in use afterwards
		size *= 2
	}
	old, hours := s.hashes, s.hours
	s.hashes, s.hours, s.used = make([]uint64, size), make([]uint8, size), live
	for i, id := range old {
		if id != 0 && !s.expired(hours[i]) {
			slot := s.find(id)
			s.hashes[slot], s.hours[slot] = id, hours[i]
		}
	}
	s.swept = hourOf(s.clock)
}

// hourOf is hours since the epoch.
func hourOf(us int64) int64 { return us / hourMicros }
