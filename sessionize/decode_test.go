package sessionize

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// fullBeacon has every field set.
func fullBeacon() *schemas.Beacon {
	return &schemas.Beacon{
		EventId: "e", Site: "s", VisitorId: "v", Type: schemas.BeaconType_BEACON_TYPE_PING,
		Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: 5, CreatedAtUs: 2, SentAtUs: 3,
		OccurredAtUs: 4, Clamped: true, Collector: "c", ClockUs: 6, Url: "/", Referrer: "r",
		Title: "t", UserAgent: "u", Ip: "192.0.2.0", Channel: "direct", EngagedMs: 7,
		Campaign: &schemas.Campaign{
			Source: "a", Medium: "b", Name: "c", Term: "d", Content: "e",
		},
		Agent: &schemas.Agent{
			Device: "tv", Browser: "b", Os: "o", Country: "FR", Language: "fr", BotRule: "x",
		},
		Props: []byte("{}"), Protocol: "native",
	}
}

func beaconEntry(b *schemas.Beacon) *schemas.BeaconRecord {
	return &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{Beacon: b}}
}

// FuzzDecode says that decode accepts nothing that the schema refuses, reads the same from it, and
// accepts whatever the schema itself writes; and that a machine survives any record and puts out
// one bad beacon for each that it cannot use.
func FuzzDecode(f *testing.F) {
	for _, r := range []*schemas.BeaconRecord{
		{},
		beaconEntry(&schemas.Beacon{}),
		beaconEntry(fullBeacon()),
		{Entry: &schemas.BeaconRecord_Tick{Tick: &schemas.Tick{
			Collector: "c", ClockUs: 2, LowUs: 1,
		}}},
		{Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{Collector: "c"}}},
	} {
		value, err := r.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
		f.Add(append(value, value...))
		f.Add(value[:len(value)/2])
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var got record
		fault := got.decode(value)
		var want schemas.BeaconRecord
		err := want.UnmarshalVT(value)
		if err != nil && fault.reason != undecodable {
			t.Fatalf("the schema says %v, decode says %q", err, fault.reason)
		}
		var known schemas.BeaconRecord
		discard := proto.UnmarshalOptions{DiscardUnknown: true}
		if discard.Unmarshal(value, &known) == nil {
			canonical, err := known.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			if again := (&record{}).decode(canonical); again.reason == undecodable {
				t.Fatalf("what the schema writes is refused: %s", again.detail)
			}
		}
		if fault.reason == "" {
			compareDecoded(t, &got, &want)
		}
		survive(t, value, fault)
	})
}

func compareDecoded(t *testing.T, got *record, want *schemas.BeaconRecord) {
	if b := want.GetBeacon(); b != nil {
		same := &schemas.Beacon{
			EventId: b.EventId, Site: b.Site, VisitorId: b.VisitorId, Type: b.Type,
			Consent: b.Consent, ReceivedAtUs: b.ReceivedAtUs, OccurredAtUs: b.OccurredAtUs,
			Collector: b.Collector, ClockUs: b.ClockUs, Url: b.Url, Referrer: b.Referrer,
			Channel: b.Channel, Campaign: b.Campaign, Agent: b.Agent, EngagedMs: b.EngagedMs,
		}
		if diff := cmp.Diff(same, asBeacon(t, &got.beacon), ignoreUnknown()); diff != "" {
			t.Fatalf("beacon (-schema +decode):\n%s", diff)
		}
	}
	if tick := want.GetTick(); tick != nil {
		low := tick.LowUs
		if low == 0 {
			low = tick.ClockUs
		}
		if string(got.collector) != tick.Collector || got.saidUS != low {
			t.Fatalf("tick %v was read as %q %d", tick, got.collector, got.saidUS)
		}
	}
}

func ignoreUnknown() cmp.Option {
	return cmp.Options{protocmp.Transform(), protocmp.IgnoreUnknown()}
}

func asBeacon(t *testing.T, b *beacon) *schemas.Beacon {
	all := &schemas.Beacon{
		EventId: string(b.eventID), Site: string(b.site), VisitorId: string(b.visitor),
		Type: b.kind, Consent: b.consent, ReceivedAtUs: b.receivedUS, OccurredAtUs: b.occurredUS,
		Collector: string(b.collector), ClockUs: b.clockUS, Url: string(b.text[textURL]),
		Referrer: string(b.text[textReferrer]), Channel: string(b.text[textChannel]),
		EngagedMs: b.engagedMS,
	}
	if encoded := b.text[textCampaign]; encoded != nil {
		all.Campaign = &schemas.Campaign{}
		if err := all.Campaign.UnmarshalVT(encoded); err != nil {
			t.Fatalf("campaign was accepted: %v", err)
		}
	}
	if encoded := b.text[textAgent]; encoded != nil {
		all.Agent = &schemas.Agent{}
		if err := all.Agent.UnmarshalVT(encoded); err != nil {
			t.Fatalf("agent was accepted: %v", err)
		}
	}
	return all
}

// survive applies the record twice between two good ones, restarts, and flushes.
func survive(t *testing.T, value []byte, f fault) {
	m := New(DefaultConfig(), 0)
	good, err := beaconEntry(fullBeacon()).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var out stage.Output
	for i, value := range [][]byte{good, value, value, good} {
		m.Apply([]stage.Record{{Offset: int64(i), Timestamp: 1, Value: value}}, &out)
	}
	bad := 0
	for _, message := range out.Messages() {
		if message.Topic == string(schemas.BadBeacons) {
			bad++
		}
	}
	if f.reason != "" && bad != 2 || f.reason == "" && bad != 0 {
		t.Fatalf("%d bad beacons for two records with fault %q", bad, f.reason)
	}
	next := New(DefaultConfig(), 0)
	m.Checkpoint(func(key, value []byte) {
		if value == nil {
			return
		}
		if err := next.Restore(key, value); err != nil {
			t.Fatalf("restore %q: %v", key, err)
		}
	})
	next.Apply([]stage.Record{encoded(t, 9, 1, &schemas.BeaconRecord{
		Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{}},
	})}, &out)
}

func TestFaults(t *testing.T) {
	edit := func(change func(*schemas.Beacon)) *schemas.BeaconRecord {
		b := fullBeacon()
		change(b)
		return beaconEntry(b)
	}
	for _, test := range []struct {
		name, reason, path string
		record             *schemas.BeaconRecord
	}{
		{"good", "", "", beaconEntry(fullBeacon())},
		{"empty", "unknown_entry", "", &schemas.BeaconRecord{}},
		{"no event id", "missing_field", "/event_id", edit(func(b *schemas.Beacon) { b.EventId = "" })},
		{"no site", "missing_field", "/site", edit(func(b *schemas.Beacon) { b.Site = "" })},
		{"site", "zero_byte", "/site", edit(func(b *schemas.Beacon) { b.Site = "a\x00b" })},
		{"visitor", "zero_byte", "/visitor_id", edit(func(b *schemas.Beacon) { b.VisitorId = "\x00" })},
		{"before 1970", "time_out_of_range", "/occurred_at_us", edit(func(b *schemas.Beacon) {
			b.OccurredAtUs = -1
		})},
		{"after 9999", "time_out_of_range", "/clock_us", edit(func(b *schemas.Beacon) {
			b.ClockUs = math.MaxInt64
		})},
		{"large", "too_large", "", edit(func(b *schemas.Beacon) {
			b.Url = strings.Repeat("x", maxEntryBytes)
		})},
		{"tick", "time_out_of_range", "/low_us", &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Tick{Tick: &schemas.Tick{LowUs: -1}},
		}},
	} {
		rec := encoded(t, 7, 1_000, test.record)
		m := New(DefaultConfig(), 3)
		var out stage.Output
		m.Apply([]stage.Record{rec}, &out)
		if test.reason == "" {
			if len(out.Messages()) != 0 {
				t.Errorf("%s: put out %v", test.name, out.Messages())
			}
			continue
		}
		var bad schemas.BadBeacon
		if len(out.Messages()) != 1 {
			t.Fatalf("%s: %d messages", test.name, len(out.Messages()))
		}
		if err := bad.UnmarshalVT(out.Messages()[0].Value); err != nil {
			t.Fatal(err)
		}
		if bad.Reason != test.reason || bad.Path != test.path || bad.ReceivedAtUs != 1_000_000 ||
			!bytes.HasPrefix(rec.Value, bad.Raw) || bad.Truncated != (len(bad.Raw) < len(rec.Value)) {
			t.Errorf("%s: %v", test.name, &bad)
		}
		if m.ClockUS() != 0 || m.Counts() != (Counts{Bad: 1}) {
			t.Errorf("%s: it had an effect: %d %+v", test.name, m.ClockUS(), m.Counts())
		}
	}
}
