package ingest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestOrigins(t *testing.T) {
	e := newEdge(t, nil).run(t)
	for _, c := range []struct {
		site, origin string
		status       int
		allowed      string // Access-Control-Allow-Origin
	}{
		{"acme", "", 200, ""},
		{"acme", "https://acme.example", 200, "https://acme.example"},
		{"acme", "https://www.acme.example", 200, "https://www.acme.example"},
		{"ask", "https://acme.example", 403, "https://acme.example"},
		{"acme", "null", 403, "*"},
		{"count", "https://any.example", 200, "https://any.example"},
		{"default", "null", 200, "*"},
		{"default", "http://localhost:3000", 200, "http://localhost:3000"},
		{"default", "http://127.1.2.3", 200, "http://127.1.2.3"},
		{"default", "http://[::1]:8000", 200, "http://[::1]:8000"},
		{"default", "https://localhost.evil.example", 403, "https://localhost.evil.example"},
	} {
		w := e.post("/v1/beacons", `[{"site":"`+c.site+`","type":"page_view"}]`, "Origin", c.origin)
		h := w.Header()
		if w.Code != c.status || h.Get("Access-Control-Allow-Origin") != c.allowed ||
			!strings.Contains(h.Get("Vary"), "Origin") {
			t.Errorf("site %s, origin %q: %d %v", c.site, c.origin, w.Code, h)
		}
		credentials := c.allowed != "" && c.allowed != "*"
		if got := h.Get("Access-Control-Allow-Credentials") == "true"; got != credentials {
			t.Errorf("site %s, origin %q: credentials %v", c.site, c.origin, got)
		}
	}
	if got := e.Counts().RejectedByReason[ReasonOrigin]; got != 3 {
		t.Errorf("%d origins counted as refused, want 3", got)
	}
	// Of a batch, only what is all refused is forbidden.
	w := e.post("/v1/beacons", `[{"site":"ask","type":"ping"},{"site":"acme","type":"ping"}]`,
		"Origin", "https://acme.example")
	if a := answerOf(t, w); w.Code != 200 || a.Accepted != 1 || len(a.Rejected) != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOriginsOfNobody(t *testing.T) {
	e := newEdge(t, func(cfg *Config) { cfg.Sites = cfg.Sites[:2] }).run(t)
	for _, origin := range []string{"null", "https://evil.example", "http://localhost"} {
		w := e.post("/v1/beacons", `[{"site":"acme","type":"page_view"}]`, "Origin", origin)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != 403 || got != "" {
			t.Errorf("origin %q: %d, allowed %q", origin, w.Code, got)
		}
	}
}

func TestPreflight(t *testing.T) {
	e := newEdge(t, nil)
	for _, path := range []string{"/v1/beacons", "/v1/forms/acme", "/v1/consent"} {
		w := e.send(http.MethodOptions, path, "", "Origin", "https://acme.example",
			"Access-Control-Request-Method", "POST")
		if h := w.Header(); w.Code != 204 || h.Get("Access-Control-Allow-Methods") != "GET, POST" ||
			h.Get("Access-Control-Max-Age") != "7200" ||
			h.Get("Access-Control-Allow-Origin") != "https://acme.example" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
	}
	if len(e.tape.calls) != 0 {
		t.Error("a preflight reached the log")
	}
}

func TestAnswersAreSafe(t *testing.T) {
	e := newEdge(t, nil).run(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/v1/beacons", 400},
		{"GET", "/v1/pixel.gif?site=acme", 200},
		{"POST", "/v1/forms/acme", 415},
		{"POST", "/v1/consent", 400},
		{"GET", "/v1/beacons", 405},
		{"GET", "/robots.txt", 200},
		{"GET", "/.well-known/gpc.json", 200},
		{"GET", "/nothing", 404},
		{"GET", "/t/nowhere.js", 404},
		{"GET", "/t/acme", 404},
	} {
		w := e.send(c.method, c.path, "")
		h := w.Header()
		if w.Code != c.status || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cross-Origin-Resource-Policy") != "cross-origin" ||
			h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %d %v", c.method, c.path, w.Code, h)
		}
	}
}

func packed(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if _, err := zip.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestBodies(t *testing.T) {
	e := newEdge(t, nil).run(t)
	const good = `{"site":"acme","type":"page_view"}`
	many := "[" + strings.Repeat(good+",", 500) + good + "]"
	deep := `{"site":"acme","type":"custom","props":` + strings.Repeat(`{"a":`, 64) + "1" +
		strings.Repeat("}", 65)
	for _, c := range []struct {
		name, body, media, coding string
		status                    int
		reason                    string
	}{
		{"json", good, "application/json", "", 200, ""},
		{"text", good, "text/plain;charset=UTF-8", "", 200, ""},
		{"no media type", good, "", "", 200, ""},
		{"gzip", packed(t, good), "application/json", "gzip", 200, ""},
		{"gzip again", packed(t, good), "application/json", "GZIP", 200, ""},
		{"form", "a=b", "application/x-www-form-urlencoded", "", 415, ReasonMediaType},
		{"brotli", good, "application/json", "br", 415, ReasonEncoding},
		{"no gzip", good, "application/json", "gzip", 400, ReasonInvalidGzip},
		{"cut gzip", packed(t, good)[:30], "application/json", "gzip", 400, ReasonInvalidGzip},
		{"empty", "", "application/json", "", 400, ReasonInvalidJSON},
		{"no json", `{"site":`, "application/json", "", 400, ReasonInvalidJSON},
		{"no object", `7`, "application/json", "", 400, ReasonWrongType},
		{"too many", many, "application/json", "", 413, ReasonTooManyBeacons},
		{"too large", strings.Repeat(" ", 1<<20+1), "application/json", "", 413, ReasonTooLarge},
		{"bomb", packed(t, strings.Repeat(" ", 64<<20)), "", "gzip", 413, ReasonTooLarge},
		{"too deep", "[" + deep + "," + good + "]", "application/json", "", 200, ReasonTooDeep},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := e.Counts()
			w := e.post("/v1/beacons", c.body, "Content-Type", c.media, "Content-Encoding", c.coding)
			a := answerOf(t, w)
			if w.Code != c.status {
				t.Errorf("status %d %s, want %d", w.Code, w.Body, c.status)
			}
			after := e.Counts()
			if c.reason == "" {
				if after.Accepted != before.Accepted+1 || len(a.Rejected) != 0 {
					t.Errorf("answer %s", w.Body)
				}
				return
			}
			if len(a.Rejected) != 1 || a.Rejected[0].Reason != c.reason ||
				after.RejectedByReason[c.reason] != before.RejectedByReason[c.reason]+1 {
				t.Errorf("answer %s, want %s", w.Body, c.reason)
			}
			bad := e.tape.read(t).bad
			if last := bad[len(bad)-1]; last.Reason != c.reason || len(last.Raw) > 8<<10 ||
				last.Truncated != (len(c.body) > 8<<10 && c.name != "too deep") {
				t.Errorf("kept %d bytes of %q, truncated %v", len(last.Raw), last.Reason, last.Truncated)
			}
		})
	}
}

func TestStrangersAreBounded(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.StrangersPerSecond = 0.5
	}).run(t)
	for range 50 {
		if w := e.post("/v1/beacons", `{"site":"nowhere","type":"ping"}`); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if kept := len(e.tape.read(t).bad); kept < 5 || kept > 10 {
		t.Errorf("%d of 50 kept", kept)
	}
	if c := e.Counts(); c.RejectedByReason[ReasonUnknownSite] != 50 {
		t.Errorf("counts %+v", c)
	}
}

func TestAnySite(t *testing.T) {
	e := newEdge(t, func(cfg *Config) { cfg.Sites, cfg.AnySite = nil, true }).run(t)
	w := e.post("/v1/beacons", `{"site":"whoever","type":"ping"}`, "Origin", "http://localhost")
	if a := answerOf(t, w); w.Code != 200 || a.Accepted != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if b := e.tape.read(t).beacons[0]; b.Site != "whoever" || b.VisitorId == "" {
		t.Errorf("beacon %v", b)
	}
}

func TestPixel(t *testing.T) {
	e := newEdge(t, nil).run(t)
	w := e.send("GET", "/v1/pixel.gif?site=acme&id=p1&title=A%20b&props=%7B%22a%22:1%7D&x=y", "",
		"Referer", "https://acme.example/page?q=1", "Accept-Language", "de-ch, en;q=0.5")
	if w.Code != 200 || w.Body.Len() != 43 || w.Header().Get("Content-Type") != "image/gif" {
		t.Fatalf("%d, %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
	if kind := http.DetectContentType(w.Body.Bytes()); kind != "image/gif" {
		t.Errorf("the image looks like %s", kind)
	}
	e.send("GET", "/v1/pixel.gif?site=acme&type=custom&url=https://acme.example/other", "")
	log := e.tape.read(t)
	b := log.beacons[0]
	if b.EventId != "p1" || b.Type.Name() != "page_view" || b.Url != "https://acme.example/page?q=1" ||
		b.Title != "A b" || b.Protocol != "pixel" || string(b.Props) != `{"a":1,"_extra":{"x":"y"}}` ||
		b.Agent.GetLanguage() != "de-CH" {
		t.Errorf("beacon %v", b)
	}
	if b := log.beacons[1]; b.Type.Name() != "custom" || b.Url != "https://acme.example/other" {
		t.Errorf("beacon %v", b)
	}
	for query, reason := range map[string]string{
		"site=acme&type=nothing":    ReasonInvalidValue,
		"site=acme&props={":         ReasonInvalidJSON,
		"site=acme&created_at=noon": ReasonInvalidTime,
		"site=%zz":                  ReasonInvalidQuery,
		"":                          ReasonMissingField,
	} {
		w := e.send("GET", "/v1/pixel.gif?"+query, "")
		if n := e.Counts().RejectedByReason[reason]; w.Code != 200 || n != 1 {
			t.Errorf("%q: %d, %d counted as %s", query, w.Code, n, reason)
		}
	}
}

func TestScript(t *testing.T) {
	e := newEdge(t, nil)
	w := e.send("GET", "/t/acme.js", "")
	body := w.Body.String()
	if w.Code != 200 || !strings.Contains(body, `{"site":"acme","consent":"implied","cross":false}`) ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") ||
		!strings.HasPrefix(w.Header().Get("Cache-Control"), "private") {
		t.Fatalf("%d %v %s", w.Code, w.Header(), body)
	}
	if cookiesOf(w)["ct_visitor"] == nil {
		t.Error("the script does not say who the visitor is")
	}
	again := e.send("GET", "/t/acme.js", "", "If-None-Match", w.Header().Get("ETag"))
	if again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("unchanged, but %d with %d bytes", again.Code, again.Body.Len())
	}
	cross := e.send("GET", "/t/acme.js", "", "Sec-Fetch-Site", "cross-site")
	if len(cookiesOf(cross)) != 0 || !strings.Contains(cross.Body.String(), `"cross":true`) {
		t.Errorf("of another site: %v", cross.Header())
	}
	for _, headers := range [][]string{{}, {"Cookie", "ct_consent=refused"}, {"Sec-GPC", "1"}} {
		if set := cookiesOf(e.send("GET", "/t/ask.js", "", headers...)); len(set) != 0 {
			t.Errorf("%v: stored without consent: %v", headers, set)
		}
	}
}

func TestPeer(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.TrustedProxies = []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
		}
	})
	for _, c := range []struct {
		remote string
		hops   []string
		want   string
	}{
		{"203.0.113.7:1234", nil, "203.0.113.7"},
		{"203.0.113.7:1234", []string{"198.51.100.1"}, "203.0.113.7"},
		{"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"8.8.8.8, 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"8.8.8.8", "198.51.100.1 , 10.2.3.4"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"198.51.100.1, nonsense, 10.2.3.4"}, "10.2.3.4"},
		{"10.0.0.1:1", []string{"10.9.9.9"}, "10.9.9.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"8.8.8.8", "198.51.100.1,10.2.3.4", "10.5.6.7"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"", "10.2.3.4"}, "10.2.3.4"},
		{"[fd00::1]:1", []string{"[2001:db8::5]:77"}, "2001:db8::5"},
		{"[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.hops
		if got := e.peer(r).String(); got != c.want {
			t.Errorf("%s via %q: %s, want %s", c.remote, c.hops, got, c.want)
		}
	}
}

func TestSecureBehindProxy(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	for _, c := range []struct {
		remote, scheme string
		want           bool
	}{
		{"10.0.0.1:1", "https", true},
		{"10.0.0.1:1", "HTTPS, http", true},
		{"10.0.0.1:1", "http, https", false},
		{"10.0.0.1:1", "", false},
		{"203.0.113.7:1", "https", false},
	} {
		r := httptest.NewRequest("GET", "/t/acme.js", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-Proto", c.scheme)
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, r)
		secure := cookiesOf(w)["__Host-ct_visitor"] != nil
		if plain := cookiesOf(w)["ct_visitor"] != nil; secure != c.want || plain == c.want {
			t.Errorf("%s says %q: cookies %v", c.remote, c.scheme, cookiesOf(w))
		}
	}
}

func TestAddressIsTheConnections(t *testing.T) {
	e := newEdge(t, nil).run(t)
	for _, remote := range []string{"203.0.113.77:1", "@"} {
		r := httptest.NewRequest("POST", "/v1/beacons",
			strings.NewReader(`{"site":"acme","type":"ping","ip":"8.8.8.8"}`))
		r.RemoteAddr = remote
		e.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if b := e.tape.read(t).beacons; b[0].Ip != "203.0.113.0" || b[1].Ip != "" {
		t.Errorf("addresses %q and %q", b[0].Ip, b[1].Ip)
	}
}

func TestServerLimits(t *testing.T) {
	s := newEdge(t, nil).Server()
	l := DefaultLimits()
	if s.MaxHeaderBytes != l.HeaderBytes || s.ReadHeaderTimeout != l.HeaderTimeout ||
		s.ReadTimeout != l.BodyTimeout || s.WriteTimeout != l.WriteTimeout ||
		s.IdleTimeout != l.IdleTimeout {
		t.Errorf("server %+v", s)
	}
}
