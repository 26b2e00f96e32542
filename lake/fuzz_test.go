package lake

import (
	"math"
	"slices"
	"testing"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// Whatever lies on a topic becomes rows, or a row of bad_beacons; nothing is lost, nothing ends the
// lake.
func FuzzRecord(f *testing.F) {
	for i, topic := range Topics() {
		f.Add(i, []byte{0xff, 0xfe})
		for _, records := range mixedLog(10, 1).topics[topic] {
			for _, r := range records {
				f.Add(i, r.Value)
			}
		}
	}
	huge, err := (&schemas.Score{
		ScoreHundredths: -1 << 63, AsOfUs: 1<<63 - 1,
		Contributions: []*schemas.Contribution{{PointsMicros: 1<<63 - 1}},
	}).MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(len(Topics())-1, huge)
	odd, err := (&schemas.Decision{
		Weight: math.NaN(), Evidence: []*schemas.Evidence{{Weight: math.Inf(1)}}, Merged: []string{""},
	}).MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Index(Topics(), string(schemas.Decisions)), odd)
	f.Fuzz(func(t *testing.T, topic int, value []byte) {
		e := newEncoder()
		name := schemas.Topic(Topics()[uint(topic)%uint(len(Topics()))])
		to := newTables()
		r := kafka.Record{Value: value}
		if err := decoders()[name](to, place{}, r); err != nil {
			if to.rows != 0 {
				t.Fatalf("%d rows beside the error %v", to.rows, err)
			}
			to.undecodable(place{}, name, r, err)
		}
		for _, p := range to.take() {
			if _, err := e.encode(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A manifest that is damaged is an error that says which one.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"number":3,"topic":"visits","partition":0,"files":null}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"form`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data, "x.json", source{"visits", 0})
		if err == nil && (m.Topic != "visits" || m.Format != manifestFormat) {
			t.Errorf("taken for one of visits: %+v", m)
		}
	})
}
