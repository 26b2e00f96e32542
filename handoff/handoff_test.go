package handoff

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/internal/waiting"
	"crumbtrail/schemas"
)

// world is a broker and a receiver of hand-offs.
type world struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
	cfg      Config
	url      string
	// taken are the ids of what was answered 2xx, in order.
	taken chan string

	mu sync.Mutex
	// answers are the answers to come, by id; none: 204.
	answers map[string][]http.HandlerFunc
	tries   map[string]int
	bodies  map[string]string
}

func newWorld(t *testing.T) *world {
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{
		Dir: filepath.Join(t.TempDir(), "broker"), LazySync: true, MinSession: 100 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	client, err := kafka.Dial(kafka.Config{Brokers: []string{broker.Addr()}, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	err = client.EnsureTopics(t.Context(), []kafka.TopicSpec{
		{Name: string(schemas.Handoffs), Partitions: 1, Replication: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, client: client, producer: producer, taken: make(chan string, 1000),
		answers: map[string][]http.HandlerFunc{}, tries: map[string]int{}, bodies: map[string]string{},
	}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.url = server.URL + "/hook"
	w.cfg = Config{
		Session: 200 * time.Millisecond,
		Away:    waiting.Pauses{First: 10 * time.Millisecond, Most: 50 * time.Millisecond},
		Refused: waiting.Pauses{First: 20 * time.Millisecond, Most: 100 * time.Millisecond},
	}
	w.webhook(Webhook{Name: "crm"})
	return w
}

// webhook adds a webhook that posts to the receiver.
func (w *world) webhook(h Webhook) {
	h.URL, h.Private, h.Secret = w.url, true, testSecret()
	if h.Timeout == 0 {
		h.Timeout = time.Minute
	}
	if h.MaxAge == 0 {
		h.MaxAge = time.Hour
	}
	w.cfg.Webhooks = append(w.cfg.Webhooks, h)
}

func testSecret() []byte { return []byte("a secret of 24 bytes ...") }

// ServeHTTP is the receiver. It refuses what is not signed, or is another body under the same id.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	id := r.Header.Get("webhook-id")
	mac := hmac.New(sha256.New, testSecret())
	fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Method != http.MethodPost ||
		r.URL.Path != "/hook" || r.Header.Get("webhook-signature") != want {
		w.t.Errorf("%s %s of %s is not signed", r.Method, r.URL, id)
	}
	w.mu.Lock()
	if before, ok := w.bodies[id]; ok && before != string(body) {
		w.t.Errorf("%s is first %s and then %s", id, before, body)
	}
	w.bodies[id] = string(body)
	w.tries[id]++
	var answer http.HandlerFunc
	if list := w.answers[id]; len(list) > 0 {
		answer, w.answers[id] = list[0], list[1:]
	}
	w.mu.Unlock()
	if answer != nil {
		answer(out, r)
		return
	}
	w.taken <- id
	out.WriteHeader(http.StatusNoContent)
}

// status answers with a status and a header, where one is named.
func status(code int, header ...string) http.HandlerFunc {
	return func(out http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			out.Header().Set(header[i], header[i+1])
		}
		out.WriteHeader(code)
	}
}

func (w *world) will(id string, answers ...http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[id] = answers
}

func (w *world) tried(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries[id]
}

// run starts a sender; stop ends it.
func (w *world) run() (s *Sender, stop func()) {
	w.t.Helper()
	s = New(w.cfg, stage.OnKafka(w.client), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return s, stop
}

// put puts a record to the topic and returns its offset.
func (w *world) put(entry *schemas.HandoffRecord) int64 {
	w.t.Helper()
	value, err := entry.MarshalVT()
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.producer.Produce(w.t.Context(), []kafka.Message{{
		Topic: string(schemas.Handoffs), Timestamp: time.Now().UnixMilli(), Value: value,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	ends, err := w.client.Ends(w.t.Context(), string(schemas.Handoffs))
	if err != nil {
		w.t.Fatal(err)
	}
	return ends[0] - 1
}

// hand puts hand-offs of a model that were made so long ago.
func (w *world) hand(model string, ago time.Duration, ids ...string) (last int64) {
	w.t.Helper()
	for _, id := range ids {
		last = w.put(&schemas.HandoffRecord{Entry: &schemas.HandoffRecord_Handoff{
			Handoff: &schemas.Handoff{
				HandoffId: id, Model: model, Version: 3, SubjectType: "contact", SubjectId: "c-" + id,
				AtUs: 1_767_225_600_000_000, AsOfUs: 1_767_225_600_500_000, ScoreHundredths: 7005,
				Grade: "hot", RunAtUs: time.Now().Add(-ago).UnixMicro(),
				Reasons: []*schemas.HandoffReason{
					{Rule: "pricing", Events: 4, PointsMicros: 75_500_000},
					{Rule: "clip:score", PointsMicros: -5_450_000},
				},
				Contact: &schemas.HandoffContact{Email: "ada@acme.example", Phone: "+33 1 23 45 67 89"},
			},
		}})
	}
	return last
}

// takes waits until these are taken, in whatever order.
func (w *world) takes(ids ...string) {
	w.t.Helper()
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	for len(missing) > 0 {
		select {
		case id := <-w.taken:
			if !missing[id] {
				w.t.Fatalf("%s was taken, want one of %v", id, missing)
			}
			delete(missing, id)
		case <-time.After(time.Minute):
			w.t.Fatalf("%v were not taken", missing)
		}
	}
}

// deliveries waits for so many and returns them as text.
func (w *world) deliveries(n int) (all []string) {
	w.t.Helper()
	await(w.t, func() bool {
		all = nil
		err := w.client.ScanAll(w.t.Context(), string(schemas.Handoffs), func(rs []kafka.Record) error {
			for i := range rs {
				entry, err := entryOf(&rs[i])
				if d := entry.GetDelivery(); err == nil && d != nil {
					all = append(all, fmt.Sprintf("%s %s %s %d %s", d.HandoffId, d.Webhook,
						d.Outcome.Name(), d.Status, d.Detail))
				}
			}
			return nil
		})
		return err == nil && len(all) >= n
	})
	return all
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	w := newWorld(t)
	w.cfg.Webhooks = nil
	w.webhook(Webhook{Name: "crm", Contact: []string{"email", "company"}})
	w.hand("engagement", 0, "h1")
	w.run()
	w.takes("h1")
	const want = `{"type":"handoff.ready","timestamp":"2026-01-01T00:00:00Z","data":{` +
		`"handoff_id":"h1","model":"engagement","version":3,"subject_type":"contact",` +
		`"subject_id":"c-h1","contact":{"email":"ada@acme.example"},"score":70.05,"grade":"hot",` +
		`"became_ready_at":"2026-01-01T00:00:00Z","as_of":"2026-01-01T00:00:00.5Z",` +
		`"reasons":[{"rule":"pricing","events":4,"points":75.500000},` +
		`{"rule":"clip:score","events":0,"points":-5.450000}]}}`
	if diff := cmp.Diff(want, w.bodies["h1"]); diff != "" {
		t.Error(diff)
	}
	if got := w.deliveries(1); !cmp.Equal(got, []string{"h1 crm delivered 204 "}) {
		t.Error(got)
	}
}

// Whatever a webhook answers, each hand-off is taken once, and a new process begins where the last
// one stopped.
func TestEachIsTakenOnce(t *testing.T) {
	w := newWorld(t)
	w.cfg.Webhooks[0].Timeout = 200 * time.Millisecond
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed")
	}))
	t.Cleanup(other.Close)
	slow := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	lost := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	w.will("h1", status(500), slow, lost, status(503, "Retry-After", "0"))
	w.will("h2", status(302, "Location", other.URL), status(404), status(400))
	w.will("h3", status(429, "Retry-After", "yesterday"), lost)
	w.hand("m", 0, "h0", "h1", "h2", "h3", "h4")
	_, stop := w.run()
	w.takes("h0", "h1", "h2", "h3", "h4")
	stop()
	w.hand("m", 0, "h5")
	w.run()
	w.takes("h5")
	w.deliveries(6)
	for id, tries := range map[string]int{"h0": 1, "h1": 5, "h2": 4, "h3": 3, "h4": 1, "h5": 1} {
		if got := w.tried(id); got != tries {
			t.Errorf("%s was tried %d times, want %d", id, got, tries)
		}
	}
}

func TestOneThatIsRefusedHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	refusing := make([]http.HandlerFunc, 1000)
	for i := range refusing {
		refusing[i] = status(422)
	}
	w.will("h0", refusing...)
	var ids []string
	for i := range 30 {
		ids = append(ids, fmt.Sprint("i", i))
	}
	w.hand("m", 0, "h0")
	w.hand("m", 0, ids...)
	_, stop := w.run()
	w.takes(ids...)
	w.deliveries(30)
	stop()
	w.will("h0")
	w.run()
	w.takes("h0")
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.will("h0", status(429, "Retry-After", "3600"))
	w.hand("m", 0, "h0", "h1")
	s, _ := w.run()
	await(t, func() bool { return strings.Contains(s.Notice(), "crm takes nothing") })
	if w.tried("h1") != 0 || !strings.Contains(s.Notice(), "2 hand-offs wait") {
		t.Errorf("h1 was tried %d times; %s", w.tried("h1"), s.Notice())
	}
}

func TestWebhooksAreApart(t *testing.T) {
	w := newWorld(t)
	w.cfg.Webhooks[0].Models = []string{"a"}
	w.webhook(Webhook{Name: "all"})
	w.hand("a", 0, "h1")
	w.hand("b", 0, "h2")
	w.run()
	got := w.deliveries(3)
	if len(got) != 3 || w.tried("h1") != 2 || w.tried("h2") != 1 {
		t.Error(got)
	}
}

// What nobody took in time is given up, and sent when somebody says so.
func TestExpiredAndSentAgain(t *testing.T) {
	w := newWorld(t)
	offset := w.hand("m", 2*time.Hour, "h0")
	w.run()
	want := []string{"h0 crm expired 0 "}
	if got := w.deliveries(1); !cmp.Equal(got, want) || w.tried("h0") != 0 {
		t.Errorf("%v, tried %d times", got, w.tried("h0"))
	}
	for _, name := range []string{"other", "crm"} {
		w.put(&schemas.HandoffRecord{Entry: &schemas.HandoffRecord_Redelivery{
			Redelivery: &schemas.HandoffRedelivery{
				HandoffId: "h0", Webhook: name, HandoffOffset: offset, AtUs: time.Now().UnixMicro(),
			},
		}})
	}
	w.takes("h0")
	if got := w.deliveries(2); !cmp.Equal(got, append(want, "h0 crm delivered 204 ")) {
		t.Error(got)
	}
}

func TestGone(t *testing.T) {
	w := newWorld(t)
	w.will("h0", status(410))
	w.hand("m", 0, "h0", "h1")
	s, stop := w.run()
	await(t, func() bool { return strings.Contains(s.Notice(), "crm is gone, by its own word: 2") })
	stop()
	if w.tried("h0") != 1 || w.tried("h1") != 0 {
		t.Errorf("tried %d and %d times", w.tried("h0"), w.tried("h1"))
	}
	w.run()
	w.takes("h0", "h1")
}

// More than fit what is committed wait in the log.
func TestManyWait(t *testing.T) {
	w := newWorld(t)
	const all = waiting.Most + 50
	var ids []string
	for i := range all {
		ids = append(ids, fmt.Sprint("i", i))
	}
	w.hand("m", 0, ids...)
	w.cfg.Webhooks[0].URL = "http://127.0.0.1:1/"
	s, stop := w.run()
	await(t, func() bool { return strings.Contains(s.Notice(), fmt.Sprintf("%d hand", waiting.Most)) })
	stop()
	w.cfg.Webhooks[0].URL = w.url
	w.run()
	w.takes(ids...)
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.cfg.Webhooks[0].Private = false
	w.cfg.Webhooks[0].MaxAge = 200 * time.Millisecond
	w.hand("m", 0, "h0")
	w.run()
	want := []string{
		"h0 crm expired 0 dial tcp " + strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), "/hook") +
			": 127.0.0.1 is a private address: `private: true` allows it",
	}
	if got := w.deliveries(1); !cmp.Equal(got, want) || w.tried("h0") != 0 {
		t.Error(got)
	}
}
