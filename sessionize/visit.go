package sessionize

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// visitor is what is held of one visitor on one site: open visits, and the ids of those that
// closed not long ago.
type visitor struct {
	key    string // schemas.VisitorKey
	rules  *rules
	open   []*visit // in no particular order; nearly always one
	closed []closedVisit
	// dirtyAt is one more than its place among the visitors that have changed since the last
	// checkpoint, 0 where it has not.
	dirtyAt int
	// stored says that the checkpoints hold something of it.
	stored bool
}

// closedVisit remembers the ids of a closed visit, ascending. closedUS is the clock at which it was
// due, not that of the record which brought it: how often the clock ticks must make no difference.
type closedVisit struct {
	ids      []uint64
	closedUS int64
}

// duplicate says whether the visitor already sent id, and in which visit if that is still open.
func (v *visitor) duplicate(id uint64) (in *visit, known bool) {
	for _, open := range v.open {
		if open.ids.has(id) {
			return open, true
		}
	}
	for i := range v.closed {
		if _, found := slices.BinarySearch(v.closed[i].ids, id); found {
			return nil, true
		}
	}
	return nil, false
}

// packedBytes is the size of the visitor's open visits.
func (v *visitor) packedBytes() (sum int) {
	for _, open := range v.open {
		sum += len(open.packed)
	}
	return sum
}

// visit is one open visit. Its beacons are packed into one slice, so that many open visits cost
// little memory and the garbage collector nothing.
type visit struct {
	visitor *visitor
	// packed is VisitBeacon messages in order of arrival, each after its length. A text that is
	// that of the beacon before is left out; latest says where the last of each stands.
	packed  []byte
	latest  [texts]span
	ids     idSet
	firstUS int64
	lastUS  int64
	// dueUS is the clock after which the visit closes.
	dueUS      int64
	beacons    int
	duplicates int64
	late       bool
	gone       bool   // closed, or merged into another; its place in the queue is void
	start      string // why it began, where that is known already
}

// takes says whether a beacon at us leaves no gap longer than the rules allow.
func (v *visit) takes(us int64) bool {
	gap := v.visitor.rules.gapUS
	return us >= v.firstUS-gap && us <= v.lastUS+gap
}

// add packs one beacon more.
func (v *visit) add(e *entry, id uint64, from *pools) {
	v.grow(e.occurredUS)
	v.ids.add(id, &from.ids)
	same := uint64(0)
	for i := range e.text {
		if string(e.text[i]) == string(v.latest[i].of(v.packed)) {
			same |= 1 << i
		}
	}
	size := packedSize(e, same)
	to := from.packed.grow(v.packed, protowire.SizeBytes(size))
	to = protowire.AppendVarint(to, uint64(size))
	v.packed = pack(to, e, same, &v.latest)
}

// grow counts a beacon in and moves the visit's ends and its deadline.
func (v *visit) grow(occurredUS int64) {
	if v.beacons == 0 || occurredUS < v.firstUS {
		v.firstUS = occurredUS
	}
	if v.beacons == 0 || occurredUS > v.lastUS {
		v.lastUS = occurredUS
		if !v.late {
			v.dueUS = v.lastUS + v.visitor.rules.gapUS + v.visitor.rules.graceUS
		}
	}
	v.beacons++
}
