package sessionize

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// BenchmarkApply measures a steady state: 20,000 visitors in turn, a page view and four pings each,
// then silence until their visit has closed.
func BenchmarkApply(b *testing.B) {
	records := benchRecords(b, 500_000)
	b.ReportAllocs()
	var m *Machine
	var out stage.Output
	done := 0
	for b.Loop() {
		if done%len(records) == 0 {
			b.StopTimer()
			m = New(DefaultConfig(), 0)
			b.StartTimer()
		}
		at := done % len(records)
		m.Apply(records[at:at+1], &out)
		if len(out.Messages()) > 1000 {
			out.Reset()
		}
		done++
	}
	b.ReportMetric(float64(m.Counts().Visits)/float64(m.Counts().Beacons), "visits/beacon")
}

func benchRecords(b *testing.B, n int) []stage.Record {
	const visitors, perVisit = 20_000, 5
	records := make([]stage.Record, n)
	start := storyDay().UnixMicro()
	for i := range records {
		round, within := i/(visitors*perVisit), i%(visitors*perVisit)
		visitor := within % visitors
		at := start + int64(round)*3600e6 + int64(within)*10_000
		kind, engaged := schemas.BeaconType_BEACON_TYPE_PING, int32(15_000)
		if within < visitors {
			kind, engaged = schemas.BeaconType_BEACON_TYPE_PAGE_VIEW, 0
		}
		records[i] = encoded(b, int64(i), at/1000, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: &schemas.Beacon{
				EventId: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", i), Site: "acme",
				VisitorId: fmt.Sprintf("01890a5d-ac96-774b-0000-%012x", visitor), Type: kind,
				Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: at, CreatedAtUs: at,
				SentAtUs: at, OccurredAtUs: at, Collector: "collector-1", ClockUs: at,
				Url:      fmt.Sprintf("https://acme.example/products/%d?utm_source=mail", visitor%100),
				Referrer: "https://search.example/", Title: "A page of a shop", Channel: "email",
				UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
				Campaign:  &schemas.Campaign{Source: "mail", Medium: "email", Name: "spring"},
				Agent: &schemas.Agent{
					Device: "desktop", Browser: "Chrome", Os: "Linux", Country: "FR",
					Language: "fr",
				},
				EngagedMs: engaged, Props: []byte("{}"), Protocol: "native",
			}},
		})
	}
	return records
}

// BenchmarkOpenVisit measures what an open visit of five beacons takes in memory, in a checkpoint,
// and in time to write one and to read it back.
func BenchmarkOpenVisit(b *testing.B) {
	const visitors = 100_000
	records := benchRecords(b, visitors)
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
