package faults

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crumbtrail/schemas"
)

// load writes numbered beacons of many visitors straight to the log, on recorded time, and keeps
// account of what was sent and what the broker has acknowledged. It is the only collector.
type load struct {
	loadConfig
	client *kgo.Client
	random *rand.Rand
	stop   chan struct{}
	done   chan struct{}

	clock    time.Time // of the collector
	waiting  arrivals
	visitors int
	beacons  int

	mu           sync.Mutex
	sent         map[string]bool
	acknowledged map[string]bool
	went         map[string]int32 // the partition of each that was sent
	unknown      int              // sent, with an error for an answer
}

type loadConfig struct {
	topic string
	// traffic are the partitions that get beacons, ticks those that hear the time.
	traffic, ticks []int32
	// rate is how many visitors come in a step.
	rate int
	// pace is how far a step moves the clock, and ago how long ago it begins.
	pace, ago time.Duration
}

const (
	// A step of the load takes loadStep and moves the clock by loadPace, if nothing else is said, so
	// that a visit closes about two seconds after its last beacon.
	loadStep = 50 * time.Millisecond
	loadPace = time.Minute
	// loadBuffer records wait for a broker that is down; then the load stands still.
	loadBuffer = 1000
	loadSite   = "default"
	collector  = "load"
)

// arrival is a beacon on its way to the collector.
type arrival struct {
	at      time.Time
	visitor int
	beacon  *schemas.Beacon
}

// arrivals is a heap, the next one first.
type arrivals []arrival

func (a arrivals) Len() int           { return len(a) }
func (a arrivals) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a arrivals) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push is heap.Interface's.
func (a *arrivals) Push(x any) { *a = append(*a, x.(arrival)) }

// Pop is heap.Interface's.
func (a *arrivals) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// newLoad prepares a load. Its time begins ten days ago, if nothing else is said: brokers refuse
// times that lie ahead.
func newLoad(t *testing.T, address string, seed uint64, cfg loadConfig) *load {
	t.Helper()
	if cfg.rate == 0 {
		cfg.rate = 10
	}
	if cfg.pace == 0 {
		cfg.pace, cfg.ago = loadPace, 10*24*time.Hour
	}
	return &load{
		loadConfig: cfg, random: rand.New(rand.NewPCG(seed, 1)),
		client: newClient(t, address, kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(2*time.Millisecond), kgo.MaxBufferedRecords(loadBuffer)),
		stop: make(chan struct{}), done: make(chan struct{}),
		clock: time.Now().Add(-cfg.ago).Truncate(time.Minute),
		sent:  map[string]bool{}, acknowledged: map[string]bool{}, went: map[string]int32{},
	}
}

// run sends until halt, and then what is still on its way.
func (l *load) run() {
	defer close(l.done)
	pace := time.NewTicker(loadStep)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
		case <-l.stop:
			for len(l.waiting) > 0 {
				l.step()
			}
			return
		}
		for range l.rate {
			l.visit()
		}
		l.step()
	}
}

// halt ends the load and waits until everything that was sent has an answer.
func (l *load) halt(t *testing.T) {
	t.Helper()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	<-l.done
	l.flush(t)
}

func (l *load) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.client.Flush(ctx); err != nil {
		t.Fatalf("the broker does not answer to what was sent: %v", err)
	}
}

// closing moves the time on until every visit has closed.
func (l *load) closing(t *testing.T) {
	t.Helper()
	l.clock = l.clock.Add(2 * time.Hour)
	l.tick()
	l.flush(t)
}

// visit plans the beacons of a new visitor: few of them, minutes apart; a third comes back, at the
// very end of the gap, just after it or later; some come out of order, and some again.
func (l *load) visit() {
	l.visitors++
	happened := l.clock.Add(l.upTo(l.pace))
	last := happened
	for n := 1 + l.random.IntN(4); n > 0; n-- {
		last = happened
		l.plan(happened)
		happened = happened.Add(l.upTo(2 * time.Minute))
	}
	if l.random.IntN(3) > 0 {
		return
	}
	const gap = gapUS * time.Microsecond
	for _, later := range [][]time.Duration{
		{gap}, {gap + time.Microsecond}, {gap + time.Minute, 2*gap + 2*time.Minute},
	}[l.random.IntN(3)] {
		l.plan(last.Add(later))
	}
}

// plan has a beacon arrive: soon after it happened, or within the minute that sites wait for those
// that are late; one in ten twice, while its visit is open.
func (l *load) plan(happened time.Time) {
	l.beacons++
	delay := l.upTo(2 * time.Second)
	if l.random.IntN(5) == 0 {
		delay = l.upTo(50 * time.Second)
	}
	b := &schemas.Beacon{
		EventId: fmt.Sprintf("n%07d", l.beacons), Site: loadSite,
		VisitorId: fmt.Sprintf("v%06d", l.visitors),
		Type:      schemas.BeaconType_BEACON_TYPE_PAGE_VIEW,
		Consent:   schemas.Consent_CONSENT_IDENTIFIED, Collector: collector, Protocol: "native",
		OccurredAtUs: happened.UnixMicro(), CreatedAtUs: happened.UnixMicro(),
		Url: fmt.Sprintf("https://default.example/p%d", l.beacons%17),
	}
	at := happened.Add(delay)
	heap.Push(&l.waiting, arrival{at, l.visitors, b})
	if l.random.IntN(10) == 0 {
		heap.Push(&l.waiting, arrival{at.Add(l.upTo(10 * time.Minute)), l.visitors, b})
	}
}

func (l *load) upTo(d time.Duration) time.Duration {
	return time.Duration(l.random.Int64N(int64(d)))
}

// step sends what arrives within the next step, then says the time.
func (l *load) step() {
	to := l.clock.Add(l.pace)
	for len(l.waiting) > 0 && l.waiting[0].at.Before(to) {
		next := heap.Pop(&l.waiting).(arrival)
		b := next.beacon
		b.ReceivedAtUs, b.ClockUs = next.at.UnixMicro(), next.at.UnixMicro()
		b.SentAtUs = b.CreatedAtUs
		l.send(b.EventId, &kgo.Record{
			Key:       schemas.VisitorKey(loadSite, schemas.VisitorID(b.VisitorId)),
			Partition: l.traffic[next.visitor%len(l.traffic)], Timestamp: next.at,
		}, &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{Beacon: b}})
	}
	l.clock = to
	l.tick()
}

// tick says the time to every partition that is to hear it.
func (l *load) tick() {
	for _, p := range l.ticks {
		l.send("", &kgo.Record{Partition: p, Timestamp: l.clock}, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Tick{Tick: &schemas.Tick{
				Collector: collector, ClockUs: l.clock.UnixMicro(), LowUs: l.clock.UnixMicro(),
			}},
		})
	}
}

// send hands a record to the client, which sends it again until the broker has it.
func (l *load) send(id string, to *kgo.Record, record *schemas.BeaconRecord) {
	value, err := record.MarshalVT()
	if err != nil {
		panic("faults: encode a beacon: " + err.Error())
	}
	to.Topic, to.Value = l.topic, value
	if id != "" {
		l.mu.Lock()
		l.sent[id], l.went[id] = true, to.Partition
		l.mu.Unlock()
	}
	l.client.Produce(context.Background(), to, func(_ *kgo.Record, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case err != nil:
			l.unknown++
		case id != "":
			l.acknowledged[id] = true
		}
	})
}

// count returns how many beacons the broker has acknowledged.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}
