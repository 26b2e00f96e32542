package load

import (
	"math/rand/v2"
	"time"
)

const (
	// shopDays is how much recorded time the beacons of a shop are spread over.
	shopDays = 4
	// shopZipf and shopOffset are how unevenly visitors come: the k-th of them with a frequency of
	// (shopOffset+k)^-shopZipf.
	shopZipf   = 1.2
	shopOffset = 50
	// shopJitterUS is how far before it came in a beacon may have happened.
	shopJitterUS = int64(20 * time.Second / time.Microsecond)
)

// Start is the first instant of recorded time.
func Start() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

// Shop is four days of a web shop's page views, few visitors with many and many with few, up to
// 20 s out of order.
type Shop struct {
	writer          *Writer
	rand            *rand.Rand
	zipf            *rand.Zipf
	beacons, events int
	clockUS         int64
}

// NewShop makes a shop with so many beacons of so many possible visitors.
func NewShop(w *Writer, events, visitors int) *Shop {
	r := rand.New(rand.NewPCG(1, 0x73686f70))
	return &Shop{
		writer: w, rand: r, zipf: rand.NewZipf(r, shopZipf, shopOffset, uint64(visitors-1)),
		events: events,
	}
}

// Next writes one beacon, and at the end a flush; false where there was nothing left to write.
func (s *Shop) Next() bool {
	if s.beacons > s.events {
		return false
	}
	if s.beacons == s.events {
		s.writer.Flush(s.clockUS)
	} else {
		spanUS := shopDays * (24 * time.Hour).Microseconds()
		after := time.Duration(spanUS/int64(s.events)*int64(s.beacons)) * time.Microsecond
		s.clockUS = Start().Add(after).UnixMicro()
		s.writer.Beacon(s.zipf.Uint64(), s.clockUS, s.clockUS-s.rand.Int64N(shopJitterUS))
	}
	s.beacons++
	return true
}
