package sessionize

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// BenchmarkApply measures one of the 8 partitions of a log of 4 million beacons of about 300 bytes,
// from 200,000 visitors over four days, each beacon up to 20 s out of order: 0.3 visits close for
// each. cpu-ns counts the garbage collector's threads too.
func BenchmarkApply(b *testing.B) {
	const batch = 4000
	records := partitionOfBeacons(b, 4_000_000)
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	var visits int
	for b.Loop() {
		m := New(DefaultConfig(), 0)
		var out stage.Output
		visits = 0
		for at := 0; at < len(records); at += batch {
			m.Apply(records[at:min(at+batch, len(records))], &out)
			visits += len(out.Messages())
			out.Reset()
		}
	}
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	beacons := float64(b.N * len(records))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/beacons, "ns/beacon")
	b.ReportMetric(float64(cpu.Nanoseconds())/beacons, "cpu-ns/beacon")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/beacons, "B/beacon")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/beacons, "allocs/beacon")
	b.ReportMetric(float64(visits)/float64(len(records)), "visits/beacon")
}

// cpuTime is what the process has used, in all threads.
func cpuTime(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// partitionOfBeacons makes a log of n beacons and returns those of one partition of eight.
func partitionOfBeacons(tb testing.TB, n int) []stage.Record {
	const visitors, partitions, span = 200_000, 8, 4 * 24 * time.Hour
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.2, 50, visitors-1)
	start := storyDay().UnixMicro()
	var records []stage.Record
	// One buffer for all, as few objects hold what a fetch brings.
	buffer := make([]byte, 0, n/partitions*350)
	for i := range n {
		visitor := zipf.Uint64()
		if visitor%partitions != 0 {
			continue
		}
		at := start + span.Microseconds()/int64(n)*int64(i)
		value, err := beaconEntry(benchBeacon(random, i, visitor, at)).MarshalVT()
		if err != nil {
			tb.Fatal(err)
		}
		buffer = append(buffer, value...)
		records = append(records, stage.Record{
			Offset: int64(len(records)), Timestamp: at / 1000,
			Value: buffer[len(buffer)-len(value):],
		})
	}
	return records
}

func benchBeacon(random *rand.Rand, i int, visitor uint64, at int64) *schemas.Beacon {
	occurred := at - random.Int64N(20_000)*1000
	kind, engaged := schemas.BeaconType_BEACON_TYPE_PAGE_VIEW, int32(0)
	if i%3 == 0 {
		kind, engaged = schemas.BeaconType_BEACON_TYPE_PING, 15_000
	}
	return &schemas.Beacon{
		EventId: fmt.Sprintf("%08x-0000-4000-8000-%012x", i, random.Int64N(1<<48)), Site: "acme",
		VisitorId: fmt.Sprintf("v%08x", visitor*2654435761&0xffffffff), Type: kind,
		Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: at, CreatedAtUs: occurred,
		OccurredAtUs: occurred, Collector: "collector-1", ClockUs: at,
		Url: fmt.Sprintf("https://shop.example/c/%d/p/%d?utm_source=s%d", random.IntN(50),
			random.IntN(5000), random.IntN(9)),
		Referrer:  fmt.Sprintf("https://search.example/?q=%d", random.IntN(10_000)),
		Title:     fmt.Sprintf("Product page number %d", random.IntN(5000)),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0",
		Campaign:  &schemas.Campaign{Source: fmt.Sprintf("s%d", random.IntN(9))},
		Channel:   "campaign", EngagedMs: engaged,
		Agent: &schemas.Agent{
			Device: "desktop", Browser: "Chrome", Os: "Linux", Country: "GB", Language: "en-GB",
		},
		Protocol: "native",
	}
}

// inTurn makes n beacons, 10 ms apart, from visitors in turn.
func inTurn(tb testing.TB, visitors, n int) []stage.Record {
	random := rand.New(rand.NewPCG(1, 2))
	records := make([]stage.Record, n)
	start := storyDay().UnixMicro()
	for i := range records {
		at := start + int64(i)*10_000
		b := benchBeacon(random, i, uint64(i%visitors), at)
		b.Url = fmt.Sprintf("https://shop.example/c/%d", i%visitors%100)
		b.Referrer, b.Campaign.Source = "https://search.example/", "s"
		records[i] = encoded(tb, int64(i), at/1000, beaconEntry(b))
	}
	return records
}

// BenchmarkOpenVisit measures what an open visit of five beacons takes in memory, in a checkpoint,
// and in time to write one and to read it back.
func BenchmarkOpenVisit(b *testing.B) {
	const visitors, perVisit = 20_000, 5
	records := inTurn(b, visitors, visitors*perVisit)
	var out stage.Output
	var written, restored, heap, state float64
	for b.Loop() {
		before := liveBytes()
		m := New(DefaultConfig(), 0)
		m.Apply(records, &out)
		heap = float64(liveBytes() - before)
		open := float64(m.Counts().Open)
		keys := map[string][]byte{}
		began := time.Now()
		m.Checkpoint(func(key, value []byte) {
			keys[string(key)] = value
			state += float64(len(value))
		})
		written = float64(time.Since(began).Nanoseconds()) / open
		next := New(DefaultConfig(), 0)
		began = time.Now()
		for key, value := range keys {
			if err := next.Restore([]byte(key), value); err != nil {
				b.Fatal(err)
			}
		}
		restored = float64(time.Since(began).Nanoseconds()) / open
		b.ReportMetric(heap/open, "heap-B/visit")
		b.ReportMetric(state/open, "state-B/visit")
		state = 0
	}
	b.ReportMetric(written, "checkpoint-ns/visit")
	b.ReportMetric(restored, "restore-ns/visit")
}

func liveBytes() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
