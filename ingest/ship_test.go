package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"crumbtrail/ingest/spill"

	"github.com/prometheus/client_golang/prometheus"
)

var errAway = errors.New("away")

// spilling gives a collector a spill of its own.
func spilling(t *testing.T, change func(*Config)) func(*Config) {
	fs, err := spill.Make(filepath.Join(t.TempDir(), "spill"))
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *Config) {
		cfg.Spill = fs
		if change != nil {
			change(cfg)
		}
	}
}

// ping sends the beacon of a number, always of the same visitor.
func (e *edge) ping(n int) *httptest.ResponseRecorder {
	return e.post("/v1/beacons", fmt.Sprintf(
		`{"id":"%d","site":"acme","visitor":"v","type":"form_submit"}`, n))
}

// pings sends the beacons of some numbers, one after the other, and wants them taken.
func (e *edge) pings(t *testing.T, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if w := e.ping(n); w.Code != http.StatusOK {
			t.Fatalf("beacon %d: %d %s", n, w.Code, w.Body)
		}
	}
}

// inOrder wants the beacons from 1 on in the log, each once and in order, and their submissions.
func (e *edge) inOrder(t *testing.T, want int) {
	t.Helper()
	log := e.tape.read(t)
	if len(log.beacons) != want || len(log.submissions) != want {
		t.Errorf("%d beacons and %d submissions in the log, want %d", len(log.beacons),
			len(log.submissions), want)
	}
	e.noTickOvertakes(t)
	for i, b := range log.beacons {
		if b.EventId != strconv.Itoa(i+1) {
			t.Fatalf("beacon %s is the %dth", b.EventId, i+1)
		}
	}
}

// noTickOvertakes holds that no tick says a time past that of a beacon behind it.
func (e *edge) noTickOvertakes(t *testing.T) {
	t.Helper()
	e.tape.mu.Lock()
	defer e.tape.mu.Unlock()
	oldest := int64(math.MaxInt64)
	for _, msgs := range slices.Backward(e.tape.calls) {
		for _, m := range slices.Backward(msgs) {
			var here logged
			here.take(t, m)
			for _, b := range here.beacons {
				oldest = min(oldest, b.ReceivedAtUs)
			}
			for _, tick := range here.ticks {
				if tick.LowUs > oldest {
					t.Fatalf("a tick says %d, and a beacon of %d is behind it", tick.LowUs, oldest)
				}
			}
		}
	}
}

// acks counts the requests that the log, or the spill, has made durable.
func (e *edge) acks(t *testing.T, path string) int {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(e.metrics.acks)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].Metric {
		if m.Label[0].GetValue() == path {
			return int(m.Counter.GetValue())
		}
	}
	return 0
}

// TestSpillWhileAway runs in a bubble.
func TestSpillWhileAway(t *testing.T) {
	bubble(t, spilling(t, nil), func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.pings(t, 1, 2)
		e.tape.fail(errAway)
		oldest := time.Now()
		e.pings(t, 3, 40)
		if err := e.Ready(); err != nil {
			t.Errorf("the spill has room, but %v", err)
		}
		if n := e.Notice(); !strings.Contains(n, "away") || !strings.Contains(n, "76 records") {
			t.Errorf("notice %q", n)
		}
		time.Sleep(5 * time.Minute)
		began := time.Now()
		e.pings(t, 41, 60)
		if took := time.Since(began); took > 0 {
			t.Errorf("a log that is known to be away was waited for: %s", took)
		}
		e.inOrder(t, 2)
		if clock, low := e.appender.times(); low > oldest.UnixMicro() || clock < began.UnixMicro() {
			t.Errorf("clock %d, low %d, and the oldest came in at %d", clock, low, oldest.UnixMicro())
		}
		e.tape.fail(nil)
		time.Sleep(3 * time.Second)
		e.inOrder(t, 60)
		if n := e.Notice(); n != "" || e.Ready() != nil {
			t.Errorf("all is well again, but %q, %v", n, e.Ready())
		}
		all := e.tape.read(t).ticks
		if last := all[len(all)-1]; last.LowUs != last.ClockUs {
			t.Errorf("nothing waits, but low %d, clock %d", last.LowUs, last.ClockUs)
		}
		e.pings(t, 61, 70)
		e.inOrder(t, 70)
		if kafka, spilled := e.acks(t, pathKafka), e.acks(t, pathSpill); kafka != 12 || spilled != 58 {
			t.Errorf("%d and %d requests were acknowledged by the log and by the spill", kafka, spilled)
		}
	})
}

// A log that hangs is waited for once, for spill_after; what it takes after all is not sent again.
func TestSpillWhileSlow(t *testing.T) {
	bubble(t, spilling(t, nil), func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		began := time.Now()
		e.pings(t, 1, 1)
		if took := time.Since(began); took != time.Second {
			t.Errorf("answered after %s", took)
		}
		e.pings(t, 2, 9)
		if took := time.Since(began); took != time.Second || e.Ready() != nil {
			t.Errorf("answered after %s, %v", took, e.Ready())
		}
		e.tape.gate <- struct{}{} // the first one, two seconds late
		synctest.Wait()
		e.inOrder(t, 1)
		e.pings(t, 10, 12) // behind what waits
		close(e.tape.gate)
		synctest.Wait()
		e.pings(t, 13, 14)
		e.inOrder(t, 14)
		if n := e.acks(t, pathKafka); n != 2 {
			t.Errorf("%d requests were acknowledged by the log, want the last two", n)
		}
	})
}

// A request whose outcome is not known is in the spill, and may come twice, with the same ids.
// TestSpillAfterUnknownOutcome runs in a bubble.
func TestSpillAfterUnknownOutcome(t *testing.T) {
	bubble(t, spilling(t, nil), func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		e.pings(t, 1, 1)
		time.Sleep(10 * time.Second) // the request has timed out
		close(e.tape.gate)
		time.Sleep(3 * time.Second)
		e.inOrder(t, 1)
	})
}

// bulky is a beacon of 30 kB.
func bulky() string {
	return `{"site":"acme","type":"custom","props":{"a":[` +
		strings.Repeat(`"`+strings.Repeat("x", 7_500)+`",`, 4) + `0]}}`
}

// TestSpillIsFull runs in a bubble.
func TestSpillIsFull(t *testing.T) {
	limits := DefaultLimits()
	limits.SpillBytes = spill.LeastCapacity
	bubble(t, spilling(t, func(cfg *Config) { cfg.Limits = limits }),
		func(t *testing.T, e *edge, _ func()) {
			synctest.Wait()
			e.tape.fail(errAway)
			post := func() *httptest.ResponseRecorder { return e.post("/v1/beacons", bulky()) }
			taken := 0
			w := post()
			for ; w.Code == http.StatusOK; w = post() {
				taken++
			}
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if taken < 20 || taken > 34 {
				t.Errorf("%d beacons of 30 kB fit 1 MiB", taken)
			}
			time.Sleep(time.Second)
			err := e.Ready()
			if err == nil || !strings.Contains(err.Error(), "away") || !errors.Is(err, spill.ErrFull) {
				t.Errorf("ready: %v", err)
			}
			e.tape.fail(nil)
			time.Sleep(3 * time.Second)
			if w := post(); w.Code != http.StatusOK || e.Ready() != nil {
				t.Errorf("the log is back, but %d, %v", w.Code, e.Ready())
			}
			if n := len(e.tape.read(t).beacons); n != taken+1 {
				t.Errorf("%d beacons in the log, want %d", n, taken+1)
			}
		})
}

// A stop while the log is away has what is queued durable in the spill, and the next start delivers
// it.
func TestStopSpills(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 5 * time.Second} {
		stopSpills(t, after)
	}
}

// stopSpills runs in a bubble.
func stopSpills(t *testing.T, after time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		change := spilling(t, nil)
		e := newEdge(t, change)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		e.tape.gate = make(chan struct{}) // it hangs
		answers := make(chan int, 3)
		for n := range 3 {
			go func() { answers <- e.ping(n + 1).Code }()
			synctest.Wait()
		}
		time.Sleep(after)
		began := time.Now()
		cancel()
		<-done
		if took := time.Since(began); took > max(0, time.Second-after) {
			t.Errorf("%s after the log began to hang, the stop took %s", after, took)
		}
		for range 3 {
			if code := <-answers; code != http.StatusOK {
				t.Errorf("answered %d", code)
			}
		}
		next := newEdge(t, change)
		ctx, cancel = context.WithCancel(t.Context())
		go func() { done <- next.Run(ctx) }()
		time.Sleep(time.Second)
		next.inOrder(t, 3)
		next.pings(t, 4, 6)
		next.inOrder(t, 6)
		cancel()
		<-done
	})
}

// Requests that come all the time do not keep the spill from becoming empty, and none overtakes
// another. TestLoadWhileEmptying runs in a bubble.
func TestLoadWhileEmptying(t *testing.T) {
	limits := DefaultLimits()
	limits.RequestsPerSecond, limits.RequestsAtOnce = 1e4, 1e4
	change := spilling(t, func(cfg *Config) { cfg.Limits = limits })
	bubble(t, change, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.fail(errAway)
		n := 0
		more := func(requests int) {
			for range requests {
				n++
				e.pings(t, n, n)
				time.Sleep(time.Millisecond)
			}
		}
		more(500)
		e.tape.slow(20 * time.Millisecond)
		e.tape.fail(nil)
		more(1500)
		if e.Notice() != "" || e.acks(t, pathKafka) == 0 {
			t.Errorf("while requests came %q", e.Notice())
		}
		e.inOrder(t, n)
	})
}

// A log that takes two seconds for everything is not waited for each time.
// TestSpillWhileSlowForLong runs in a bubble.
func TestSpillWhileSlowForLong(t *testing.T) {
	bubble(t, spilling(t, nil), func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.slow(2 * time.Second)
		waited := 0
		for n := range 200 {
			began := time.Now()
			e.pings(t, n+1, n+1)
			if time.Since(began) > 0 {
				waited++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if waited > 1 {
			t.Errorf("%d of 200 requests were waited for", waited)
		}
		e.tape.slow(0)
		time.Sleep(5 * time.Second)
		e.inOrder(t, 200)
	})
}

// fickle is a directory that may not be read, on a disk that may be full.
type fickle struct {
	spill.FS
	unreadable, full atomic.Bool
}

func (f *fickle) Open(name string) (spill.File, error) {
	if f.unreadable.Load() {
		return nil, syscall.EIO
	}
	return f.FS.Open(name)
}

func (f *fickle) Free() (int64, error) {
	if f.full.Load() {
		return 0, nil
	}
	return f.FS.Free()
}

func onFickle(t *testing.T) (*fickle, func(*Config)) {
	t.Helper()
	f := &fickle{}
	return f, spilling(t, func(cfg *Config) {
		f.FS = cfg.Spill
		cfg.Spill = f
		cfg.Limits = DefaultLimits()
		cfg.Limits.SpillBytes = spill.LeastCapacity
	})
}

// What comes while the spill cannot be read stays behind what is in it.
// TestSpillIsUnreadable runs in a bubble.
func TestSpillIsUnreadable(t *testing.T) {
	f, change := onFickle(t)
	bubble(t, change, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.fail(errAway)
		e.pings(t, 1, 400) // several segments
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		e.tape.fail(nil)
		time.Sleep(askAgain + 500*time.Millisecond) // the first of them is under way
		f.unreadable.Store(true)
		close(e.tape.gate)
		synctest.Wait()
		before := len(e.tape.read(t).beacons)
		e.pings(t, 401, 406)
		time.Sleep(5 * time.Second)
		if n := len(e.tape.read(t).beacons); before == 0 || before >= 400 || n != before {
			t.Errorf("%d beacons in the log, then %d", before, n)
		}
		f.unreadable.Store(false)
		time.Sleep(3 * time.Second)
		e.inOrder(t, 406)
	})
}

// A disk that is full while the spill is being emptied: what comes now must wait, so nothing is
// taken, and health says so. It turns green by itself. TestDiskIsFull runs in a bubble.
func TestDiskIsFull(t *testing.T) {
	f, change := onFickle(t)
	bubble(t, change, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.fail(errAway)
		for range 9 { // several segments
			e.post("/v1/beacons", bulky())
		}
		synctest.Wait()
		e.tape.gate = make(chan struct{})
		e.tape.fail(nil)
		e.tape.gate <- struct{}{} // the first of them
		synctest.Wait()
		if err := e.Ready(); err != nil {
			t.Errorf("both take beacons, but %v", err)
		}
		f.full.Store(true)
		time.Sleep(500 * time.Millisecond)
		if w := e.ping(1); w.Code != http.StatusServiceUnavailable {
			t.Errorf("nothing may be taken, but %d", w.Code)
		}
		if err := e.Ready(); !errors.Is(err, spill.ErrFull) {
			t.Errorf("ready: %v", err)
		}
		f.full.Store(false)
		time.Sleep(1200 * time.Millisecond)
		if err := e.Ready(); err != nil {
			t.Errorf("there is room again, but %v", err)
		}
		close(e.tape.gate)
		time.Sleep(3 * time.Second)
	})
}

func TestSpillIsForLiveTraffic(t *testing.T) {
	cfg := Config{Collector: "c", Partitions: 1, Clock: NewRecordedClock()}
	spilling(t, nil)(&cfg)
	if _, err := New(cfg, &tape{}, nil, nil); err == nil {
		t.Error("recorded time and a spill")
	}
}
