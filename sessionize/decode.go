package sessionize

import (
	"bytes"
	"fmt"
	"time"

	"crumbtrail/schemas"
)

// The texts of a beacon that are most often those of the beacon before it. The order is that of
// VisitBeacon's fields and of the bits of its field same.
const (
	textURL = iota
	textReferrer
	textChannel
	textCampaign // an encoded schemas.Campaign
	textAgent    // an encoded schemas.Agent
	texts
)

// How many fields the two messages have, all of them strings.
const (
	campaignFields = 5
	agentFields    = 6
)

// entry is what a visit keeps of a beacon. Its bytes belong to whatever it was read from.
type entry struct {
	eventID    []byte
	kind       schemas.BeaconType
	consent    schemas.Consent
	occurredUS int64
	engagedMS  int32
	offset     int64
	text       [texts][]byte
}

// size bounds the bytes that the entry takes once it is packed.
func (e *entry) size() int {
	const numbersAndTags = 64
	size := numbersAndTags + len(e.eventID)
	for _, text := range e.text {
		size += len(text)
	}
	return size
}

// beacon is what the sessionizer reads of a schemas.Beacon.
type beacon struct {
	entry
	site       []byte
	visitor    []byte
	collector  []byte
	receivedUS int64
	clockUS    int64
}

// saidUS is the time that the beacon's collector says by sending it.
func (b *beacon) saidUS() int64 {
	if b.clockUS != 0 {
		return b.clockUS
	}
	return b.receivedUS
}

type recordKind int

const (
	beaconRecord recordKind = iota + 1
	tickRecord
	flushRecord
)

// record is a decoded schemas.BeaconRecord.
type record struct {
	kind   recordKind
	beacon beacon
	// collector is a tick's or a flush's, saidUS a tick's.
	collector []byte
	saidUS    int64
}

// fault says why a record cannot be used; its zero value is none.
type fault struct {
	reason string
	detail string
	path   string
}

const (
	undecodable = "undecodable_record"
	// maxTimeUS is the end of the year 9999: what a timestamp can be in the lake.
	maxTimeUS = 253_402_300_799_999_999
	// maxEntryBytes bounds what one beacon may add to a visit.
	maxEntryBytes = maxVisitorBytes / 4
)

// decode reads a record without copying: what a visit does not need is skipped, not built. The
// result shares the memory of value.
func (r *record) decode(value []byte) fault {
	*r = record{}
	var inner []byte
	s := scan{rest: value}
	for s.next() {
		if s.number > 3 {
			continue
		}
		if r.kind != 0 {
			s.fail(errRepeated)
		}
		r.kind = recordKind(s.number)
		s.bytes(&inner)
	}
	if s.err != nil {
		return fault{reason: undecodable, detail: s.err.Error()}
	}
	s = scan{rest: inner}
	switch r.kind {
	case beaconRecord:
		if r.beacon.read(&s); s.err != nil {
			return fault{reason: undecodable, detail: "beacon: " + s.err.Error()}
		}
		return r.beacon.check()
	case tickRecord:
		if r.readTick(&s); s.err != nil {
			return fault{reason: undecodable, detail: "tick: " + s.err.Error()}
		}
		return checkTime("/low_us", r.saidUS)
	case flushRecord:
		if r.readFlush(&s); s.err != nil {
			return fault{reason: undecodable, detail: "flush: " + s.err.Error()}
		}
		return fault{}
	}
	return fault{reason: "unknown_entry", detail: "neither beacon, tick nor flush"}
}

// readTick reads a schemas.Tick. Where it says no low, there is no backlog.
func (r *record) readTick(s *scan) {
	var clockUS int64
	for s.next() {
		switch s.number {
		case 1:
			s.bytes(&r.collector)
		case 2:
			s.int64(&clockUS)
		case 3:
			s.int64(&r.saidUS)
		}
	}
	if r.saidUS == 0 {
		r.saidUS = clockUS
	}
}

// readFlush reads a schemas.Flush.
func (r *record) readFlush(s *scan) {
	for s.next() {
		if s.number == 1 {
			s.bytes(&r.collector)
		}
	}
}

// read reads a schemas.Beacon. Of the fields that no visit needs it checks the wire type, so that
// nothing is accepted that the schema refuses.
func (b *beacon) read(s *scan) {
	var number int64
	var text []byte
	for s.next() {
		switch s.number {
		case 1:
			s.bytes(&b.eventID)
		case 2:
			s.bytes(&b.site)
		case 3:
			s.bytes(&b.visitor)
		case 4:
			s.int32((*int32)(&b.kind))
		case 5:
			s.int32((*int32)(&b.consent))
		case 6:
			s.int64(&b.receivedUS)
		case 7, 8, 10:
			s.int64(&number)
		case 9:
			s.int64(&b.occurredUS)
		case 11:
			s.bytes(&b.collector)
		case 12:
			s.int64(&b.clockUS)
		case 13:
			s.bytes(&b.text[textURL])
		case 14:
			s.bytes(&b.text[textReferrer])
		case 15, 16, 17, 22, 23:
			s.bytes(&text)
		case 18:
			s.message(&b.text[textCampaign], campaignFields)
		case 19:
			s.bytes(&b.text[textChannel])
		case 20:
			s.message(&b.text[textAgent], agentFields)
		case 21:
			s.int32(&b.engagedMS)
		}
	}
}

// check says whether a beacon can be put anywhere. A beacon without an event id would be taken for
// a duplicate of every other one.
func (b *beacon) check() fault {
	switch {
	case len(b.eventID) == 0:
		return fault{reason: "missing_field", detail: "a beacon needs an event id", path: "/event_id"}
	case len(b.site) == 0:
		return fault{reason: "missing_field", detail: "a beacon needs a site", path: "/site"}
	case bytes.IndexByte(b.site, 0) >= 0:
		return fault{reason: "zero_byte", detail: "site holds a zero byte", path: "/site"}
	case bytes.IndexByte(b.visitor, 0) >= 0:
		return fault{reason: "zero_byte", detail: "visitor holds a zero byte", path: "/visitor_id"}
	}
	if size := b.size(); size > maxEntryBytes {
		return fault{
			reason: "too_large",
			detail: fmt.Sprintf("%d bytes for a visit to keep, at most %d", size, maxEntryBytes),
		}
	}
	if f := checkTime("/occurred_at_us", b.occurredUS); f.reason != "" {
		return f
	}
	return checkTime("/clock_us", b.saidUS())
}

func checkTime(path string, us int64) fault {
	if us >= 0 && us <= maxTimeUS {
		return fault{}
	}
	return fault{
		reason: "time_out_of_range",
		detail: fmt.Sprintf("%d is not between 0 and %d (%s)", us, int64(maxTimeUS),
			time.UnixMicro(maxTimeUS).UTC().Format(time.RFC3339)),
		path: path,
	}
}
