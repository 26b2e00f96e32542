package sessionize

import (
	"encoding/binary"
	"unsafe"
)

// What the parts of the state take on the heap.
const (
	visitorBytes = int64(unsafe.Sizeof(visitor{}))
	visitBytes   = int64(unsafe.Sizeof(visit{}))
	closedBytes  = int64(unsafe.Sizeof(closedVisit{}))
	dueBytes     = int64(unsafe.Sizeof(due[*visit]{}))
	pointerBytes = int64(unsafe.Sizeof((*visit)(nil)))
	// mapEntryBytes is a key, a pointer and a control byte, in a table that is two thirds full.
	mapEntryBytes = 40
)

// memory makes the parts of the state, keeps some that are free for the next time, and counts what
// all of them take.
type memory struct {
	pools
	// held is the size of all visitors and visits with what belongs to them, of the free ones too.
	held     int64
	visitors []*visitor
	visits   []*visit
}

// maxFree bounds how many free visitors are kept, and how many free visits.
const maxFree = 1024

func newMemory() memory { return memory{pools: newPools()} }

func (m *memory) newVisitor(key string, rules *rules) *visitor {
	v := reuse(&m.visitors)
	if v == nil {
		v = &visitor{}
		m.held += visitorBytes
	}
	v.key, v.rules = key, rules
	m.held += keyBytes(key)
	return v
}

// freeVisitor takes back a visitor without open visits and ids.
func (m *memory) freeVisitor(v *visitor) {
	m.held -= keyBytes(v.key)
	*v = visitor{open: v.open[:0], closed: v.closed[:0]}
	if len(m.visitors) == maxFree || cap(v.open) > 4 || cap(v.closed) > 4 {
		m.held -= visitorBytes + pointerBytes*int64(cap(v.open)) + closedBytes*int64(cap(v.closed))
		return
	}
	m.visitors = append(m.visitors, v)
}

// keyBytes is what a string takes, which the allocator rounds up.
func keyBytes(key string) int64 { return int64(len(key)+15) &^ 15 }

// newVisit opens a visit of a visitor.
func (m *memory) newVisit(of *visitor, late bool) *visit {
	v := reuse(&m.visits)
	if v == nil {
		v = &visit{}
		m.held += visitBytes
	}
	v.visitor, v.late = of, late
	before := cap(of.open)
	of.open = append(of.open, v)
	m.held += pointerBytes * int64(cap(of.open)-before)
	return v
}

// freeVisit takes back a visit that is empty and in no queue.
func (m *memory) freeVisit(v *visit) {
	*v = visit{}
	if len(m.visits) == maxFree {
		m.held -= visitBytes
		return
	}
	m.visits = append(m.visits, v)
}

// reuse takes the last of what is free, or nothing.
func reuse[T any](free *[]*T) *T {
	last := len(*free) - 1
	if last < 0 {
		return nil
	}
	v := (*free)[last]
	(*free)[last] = nil
	*free = (*free)[:last]
	return v
}

// bytes is the room that belongs to a visit.
func (v *visit) bytes() int64 { return int64(cap(v.packed) + idBytes*cap(v.ids.slots)) }

// add packs a beacon more into a visit.
func (m *memory) add(v *visit, e *entry, id uint64) {
	before := v.bytes()
	v.add(e, id, &m.pools)
	m.held += v.bytes() - before
}

// empty takes back the room of a visit.
func (m *memory) empty(v *visit) {
	m.held -= v.bytes()
	m.packed.put(v.packed)
	m.ids.put(v.ids.slots)
	v.packed, v.ids = nil, idSet{}
}

// takeIDs takes the ids out of a visit.
func (m *memory) takeIDs(v *visit) []uint64 {
	m.held -= v.bytes()
	ids := v.ids.take(&m.ids)
	m.held += v.bytes() + idBytes*int64(cap(ids))
	return ids
}

// addClosed adds a closed visit, whose ids have been counted, to its visitor.
func (m *memory) addClosed(to *visitor, closed closedVisit) {
	before := cap(to.closed)
	to.closed = append(to.closed, closed)
	m.held += closedBytes * int64(cap(to.closed)-before)
}

// fill puts the beacons of a checkpoint into a new visit.
func (m *memory) fill(v *visit, packed []byte, beacons []kept) {
	v.packed = append(m.packed.get(len(packed)), packed...)
	v.ids.reserve(len(beacons), &m.ids)
	for i := range beacons {
		v.grow(beacons[i].occurredUS)
		v.ids.add(idOf(beacons[i].eventID.of(packed)), &m.ids)
	}
	v.latest = beacons[len(beacons)-1].text
	m.held += v.bytes()
}

// restoreClosed adds a closed visit of a checkpoint to its visitor.
func (m *memory) restoreClosed(to *visitor, encoded []byte, closedUS int64) {
	closed := closedVisit{closedUS: closedUS}
	if n := len(encoded) / idBytes; n > 0 {
		closed.ids = m.ids.get(n)
	}
	for ; len(encoded) >= idBytes; encoded = encoded[idBytes:] {
		closed.ids = append(closed.ids, binary.LittleEndian.Uint64(encoded))
	}
	m.held += idBytes * int64(cap(closed.ids))
	m.addClosed(to, closed)
}

// freeIDs takes back the ids of a closed visit.
func (m *memory) freeIDs(ids []uint64) {
	m.held -= idBytes * int64(cap(ids))
	m.ids.put(ids)
}

// size is the estimate of what the state takes on the heap. Maps and slices are counted by what
// they were made large enough for, since they do not shrink by themselves; see trim.
func (s *sessions) size() int64 {
	return s.memory.held + int64(s.memory.idleBytes()) +
		mapEntryBytes*int64(s.visitors.most) +
		dueBytes*int64(cap(s.deadlines)+cap(s.expiries)) +
		pointerBytes*int64(cap(s.dirty)+cap(s.closing)+cap(s.memory.visitors)+cap(s.memory.visits)) +
		int64(cap(s.beacons))*int64(unsafe.Sizeof(kept{})) +
		int64(cap(s.places))*int64(unsafe.Sizeof(place{}))
}

// trim makes what is far too large for its content anew, so that a burst does not stay for good.
// It costs no more than what was taken out since the last time.
func (s *sessions) trim() {
	s.visitors.trim()
	s.deadlines = trimmed(s.deadlines)
	s.expiries = trimmed(s.expiries)
	s.dirty = trimmed(s.dirty)
	s.closing = trimmed(s.closing)
}

// Room for fewer than trimLeast is never given back, nor is more than one in trimShare in use.
const (
	trimLeast = 1024
	trimShare = 4
)

func trimmed[S ~[]T, T any](s S) S {
	if cap(s) < trimLeast || trimShare*len(s) > cap(s) {
		return s
	}
	return append(make(S, 0, 2*len(s)), s...)
}

// visitors are those of whom anything is held, by key.
type visitors struct {
	of map[string]*visitor
	// most is how many there were at once since the map was made: it has room for them.
	most int
}

func newVisitors(n int) visitors { return visitors{of: make(map[string]*visitor, n), most: n} }

func (v *visitors) add(one *visitor) {
	v.of[one.key] = one
	v.most = max(v.most, len(v.of))
}

func (v *visitors) remove(one *visitor) { delete(v.of, one.key) }

func (v *visitors) trim() {
	if v.most < trimLeast || trimShare*len(v.of) > v.most {
		return
	}
	smaller := newVisitors(2 * len(v.of))
	for _, one := range v.of {
		smaller.of[one.key] = one
	}
	*v = smaller
}
