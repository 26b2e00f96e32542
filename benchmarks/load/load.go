// Package load makes the records of the topics beacons and submissions that benches measure with:
// it reads nothing but what it is told, writes messages as a collector on a recorded clock appends
// them, and guarantees that the same calls give the same bytes, with an independent count of the
// visits that must come of them.
package load

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

const (
	// Site is whose beacons they are; no configuration needs to know it.
	Site = "acme"
	// collector is who appends.
	collector = "bench"
	// tickUS is how far the recorded clock moves between two ticks, as in a replay.
	tickUS = int64(time.Minute / time.Microsecond)
	// bufferBytes of records share a buffer.
	bufferBytes = 256 << 10
)

// Writer turns who was seen when into the messages of a collector.
type Writer struct {
	rand    *rand.Rand
	windows Windows
	msgs    []kafka.Message
	buf     []byte
	beacons int
	// submissions are those of the topic of that name.
	submissions int
	tickUS      int64 // the recorded clock at the last tick
	// clocks is by partition how far its clock is moved by what was written.
	clocks []int64
}

// NewWriter makes a writer for a topic with so many partitions.
func NewWriter(partitions int) *Writer {
	return &Writer{rand: rand.New(rand.NewPCG(1, 0x6c6f6164)), clocks: make([]int64, partitions)}
}

// Beacon writes a page view that came in at clockUS and happened at occurredUS, microseconds since
// the epoch; clockUS never goes back. Page, referrer and campaign are drawn for each one. A minute
// after the last one, a tick goes to every partition. It returns the beacon's partition.
func (w *Writer) Beacon(visitor uint64, clockUS, occurredUS int64) int32 {
	b := w.pageView()
	b.ReceivedAtUs, b.SentAtUs = clockUS, clockUS
	b.CreatedAtUs, b.OccurredAtUs = occurredUS, occurredUS
	return w.append(visitor, b)
}

// append writes a visitor's beacon at its received_at, which never goes back.
func (w *Writer) append(visitor uint64, b *schemas.Beacon) int32 {
	clockUS := b.ReceivedAtUs
	b.Site, b.VisitorId = Site, VisitorID(visitor)
	b.Collector, b.ClockUs = collector, clockUS
	key := schemas.VisitorKey(Site, schemas.VisitorID(b.VisitorId))
	partition := kafka.PartitionOf(key, len(w.clocks))
	w.put(schemas.Beacons, partition, clockUS, key, &schemas.BeaconRecord{
		Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
	})
	w.clocks[partition] = clockUS
	w.windows.add(visitor, b.OccurredAtUs)
	w.beacons++
	if clockUS-w.tickUS >= tickUS {
		w.Tick(clockUS)
	}
	return partition
}

// Tick writes the time to every partition.
func (w *Writer) Tick(clockUS int64) {
	w.tickUS = clockUS
	for p := range w.clocks {
		w.clocks[p] = clockUS
		w.put(schemas.Beacons, int32(p), clockUS, nil, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Tick{
				Tick: &schemas.Tick{Collector: collector, ClockUs: clockUS, LowUs: clockUS},
			},
		})
	}
}

// Flush writes the time and what closes every visit, to every partition.
func (w *Writer) Flush(clockUS int64) {
	w.Tick(clockUS)
	for p := range w.clocks {
		w.put(schemas.Beacons, int32(p), clockUS, nil, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{Collector: collector}},
		})
	}
}

// Take returns what was written since the last Take.
func (w *Writer) Take() []kafka.Message {
	msgs := w.msgs
	w.msgs, w.buf = make([]kafka.Message, 0, len(msgs)), nil
	return msgs
}

// Waiting is how many messages the next Take returns.
func (w *Writer) Waiting() int { return len(w.msgs) }

// Beacons is how many have been written.
func (w *Writer) Beacons() int { return w.beacons }

// Submissions is how many have been written.
func (w *Writer) Submissions() int { return w.submissions }

// ClockUS is how far a partition's clock is moved by what was written.
func (w *Writer) ClockUS(partition int) int64 { return w.clocks[partition] }

// Visits counts the visits of all beacons for a gap; see Windows.
func (w *Writer) Visits(gap time.Duration) int { return w.windows.Count(gap) }

// submit writes a visitor's submission to the one partition of its topic.
func (w *Writer) submit(s *schemas.Submission) {
	w.put(schemas.Submissions, 0, s.ReceivedAtUs, []byte(s.Site), s)
	w.submissions++
}

// message is what a topic's values are.
type message interface {
	SizeVT() int
	MarshalToSizedBufferVT(to []byte) (int, error)
}

// put encodes a record. A buffer that is full stays with the messages that are in it.
func (w *Writer) put(
	topic schemas.Topic, partition int32, clockUS int64, key []byte, r message,
) {
	n := r.SizeVT()
	if len(w.buf)+n > cap(w.buf) {
		w.buf = make([]byte, 0, max(n, bufferBytes))
	}
	at := len(w.buf)
	w.buf = w.buf[:at+n]
	value := w.buf[at : at+n : at+n]
	if _, err := r.MarshalToSizedBufferVT(value); err != nil {
		panic("load: encode for " + string(topic) + ": " + err.Error())
	}
	w.msgs = append(w.msgs, kafka.Message{
		Topic: string(topic), Partition: partition, Timestamp: clockUS / 1000,
		Key: key, Value: value,
	})
}

// pageView is a beacon without its times, as it is after the edge.
func (w *Writer) pageView() *schemas.Beacon {
	r := w.rand.Uint64()
	draw := func(n uint64) string {
		drawn := r % n
		r /= n
		return strconv.FormatUint(drawn, 10)
	}
	source := "s" + draw(9)
	return &schemas.Beacon{
		EventId: w.eventID(), Type: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW,
		Consent: schemas.Consent_CONSENT_IDENTIFIED,
		Url: "https://shop.example/c/" + draw(50) + "/p/" + draw(5000) +
			"?utm_source=" + source,
		Referrer:  "https://search.example/?q=" + draw(10_000),
		Title:     "Product page number " + draw(5000),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0",
		Ip:        "192.0.2.0", Campaign: &schemas.Campaign{Source: source}, Channel: "campaign",
		Agent: &schemas.Agent{
			Device: "desktop", Browser: "Chrome", Os: "Linux", Language: "en-GB",
		},
		Props: []byte("{}"), Protocol: "native",
	}
}

// eventID is the beacon's number and a random one, in the form of a UUID.
func (w *Writer) eventID() string {
	const hex = "0123456789abcdef"
	id := []byte("00000000-0000-4000-8000-000000000000")
	for i, n := 7, uint(w.beacons); i >= 0; i, n = i-1, n>>4 {
		id[i] = hex[n&15]
	}
	for i, n := len(id)-1, w.rand.Uint64(); i >= len(id)-12; i, n = i-1, n>>4 {
		id[i] = hex[n&15]
	}
	return string(id)
}

// VisitorID is the id of a visitor, as the collector makes them: 128 bits in base64.
func VisitorID(visitor uint64) string {
	id := binary.BigEndian.AppendUint64(nil, (visitor+1)*0x9e3779b97f4a7c15)
	return base64.RawURLEncoding.EncodeToString(
		binary.BigEndian.AppendUint64(id, (visitor+1)*0xc2b2ae3d27d4eb4f))
}
