package ingest

import (
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAddressesAreBounded(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.RequestsPerSecond, cfg.Limits.RequestsAtOnce = 0.001, 3
	}).run(t)
	from := func(remote string) int {
		r := httptest.NewRequest("POST", "/v1/beacons",
			strings.NewReader(`{"site":"acme","type":"ping"}`))
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, r)
		if w.Code != 429 {
			return w.Code
		}
		after, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if err != nil || after < 1 || after > 5 {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
		return w.Code
	}
	for i, c := range []struct {
		remote string
		status int
	}{
		{"203.0.113.7:1", 200},
		{"203.0.113.7:2", 200},
		{"203.0.113.7:3", 200},
		{"203.0.113.7:4", 429},
		{"203.0.113.8:1", 200},
		{"[2001:db8:0:1::1]:1", 200},
		{"[2001:db8:0:1::2]:1", 200},
		{"[2001:db8:0:1:ff::]:1", 200},
		{"[2001:db8:0:1::4]:1", 429},
		{"[2001:db8:0:2::1]:1", 200},
		{"127.0.0.1:1", 200},
		{"127.0.0.1:1", 200},
		{"127.0.0.1:1", 200},
		{"127.0.0.1:1", 200},
	} {
		if got := from(c.remote); got != c.status {
			t.Errorf("request %d, of %s: %d, want %d", i, c.remote, got, c.status)
		}
	}
	if c := e.Counts(); c.Shed != 2 {
		t.Errorf("counts %+v", c)
	}
}

// However many addresses there are, so many are remembered, and those first that came last.
func TestAddressesKept(t *testing.T) {
	b := newBuckets(0.001, 1)
	now := time.Now()
	at := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := range 5 * addressesKept {
		b.take(at(i), now)
		if i%100 == 0 && b.take(at(0), now) != (i == 0) && i > 0 {
			t.Fatalf("after %d others, an address that goes on has a new bucket", i)
		}
	}
	if n := len(b.young) + len(b.old); n > 2*addressesKept {
		t.Errorf("%d addresses kept", n)
	}
	if !b.take(at(1), now) {
		t.Error("an address that was forgotten has no token")
	}
}

func TestSiteBudget(t *testing.T) {
	e := newEdge(t, func(cfg *Config) { cfg.Sites[1].BytesPerSecond = 100 }).run(t)
	long := strings.Repeat("x", 400)
	beacon := func(site string) string {
		return `{"site":"` + site + `","type":"custom","props":{"a":"` + long + `"}}`
	}
	send := func(path, body string) int {
		return e.post(path, body, "Content-Type", "application/json").Code
	}
	for i, want := range []int{200, 200, 200, 429} { // 1,000 bytes at once, the last on credit
		if got := send("/v1/beacons", beacon("acme")); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	if got := send("/v1/beacons", beacon("count")); got != 200 {
		t.Errorf("another site: %d", got)
	}
	// Nothing of a request is taken where a part of it is too much, as all of it comes again.
	before := e.Counts()
	got := send("/v1/beacons", "["+beacon("count")+","+beacon("acme")+","+beacon("acme")+",7]")
	if after := e.Counts(); got != 429 || after.Shed != before.Shed+4 ||
		after.Accepted != before.Accepted {
		t.Errorf("a mixed request: %d, counts %+v", got, after)
	}
	for path, body := range map[string]string{
		"/com.snowplowanalytics.snowplow/tp2": `{"data":[{"e":"pv","aid":"acme"}]}`,
		"/v1/track":                           `{"writeKey":"acme","event":"a","userId":"u"}`,
		"/v1/forms/acme":                      `{"email":"a@b.example"}`,
	} {
		if got := send(path, body); got != 429 {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := e.send("GET", "/v1/pixel.gif?site=acme", "").Code; got != 429 {
		t.Errorf("pixel: %d", got)
	}
}
