package ingest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"
)

// TestEmbedded holds that cookies for frames are asked for where a site says so, over HTTPS alone.
func TestEmbedded(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Sites = append(cfg.Sites, Site{Key: "frame", Consent: ConsentImplied, Embedded: true})
	}).run(t)
	const host = "https://e.example"
	for _, c := range []struct {
		site, host string
		framed     bool
	}{
		{"frame", host, true}, {"frame", "", false}, {"acme", host, false},
	} {
		answers := []*httptest.ResponseRecorder{
			e.post(c.host+"/v1/beacons", `{"site":"`+c.site+`","type":"page_view"}`),
			e.post(c.host+"/v1/consent", `{"site":"`+c.site+`","choice":"granted"}`),
			e.send("GET", c.host+"/t/"+c.site+".js", ""),
		}
		for _, w := range answers {
			set := cookiesOf(w)
			for _, got := range set {
				sameSite := http.SameSiteLaxMode
				if c.framed {
					sameSite = http.SameSiteNoneMode
				}
				if got.Partitioned != c.framed || got.SameSite != sameSite || got.Secure != (c.host != "") {
					t.Errorf("site %s by %q: %v", c.site, c.host, got)
				}
			}
			if len(set) < 2 {
				t.Errorf("site %s by %q: cookies %v", c.site, c.host, set)
			}
		}
	}
	// A cookie from before the site was embedded is another one, and goes, too.
	w := e.post(host+"/v1/consent", `{"site":"frame","choice":"withdrawn"}`,
		"Cookie", "__Host-ct_visitor="+someVisitor+"; ct_visitor="+someVisitor)
	gone := map[string]int{}
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 && c.Value == "" {
			gone[c.Name]++
			if c.Partitioned {
				gone["partitioned"]++
			}
		}
	}
	if gone["__Host-ct_visitor"] != 2 || gone["ct_visitor"] != 2 || gone["partitioned"] != 2 {
		t.Errorf("withdrawn, but %v", w.Header()["Set-Cookie"])
	}
}

func TestVisitorLifetime(t *testing.T) {
	for _, c := range []struct {
		site        Site
		asked, sent time.Duration
		renewed     bool
	}{
		{Site{}, 730 * 24 * time.Hour, 400 * 24 * time.Hour, true},
		{Site{CookieLifetime: time.Hour}, time.Hour, time.Hour, true},
		{
			Site{CookieLifetime: 500 * 24 * time.Hour, FixedLifetime: true},
			500 * 24 * time.Hour, 400 * 24 * time.Hour, false,
		},
	} {
		asked, sent, renewed := c.site.VisitorLifetime()
		if asked != c.asked || sent != c.sent || renewed != c.renewed {
			t.Errorf("%+v: asks for %s, sends %s, renewed %v", c.site, asked, sent, renewed)
		}
	}
}

// TestNothingBeforeConsent walks every way to send something, and to fetch what leads there: before
// consent and after a refusal nothing is stored, nobody is named, and what was there goes.
func TestNothingBeforeConsent(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		withLinks(cfg)
		for i := range cfg.Sites {
			cfg.Sites[i].Redirects = []string{"shop.example"}
		}
	}).run(t)
	handedOut := &schemas.SignedLink{
		Site: "ask", Target: "https://ask.example/", ContactId: ada, Email: "ada@acme.example",
	}
	link := e.path(t, handedOut, time.Hour)
	open, err := OpenPath(e.cfg.Keys, handedOut, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	mux, reached := http.NewServeMux(), map[string]bool{}
	for _, at := range e.routes() {
		mux.HandleFunc(at.pattern, at.serve)
	}
	const uuid = "5f1d9b7c-9f0e-4d3f-8a51-2f4f3c6f1a10"
	snowplow := `{"schema":"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",` +
		`"data":[{"e":"pv","aid":"ask","p":"web","tv":"js-4.6.0","duid":"` + uuid + `"}]}`
	segment := `"type":"track","event":"x","anonymousId":"` + uuid + `","writeKey":"ask"}`
	const query = "e=pv&aid=ask&p=web&tv=js-4.6.0&nuid=" + uuid
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/beacons", `{"site":"ask","type":"page_view","visitor":"` + uuid + `"}`},
		{"GET", "/v1/pixel.gif?site=ask&visitor=" + uuid, ""},
		{"POST", "/v1/forms/ask", `{"email":"ada@acme.example","visitor":"x"}`},
		{"POST", "/v1/visit", `{"site":"ask"}`},
		{"POST", "/v1/reset", `{"site":"ask","beacons":[{"site":"ask","type":"ping"}]}`},
		{"GET", "/t/ask.js", ""},
		{"GET", "/r/ask", ""},
		{"GET", link, ""},
		{"GET", open, ""},
		{"POST", "/v1/track", "{" + segment},
		{"POST", "/v1/t", "{" + segment},
		{"POST", "/v1/batch", `{"writeKey":"ask","batch":[{` + segment + `]}`},
		{"POST", "/beacon/v1/batch?writeKey=ask", `{"batch":[{` + segment + `]}`},
		{"POST", "/com.snowplowanalytics.snowplow/tp2", snowplow},
		{"POST", "/com.acme/track", snowplow},
		{"GET", "/i?" + query, ""},
		{"GET", "/ice.png?" + query, ""},
		{"GET", "/com.acme/track?" + query, ""},
		{"GET", "/r/tp2?u=https%3A%2F%2Fshop.example%2F%24%7BSP_NUID%7D&" + query, ""},
		{"POST", "/com.snowplowanalytics.iglu/v1?schema=iglu:a/b/jsonschema/1-0-0&" + query, `{"a":1}`},
		{"GET", "/com.snowplowanalytics.iglu/v1?schema=iglu:a/b/jsonschema/1-0-0&" + query, ""},
	} {
		_, pattern := mux.Handler(httptest.NewRequest(c.method, c.path, nil))
		reached[pattern] = true
		for _, said := range []string{"", "ct_consent=refused", "ct_consent=withdrawn.1.tcf"} {
			before := e.tape.read(t)
			get := func(cookies string) *httptest.ResponseRecorder {
				w := e.send(c.method, c.path, c.body, "Content-Type", "application/json",
					"Sec-Fetch-Site", "same-origin", "User-Agent", firefox, "Cookie", cookies+"; "+said)
				if w.Code >= 400 {
					t.Fatalf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
				}
				return w
			}
			w := get("other=1")
			for name, cookie := range cookiesOf(w) {
				if name != "ct_consent" || !strings.HasPrefix(cookie.Value, "withdrawn.1.") {
					t.Errorf("%s %s with %q stores %v", c.method, c.path, said, cookie)
				}
			}
			if at := w.Header().Get("Location"); strings.Contains(at, uuid) {
				t.Errorf("%s with %q tells %s", c.path, said, at)
			}
			gone := cookiesOf(get("ct_visitor=" + someVisitor + "; ct_visit=x; sp=" + uuid))
			for _, name := range []string{"ct_visitor", "ct_visit", "sp"} {
				// The other routes neither read nor write Snowplow's cookie.
				if name == "sp" && !strings.Contains(c.path+c.body, "p=web") &&
					!strings.Contains(c.body, "iglu:") {
					continue
				}
				// To ask changes nothing, and an open is a mail's.
				if c.path == "/v1/visit" || c.path == open {
					continue
				}
				if cookie := gone[name]; cookie == nil || cookie.MaxAge >= 0 {
					t.Errorf("%s %s with %q leaves %s: %v", c.method, c.path, said, name, gone)
				}
			}
			log := e.tape.read(t)
			for _, b := range log.beacons[len(before.beacons):] {
				if text := b.String(); b.VisitorId != "" || b.Ip != "" ||
					strings.Contains(text, uuid) || strings.Contains(text, someVisitor) {
					t.Errorf("%s %s with %q names somebody: %v", c.method, c.path, said, b)
				}
			}
			for _, s := range log.submissions[len(before.submissions):] {
				if s.VisitorId != "" {
					t.Errorf("%s %s with %q names somebody: %v", c.method, c.path, said, s)
				}
			}
		}
	}
	for _, at := range e.routes() {
		if !reached[at.pattern] && !strings.HasPrefix(at.pattern, "OPTIONS ") &&
			!slices.Contains(neverStores(), at.pattern) && at.pattern != "POST /v1/consent" {
			t.Errorf("%s has no case here", at.pattern)
		}
	}
}

// neverStores lists the routes that read and write no cookie.
func neverStores() []string {
	return []string{
		"GET /robots.txt", "GET /.well-known/gpc.json", "GET /v1/{call}", "GET /health",
		"GET /sink-health", "GET /v1/projects/{key}/settings", "GET /v1/projects/{key}/integrations",
		"GET /confirm", "POST /confirm", "GET /sourceConfig", "GET /sourceConfig/{$}",
	}
}

// TestAnswersAreNotKept holds that no shared cache keeps an answer for somebody else.
func TestAnswersAreNotKept(t *testing.T) {
	e := newEdge(t, nil).run(t)
	for _, at := range e.routes() {
		method, path, _ := strings.Cut(at.pattern, " ")
		path = strings.NewReplacer("{site}", "acme", "{script}", "acme.js", "{key}", "acme",
			"{call}", "track", "{vendor}", "com.acme", "{version}", "v1").Replace(path)
		w := e.send(method, path, "", "Origin", "https://acme.example")
		h := w.Header()
		if kept := h.Get("Cache-Control"); !strings.Contains(kept, "no-store") &&
			!strings.HasPrefix(kept, "private") {
			t.Errorf("%s: Cache-Control %q", at.pattern, kept)
		}
		if allowed := h.Get("Access-Control-Allow-Origin"); allowed != "" && allowed != "*" &&
			!strings.Contains(strings.Join(h["Vary"], ","), "Origin") {
			t.Errorf("%s allows %q, and varies with %q", at.pattern, allowed, h["Vary"])
		}
	}
}
