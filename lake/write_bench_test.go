package lake

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// beaconLog is n beacons like a site's traffic: visitors come back, pages repeat, times move on.
func beaconLog(n int) []kafka.Record {
	r := rand.New(rand.NewPCG(1, 2))
	agents := []*schemas.Agent{
		{Device: "desktop", Browser: "Firefox", Os: "Linux", Country: "DE", Language: "de"},
		{Device: "mobile", Browser: "Safari", Os: "iOS", Country: "FR", Language: "fr"},
		{Device: "desktop", Browser: "Chrome", Os: "Windows", Country: "US", Language: "en-US"},
	}
	const begin = 1_767_225_600_000_000
	records := make([]kafka.Record, n)
	for i := range records {
		visitor := fmt.Sprintf("%016x-%04x", r.Uint64N(uint64(n)/8+1)*0x9e3779b97f4a7c15, 7)
		at := int64(begin + i*20_000 + r.IntN(20_000))
		page := r.IntN(400)
		b := &schemas.Beacon{
			EventId: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at>>16, i&0xffff, r.Uint64()>>16),
			Site:    "acme", VisitorId: visitor, Type: schemas.BeaconType(1 + r.IntN(3)),
			Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: at, OccurredAtUs: at - 40_000,
			CreatedAtUs: at + 3_000_000, SentAtUs: at + 3_040_000, Collector: "c0ffee", ClockUs: at,
			Url:   fmt.Sprintf("https://acme.example/docs/chapter-%d/page-%d?from=nav", page%20, page),
			Title: fmt.Sprintf("Page %d of the manual", page), Referrer: "https://acme.example/",
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
			Ip:        fmt.Sprintf("203.0.%d.0", r.IntN(256)), Channel: "internal",
			Agent: agents[r.IntN(len(agents))], EngagedMs: int32(r.IntN(15_000)),
			Props: []byte(`{}`), Protocol: "native",
		}
		value, err := (&schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
		}).MarshalVT()
		if err != nil {
			panic(err)
		}
		records[i] = kafka.Record{Offset: int64(i), Value: value}
	}
	return records
}

// benchPartition is a partition that writes to a directory of its own.
func benchPartition(tb testing.TB) *partition {
	l := layout{tb.TempDir()}
	p := &partition{
		source: source{string(schemas.Beacons), 0}, decode: decoders()[schemas.Beacons],
		layout: l, disk: osDisk{}, publish: linkPublisher{l, osDisk{}},
		log: slog.New(slog.DiscardHandler), metrics: newMetrics(prometheus.NewRegistry()),
		budget: &budget{limit: 1 << 40, holders: 1}, moved: &signal{},
		encoders: newEncoders(), fanIn: mergeFiles, now: time.Now,
		flushes: make(chan flushRequest),
	}
	if err := p.load(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return p
}

// BenchmarkBeacons is decoding, dedupe, columns, Parquet, fsync and manifest, on one goroutine.
func BenchmarkBeacons(b *testing.B) {
	const n = 100_000
	records := beaconLog(n)
	var size int64
	began := cpu(b)
	for b.Loop() {
		p := benchPartition(b)
		for at := 0; at < n; at += 1000 {
			p.apply(kafka.Fetched{Records: records[at : at+1000], Next: int64(at + 1000)})
		}
		if err := p.flush(); err != nil {
			b.Fatal(err)
		}
		size = 0
		for _, f := range p.published.Files {
			size += f.Bytes
		}
	}
	b.ReportMetric(float64(n*b.N)/(cpu(b)-began), "rows/core-s")
	b.ReportMetric(float64(size)/n, "bytes/row")
}

// cpu is what the process has used of its cores, user and system, in seconds.
func cpu(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkSeen is what dedupe alone takes.
func BenchmarkSeen(b *testing.B) {
	var s seen
	const day = 24 * hourMicros
	r := rand.New(rand.NewPCG(1, 2))
	n := 0
	for b.Loop() {
		s.add(r.Uint64()|1, day*1000+int64(n)*1000)
		n++
	}
	b.ReportMetric(float64(9*len(s.hashes))/float64(s.used), "bytes/id")
}
