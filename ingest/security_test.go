package ingest

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// guarded is an edge whose sites list their origins, behind one proxy.
func guarded(t *testing.T) *edge {
	t.Helper()
	return newEdge(t, func(cfg *Config) {
		cfg.Sites = []Site{{
			Key: "acme", Origins: []string{"https://acme.example"}, Consent: ConsentImplied,
			Redirects: []string{"shop.example"},
		}}
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
		cfg.Limits = DefaultLimits()
		cfg.Limits.RequestsPerSecond, cfg.Limits.RequestsAtOnce = 0.001, 100
	}).run(t)
}

// entrances are all ways into the collector, with something that each takes.
func entrances() []struct{ method, target, body string } {
	return []struct{ method, target, body string }{
		{"POST", "/v1/beacons", `{"site":"acme","type":"ping"}`},
		{"POST", "/v1/forms/acme", `{"email":"a@b.example"}`},
		{"POST", "/v1/consent", `{"site":"acme","choice":"granted"}`},
		{"GET", "/v1/pixel.gif?site=acme", ""},
		{"GET", "/t/acme.js", ""},
		{"POST", "/v1/track", `{"writeKey":"acme","event":"E","userId":"u"}`},
		{"POST", "/beacon/v1/batch?writeKey=acme", `{"batch":[]}`},
		{"GET", "/v1/projects/acme/settings", ""},
		{"GET", "/sourceConfig?writeKey=acme", ""},
		{"POST", "/com.snowplowanalytics.snowplow/tp2", `{"data":[{"e":"pv","aid":"acme"}]}`},
		{"GET", "/i?e=pv&aid=acme", ""},
		{"GET", "/com.acme/track?e=pv&aid=acme", ""},
		{"POST", "/com.snowplowanalytics.iglu/v1?schema=iglu:a/b/jsonschema/1-0-0&aid=acme", `{}`},
		{"GET", "/r/tp2?aid=acme&u=https%3A%2F%2Fshop.example%2F", ""},
		{"OPTIONS", "/v1/beacons", ""},
		{"OPTIONS", "/v1/forms/acme", ""},
		{"OPTIONS", "/sourceConfig", ""},
		{"OPTIONS", "/com.snowplowanalytics.snowplow/tp2", ""},
		{"OPTIONS", "/i", ""},
	}
}

// No page of an origin that no site lists reads an answer to a request with cookies (snowplow
// 4342).
func TestOnlyListedOriginsHaveCredentials(t *testing.T) {
	e := guarded(t)
	for _, in := range entrances() {
		for _, origin := range []string{
			"null", "https://evil.example", "https://acme.example.evil.example", "http://acme.example",
			"https://acme.example:8443", "https://acme.example https://evil.example", "file://",
			"https://sub.acme.example", "http://localhost",
		} {
			w := e.send(in.method, in.target, in.body, "Origin", origin)
			h := w.Header()
			if allowed := h.Get("Access-Control-Allow-Origin"); allowed != "" && allowed != "*" ||
				h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s of %s: %v", in.method, in.target, origin, h)
			}
			if allowed := h.Get("Access-Control-Allow-Origin"); allowed == "*" &&
				!strings.Contains(h.Get("Vary"), "Origin") {
				t.Errorf("%s %s of %s: a cache may give it to others: %v", in.method, in.target, origin, h)
			}
		}
	}
}

// A public caller is who its cookie says, whatever it claims to be (UNOMI-975); and no cookie but
// one that we could have set says anything (GHSA-vfxj-qg93-7wwc).
func TestNobodyTakesOverAVisitor(t *testing.T) {
	e := guarded(t)
	const victim = "VICTIMVICTIMVICTIMVICT"
	claims := []struct{ method, target, body string }{
		{"POST", "/v1/beacons", `{"site":"acme","type":"ping","visitor":"` + victim + `"}`},
		{"GET", "/v1/pixel.gif?site=acme&visitor=" + victim, ""},
		{
			"POST", "/v1/track", `{"writeKey":"acme","event":"E","userId":"` + victim +
				`","anonymousId":"` + victim + `"}`,
		},
		{
			"POST", "/com.snowplowanalytics.snowplow/tp2",
			`{"data":[{"e":"pv","aid":"acme","nuid":"` + victim + `","duid":"` + victim + `","uid":"u"}]}`,
		},
		{"GET", "/i?e=pv&aid=acme&nuid=" + victim, ""},
	}
	for _, c := range claims {
		w := e.send(c.method, c.target, c.body, "Cookie", "ct_visitor="+someVisitor)
		log := e.tape.read(t).beacons
		if b := log[len(log)-1]; w.Code != 200 || b.VisitorId != someVisitor {
			t.Errorf("%s: %d, visitor %s", c.target, w.Code, b.VisitorId)
		}
		for name, cookie := range cookiesOf(w) {
			if strings.Contains(cookie.Value, victim) {
				t.Errorf("%s sets %s to %s", c.target, name, cookie.Value)
			}
		}
	}
	for _, guess := range []string{
		"1", "2", "admin", strings.Repeat("a", 21), strings.Repeat("!", 22),
	} {
		e.send("POST", "/v1/beacons", `{"site":"acme","type":"ping"}`, "Cookie", "ct_visitor="+guess)
		log := e.tape.read(t).beacons
		if b := log[len(log)-1]; b.VisitorId == guess || len(b.VisitorId) != visitorChars {
			t.Errorf("cookie %q is visitor %q", guess, b.VisitorId)
		}
	}
}

// Whoever is led to an address has not sent a form, and is not who that form is from: with a link
// that another page wrote cookies come along, and no origin. An image of a site's page may say it.
func TestNobodyIsLedToSayWhoTheyAre(t *testing.T) {
	e := guarded(t)
	const known = "ct_visitor=" + someVisitor
	form := url.QueryEscape(selfDescribing(
		"iglu:com.snowplowanalytics.snowplow/submit_form/jsonschema/1-0-0",
		`{"formId":"f","elements":[{"name":"email","value":"evil@evil.example"}]}`))
	for _, target := range []string{
		"/i?aid=acme&e=ue&ue_pr=" + form,
		"/r/tp2?u=https%3A%2F%2Fshop.example%2F&aid=acme&e=ue&ue_pr=" + form,
		"/v1/pixel.gif?site=acme&type=form_submit&props=" +
			url.QueryEscape(`{"email":"evil@evil.example"}`),
	} {
		for mode, want := range map[string]string{"navigate": "", "no-cors": someVisitor} {
			w := e.send("GET", target, "", "Cookie", known, "Sec-Fetch-Mode", mode)
			log := e.tape.read(t)
			s, b := log.submissions[len(log.submissions)-1], log.beacons[len(log.beacons)-1]
			if w.Code >= 400 || s.Email == "" || s.VisitorId != want || b.VisitorId != want {
				t.Errorf("%s, %s: %d, of %q and %q", target, mode, w.Code, s.VisitorId, b.VisitorId)
			}
		}
	}
	e.send("GET", "/i?aid=acme&e=pv", "", "Cookie", known, "Sec-Fetch-Mode", "navigate")
	if log := e.tape.read(t).beacons; log[len(log)-1].VisitorId != someVisitor {
		t.Error("a page view by such an address is of nobody")
	}
	// Nor is what was refused, once it is driven again.
	e.send("GET", "/i?aid=nobody&e=ue&ue_pr="+form, "", "Cookie", known, "Sec-Fetch-Mode", "navigate")
	if bad := e.tape.read(t).bad; len(bad) != 1 || bad[0].Context.VisitorId != "" {
		t.Errorf("refused, and kept with %v", bad)
	}
}

// A page of another site that has the browser post a form on its way here speaks for nobody and
// writes over no cookies: that browser leaves them out. A script of such a page is heard as before.
func TestFormsOfOtherSitesLeaveCookiesAlone(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Sites = []Site{
			{Key: "any", Origins: []string{"*"}, Consent: ConsentRequired},
			{Key: "acme", Origins: []string{"https://acme.example"}, Consent: ConsentImplied},
		}
	}).run(t)
	for _, c := range []struct {
		path, body string
		blind      int
	}{
		{"/v1/consent", `{"site":"any","choice":"granted","a":"="}`, http.StatusForbidden},
		{"/v1/beacons?ct_consent=granted", `{"site":"any","type":"ping","title":"="}`, http.StatusOK},
		{"/v1/reset?ct_consent=granted", `{"site":"any","title":"="}`, http.StatusOK},
		{"/v1/forms/acme", `{"email":"ada@acme.example"}`, http.StatusNoContent},
	} {
		for mode, blind := range map[string]bool{"navigate": true, "cors": false} {
			w := e.send("POST", c.path, c.body, "Content-Type", "text/plain",
				"Origin", "https://acme.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", mode)
			set := w.Header()["Set-Cookie"]
			if blind && (w.Code != c.blind || len(set) > 0) || !blind && (w.Code >= 400 || len(set) < 2) {
				t.Errorf("%s, %s: %d, sets %v", c.path, mode, w.Code, set)
			}
		}
	}
}

// What a client writes into X-Forwarded-For changes neither its address nor how often it is heard.
func TestSpoofedAddresses(t *testing.T) {
	for _, c := range []struct {
		name, remote string
		hops         func(i int) string
	}{
		{"of nobody that is trusted", "203.0.113.9:1", func(i int) string {
			return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String()
		}},
		{"before what the proxy adds", "10.0.0.1:1", func(i int) string {
			return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String() + ", 203.0.113.9"
		}},
		{"no address", "10.0.0.1:1", func(int) string { return "127.0.0.1, ::1, unknown, 203.0.113.9" }},
	} {
		e := guarded(t)
		var last int
		for i := range 101 {
			r := httptest.NewRequest("POST", "/v1/beacons",
				strings.NewReader(`{"site":"acme","type":"ping","ip":"8.8.8.8"}`))
			r.RemoteAddr = c.remote
			r.Header.Set("X-Forwarded-For", c.hops(i))
			r.Header.Set("X-Real-IP", "8.8.8.8")
			r.Header.Set("Forwarded", "for=8.8.8.8")
			w := httptest.NewRecorder()
			e.handler.ServeHTTP(w, r)
			last = w.Code
		}
		log := e.tape.read(t).beacons
		if last != 429 || len(log) != 100 || log[99].Ip != "203.0.113.0" {
			t.Errorf("%s: %d after %d beacons, of %s", c.name, last, len(log), log[0].Ip)
		}
	}
}

// A redirect leads to no host but those that are listed (snowplow 4211, stream-collector 64), and a
// form to no other host than its own (mautic 16419).
func TestNoOpenRedirect(t *testing.T) {
	e := guarded(t)
	for _, target := range []string{
		"https://evil.example/", "//evil.example", "///evil.example", `\\evil.example`, `/\evil.example`,
		"https:evil.example", "https:/evil.example", "https://shop.example@evil.example/",
		"https://shop.example:pass@evil.example/", "https://shop.example.evil.example/",
		"https://evilshop.example/", "https://evil.example/shop.example",
		"https://evil.example#shop.example",
		"https://evil.example?shop.example", `https://shop.example\@evil.example/`,
		`https://evil.example\.shop.example`, "https://shop.example:8443/",
		"https://shop.example%2eevil.example",
		"javascript:alert(1)", "data:text/html,x", "ftp://shop.example/", " https://shop.example/",
		"https://shop.example/\r\nSet-Cookie: a=b", "\thttps://evil.example", "https://[::1]/", "",
		"https://shop.example\u3002evil.example/", "HTTPS://EVIL.EXAMPLE",
	} {
		w := e.send("GET", "/r/tp2?aid=acme&u="+url.QueryEscape(target), "")
		if w.Code != 400 || w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("/r/tp2 to %q: %d %v", target, w.Code, w.Header())
		}
		w = e.send("POST", "/v1/forms/acme", "_redirect="+url.QueryEscape(target)+"&email=a%40b.example",
			"Content-Type", "application/x-www-form-urlencoded")
		at := w.Header().Get("Location")
		u, err := url.Parse("https://collector.example" + at)
		if at != "" && (at[0] != '/' || err != nil || u.Host != "collector.example") {
			t.Errorf("a form to %q: %d %q", target, w.Code, at)
		}
	}
	w := e.send("GET", "/r/tp2?aid=acme&u=https%3A%2F%2FSHOP.example%2Fa", "")
	if w.Code != http.StatusFound {
		t.Errorf("to the host that is listed: %d", w.Code)
	}
}

// What a scanner puts into every field comes back in no answer that a browser would run.
func TestNothingRuns(t *testing.T) {
	e := guarded(t)
	const script = `"><script>alert(1)</script>`
	escaped := strings.ReplaceAll(script, `"`, `\"`)
	in := url.QueryEscape(script)
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/v1/beacons", `{"site":"` + escaped + `","type":"` + escaped + `","` + escaped + `":1}`},
		{"POST", "/v1/beacons", script},
		{"POST", "/v1/forms/" + url.PathEscape(script), `{"` + escaped + `":"` + escaped + `"}`},
		{"POST", "/v1/consent", `{"site":"acme","choice":"` + escaped + `"}`},
		{"GET", "/v1/pixel.gif?site=acme&type=" + in + "&" + in + "=" + in, ""},
		{"GET", "/t/" + url.PathEscape(script) + ".js", ""},
		{"POST", "/v1/track", `{"writeKey":"` + escaped + `","` + escaped + `":1,"event":7}`},
		{"POST", "/v1/batch", script},
		{"GET", "/v1/projects/" + url.PathEscape(script) + "/settings", ""},
		{"GET", "/v1/projects/acme/settings", ""},
		{"GET", "/sourceConfig?writeKey=" + in, ""},
		{"POST", "/com.snowplowanalytics.snowplow/tp2", `{"data":[{"` + escaped + `":"` + escaped + `"}]}`},
		{"GET", "/i?e=" + in + "&aid=" + in, ""},
		{"GET", "/r/tp2?aid=" + in + "&u=" + in, ""},
		{"GET", "/r/" + url.PathEscape(script), ""},
		{"GET", "/" + url.PathEscape(script) + "/" + url.PathEscape(script) + "?e=pv", ""},
		{"GET", "/" + url.PathEscape(script), ""},
	} {
		w := e.send(c.method, c.target, c.body, "Referer", "https://acme.example/"+script,
			"User-Agent", script, "X-Forwarded-Host", script, "X-Forwarded-Prefix", script,
			"Content-Type", "application/json")
		h := w.Header()
		media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
		switch media {
		case "", "application/json", "image/gif", "text/plain":
		default:
			t.Errorf("%s %s: %d as %s", c.method, c.target, w.Code, media)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Set-Cookie") != "" &&
			strings.Contains(h.Get("Set-Cookie"), "script") {
			t.Errorf("%s %s: %v", c.method, c.target, h)
		}
	}
}
