package sessionize

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// TestVisitOnTheTopic holds a whole visit as it stands on the topic.
func TestVisitOnTheTopic(t *testing.T) {
	m := New(DefaultConfig(), 3)
	var out stage.Output
	at := storyDay().UnixMicro()
	first, second := fullBeacon(), fullBeacon()
	second.OccurredAtUs, second.ClockUs, second.EventId = at+5_000_000, at+5_000_000, "b"
	first.OccurredAtUs, first.ClockUs, first.EventId = at, at+5_000_000, "a"
	m.Apply([]stage.Record{
		encoded(t, 30, at/1000+5000, beaconEntry(second)),
		encoded(t, 40, at/1000+5000, beaconEntry(first)),
		encoded(t, 50, at/1000+9000, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{}},
		}),
	}, &out)
	if len(out.Messages()) != 1 {
		t.Fatalf("%d messages", len(out.Messages()))
	}
	message := out.Messages()[0]
	if message.Topic != "visits" || string(message.Key) != "s\x00v" ||
		message.Timestamp != at/1000+9000 {
		t.Errorf("message %q %q %d", message.Topic, message.Key, message.Timestamp)
	}
	want := &schemas.Visit{
		VisitId: string(schemas.NewVisitIDs().AppendID(nil, "s\x00v", at, []byte("a"))),
		Site:    "s", VisitorId: "v",
		StartedAtUs: at, EndedAtUs: at + 5_000_000, Beacons: 2, Pings: 2, EngagedMs: 14,
		EntryUrl: "/", ExitUrl: "/", Referrer: "r", Channel: "direct",
		Campaign: fullBeacon().Campaign, Agent: fullBeacon().Agent,
		Consent: schemas.Consent_CONSENT_IDENTIFIED, StartReason: "first_beacon",
		EndReason: "flush", FirstEventId: "a", LastEventId: "b", InputPartition: 3, LastOffset: 40,
	}
	var got schemas.Visit
	if err := got.UnmarshalVT(message.Value); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Errorf("visit (-want +got):\n%s", diff)
	}
}

// TestOrderOfVisits says that visits which are due at the same time come out by site and visitor,
// in whatever order they were opened.
func TestOrderOfVisits(t *testing.T) {
	m := New(DefaultConfig(), 0)
	var out stage.Output
	at := storyDay().UnixMicro()
	var want []string
	for i := range 50 {
		b := fullBeacon()
		b.VisitorId, b.OccurredAtUs, b.ClockUs = fmt.Sprintf("v%02d", i*37%50), at, at
		want = append(want, "s\x00"+b.VisitorId)
		m.Apply([]stage.Record{encoded(t, int64(i), at/1000, beaconEntry(b))}, &out)
	}
	slices.Sort(want)
	m.Apply([]stage.Record{encoded(t, 50, at/1000+3600_000, &schemas.BeaconRecord{
		Entry: &schemas.BeaconRecord_Tick{Tick: &schemas.Tick{
			ClockUs: at + 3600e6, LowUs: at + 3600e6,
		}},
	})}, &out)
	m.Apply([]stage.Record{encoded(t, 51, at/1000+3600_000, &schemas.BeaconRecord{
		Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{}},
	})}, &out)
	var got []string
	for _, message := range out.Messages() {
		got = append(got, string(message.Key))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// What is sent again after the dedupe window makes a late visit that begins as the first one did.
func TestLateVisitHasAnIDOfItsOwn(t *testing.T) {
	const hour = int64(time.Hour / time.Microsecond)
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC).UnixMicro()
	var records []stage.Record
	for i, clock := range []int64{start, start + 5*hour, start + 10*hour, start + 15*hour} {
		value, err := (&schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{Beacon: &schemas.Beacon{
			EventId: "a", Site: "s", VisitorId: "v", Type: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW,
			Consent: schemas.Consent_CONSENT_IDENTIFIED, Collector: "c",
			ReceivedAtUs: clock, OccurredAtUs: start, ClockUs: clock,
		}}}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, stage.Record{
			Offset: int64(i), Timestamp: clock / 1000, Value: value,
		})
	}
	var out stage.Output
	m := New(DefaultConfig(), 0)
	m.Apply(records, &out)
	ids := map[string]bool{}
	for _, message := range out.Messages() {
		var v schemas.Visit
		if err := v.UnmarshalVT(message.Value); err != nil {
			t.Fatal(err)
		}
		ids[v.VisitId] = true
	}
	if n := len(out.Messages()); n != 3 || len(ids) != n {
		t.Errorf("%d visits with %d ids, want 3 of each", n, len(ids))
	}
}
