package ingest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/kafka"

	"github.com/prometheus/client_golang/prometheus"
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
			p := newLineParser(cfg, testRules(b), "log", enrich.New(nil))
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

// nowhere is a log that forgets.
type nowhere struct{}

func (nowhere) Produce(context.Context, []kafka.Message) error { return nil }

// answerHeader is an answer of which only the header is looked at.
type answerHeader struct {
	header http.Header
	status int
}

func (w *answerHeader) Header() http.Header         { return w.header }
func (w *answerHeader) WriteHeader(status int)      { w.status = status }
func (w *answerHeader) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkPost is what requests cost behind net/http and before the log, with as many at once as
// share a produce request.
func BenchmarkPost(b *testing.B) {
	for _, beacons := range []int{1, 50} {
		b.Run(strconv.Itoa(beacons), func(b *testing.B) {
			c, err := New(Config{Collector: "bench", Partitions: 8, Sites: testSites()}, nowhere{},
				slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- c.Run(ctx) }()
			defer func() {
				cancel()
				<-done
			}()
			body := `{"sent_at":"2026-01-01T00:00:00.000Z","beacons":[` +
				strings.Repeat(trackedBeacon+",", beacons-1) + trackedBeacon + `]}`
			handler := c.Handler()
			began := cpuTime()
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				header := trackedHeader()
				for pb.Next() {
					r := &http.Request{
						Method: http.MethodPost, URL: &url.URL{Path: "/v1/beacons"}, Header: header,
						Host: "collector.example", RemoteAddr: "127.0.0.1:4711",
						ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
					}
					w := &answerHeader{header: http.Header{}, status: http.StatusOK}
					if handler.ServeHTTP(w, r); w.status != http.StatusOK {
						b.Errorf("status %d", w.status)
						return
					}
				}
			})
			// Wall time says little on a machine that does other things, too.
			b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has taken so far.
func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // cannot fail for oneself
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// trackedBeacon is typicalBeacon as it comes over HTTP, where the header and the cookies say the
// rest; trackedHeader is such a header.
const trackedBeacon = `{"id":"0198d2c4-7a3e-7cc1-b2a1-5f0a9d3e77aa","site":"acme",` +
	`"type":"page_view","created_at":"2026-01-01T00:00:00.000Z",` +
	`"url":"https://acme.example/c/4/article-481-how-to-measure-it?utm_source=newsletter` +
	`&utm_medium=email&utm_campaign=week-13","referrer":"https://www.google.com/",` +
	`"title":"How to measure it, part 13 of the long guide","props":{"width":1280}}`

func trackedHeader() http.Header {
	return http.Header{
		"Accept":          {"*/*"},
		"Accept-Language": {"en-GB,en;q=0.9"},
		"Content-Type":    {"text/plain;charset=UTF-8"},
		"Cookie": {"ct_visitor=mn5NnDYvT0CQ5ruMDzGkNg; ct_visit=" +
			strings.Repeat("mn5NnDYvT0CQ5ruMDzGkNg", 3) + "mn5NnDYvT0CQ5ruMDzGk"},
		"Origin": {"https://acme.example"},
		"User-Agent": {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like " +
			"Gecko) Chrome/126.0.0.0 Safari/537.36"},
	}
}
