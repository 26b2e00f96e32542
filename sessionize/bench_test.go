package sessionize

import (
	"fmt"
	"testing"

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
