package ingest

import (
	"fmt"
	"slices"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// parcel is what must be durable together: the records of one request, or of one call of Append.
type parcel struct {
	msgs []kafka.Message
	// buf holds the encoded records, which msgs alias.
	buf   []byte
	tally tally
	// clockUs is the greatest clock in it, microseconds since the epoch.
	clockUs int64
	// arrival is nil for recorded input, or it is own.
	arrival *arrival
	own     arrival
	// room is what it takes of the queue's bytes while it is there.
	room int64
	// done gets the outcome, once; path then says where it is durable.
	done chan error
	path string

	// record is what beacons are encoded as.
	record schemas.BeaconRecord
	entry  schemas.BeaconRecord_Beacon
}

// tally counts what a parcel holds. Until the log has it nothing of it counts as taken.
type tally struct {
	accepted    int64
	submissions int64
	secrets     int64
	// rejected has the reason of each refused input.
	rejected []string
}

func (t *tally) received() int64 { return t.accepted + int64(len(t.rejected)) }

func newParcel(sizeHint int) *parcel {
	p := &parcel{buf: make([]byte, 0, sizeHint), done: make(chan error, 1)}
	p.record.Entry = &p.entry
	return p
}

// parcelBytes is as much as a parcel keeps between two requests, and then weighs.
const parcelBytes = 32 << 10

// reset empties a parcel of which nobody holds anything any more.
func (p *parcel) reset() {
	p.buf, p.msgs = p.buf[:0], p.msgs[:0]
	p.tally = tally{rejected: p.tally.rejected[:0]}
	p.clockUs, p.path, p.arrival, p.own = 0, "", nil, arrival{}
}

// record is what goes to a topic.
type record interface {
	SizeVT() int
	MarshalToSizedBufferVT(buf []byte) (int, error)
}

// add encodes a record. The buffer may move as it grows: records before keep their old one alive.
func (p *parcel) add(topic schemas.Topic, partition int32, us int64, key []byte, r record) {
	n := r.SizeVT()
	p.buf = slices.Grow(p.buf, n)
	at := len(p.buf)
	p.buf = p.buf[:at+n]
	value := p.buf[at : at+n : at+n]
	if _, err := r.MarshalToSizedBufferVT(value); err != nil {
		panic(fmt.Sprintf("encode a record of %q: %v", topic, err))
	}
	p.msgs = append(p.msgs, kafka.Message{
		Topic: string(topic), Partition: partition, Timestamp: us / 1000, Key: key, Value: value,
	})
}

// beacon adds a beacon, which has its clock.
func (p *parcel) beacon(b *schemas.Beacon, partitions int) {
	site := schemas.Site(b.Site)
	var key []byte
	if b.VisitorId != "" {
		key = schemas.VisitorKey(site, schemas.VisitorID(b.VisitorId))
	} else {
		key = schemas.CountedKey(site, b.EventId)
	}
	p.clockUs = max(p.clockUs, b.ClockUs)
	p.entry.Beacon = b
	p.add(schemas.Beacons, kafka.PartitionOf(key, partitions), b.ClockUs, key, &p.record)
	p.entry.Beacon = nil
	p.tally.accepted++
}

func (p *parcel) submission(s *schemas.Submission, clockUs int64) {
	p.add(schemas.Submissions, kafka.AnyPartition, clockUs, []byte(s.Site), s)
	p.tally.submissions++
}

// refuse counts a refused input and keeps it; b is nil where it is only to be counted.
func (p *parcel) refuse(reason string, b *schemas.BadBeacon) {
	p.tally.rejected = append(p.tally.rejected, reason)
	if b != nil {
		p.add(schemas.BadBeacons, kafka.AnyPartition, b.ReceivedAtUs, []byte(b.Site), b)
	}
}

// weight is how much of the queue's bytes the parcel takes.
func (p *parcel) weight() int64 {
	const perMessage = 128 // the message itself and its key
	return int64(cap(p.buf)) + int64(len(p.msgs))*perMessage
}
