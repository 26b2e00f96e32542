package sessionize

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"crumbtrail/schemas"
)

// The numbers of VisitBeacon's fields.
const (
	visitBeaconEventID  = 1
	visitBeaconType     = 2
	visitBeaconConsent  = 3
	visitBeaconOccurred = 4
	visitBeaconEngaged  = 5
	visitBeaconURL      = 6 // the first of the texts, which follow each other
	visitBeaconOffset   = 11
	visitBeaconSame     = 12
)

// span is where bytes stand among the packed ones of a visit.
type span struct{ from, to uint32 }

func (s span) empty() bool { return s.from == s.to }

func (s span) of(packed []byte) []byte { return packed[s.from:s.to] }

// packedSize is the length of a VisitBeacon message without the texts in same.
func packedSize(e *entry, same uint64) int {
	size := sizeBytes(visitBeaconEventID, len(e.eventID)) +
		sizeVarint(visitBeaconType, uint64(e.kind)) +
		sizeVarint(visitBeaconConsent, uint64(e.consent)) +
		sizeVarint(visitBeaconOccurred, uint64(e.occurredUS)) +
		sizeVarint(visitBeaconEngaged, uint64(e.engagedMS)) +
		sizeVarint(visitBeaconOffset, uint64(e.offset)) +
		sizeVarint(visitBeaconSame, same)
	for i := range e.text {
		if same&(1<<i) == 0 {
			size += sizeBytes(visitBeaconURL, len(e.text[i]))
		}
	}
	return size
}

// pack appends a VisitBeacon message without the texts in same, and notes where the others stand.
func pack(to []byte, e *entry, same uint64, latest *[texts]span) []byte {
	to = appendBytes(to, visitBeaconEventID, e.eventID)
	to = appendVarint(to, visitBeaconType, uint64(e.kind))
	to = appendVarint(to, visitBeaconConsent, uint64(e.consent))
	to = appendVarint(to, visitBeaconOccurred, uint64(e.occurredUS))
	to = appendVarint(to, visitBeaconEngaged, uint64(e.engagedMS))
	for i := range e.text {
		if same&(1<<i) != 0 {
			continue
		}
		latest[i] = span{}
		if text := e.text[i]; len(text) > 0 {
			to = appendBytes(to, visitBeaconURL+uint64(i), text)
			latest[i] = span{from: uint32(len(to) - len(text)), to: uint32(len(to))}
		}
	}
	to = appendVarint(to, visitBeaconOffset, uint64(e.offset))
	return appendVarint(to, visitBeaconSame, same)
}

// kept is a packed beacon, with its texts where they stand, in it or in one before.
type kept struct {
	occurredUS int64
	offset     int64
	kind       schemas.BeaconType
	consent    schemas.Consent
	engagedMS  int32
	eventID    span
	text       [texts]span
}

// entry is the beacon as it was before it was packed. It shares the memory of packed.
func (k *kept) entry(packed []byte) entry {
	e := entry{
		eventID: k.eventID.of(packed), kind: k.kind, consent: k.consent, occurredUS: k.occurredUS,
		engagedMS: k.engagedMS, offset: k.offset,
	}
	for i := range k.text {
		e.text[i] = k.text[i].of(packed)
	}
	return e
}

// unpack appends the beacons of a packed visit, in order of arrival.
func unpack(to []kept, packed []byte) ([]kept, error) {
	var latest [texts]span
	for at := 0; at < len(packed); {
		length, size := protowire.ConsumeVarint(packed[at:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		at += size
		if length > uint64(len(packed)-at) {
			return nil, protowire.ParseError(cutShort)
		}
		to = append(to, kept{})
		k := &to[len(to)-1]
		same, err := k.read(packed[:at+int(length)], at)
		if err != nil {
			return nil, err
		}
		for i := range k.text {
			if same&(1<<i) != 0 {
				k.text[i] = latest[i]
			}
		}
		latest = k.text
		at += int(length)
	}
	return to, nil
}

// read reads the VisitBeacon that stands at an offset, up to the end of packed. The texts in same
// are those of the beacon before it.
func (k *kept) read(packed []byte, at int) (same uint64, err error) {
	for at < len(packed) {
		tag, number, end := nextField(packed, at)
		if end < 0 {
			return 0, fieldError(tag, end)
		}
		at = end
		value := span{from: uint32(end) - uint32(number), to: uint32(end)}
		switch tag {
		case visitBeaconEventID<<tagShift | bytesTag:
			k.eventID = value
		case visitBeaconType<<tagShift | varintTag:
			k.kind = schemas.BeaconType(number)
		case visitBeaconConsent<<tagShift | varintTag:
			k.consent = schemas.Consent(number)
		case visitBeaconOccurred<<tagShift | varintTag:
			k.occurredUS = int64(number)
		case visitBeaconEngaged<<tagShift | varintTag:
			k.engagedMS = int32(number)
		case (visitBeaconURL+textURL)<<tagShift | bytesTag:
			k.text[textURL] = value
		case (visitBeaconURL+textReferrer)<<tagShift | bytesTag:
			k.text[textReferrer] = value
		case (visitBeaconURL+textChannel)<<tagShift | bytesTag:
			k.text[textChannel] = value
		case (visitBeaconURL+textCampaign)<<tagShift | bytesTag:
			k.text[textCampaign] = value
			err = checkStrings(value.of(packed), campaignFields)
		case (visitBeaconURL+textAgent)<<tagShift | bytesTag:
			k.text[textAgent] = value
			err = checkStrings(value.of(packed), agentFields)
		case visitBeaconOffset<<tagShift | varintTag:
			k.offset = int64(number)
		case visitBeaconSame<<tagShift | varintTag:
			same = number
		default:
			if tag>>tagShift <= visitBeaconSame {
				err = errWireType
			}
		}
		if err != nil {
			return 0, fmt.Errorf("field %d: %w", tag>>tagShift, err)
		}
	}
	return same, nil
}

// place is where a beacon stands among those of a visit, in order of arrival.
type place struct {
	occurredUS int64
	index      int32
}

// inOrder returns the places of a visit's beacons in the order that a visit gives them: by when
// they happened, then by event id, so that the order of arrival does not matter.
func inOrder(places []place, beacons []kept, packed []byte) []place {
	for i := range beacons {
		places = append(places, place{occurredUS: beacons[i].occurredUS, index: int32(i)})
	}
	compare := func(a, b place) int {
		if a.occurredUS != b.occurredUS {
			return cmp.Compare(a.occurredUS, b.occurredUS)
		}
		return bytes.Compare(beacons[a.index].eventID.of(packed), beacons[b.index].eventID.of(packed))
	}
	slices.SortFunc(places, compare)
	return places
}
