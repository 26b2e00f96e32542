package schemas_test

import (
	"testing"

	"crumbtrail/schemas"

	"google.golang.org/protobuf/proto"
)

// typical is a page view as it stands on the topic.
func typical() *schemas.BeaconRecord {
	return &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{Beacon: &schemas.Beacon{
		EventId:      "0198d2c4-7a3e-7cc1-b2a1-5f0a9d3e77aa",
		Site:         "acme",
		VisitorId:    "1f0c1d9a7b3e4c58",
		Type:         schemas.BeaconType_BEACON_TYPE_PAGE_VIEW,
		Consent:      schemas.Consent_CONSENT_IDENTIFIED,
		ReceivedAtUs: 1_767_225_600_300_000,
		CreatedAtUs:  1_767_225_600_000_000,
		SentAtUs:     1_767_225_600_250_000,
		OccurredAtUs: 1_767_225_600_050_000,
		Collector:    "edge-1",
		ClockUs:      1_767_225_600_300_000,
		Url:          "https://acme.example/pricing?utm_source=news&utm_medium=email",
		Referrer:     "https://www.google.com/",
		Title:        "Pricing",
		UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 " +
			"(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		Ip:       "198.51.100.0",
		Campaign: &schemas.Campaign{Source: "news", Medium: "email"},
		Channel:  "email",
		Agent: &schemas.Agent{
			Device: "desktop", Browser: "Chrome", Os: "Windows", Language: "en-GB",
		},
		Props:    []byte(`{"width":1280}`),
		Protocol: "native",
	}}}
}

// BenchmarkBeacon sets the generated fast methods beside the standard library of protobuf.
func BenchmarkBeacon(b *testing.B) {
	record := typical()
	wire, err := record.MarshalVT()
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name string
		step func() error
	}{
		{"marshal/fast", func() error { _, err := record.MarshalVT(); return err }},
		{"marshal/standard", func() error { _, err := proto.Marshal(record); return err }},
		{"unmarshal/fast", func() error { return new(schemas.BeaconRecord).UnmarshalVT(wire) }},
		{"unmarshal/standard", func() error {
			return proto.Unmarshal(wire, new(schemas.BeaconRecord))
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
