package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a log in memory. It fails while err is set.
type tape struct {
	mu    sync.Mutex
	calls [][]kafka.Message
	err   error
	// gate, where it is set, must let each call through. A call of fail after it makes it known.
	gate chan struct{}
	// takes is how long each call takes.
	takes time.Duration
}

// Produce takes no time but in a bubble.
func (l *tape) Produce(ctx context.Context, msgs []kafka.Message) error {
	l.mu.Lock()
	gate, takes := l.gate, l.takes
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	time.Sleep(takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	call := slices.Clone(msgs)
	for i := range call {
		call[i].Key, call[i].Value = bytes.Clone(msgs[i].Key), bytes.Clone(msgs[i].Value)
	}
	l.calls = append(l.calls, call)
	return nil
}

func (l *tape) slow(takes time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes = takes
}

func (l *tape) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// logged is what a tape holds, ticks left out.
type logged struct {
	beacons     []*schemas.Beacon
	submissions []*schemas.Submission
	bad         []*schemas.BadBeacon
	ticks       []*schemas.Tick
	flushes     int
}

func (l *tape) read(t testing.TB) logged {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out logged
	for _, msgs := range l.calls {
		for _, m := range msgs {
			out.take(t, m)
		}
	}
	return out
}

func (o *logged) take(t testing.TB, m kafka.Message) {
	t.Helper()
	var err error
	switch schemas.Topic(m.Topic) {
	case schemas.Beacons:
		var r schemas.BeaconRecord
		err = r.UnmarshalVT(m.Value)
		switch e := r.Entry.(type) {
		case *schemas.BeaconRecord_Beacon:
			o.beacons = append(o.beacons, e.Beacon)
			want := kafka.PartitionOf(m.Key, testPartitions)
			if m.Partition != want && m.Partition != kafka.AnyPartition {
				t.Errorf("beacon %s in partition %d, want %d", e.Beacon.EventId, m.Partition, want)
			}
		case *schemas.BeaconRecord_Tick:
			o.ticks = append(o.ticks, e.Tick)
		case *schemas.BeaconRecord_Flush:
			o.flushes++
		}
	case schemas.Submissions:
		s := &schemas.Submission{}
		err = s.UnmarshalVT(m.Value)
		o.submissions = append(o.submissions, s)
	case schemas.BadBeacons:
		b := &schemas.BadBeacon{}
		err = b.UnmarshalVT(m.Value)
		o.bad = append(o.bad, b)
	default:
		t.Errorf("record on topic %q", m.Topic)
	}
	if err != nil {
		t.Errorf("record on topic %q: %v", m.Topic, err)
	}
}

const testPartitions = 4

func testSites() []Site {
	return []Site{
		{Key: "ask", Origins: []string{"https://ask.example"}, Consent: ConsentRequired},
		{Key: "acme", Origins: []string{"https://acme.example/", "HTTPS://WWW.acme.example:443"}, Consent: ConsentImplied},
		{Key: "count", Origins: []string{"*"}, Consent: ConsentNotAsked},
		DefaultSite(),
	}
}

// testRules are those of the test sites, and of any other site.
func testRules(t testing.TB) *sites {
	t.Helper()
	rules, err := newSites(testSites(), true)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// edge is a running collector over a tape.
type edge struct {
	*Collector
	tape    *tape
	handler http.Handler
}

func newEdge(t testing.TB, change func(*Config)) *edge {
	t.Helper()
	cfg := Config{
		Collector: "test", Partitions: testPartitions, Sites: testSites(),
		SigningKey: []byte("key of the tests"),
	}
	if change != nil {
		change(&cfg)
	}
	tape := &tape{}
	c, err := New(cfg, tape, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &edge{c, tape, c.Handler()}
}

// run starts the collector; it stops before the test ends.
func (e *edge) run(t testing.TB) *edge {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.balanced(t)
	})
	return e
}

// balanced checks that every input has one fate (V6).
func (e *edge) balanced(t testing.TB) {
	t.Helper()
	c := e.Counts()
	if c.Received != c.Accepted+c.Rejected()+c.Shed {
		t.Errorf("received %d, but accepted %d + rejected %d + shed %d",
			c.Received, c.Accepted, c.Rejected(), c.Shed)
	}
	if log := e.tape.read(t); int64(len(log.beacons)) != c.Accepted ||
		int64(len(log.submissions)) != c.Submissions {
		t.Errorf("%d beacons and %d submissions in the log, %d and %d counted",
			len(log.beacons), len(log.submissions), c.Accepted, c.Submissions)
	}
	if clock, low := e.arrivals.times(); clock != low {
		t.Errorf("something that came in at %d is still on its way at %d", low, clock)
	}
}

// send makes a request; headers are name, value, name, value, …
func (e *edge) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w
}

func (e *edge) post(target, body string, headers ...string) *httptest.ResponseRecorder {
	return e.send(http.MethodPost, target, body, headers...)
}

type answer struct {
	Accepted int64
	Rejected []rejectedBeacon
}

func answerOf(t testing.TB, w *httptest.ResponseRecorder) (a answer) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("answer %q: %v", w.Body, err)
	}
	return a
}

func TestBatch(t *testing.T) {
	e := newEdge(t, nil).run(t)
	before := time.Now().UnixMicro()
	w := e.post("/v1/beacons", `{"sent_at":"2026-01-01T00:00:10Z","beacons":[
		{"id":"a","site":"acme","type":"page_view","created_at":"2026-01-01T00:00:00Z",
		 "url":"https://acme.example/?utm_source=news","consent":"statistical"},
		{"site":"acme","type":"ping","ip":"8.8.8.8","received_at":"2020-01-01T00:00:00Z"},
		{"site":"acme","type":"nothing"},
		{"site":"nowhere","type":"ping"}]}`, "Content-Type", "application/json",
		"User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0")
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	a := answerOf(t, w)
	if a.Accepted != 2 || len(a.Rejected) != 2 || a.Rejected[0].Index != 2 ||
		a.Rejected[0].Reason != ReasonInvalidValue || a.Rejected[0].Path != "/type" ||
		a.Rejected[1].Reason != ReasonUnknownSite {
		t.Errorf("answer %s", w.Body)
	}
	log := e.tape.read(t)
	if len(log.beacons) != 2 || len(log.bad) != 2 {
		t.Fatalf("%d beacons, %d bad", len(log.beacons), len(log.bad))
	}
	b := log.beacons[0]
	if b.EventId != "a" || b.Collector != "test" || b.ReceivedAtUs < before ||
		b.ClockUs != b.ReceivedAtUs || b.OccurredAtUs != b.ReceivedAtUs-10_000_000 ||
		b.Consent != schemas.Consent_CONSENT_STATISTICAL || b.Campaign.GetSource() != "news" ||
		b.Agent.GetBrowser() != "Firefox" || b.Protocol != "native" || b.Ip != "192.0.2.0" {
		t.Errorf("first beacon %v", b)
	}
	if other := log.beacons[1]; other.EventId == "" || other.VisitorId != b.VisitorId ||
		other.ReceivedAtUs < before || other.Ip != "192.0.2.0" {
		t.Errorf("second beacon %v", other)
	}
	if bad := log.bad[0]; bad.Site != "acme" || bad.Reason != ReasonInvalidValue ||
		!strings.Contains(string(bad.Raw), `"nothing"`) || bad.BadBeaconId == "" {
		t.Errorf("bad beacon %v", bad)
	}
}
