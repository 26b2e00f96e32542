package sessionize

import (
	"bytes"
	"cmp"
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
	dirty  bool // changed since the last checkpoint
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
	for _, closed := range v.closed {
		if _, found := slices.BinarySearch(closed.ids, id); found {
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

type span struct{ from, to uint32 }

// takes says whether a beacon at us leaves no gap longer than the rules allow.
func (v *visit) takes(us int64) bool {
	gap := v.visitor.rules.gapUS
	return us >= v.firstUS-gap && us <= v.lastUS+gap
}

// add packs one beacon more. scratch is a buffer to work in; it is returned for the next time.
func (v *visit) add(e *entry, id uint64, scratch []byte) []byte {
	v.grow(e, id)
	same := uint64(0)
	for i, text := range e.text {
		if bytes.Equal(text, v.packed[v.latest[i].from:v.latest[i].to]) {
			same |= 1 << i
		}
	}
	message := pack(scratch[:0], e, same)
	v.packed = protowire.AppendVarint(v.packed, uint64(len(message)))
	v.packed = append(v.packed, message...)
	if same != allSame {
		v.locate(message, len(v.packed)-len(message), same)
	}
	return message
}

// grow counts a beacon in and moves the visit's ends and its deadline.
func (v *visit) grow(e *entry, id uint64) {
	if v.beacons == 0 || e.occurredUS < v.firstUS {
		v.firstUS = e.occurredUS
	}
	if v.beacons == 0 || e.occurredUS > v.lastUS {
		v.lastUS = e.occurredUS
		if !v.late {
			v.dueUS = v.lastUS + v.visitor.rules.gapUS + v.visitor.rules.graceUS
		}
	}
	v.beacons++
	v.ids.add(id)
}

const allSame = 1<<texts - 1

// locate notes where the texts of a message that stands at an offset of packed are.
func (v *visit) locate(message []byte, at int, same uint64) {
	for i := range v.latest {
		if same&(1<<i) == 0 {
			v.latest[i] = span{}
		}
	}
	for s := (scan{rest: message}); s.next(); {
		if i := s.number - visitBeaconURL; i >= 0 && i < texts {
			to := at + len(message) - len(s.rest)
			v.latest[i] = span{from: uint32(to - len(s.value)), to: uint32(to)}
		}
	}
}

// sameOf reads the field same of a packed message.
func sameOf(message []byte) uint64 {
	for s := (scan{rest: message}); s.next(); {
		if s.number == visitBeaconSame {
			return s.varint
		}
	}
	return 0
}

// The numbers of VisitBeacon's fields.
const (
	visitBeaconEventID  protowire.Number = 1
	visitBeaconType     protowire.Number = 2
	visitBeaconConsent  protowire.Number = 3
	visitBeaconOccurred protowire.Number = 4
	visitBeaconEngaged  protowire.Number = 5
	visitBeaconURL      protowire.Number = 6 // the first of the texts, which follow each other
	visitBeaconOffset   protowire.Number = 11
	visitBeaconSame     protowire.Number = 12
)

// pack appends a VisitBeacon message without the texts in same.
func pack(to []byte, e *entry, same uint64) []byte {
	to = appendBytes(to, visitBeaconEventID, e.eventID)
	to = appendVarint(to, visitBeaconType, uint64(e.kind))
	to = appendVarint(to, visitBeaconConsent, uint64(e.consent))
	to = appendVarint(to, visitBeaconOccurred, uint64(e.occurredUS))
	to = appendVarint(to, visitBeaconEngaged, uint64(e.engagedMS))
	for i, text := range e.text {
		if same&(1<<i) == 0 {
			to = appendBytes(to, visitBeaconURL+protowire.Number(i), text)
		}
	}
	to = appendVarint(to, visitBeaconOffset, uint64(e.offset))
	return appendVarint(to, visitBeaconSame, same)
}

func appendVarint(to []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return to
	}
	to = protowire.AppendTag(to, number, protowire.VarintType)
	return protowire.AppendVarint(to, value)
}

func appendBytes(to []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return to
	}
	to = protowire.AppendTag(to, number, protowire.BytesType)
	return protowire.AppendBytes(to, value)
}

// unpack appends the beacons of a packed visit, in order of arrival. They share its memory.
func unpack(to []entry, packed []byte) ([]entry, error) {
	for before := (entry{}); len(packed) > 0; {
		message, size := consumeBytes(packed)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		packed = packed[size:]
		var e entry
		same, err := e.read(message)
		if err != nil {
			return nil, err
		}
		for i := range e.text {
			if same&(1<<i) != 0 {
				e.text[i] = before.text[i]
			}
		}
		to = append(to, e)
		before = e
	}
	return to, nil
}

// read reads a VisitBeacon. The texts in same are those of the beacon before it.
func (e *entry) read(message []byte) (same int64, err error) {
	s := scan{rest: message}
	for s.next() {
		switch s.number {
		case visitBeaconEventID:
			s.bytes(&e.eventID)
		case visitBeaconType:
			s.int32((*int32)(&e.kind))
		case visitBeaconConsent:
			s.int32((*int32)(&e.consent))
		case visitBeaconOccurred:
			s.int64(&e.occurredUS)
		case visitBeaconEngaged:
			s.int32(&e.engagedMS)
		case visitBeaconURL + textURL, visitBeaconURL + textReferrer, visitBeaconURL + textChannel:
			s.bytes(&e.text[s.number-visitBeaconURL])
		case visitBeaconURL + textCampaign:
			s.message(&e.text[textCampaign], campaignFields)
		case visitBeaconURL + textAgent:
			s.message(&e.text[textAgent], agentFields)
		case visitBeaconOffset:
			s.int64(&e.offset)
		case visitBeaconSame:
			s.int64(&same)
		}
	}
	return same, s.err
}

// inOrder compares beacons as a visit orders them: by when they happened, then by event id, so
// that the order of arrival does not matter.
func inOrder(a, b entry) int {
	return cmp.Or(cmp.Compare(a.occurredUS, b.occurredUS), bytes.Compare(a.eventID, b.eventID))
}
