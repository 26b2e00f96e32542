package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// bubble runs a collector in a synctest bubble; stop ends it and waits.
func bubble(t *testing.T, change func(*Config), test func(t *testing.T, e *edge, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, change)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		var once sync.Once
		stop := func() {
			once.Do(func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
		defer e.balanced(t)
		defer stop()
		test(t, e, stop)
	})
}

const onePing = `{"site":"acme","type":"ping"}`

// posts sends n requests at once; their answers come on the channel.
func (e *edge) posts(n int) <-chan *httptest.ResponseRecorder {
	answers := make(chan *httptest.ResponseRecorder, n)
	for range n {
		go func() { answers <- e.post("/v1/beacons", onePing) }()
	}
	return answers
}

func TestGroupCommit(t *testing.T) {
	bubble(t, nil, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait() // the first tick is through
		e.tape.gate = make(chan struct{})
		first := e.posts(1)
		synctest.Wait()
		rest := e.posts(99)
		synctest.Wait()
		if len(first)+len(rest) != 0 {
			t.Fatal("answered before the log had it")
		}
		e.tape.gate <- struct{}{}
		if w := <-first; w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		synctest.Wait()
		if len(rest) != 0 {
			t.Fatal("answered before the log had it")
		}
		e.tape.gate <- struct{}{}
		for range 99 {
			if w := <-rest; w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		close(e.tape.gate)
		if n := len(e.tape.calls); n != 3 {
			t.Errorf("%d requests to the log, want 3: a tick, the first beacon, all others", n)
		}
	})
}

func TestLinger(t *testing.T) {
	bubble(t, func(cfg *Config) { cfg.Linger = 5 * time.Millisecond },
		func(t *testing.T, e *edge, _ func()) {
			synctest.Wait()
			began := time.Now()
			answers := e.posts(50)
			for range 50 {
				<-answers
			}
			if took := time.Since(began); took != 5*time.Millisecond || len(e.tape.calls) != 2 {
				t.Errorf("took %s and %d requests", took, len(e.tape.calls))
			}
		})
}

func TestLogAway(t *testing.T) {
	if newEdge(t, nil).Ready() == nil {
		t.Error("ready before anything was appended")
	}
	bubble(t, nil, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		if err := e.Ready(); err != nil {
			t.Error(err)
		}
		e.tape.fail(errors.New("away"))
		w := e.post("/v1/beacons", `[`+onePing+`,{"site":"acme"}]`)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" ||
			len(w.Result().Cookies()) != 0 {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if c := e.Counts(); c.Shed != 2 || c.Accepted != 0 || c.Rejected() != 0 {
			t.Errorf("counts %+v", c)
		}
		if e.Ready() == nil {
			t.Error("ready while the log is away")
		}
		for _, path := range []string{"/v1/forms/acme", "/v1/pixel.gif"} {
			method := map[bool]string{true: "GET", false: "POST"}[path == "/v1/pixel.gif"]
			w := e.send(method, path+"?site=acme", "email=a", "Content-Type",
				"application/x-www-form-urlencoded")
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
		e.tape.fail(nil)
		if w := e.post("/v1/beacons", onePing); w.Code != http.StatusOK || e.Ready() != nil {
			t.Errorf("the log is back, but %d, %v", w.Code, e.Ready())
		}
	})
}

func TestLogHangs(t *testing.T) {
	bubble(t, nil, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		began := time.Now()
		w := e.post("/v1/beacons", onePing)
		if took := time.Since(began); w.Code != http.StatusServiceUnavailable ||
			took > 11*time.Second {
			t.Errorf("%d after %s", w.Code, took)
		}
		close(e.tape.gate)
	})
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.QueueRequests = 10
	}, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		answers := e.posts(1)
		synctest.Wait() // one is under way
		more := e.posts(15)
		synctest.Wait()
		if len(more) != 5 {
			t.Errorf("%d of 15 were shed, want 5", len(more))
		}
		close(e.tape.gate)
		<-answers
		shed := 0
		for range 15 {
			switch w := <-more; {
			case w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != "":
				shed++
			case w.Code != http.StatusOK:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if c := e.Counts(); shed != 5 || c.Shed != 5 || c.Accepted != 11 {
			t.Errorf("%d shed, counts %+v", shed, c)
		}
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	bubble(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.UnpackedBytes, cfg.Limits.QueueBytes = 64<<10, 160<<10
	}, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		answers := make(chan int, 10)
		body := `{"site":"acme","type":"custom","props":{"a":"` + fmt.Sprintf("%050000d", 7) + `"}}`
		for range 5 {
			go func() { answers <- e.post("/v1/beacons", body).Code }()
		}
		synctest.Wait()
		if len(answers) != 3 {
			t.Errorf("%d of 5 were shed, want 3: two fit", len(answers))
		}
		close(e.tape.gate)
		for range 5 {
			<-answers
		}
		if w := e.post("/v1/beacons", body); w.Code != http.StatusOK {
			t.Errorf("room is not given back: %d", w.Code)
		}
	})
}

func TestStop(t *testing.T) {
	bubble(t, nil, func(t *testing.T, e *edge, stop func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		answers := e.posts(1)
		synctest.Wait()
		more := e.posts(3)
		synctest.Wait()
		go func() {
			for range 2 {
				e.tape.gate <- struct{}{}
			}
		}()
		stop()
		for _, from := range []<-chan *httptest.ResponseRecorder{answers, more, more, more} {
			if w := <-from; w.Code != http.StatusOK {
				t.Errorf("queued before the stop, but %d", w.Code)
			}
		}
		const late = 30
		for range late {
			if w := e.post("/v1/beacons", onePing); w.Code != http.StatusServiceUnavailable {
				t.Errorf("after the stop %d", w.Code)
			}
		}
		if c := e.Counts(); c.Shed != late {
			t.Errorf("%d came after the stop, %+v", late, c)
		}
		if e.Ready() == nil {
			t.Error("ready after the stop")
		}
		e.tape.gate = nil
	})
}

func TestStopWhileLogAway(t *testing.T) {
	bubble(t, nil, func(t *testing.T, e *edge, stop func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{}) // it hangs
		first := e.posts(1)
		synctest.Wait()
		// Enough for several rounds, each of which would wait for its own timeout.
		const requests = 24
		beacon := `{"site":"acme","type":"custom","props":{"a":"` + strings.Repeat("x", 60_000) + `"}}`
		body := "[" + strings.Repeat(beacon+",", 13) + beacon + "]"
		rest := make(chan int, requests)
		for range requests {
			go func() { rest <- e.post("/v1/beacons", body).Code }()
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > 21*time.Second {
			t.Errorf("the stop took %s", took)
		}
		if w := <-first; w.Code != http.StatusServiceUnavailable {
			t.Errorf("answered %d, but nothing is durable", w.Code)
		}
		for range requests {
			if code := <-rest; code != http.StatusServiceUnavailable {
				t.Errorf("answered %d, but nothing is durable", code)
			}
		}
		if c := e.Counts(); c.Shed != 1+14*requests {
			t.Errorf("counts %+v", c)
		}
		e.tape.gate = nil
	})
}

// TestTicks runs in a bubble.
func TestTicks(t *testing.T) {
	bubble(t, nil, func(t *testing.T, e *edge, _ func()) {
		time.Sleep(3*time.Second + 500*time.Millisecond)
		ticks := e.tape.read(t).ticks
		if len(ticks) != 4*testPartitions {
			t.Fatalf("%d ticks in 3.5 s, want 4 for each of %d partitions", len(ticks), testPartitions)
		}
		last := ticks[len(ticks)-1]
		if now := time.Now().Add(-500 * time.Millisecond).UnixMicro(); last.ClockUs != now ||
			last.LowUs != now || last.Collector != "test" {
			t.Errorf("tick %v at %d", last, now)
		}
		e.post("/v1/beacons", onePing)
		time.Sleep(time.Second)
		if n := len(e.tape.read(t).ticks); n != 5*testPartitions-1 {
			t.Errorf("%d ticks, want none where a beacon just went", n)
		}
		time.Sleep(time.Second)
		if n := len(e.tape.read(t).ticks); n != 6*testPartitions-1 {
			t.Errorf("%d ticks, want one everywhere again", n)
		}
	})
}

// TestTickSaysWhatIsOnItsWay runs in a bubble.
func TestTickSaysWhatIsOnItsWay(t *testing.T) {
	bubble(t, nil, func(t *testing.T, e *edge, _ func()) {
		time.Sleep(100 * time.Millisecond)
		older, newer := e.arrivals.arrive(&arrival{}), e.arrivals.arrive(&arrival{})
		lows := func() (clockUs, lowUs int64) {
			time.Sleep(time.Second)
			ticks := e.tape.read(t).ticks
			last := ticks[len(ticks)-1]
			return last.ClockUs, last.LowUs
		}
		if clock, low := lows(); low != older.us || clock <= low {
			t.Errorf("clock %d, low %d, want %d", clock, low, older.us)
		}
		middle := e.arrivals.arrive(&arrival{})
		e.arrivals.leave(older)
		if _, low := lows(); low != newer.us {
			t.Errorf("low %d, want %d", low, newer.us)
		}
		e.arrivals.leave(middle)
		e.arrivals.leave(newer)
		if clock, low := lows(); low != clock {
			t.Errorf("nothing on its way, but clock %d, low %d", clock, low)
		}
	})
}

// TestRates runs in a bubble.
func TestRates(t *testing.T) {
	bubble(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.RequestsPerSecond, cfg.Limits.RequestsAtOnce = 2, 5
	}, func(t *testing.T, e *edge, _ func()) {
		from := func(addr string, n int) (shed int) {
			for range n {
				r := httptest.NewRequest("GET", "/v1/pixel.gif?site=acme", nil)
				r.RemoteAddr = addr
				w := httptest.NewRecorder()
				e.handler.ServeHTTP(w, r)
				if w.Code == http.StatusTooManyRequests {
					shed++
				}
			}
			return shed
		}
		if n := from("203.0.113.1:5", 8); n != 3 {
			t.Errorf("%d of 8 turned away, want 3", n)
		}
		if n := from("203.0.113.2:5", 5) + from("127.0.0.1:5", 50) + from("[::1]:5", 50); n != 0 {
			t.Errorf("%d of others and of loopback turned away", n)
		}
		if n := from("[2001:db8::1]:5", 5) + from("[2001:db8::2]:5", 5); n != 5 {
			t.Errorf("%d of one /64 turned away, want 5", n)
		}
		time.Sleep(time.Second)
		if n := from("203.0.113.1:5", 3); n != 1 {
			t.Errorf("%d of 3 turned away a second later, want 1", n)
		}
		if c := e.Counts(); c.Shed != 9 {
			t.Errorf("counts %+v", c)
		}
	})
}

func TestRecordedTime(t *testing.T) {
	clock := NewRecordedClock()
	bubble(t, func(cfg *Config) { cfg.Clock = clock }, func(t *testing.T, e *edge, _ func()) {
		at := func(minutes float64) int64 {
			return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() + int64(minutes*60e6)
		}
		var entries []Entry
		for i, minutes := range []float64{0, 0.5, 0.2, 1.1, 1.2} {
			entries = append(entries, Entry{Line: int64(i), Beacon: &schemas.Beacon{
				EventId: fmt.Sprint(i), Site: "acme", VisitorId: "v", ReceivedAtUs: at(minutes),
			}})
		}
		entries = append(entries, Entry{Bad: &schemas.BadBeacon{Reason: ReasonNotCombined}})
		entries[1].Submission = &schemas.Submission{SubmissionId: "1", Site: "acme"}
		for i := range entries {
			if err := e.Append(t.Context(), entries[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		log := e.tape.read(t)
		for i, minutes := range []float64{0, 0.5, 0.5, 1.1, 1.2} {
			if b := log.beacons[i]; b.ClockUs != at(minutes) || b.Collector != "test" {
				t.Errorf("beacon %d has clock %d, want %d", i, b.ClockUs, at(minutes))
			}
		}
		if n := len(log.ticks); n != 2*testPartitions || log.ticks[testPartitions].ClockUs != at(1.1) {
			t.Errorf("%d ticks, want one for each partition at minutes 0 and 1.1", n)
		}
		if err := e.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := e.tape.read(t).flushes
		if n != testPartitions || !clock.Now().Equal(time.UnixMicro(at(1.2))) {
			t.Errorf("%d flushes, clock at %s", n, clock.Now())
		}
		c := e.Counts()
		if c.Received != 6 || c.Accepted != 5 || c.Submissions != 1 ||
			c.RejectedByReason[ReasonNotCombined] != 1 {
			t.Errorf("counts %+v", c)
		}
		// What comes over HTTP has the recorded time, too.
		e.post("/v1/beacons", onePing)
		if b := e.tape.read(t).beacons[5]; b.ReceivedAtUs != at(1.2) {
			t.Errorf("beacon %v", b)
		}
	})
}

// TestAppendWaitsForRoom runs in a bubble.
func TestAppendWaitsForRoom(t *testing.T) {
	bubble(t, func(cfg *Config) {
		cfg.Clock, cfg.Limits = NewRecordedClock(), DefaultLimits()
		cfg.Limits.QueueRequests = 1
	}, func(t *testing.T, e *edge, _ func()) {
		e.tape.gate = make(chan struct{})
		entry := func() []Entry {
			return []Entry{{Beacon: &schemas.Beacon{EventId: "1", Site: "acme", VisitorId: "v"}}}
		}
		done := make(chan error, 5)
		for range 5 {
			go func() { done <- e.Append(t.Context(), entry()) }()
		}
		time.Sleep(time.Hour)
		if len(done) != 0 {
			t.Fatal("appended through a closed gate")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Append(ctx, entry()); !errors.Is(err, context.Canceled) {
			t.Errorf("append %v", err)
		}
		close(e.tape.gate)
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no id":         func(c *Config) { c.Collector = "" },
		"no partitions": func(c *Config) { c.Partitions = 0 },
		"twice":         func(c *Config) { c.Sites = []Site{{Key: "a"}, {Key: "a"}} },
		"no key":        func(c *Config) { c.Sites = []Site{{}} },
		"policy":        func(c *Config) { c.Sites = []Site{{Key: "a", Consent: "maybe"}} },
		"origin":        func(c *Config) { c.Sites = []Site{{Key: "a", Origins: []string{"acme.example"}}} },
		"path":          func(c *Config) { c.Sites = []Site{{Key: "a", Origins: []string{"https://a.b/c"}}} },
		"addresses":     func(c *Config) { c.Sites = []Site{{Key: "a", Address: "some"}} },
		"limits":        func(c *Config) { c.Limits = DefaultLimits(); c.Limits.QueueBytes = 1 },
		"timeouts":      func(c *Config) { c.Limits = DefaultLimits(); c.Limits.WriteTimeout = time.Second },
	} {
		cfg := Config{Collector: "c", Partitions: 1}
		change(&cfg)
		if _, err := New(cfg, &tape{}, nil, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEncodedSizesFitTheLog(t *testing.T) {
	if most := kafka.MaxRecordBytes; DefaultLimits().BeaconBytes*4 > most {
		t.Errorf("a beacon of %d bytes may not fit %d", DefaultLimits().BeaconBytes, most)
	}
}
