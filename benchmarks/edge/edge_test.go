package edge

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNumberOf(t *testing.T) {
	for _, want := range []uint64{0, 1, 2, 4711, 1 << 30, 1<<48 - 1} {
		id := make([]byte, len(zeroID))
		putID(id, want)
		if got, ok := NumberOf(string(id)); !ok || got != want {
			t.Errorf("%s has number %d, %v, want %d", id, got, ok, want)
		}
		id[0] ^= 1
		if _, ok := NumberOf(string(id)); ok {
			t.Errorf("%s is nobody's", id)
		}
	}
	for _, id := range []string{"", zeroID, strings.Repeat("-", len(zeroID))} {
		if _, ok := NumberOf(id); ok {
			t.Errorf("%q is nobody's", id)
		}
	}
}

func TestBody(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)
	raw := newBodies().append(nil, 4000, 200, now)
	var body struct {
		SentAt  time.Time `json:"sent_at"`
		Beacons []struct {
			ID, Site, Type, URL string
			CreatedAt           time.Time `json:"created_at"`
		}
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Fatal(err)
	}
	if !body.SentAt.Equal(now) || len(body.Beacons) != 200 {
		t.Errorf("%d beacons sent at %s", len(body.Beacons), body.SentAt)
	}
	types := map[string]int{}
	for i, b := range body.Beacons {
		types[b.Type]++
		age := now.Sub(b.CreatedAt)
		if n, ok := NumberOf(b.ID); !ok || n != uint64(4000+i) || b.Site != Site ||
			!strings.HasPrefix(b.URL, Origin) || age <= 0 || age > 5*time.Second {
			t.Errorf("beacon %d: %+v", i, b)
		}
	}
	if len(types) != 3 || types["page_view"] < 80 {
		t.Errorf("types %v", types)
	}
	if mean := len(raw) / 200; mean < 340 || mean > 375 {
		t.Errorf("%d bytes a beacon, want about 357", mean)
	}
}

// server answers like a collector and counts the beacons by id.
type server struct {
	mu      sync.Mutex
	seen    map[string]int
	cookies int
	refuse  func(n int) bool
	n       int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.refuse != nil && s.refuse(s.n) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	var batch struct{ Beacons []struct{ ID string } }
	if json.Unmarshal(body, &batch) != nil || r.Header.Get("User-Agent") == "" {
		http.Error(w, "what is this?", http.StatusBadRequest)
		return
	}
	for _, b := range batch.Beacons {
		s.seen[b.ID]++
	}
	if c, err := r.Cookie("ct_visitor"); err == nil && c.Value == "set" {
		s.cookies++
	}
	http.SetCookie(w, &http.Cookie{Name: "ct_visitor", Value: "set", Path: "/"})
	http.SetCookie(w, &http.Cookie{Name: "ct_visit", Value: "too", Path: "/"})
	_, _ = io.WriteString(w, "{}\n")
}

func run(t *testing.T, s *server, plan Plan) (*Report, string) {
	t.Helper()
	s.seen = map[string]int{}
	listener := httptest.NewServer(s)
	defer listener.Close()
	plan.Address = strings.TrimPrefix(listener.URL, "http://")
	plan.States = filepath.Join(t.TempDir(), "states")
	report, err := Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	states, err := os.ReadFile(plan.States)
	if err != nil || uint64(len(states)) != report.Requests {
		t.Fatalf("%d states of %d requests, %v", len(states), report.Requests, err)
	}
	return report, string(states)
}

func TestOpenLoop(t *testing.T) {
	s := &server{}
	report, states := run(t, s, Plan{
		Connections: 3, Batch: 2, First: 100,
		Steps: []Step{{Rate: 100, Seconds: 0.5}, {Rate: 300, Seconds: 0.2}},
	})
	if report.Requests != 110 || states != strings.Repeat("a", 110) {
		t.Fatalf("%d requests, want 50 and 60: %s %s", report.Requests, states, report.Problem)
	}
	for n := range uint64(220) {
		id := make([]byte, len(zeroID))
		putID(id, 100+n)
		if s.seen[string(id)] != 1 {
			t.Errorf("beacon %d came %d times", 100+n, s.seen[string(id)])
		}
	}
	acknowledged := report.After.Acknowledged
	for _, step := range report.Steps {
		acknowledged += step.Acknowledged
		if step.Acknowledged == 0 || step.Latency.P50 <= 0 || step.Latency.P99 < step.Latency.P50 {
			t.Errorf("%+v", step)
		}
	}
	if acknowledged != 110 || len(s.seen) != 220 || s.cookies == 0 {
		t.Errorf("%d answers, %d beacons, %d with our cookie", acknowledged, len(s.seen), s.cookies)
	}
}

func TestClosedLoop(t *testing.T) {
	report, states := run(t, &server{}, Plan{
		Connections: 2, Batch: 1, Steps: []Step{{Seconds: 0.2}},
	})
	if report.Requests < 10 || strings.Trim(states, "a") != "" || report.Problem != "" {
		t.Errorf("%d requests: %.100s, %s", report.Requests, states, report.Problem)
	}
}

func TestRefusedComeAgain(t *testing.T) {
	s := &server{refuse: func(n int) bool { return n%10 == 1 && n < 30 }}
	report, states := run(t, s, Plan{
		Connections: 2, Batch: 1, Retry: true, Steps: []Step{{Rate: 30, Seconds: 3.5}},
	})
	got := report.Steps[0]
	acknowledged := got.Acknowledged + report.After.Acknowledged
	if got.Refused != 3 || got.Hurried != 0 || acknowledged != 105 || len(got.Windows) != 4 {
		t.Errorf("%+v", got)
	}
	if states != strings.Repeat("a", 105) {
		t.Errorf("what was refused first is taken later: %s", states)
	}
}

func TestBrokenAnswers(t *testing.T) {
	listener := httptest.NewServer(http.NotFoundHandler())
	defer listener.Close()
	plan := Plan{
		Address: strings.TrimPrefix(listener.URL, "http://"), Connections: 1, Batch: 1,
		Steps:  []Step{{Rate: 100, Seconds: 0.1}},
		States: filepath.Join(t.TempDir(), "states"),
	}
	report, err := Run(t.Context(), plan)
	if err != nil || report.Broken() != 10 || !strings.Contains(report.Problem, "404") {
		t.Errorf("%+v, %v", report, err)
	}
	if plan.Address = "127.0.0.1:1"; Main(t.Context(), []string{"{}", "{}"}, io.Discard) == nil {
		t.Error("two plans are one too many")
	}
	if _, err := Run(context.Background(), plan); err == nil {
		t.Error("nobody listens, and nobody minds")
	}
}

// A request that could not be sent when it was due has waited all the same.
func TestLatenessCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{plan: Plan{Steps: []Step{{Rate: 10, Seconds: 1}}}, began: time.Now()}
		time.Sleep(450 * time.Millisecond)
		for n := range 10 {
			r, ok := l.next()
			if want := time.Duration(n) * 100 * time.Millisecond; !ok || r.due != want {
				t.Errorf("request %d is due at %s, want %s", n, r.due, want)
			}
		}
		if _, ok := l.next(); ok {
			t.Error("an eleventh request")
		}
		s := sample{late: 450 * time.Millisecond, took: 50 * time.Millisecond, state: Acknowledged}
		g := &gathered{}
		g.add(&s)
		want := Totals{
			Acknowledged: 1, Latency: Quantiles{500, 500, 500}, Late: Quantiles{450, 450, 450},
		}
		if diff := cmp.Diff(want, g.sum()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestQuantilesOf(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i)*time.Millisecond)
	}
	for _, c := range []struct {
		times []time.Duration
		want  Quantiles
	}{
		{nil, Quantiles{}},
		{times, Quantiles{P50: 100, P99: 198, Max: 200}},
		{times[:1], Quantiles{P50: 200, P99: 200, Max: 200}},
		{times[:3], Quantiles{P50: 199, P99: 200, Max: 200}},
	} {
		if diff := cmp.Diff(c.want, QuantilesOf(slices.Clone(c.times))); diff != "" {
			t.Error(diff)
		}
	}
}
