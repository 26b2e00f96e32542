package traffic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustNew(t *testing.T, cfg Config) *Traffic {
	t.Helper()
	made, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b := mustNew(t, Config{Seed: 7}), mustNew(t, Config{Seed: 7})
	for i := range a.requests {
		if !reflect.DeepEqual(a.requests[i], b.requests[i]) {
			t.Fatalf("request %d of seed 7 differs (-first +second):\n%s", i,
				cmp.Diff(a.requests[i], b.requests[i]))
		}
	}
	if len(a.requests) != len(b.requests) || a.Expected() != b.Expected() {
		t.Fatalf("expected %+v, then %+v", a.Expected(), b.Expected())
	}
	c := mustNew(t, Config{Seed: 8})
	if len(a.requests) == len(c.requests) && bytes.Equal(a.requests[0].Body, c.requests[0].Body) {
		t.Fatal("seeds 7 and 8 give the same traffic")
	}
}

func TestDefaultTotals(t *testing.T) {
	for seed := range uint64(4) {
		got := mustNew(t, Config{Seed: seed}).Expected()
		t.Logf("seed %d: %+v", seed, got)
		for _, c := range []struct {
			name           string
			got, low, high int
		}{
			{"received", got.Received, 17_000, 24_000},
			{"visitors", got.Visitors, 1_300, 1_700},
			{"submissions", got.Submissions, 140, 340},
			{"linkable", got.Linkable, 110, 300},
			{"people", got.People, 80, 220},
			{"joined", got.JoinedPeople, 15, 80},
			{"malformed", got.Malformed, 40, 200},
			{"duplicates", got.Duplicates, 30, 400},
			{"late", got.Late, 40, 500},
			{"bots", got.Bots, 60, 200},
			{"counted", got.Counted, 400, 2_500},
			{"statistical", got.Statistical, 800, 4_000},
		} {
			if c.got < c.low || c.got > c.high {
				t.Errorf("seed %d: %s = %d, want %d to %d", seed, c.name, c.got, c.low, c.high)
			}
		}
		if got.Received != got.Accepted+got.Malformed {
			t.Errorf("seed %d: received %d != accepted %d + malformed %d",
				seed, got.Received, got.Accepted, got.Malformed)
		}
		if split := got.Counted + got.Statistical + got.Identified; split !=
			got.Accepted-got.Duplicates {
			t.Errorf("seed %d: consent splits %d of %d", seed, split, got.Accepted-got.Duplicates)
		}
	}
}

// The count is checked against the bodies, read as a collector would.
func TestCountMatchesBodies(t *testing.T) {
	made := mustNew(t, Config{Seed: 3})
	var got Expected
	ids := map[string]bool{}
	accept := func(id string) {
		got.Received++
		got.Accepted++
		if ids[id] {
			got.Duplicates++
		}
		ids[id] = true
	}
	for r := range made.Requests() {
		got.Requests++
		if r.Kind != Beacons {
			if r.Kind == Form {
				got.Submissions++
			}
			accept(fmt.Sprint(got.Requests))
			continue
		}
		var body struct{ Beacons []json.RawMessage }
		if json.Unmarshal(r.Body, &body) != nil || body.Beacons == nil {
			got.Received++
			got.Malformed++
			continue
		}
		for _, item := range body.Beacons {
			var b beacon
			if !isBeacon(item, &b) {
				got.Received++
				got.Malformed++
				continue
			}
			if b.Type == "form_submit" && !ids[b.ID] {
				got.Submissions++
			}
			accept(b.ID)
		}
	}
	want := made.Expected()
	want = Expected{
		Requests: want.Requests, Received: want.Received, Malformed: want.Malformed,
		Accepted: want.Accepted, Duplicates: want.Duplicates, Submissions: want.Submissions,
	}
	if got != want {
		t.Errorf("bodies hold %+v\nexpected  %+v", got, want)
	}
}

func isBeacon(item json.RawMessage, b *beacon) bool {
	if json.Unmarshal(item, b) != nil || b.Site == "" || len(b.ID) > 128 {
		return false
	}
	if _, err := time.Parse(time.RFC3339, b.CreatedAt); err != nil {
		return false
	}
	switch b.Type {
	case "page_view", "ping", "link_click", "form_submit", "custom", "request":
		return true
	}
	return false
}

func TestRequestsAreInOrder(t *testing.T) {
	made := mustNew(t, Config{Seed: 1})
	var before time.Time
	number, busiest := 0, 0
	for minute, requests := range made.Minutes() {
		if !minute.After(before) {
			t.Fatalf("minute %v after %v", minute, before)
		}
		before = minute
		busiest = max(busiest, len(requests))
		for _, r := range requests {
			number++
			if !r.At.Equal(minute) || !minute.Equal(minute.Truncate(time.Minute)) {
				t.Fatalf("request of %v in minute %v", r.At, minute)
			}
			if r.Visitor == "" || r.Path == "" || r.Method == "" || r.Header.Get("User-Agent") == "" {
				t.Fatalf("request without visitor, path, method or user agent: %+v", r)
			}
		}
	}
	if number != made.Expected().Requests || busiest < 3 {
		t.Errorf("%d requests, the busiest minute has %d; want %d and some together",
			number, busiest, made.Expected().Requests)
	}
}

func TestClientClocksCancel(t *testing.T) {
	skewed := 0
	for r := range mustNew(t, Config{Seed: 2}).Requests() {
		var body struct {
			SentAt  time.Time `json:"sent_at"`
			Beacons []struct {
				CreatedAt time.Time `json:"created_at"`
			}
		}
		if r.Kind != Beacons || json.Unmarshal(r.Body, &body) != nil {
			continue
		}
		if body.SentAt.Sub(r.At).Abs() > time.Hour {
			skewed++
		}
		for _, b := range body.Beacons {
			if ago := body.SentAt.Sub(b.CreatedAt); ago < 0 || ago > 25*time.Hour {
				t.Fatalf("beacon created %v before it was sent, at %v", ago, r.At)
			}
		}
	}
	if skewed < 100 {
		t.Errorf("%d batches of skewed clocks, want at least 100", skewed)
	}
}

func TestNothingIsSentWithoutConsent(t *testing.T) {
	refused, kinds := 0, map[Kind]int{}
	for r := range mustNew(t, Config{Seed: 5}).Requests() {
		kinds[r.Kind]++
		says := bytes.Contains(r.Body, []byte(`"consent":"none"`)) ||
			r.Header.Get("Cookie") == "ct_consent=refused"
		if !says {
			continue
		}
		refused++
		if bytes.Contains(r.Body, []byte(r.Visitor)) ||
			strings.Contains(r.Header.Get("Cookie"), r.Visitor) {
			t.Fatalf("visitor %s in a request that refuses: %v\n%s", r.Visitor, r.Header, r.Body)
		}
	}
	if refused == 0 || kinds[Beacons] == 0 || kinds[Form] == 0 || kinds[Pixel] == 0 {
		t.Errorf("%d requests refuse, of %v; want some, of every kind", refused, kinds)
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Days: -1},
		{Days: maxDays + 1},
		{Visitors: -1},
		{Visitors: maxVisitors + 1},
		{Start: time.Date(1066, 10, 14, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) gave no error", cfg)
		}
	}
	if got := mustNew(t, Config{Visitors: 1, Days: 1}).Expected(); got.Accepted == 0 {
		t.Error("one visitor for one day gives nothing")
	}
}

func TestNDJSON(t *testing.T) {
	const events = 20_000
	var a, b bytes.Buffer
	for _, out := range []*bytes.Buffer{&a, &b} {
		if err := NDJSON(out, Config{Seed: 9}, events); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatal("two runs of seed 9 differ")
	}
	lines := strings.Split(strings.TrimSuffix(a.String(), "\n"), "\n")
	if len(lines) != events {
		t.Fatalf("%d lines, want %d", len(lines), events)
	}
	var before, last time.Time
	ids, visitors := map[string]bool{}, map[string]int{}
	disorder := 0
	for n, line := range lines {
		var got struct {
			beacon
			SentAt     time.Time `json:"sent_at"`
			ReceivedAt time.Time `json:"received_at"`
			UserAgent  string    `json:"user_agent"`
			IP         string    `json:"ip"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("line %d: %v\n%s", n+1, err, line)
		}
		created, err := time.Parse(wireTime, got.CreatedAt)
		ago := got.ReceivedAt.Sub(created)
		if err != nil || got.ReceivedAt.Before(before) || ago < 0 || ago >= 20*time.Second {
			t.Fatalf("line %d: created %q, received %v after %v", n+1, got.CreatedAt,
				got.ReceivedAt, before)
		}
		if ids[got.ID] || !isBeacon([]byte(line), &got.beacon) || got.UserAgent == "" {
			t.Fatalf("line %d is no new beacon: %s", n+1, line)
		}
		if created.Before(last) {
			disorder++
		}
		last, before, ids[got.ID] = created, got.ReceivedAt, true
		visitors[got.Visitor]++
	}
	most := 0
	for _, n := range visitors {
		most = max(most, n)
	}
	t.Logf("%d visitors, the busiest with %d beacons, %d out of order", len(visitors), most, disorder)
	if len(visitors) < 1000 || most < 100 || disorder < events/4 {
		t.Error("want over 1,000 visitors, one of them with over 100 beacons, and most out of order")
	}
}

func TestNDJSONRefusesNegative(t *testing.T) {
	if err := NDJSON(&bytes.Buffer{}, Config{}, -1); err == nil {
		t.Error("no error for -1 beacons")
	}
}

func BenchmarkNDJSON(b *testing.B) {
	w := &counter{}
	if err := NDJSON(w, Config{Seed: 1}, b.N); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.SetBytes(w.bytes / int64(b.N))
}

type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

func TestNDJSONSpreadsOverDays(t *testing.T) {
	var out bytes.Buffer
	if err := NDJSON(&out, Config{Days: 2}, 1000); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var last struct {
		ReceivedAt time.Time `json:"received_at"`
	}
	if err := json.Unmarshal(lines[999], &last); err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 1, 6, 23, 57, 7, 200_000_000, time.UTC)
	if !last.ReceivedAt.Equal(want) {
		t.Errorf("the last of 1,000 beacons in two days came at %v, want %v", last.ReceivedAt, want)
	}
}
