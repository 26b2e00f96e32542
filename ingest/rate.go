package ingest

import (
	"net/netip"
	"sync"
	"time"
)

// bucket is a token bucket: so many a second, and so many at once after a quiet time. Whoever takes
// the last token may take more than there are: so much later the next one can be had.
type bucket struct {
	perSecond, most float64

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(perSecond, most float64) *bucket {
	return &bucket{perSecond: perSecond, most: most, tokens: most}
}

// take takes so many tokens, if there is one.
func (b *bucket) take(n float64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(b.most, b.tokens+now.Sub(b.last).Seconds()*b.perSecond)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens -= n
	return true
}

// addressesKept bounds each of the two generations of buckets.
const addressesKept = 16384

// buckets has a bucket for each address that was seen lately.
type buckets struct {
	perSecond, most float64

	mu sync.Mutex
	// An address is in the young generation once it was seen since the last change of
	// generations, which comes when the young one is full.
	young, old map[netip.Addr]*bucket
}

func newBuckets(perSecond, most float64) *buckets {
	return &buckets{perSecond: perSecond, most: most, young: map[netip.Addr]*bucket{}}
}

// take takes a token of an address. Loopback always has one: behind it is a proxy that is not
// trusted, or whoever tries the program out.
func (b *buckets) take(addr netip.Addr, now time.Time) bool {
	if addr.IsLoopback() || !addr.IsValid() {
		return true
	}
	if addr.Is6() {
		addr = netip.PrefixFrom(addr, 64).Masked().Addr()
	}
	return b.of(addr).take(1, now)
}

func (b *buckets) of(addr netip.Addr) *bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.young[addr]; found != nil {
		return found
	}
	found := b.old[addr]
	if found == nil {
		found = newBucket(b.perSecond, b.most)
	}
	if len(b.young) >= addressesKept {
		b.young, b.old = make(map[netip.Addr]*bucket, addressesKept), b.young
	}
	b.young[addr] = found
	return found
}
