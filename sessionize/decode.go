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
	if r.kind == beaconRecord {
		if err := r.beacon.read(inner); err != nil {
			return fault{reason: undecodable, detail: "beacon: " + err.Error()}
		}
		return r.beacon.check()
	}
	s = scan{rest: inner}
	switch r.kind {
	case tickRecord:
		if r.readTick(&s); s.err != nil {
			return fault{reason: undecodable, detail: "tick: " + s.err.Error()}
		}
		if !validTime(r.saidUS) {
			return badTime("/low_us", r.saidUS)
		}
		return fault{}
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

// beaconFields is how many fields a schemas.Beacon has.
const beaconFields = 23

// read reads a schemas.Beacon. Of the fields that no visit needs it checks the wire type, so that
// nothing is accepted that the schema refuses.
func (b *beacon) read(message []byte) error {
	for at := 0; at < len(message); {
		tag, number, end := nextField(message, at)
		if end < 0 {
			return fieldError(tag, end)
		}
		at = end
		value := message[end:end]
		if tag&tagTypes == bytesTag {
			value = message[end-int(number) : end]
		}
		var err error
		switch tag {
		case 1<<tagShift | bytesTag:
			b.eventID = value
		case 2<<tagShift | bytesTag:
			b.site = value
		case 3<<tagShift | bytesTag:
			b.visitor = value
		case 4<<tagShift | varintTag:
			b.kind = schemas.BeaconType(number)
		case 5<<tagShift | varintTag:
			b.consent = schemas.Consent(number)
		case 6<<tagShift | varintTag:
			b.receivedUS = int64(number)
		case 9<<tagShift | varintTag:
			b.occurredUS = int64(number)
		case 11<<tagShift | bytesTag:
			b.collector = value
		case 12<<tagShift | varintTag:
			b.clockUS = int64(number)
		case 13<<tagShift | bytesTag:
			b.text[textURL] = value
		case 14<<tagShift | bytesTag:
			b.text[textReferrer] = value
		case 18<<tagShift | bytesTag:
			err = setMessage(&b.text[textCampaign], value, campaignFields)
		case 19<<tagShift | bytesTag:
			b.text[textChannel] = value
		case 20<<tagShift | bytesTag:
			err = setMessage(&b.text[textAgent], value, agentFields)
		case 21<<tagShift | varintTag:
			b.engagedMS = int32(number)
		case 7<<tagShift | varintTag, 8<<tagShift | varintTag, 10<<tagShift | varintTag,
			15<<tagShift | bytesTag, 16<<tagShift | bytesTag, 17<<tagShift | bytesTag,
			22<<tagShift | bytesTag, 23<<tagShift | bytesTag:
		default:
			if tag>>tagShift <= beaconFields {
				err = errWireType
			}
		}
		if err != nil {
			return fmt.Errorf("field %d: %w", tag>>tagShift, err)
		}
	}
	return nil
}

// setMessage takes a message whose fields up to last are all strings, and leaves it encoded.
func setMessage(to *[]byte, message []byte, last uint64) error {
	if *to != nil {
		return errRepeated
	}
	*to = message
	return checkStrings(message, last)
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
	if !validTime(b.occurredUS) {
		return badTime("/occurred_at_us", b.occurredUS)
	}
	if us := b.saidUS(); !validTime(us) {
		return badTime("/clock_us", us)
	}
	return fault{}
}

func validTime(us int64) bool { return us >= 0 && us <= maxTimeUS }

func badTime(path string, us int64) fault {
	return fault{
		reason: "time_out_of_range",
		detail: fmt.Sprintf("%d is not between 0 and %d (%s)", us, int64(maxTimeUS),
			time.UnixMicro(maxTimeUS).UTC().Format(time.RFC3339)),
		path: path,
	}
}
