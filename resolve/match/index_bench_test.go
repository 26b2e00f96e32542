package match

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"crumbtrail/benchmarks/people"
)

// BenchmarkAdd adds contacts, as forms leave them, to a million others.
func BenchmarkAdd(b *testing.B) {
	const before, after = 1_000_000, 50_000
	p := newPeople(1, before+after)
	columns := []Column{
		{"email", EmailKind},
		{"first_name", GivenName},
		{"last_name", FamilyName},
		{"phone", Phone},
		{"company", Company},
	}
	places := []int{people.Email, people.Given, people.Family, people.Phone, people.Company}
	sample := &contacts{rows: p.rows[:50_000]}
	o := defaults()
	o.Model = learnt(b, sample)
	x, err := NewIndex(columns, o)
	if err != nil {
		b.Fatal(err)
	}
	texts := make([]string, len(places))
	add := func(row []string) time.Duration {
		for k, at := range places {
			texts[k] = row[at]
		}
		began := time.Now()
		x.Add(texts)
		return time.Since(began)
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	empty := heap()
	for _, row := range p.rows[:before] {
		add(row)
	}
	perRecord := (heap() - empty) / before
	memory := x.Memory()
	var took []time.Duration
	at, compared := before, x.compared
	b.ResetTimer()
	for b.Loop() {
		took = append(took, add(p.rows[at]))
		at = before + (at+1-before)%after
	}
	b.ReportMetric(perRecord, "B/record")
	b.ReportMetric(float64(memory)/before, "estimated-B/record")
	slices.Sort(took)
	for name, share := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "max-µs": 1} {
		d := took[int(share*float64(len(took)-1))]
		b.ReportMetric(float64(d.Nanoseconds())/1000, name)
	}
	b.ReportMetric(float64(x.compared-compared)/float64(len(took)), "pairs/op")
}
