package ingest

import (
	"strings"
	"testing"
)

func BenchmarkReplay(b *testing.B) {
	const lines = 20_000
	for _, format := range []struct{ name, line string }{
		{FormatNDJSON, typicalBeacon}, {FormatCombined, combinedLine},
	} {
		b.Run(format.name, func(b *testing.B) {
			path := write(b, "in", []byte(strings.Repeat(format.line+"\n", lines)))
			b.SetBytes(int64(lines * (len(format.line) + 1)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := OpenRecorded(path, RecordedConfig{})
				if err != nil {
					b.Fatal(err)
				}
				read := 0
				for batch := []Entry(nil); err == nil; batch, err = r.Next() {
					read += len(batch)
				}
				if read != lines || r.Close() != nil {
					b.Fatalf("%d entries, %v", read, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
		})
	}
}

// BenchmarkLine is one core's share: parsing and enriching alone.
func BenchmarkLine(b *testing.B) {
	for _, format := range []struct{ name, line string }{
		{FormatNDJSON, typicalBeacon}, {FormatCombined, combinedLine},
	} {
		b.Run(format.name, func(b *testing.B) {
			cfg := RecordedConfig{Format: format.name, Limits: DefaultLimits()}
			p := newLineParser(cfg, "log", newEnricher(nil))
			c := &chunk{data: []byte(format.line + "\n"), first: 1}
			c.lines = []line{{end: len(c.data)}}
			b.ReportAllocs()
			for b.Loop() {
				if p.parse(c)[0].Bad != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
