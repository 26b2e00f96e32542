package resolve

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"crumbtrail/benchmarks/people"
	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// BenchmarkRestore restores a checkpoint of contacts as forms leave them, each from a browser of
// its own, and measures what the machine holds then.
func BenchmarkRestore(b *testing.B) {
	const records = 200_000
	state := stateOf(b, records)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	b.ReportAllocs()
	var held float64
	for b.Loop() {
		b.StopTimer()
		empty := heap()
		b.StartTimer()
		m := New(DefaultConfig())
		for _, kv := range state {
			if err := m.Restore(kv[0], kv[1]); err != nil {
				b.Fatal(err)
			}
		}
		if err := m.Restored(); err != nil {
			b.Fatal(err)
		}
		m.settle()
		b.StopTimer()
		held = heap() - empty
		runtime.KeepAlive(m)
		b.StartTimer()
	}
	b.ReportMetric(held/records, "B/record")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/records, "µs/record")
}

// stateOf is the state after submissions, in the order in which its keys were last put.
func stateOf(b *testing.B, submissions int) (state [][2][]byte) {
	const checkpointEvery = 5000
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	m, out := New(DefaultConfig()), &stage.Output{}
	last := map[string]int{}
	for i, row := range people.Make(people.Config{Rows: submissions, Seed: 1}) {
		f := row.Fields
		m.Apply([]stage.Record{submission(b, int64(i), &schemas.Submission{
			SubmissionId: f[people.Number], Site: "shop", VisitorId: "v" + f[people.Number],
			Kind: schemas.SubmissionKind_SUBMISSION_KIND_FORM, Form: "signup",
			Consent:      schemas.Consent_CONSENT_IDENTIFIED,
			ReceivedAtUs: now.UnixMicro(), OccurredAtUs: now.UnixMicro(),
			Email: f[people.Email], FirstName: f[people.Given], LastName: f[people.Family],
			Phone: f[people.Phone], Company: f[people.Company],
		})}, out)
		out.Reset()
		if (i+1)%checkpointEvery != 0 {
			continue
		}
		m.Checkpoint(func(key, value []byte) {
			if at, known := last[string(key)]; known {
				state[at] = [2][]byte{}
			}
			last[string(key)] = len(state)
			state = append(state, [2][]byte{bytes.Clone(key), bytes.Clone(value)})
		})
	}
	kept := state[:0]
	for _, kv := range state {
		if kv[0] != nil {
			kept = append(kept, kv)
		}
	}
	return kept
}
