package ingest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"

	"github.com/prometheus/client_golang/prometheus"
)

// real is a collector on the embedded broker, behind a listener.
type real struct {
	*Collector
	client *kafka.Client
	url    string
}

func newReal(t testing.TB, lazy bool) *real {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{Dir: t.TempDir(), Log: quiet, LazySync: lazy})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kafka.Dial(kafka.Config{Brokers: []string{broker.Addr()}, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var specs []kafka.TopicSpec
	for _, topic := range []schemas.Topic{schemas.Beacons, schemas.Submissions, schemas.BadBeacons} {
		spec := kafka.TopicSpec{Name: string(topic), Partitions: testPartitions, Replication: 1}
		if topic == schemas.Submissions {
			spec.Partitions = 1
		}
		specs = append(specs, spec)
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Collector: "test", Partitions: testPartitions, Sites: testSites()},
		producer, quiet, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = c.Server()
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		client.Close()
		broker.Close()
	})
	return &real{c, client, server.URL}
}

// read returns everything that the topics hold for a committed reader.
func (r *real) read(t testing.TB) (out logged) {
	t.Helper()
	for _, topic := range []schemas.Topic{schemas.Beacons, schemas.Submissions, schemas.BadBeacons} {
		ends, err := r.client.Ends(t.Context(), string(topic))
		if err != nil {
			t.Fatal(err)
		}
		for p, end := range ends {
			for at := int64(0); at < end; {
				f, err := r.client.Fetch(t.Context(), string(topic), int32(p), at, kafka.FetchWait)
				if err != nil {
					t.Fatal(err)
				}
				for _, rec := range f.Records {
					out.take(t, kafka.Message{
						Topic: string(topic), Partition: int32(p), Key: rec.Key, Value: rec.Value,
					})
				}
				at = f.Next
			}
		}
	}
	return out
}

// TestAnsweredIsDurable holds V1 and V6: what was answered 2xx can be read from the log at that
// very moment, once.
func TestAnsweredIsDurable(t *testing.T) {
	r := newReal(t, false)
	const clients, requests, each = 8, 12, 5
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var running sync.WaitGroup
	for n := range clients {
		running.Go(func() {
			for i := range requests {
				var list []string
				for k := range each {
					list = append(list, fmt.Sprintf(
						`{"id":"%d.%d.%d","site":"acme","visitor":"v%d","type":"form_submit",`+
							`"props":{"fields":{"email":"v%d@example.com"}}}`, n, i, k, n, n))
				}
				body := `{"beacons":[` + strings.Join(list, ",") + `,{"site":"acme"}]}`
				res, err := client.Post(r.url+"/v1/beacons", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					t.Errorf("status %d", res.StatusCode)
				}
			}
		})
	}
	running.Wait()
	const beacons, bad = clients * requests * each, clients * requests
	log := r.read(t)
	if len(log.beacons) != beacons || len(log.submissions) != beacons || len(log.bad) != bad {
		t.Fatalf("in the log %d beacons, %d submissions, %d bad, want %d, %d, %d",
			len(log.beacons), len(log.submissions), len(log.bad), beacons, beacons, bad)
	}
	next := map[string]int{}
	for _, b := range log.beacons {
		var n, i, k int
		if _, err := fmt.Sscanf(b.EventId, "%d.%d.%d", &n, &i, &k); err != nil {
			t.Fatal(err)
		}
		if want := next[b.VisitorId]; i*each+k != want {
			t.Fatalf("beacon %s of %s out of order, want the %dth", b.EventId, b.VisitorId, want)
		}
		next[b.VisitorId]++
	}
	c := r.Counts()
	if c.Received != beacons+bad || c.Accepted != beacons || c.Rejected() != bad || c.Shed != 0 {
		t.Errorf("counts %+v", c)
	}
}

func BenchmarkCollector(b *testing.B) {
	const beacon = `{"id":"%d.%d","site":"acme","visitor":"visitor-%d","type":"page_view",` +
		`"created_at":"2026-01-01T00:00:00.000Z","url":"https://acme.example/pricing?utm_source=news",` +
		`"referrer":"https://www.google.com/","title":"Pricing","props":{"plan":"team"}}`
	for _, each := range []int{1, 50} {
		b.Run(fmt.Sprintf("beacons=%d", each), func(b *testing.B) {
			r := newReal(b, true)
			handler := r.Handler()
			b.SetParallelism(64)
			b.ResetTimer()
			var n sync.Mutex
			request := 0
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n.Lock()
					request++
					id := request
					n.Unlock()
					var list []string
					for k := range each {
						list = append(list, fmt.Sprintf(beacon, id, k, id%1000))
					}
					req := httptest.NewRequest("POST", "/v1/beacons",
						strings.NewReader("["+strings.Join(list, ",")+"]"))
					req.RemoteAddr = "127.0.0.1:1"
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, req)
					if w.Code != http.StatusOK {
						b.Errorf("status %d %s", w.Code, w.Body)
					}
				}
			})
			b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), "beacons/s")
		})
	}
}

// BenchmarkAppend appends recorded input in pieces as Recorded hands them over.
func BenchmarkAppend(b *testing.B) {
	const piece = 512
	r := newReal(b, true)
	n := 0
	for b.Loop() {
		entries := make([]Entry, piece)
		for i := range entries {
			n++
			entries[i].Beacon = &schemas.Beacon{
				EventId: fmt.Sprint("event-", n), Site: "acme", VisitorId: fmt.Sprint("visitor-", n%5000),
				Type: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW, ReceivedAtUs: int64(n) * 1000,
				Url: "https://acme.example/pricing", Title: "Pricing", UserAgent: "Mozilla/5.0 Firefox/130",
			}
		}
		if err := r.Append(b.Context(), entries); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "beacons/s")
}
