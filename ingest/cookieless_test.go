package ingest

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"
)

func cookielessEdge(t *testing.T) *edge {
	return newEdge(t, func(cfg *Config) {
		cfg.Sites = []Site{
			{
				Key: "ask", Consent: ConsentRequired, Cookieless: true, Origins: []string{"*"},
				Redirects: []string{"x.example"},
			},
			{Key: "count", Consent: ConsentNotAsked, Cookieless: true},
			{Key: "people", Consent: ConsentImplied, Cookieless: true},
			{Key: "strict", Consent: ConsentRequired, Cookieless: true, Enforcement: Purposes{
				Analytics: Restrictive,
			}},
			{Key: "acme", Consent: ConsentImplied},
		}
		for i := range cfg.Sites {
			cfg.Sites[i].Address = enrich.AddressWhole
		}
	}).run(t)
}

func isDaily(b *schemas.Beacon) bool {
	return b.Consent == schemas.Consent_CONSENT_STATISTICAL &&
		schemas.VisitorID(b.VisitorId).OfOneDay() && b.Ip == "" && b.UserAgent == ""
}

// TestCookieless holds who a visitor is on sites that store nothing of whom they do not identify.
func TestCookieless(t *testing.T) {
	const gpc, granted, refused = "Sec-GPC", "ct_consent=granted", "ct_consent=refused.1.api"
	e := cookielessEdge(t)
	names := map[string]string{}
	for _, c := range []struct {
		site    string
		headers []string
		mode    string
	}{
		{"ask", nil, "statistical"},
		{"ask", []string{"Cookie", granted}, "identified"},
		{"ask", []string{"Cookie", granted, gpc, "1"}, "statistical"},
		{"ask", []string{"Cookie", "ct_consent=statistical"}, "statistical"},
		{"ask", []string{"Cookie", refused}, "none"},
		{"ask", []string{"Cookie", "ct_consent=withdrawn.1.api"}, "none"},
		{"count", nil, "statistical"},
		{"count", []string{"Cookie", granted}, "statistical"},
		{"count", []string{"Cookie", refused}, "none"},
		{"people", nil, "identified"},
		{"people", []string{gpc, "1"}, "statistical"},
		{"strict", nil, "none"},
		{"strict", []string{"Cookie", "ct_consent=statistical"}, "statistical"},
	} {
		body := `{"site":"` + c.site + `","type":"page_view","url":"https://acme.example/",` +
			`"visitor":"claimed","ip":"203.0.113.9"}`
		for _, known := range []string{"", "ct_visitor=" + someVisitor} {
			headers := append([]string{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"},
				c.headers...)
			if known != "" {
				headers = append(headers, "Cookie", known)
			}
			w := e.post("/v1/beacons", body, headers...)
			b, set := e.last(t), cookiesOf(w)
			if b.Consent.Name() != c.mode {
				t.Fatalf("%s %v: %v, want %s", c.site, headers, b, c.mode)
			}
			if c.mode != "statistical" {
				continue
			}
			if !isDaily(b) || b.GetAgent().GetOs() != "Linux" {
				t.Errorf("%s %v: %v", c.site, headers, b)
			}
			if text := b.String(); strings.Contains(text, "claimed") ||
				strings.Contains(text, "192.0.2") || strings.Contains(text, someVisitor) {
				t.Errorf("%s %v: another id, or the address, beside that of the day: %s", c.site, headers,
					text)
			}
			if names[c.site] == "" {
				names[c.site] = b.VisitorId
			}
			if names[c.site] != b.VisitorId {
				t.Errorf("%s %v: %s is now %s", c.site, headers, names[c.site], b.VisitorId)
			}
			if gone := set["ct_visitor"]; known == "" && len(set) != 0 ||
				known != "" && (len(set) != 1 || gone == nil || gone.MaxAge >= 0) {
				t.Errorf("%s %v: cookies %v", c.site, headers, set)
			}
		}
	}
	if names["ask"] == names["count"] {
		t.Error("one name on two sites")
	}
	// A beacon that asks for less than its visitor allows is not the visitor's any more.
	w := e.post("/v1/beacons", `{"site":"people","type":"ping","consent":"statistical"}`,
		"Cookie", "ct_visitor="+someVisitor)
	if b := e.last(t); !isDaily(b) || cookiesOf(w)["ct_visitor"].Value != someVisitor {
		t.Errorf("asked for less: %v, cookies %v", b, cookiesOf(w))
	}
}

// TestChoicesNameNobody holds that the moment of a choice, and what it rests on, are no id of those
// who have none, or one for a day.
func TestChoicesNameNobody(t *testing.T) {
	e := cookielessEdge(t)
	hash := strings.Repeat("ab", 32)
	said := time.Now().Add(-48*time.Hour).Unix() | 1 // no midnight
	day := said - said%86_400
	for _, c := range []struct {
		site, choice string
		at           int64
		hash         string
	}{
		{"acme", "refused", day, ""},
		{"ask", "statistical", day, ""},
		{"acme", "statistical", said, hash},
		{"ask", "granted", said, hash},
	} {
		e.post("/v1/beacons", `{"site":"`+c.site+`","type":"ping"}`,
			"Cookie", fmt.Sprintf("ct_consent=%s.%d.tcf.281.%s", c.choice, said, hash))
		if b := e.last(t); b.ConsentAtUs != c.at*1e6 || b.TcSha256 != c.hash || b.TcfPurposes != 0x281 ||
			b.ConsentChoice.Name() != c.choice {
			t.Errorf("%s, %s: %v", c.site, c.choice, b)
		}
	}
}

// TestCookielessByEveryWay holds that no protocol leaves its own id beside that of the day.
func TestCookielessByEveryWay(t *testing.T) {
	e := cookielessEdge(t)
	const uuid = "5f1d9b7c-9f0e-4d3f-8a51-2f4f3c6f1a10"
	const query = "e=pv&aid=ask&p=web&tv=js-4.6.0&url=https%3A%2F%2Facme.example%2F%3F_sp%3D" + uuid +
		".1700000000000&duid=" + uuid
	segment := `{"event":"x","anonymousId":"` + uuid + `","userId":"ada","writeKey":"ask","context":` +
		`{"page":{"url":"https://acme.example/a"}}}`
	names := map[string]bool{}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/beacons", `{"site":"ask","type":"ping","url":"https://www.acme.example/"}`},
		{"GET", "/v1/pixel.gif?site=ask&url=https%3A%2F%2Facme.example%2Fp&visitor=" + uuid, ""},
		{"POST", "/v1/track", segment},
		{"GET", "/i?" + query, ""},
		{"GET", "/r/tp2?u=https%3A%2F%2Fx.example%2F%24%7BSP_NUID%7D&" + query, ""},
	} {
		w := e.send(c.method, c.path, c.body, "Content-Type", "application/json", "User-Agent", "Firefox",
			"Sec-Fetch-Site", "same-origin", "Origin", "https://acme.example")
		if w.Code >= 400 || len(w.Header()["Set-Cookie"]) != 0 {
			t.Fatalf("%s: %d, stores %q", c.path, w.Code, w.Header()["Set-Cookie"])
		}
		b := e.last(t)
		if !isDaily(b) || strings.Contains(b.String(), uuid) || strings.Contains(b.String(), `"ada"`) ||
			strings.Contains(w.Header().Get("Location"), uuid) {
			t.Errorf("%s: %v, to %s", c.path, b, w.Header().Get("Location"))
		}
		names[b.VisitorId] = true
	}
	if len(names) != 1 {
		t.Errorf("one browser is %d visitors: %v", len(names), names)
	}
	set := cookiesOf(e.post("/v1/reset", `{"site":"ask"}`, "Cookie", "ct_visitor="+someVisitor))
	if gone := set["ct_visitor"]; len(set) != 1 || gone == nil || gone.MaxAge >= 0 {
		t.Errorf("after a reset: %v", set)
	}
	set = cookiesOf(e.send("GET", "/t/ask.js", ""))
	if script := e.send("GET", "/t/ask.js", "").Body.String(); len(set) != 0 ||
		!strings.Contains(script, `"consent":"required","cross":false,"cookieless":true`) {
		t.Errorf("the script stores %v: %.300s", set, script)
	}
}

// TestEntitiesThatNameBrowsers holds that what a tracker adds to an event names nobody who has no
// visitor, or one for a day.
func TestEntitiesThatNameBrowsers(t *testing.T) {
	e := cookielessEdge(t)
	var entities []string
	for _, name := range []string{
		"com.snowplowanalytics.snowplow/client_session", "com.snowplowanalytics.snowplow/mobile_context",
		"com.snowplowanalytics.snowplow/geolocation_context", "com.google.analytics/cookies",
		"com.google.ga4/cookies", "org.ietf/http_cookie", "com.snowplowanalytics.snowplow/web_page",
	} {
		entities = append(entities,
			`{"schema":"iglu:`+name+`/jsonschema/1-0-0","data":{"id":"of-`+name+`"}}`)
	}
	co := quote(`{"schema":"iglu:x/contexts/jsonschema/1-0-1","data":[` +
		strings.Join(entities, ",") + `]}`)
	for _, c := range []struct {
		site, cookie string
		kept         int
	}{
		{"ask", "", 1},
		{"ask", "ct_consent=refused.1.api", 1},
		{"acme", "ct_consent=refused.1.api", 1},
		{"acme", "", len(entities)},
	} {
		e.post("/com.snowplowanalytics.snowplow/tp2", `{"data":[{"e":"pv","aid":"`+c.site+
			`","fp":"of-fp","mac":"of-mac","co":`+co+`}]}`, "Cookie", c.cookie)
		props := string(e.last(t).Props)
		if n := strings.Count(props, `"id":"of-`); n != c.kept || !strings.Contains(props, "web_page") ||
			strings.Contains(props, `:"of-fp"`) != (c.kept > 1) ||
			strings.Contains(props, `:"of-mac"`) != (c.kept > 1) {
			t.Errorf("%s, %q: %s", c.site, c.cookie, props)
		}
	}
}

// TestCookielessServers holds who the visitor is where a server speaks for them: who it says, made
// a name of the day.
func TestCookielessServers(t *testing.T) {
	e := cookielessEdge(t)
	track := func(said string) string {
		w := e.post("/v1/track", `{"event":"x","writeKey":"ask",`+said+`}`)
		if b := e.last(t); w.Code == 200 && isDaily(b) && !strings.Contains(b.String(), "anon-") {
			return b.VisitorId
		}
		t.Fatalf("%s: %d %v", said, w.Code, e.last(t))
		return ""
	}
	const address = `"context":{"ip":"203.0.113.9","userAgent":"Firefox"}`
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`"anonymousId":"anon-1"`, `"anonymousId":"anon-1"`, true},
		{`"anonymousId":"anon-1"`, `"anonymousId":"anon-2"`, false},
		{`"anonymousId":"anon-1",` + address, `"anonymousId":"anon-2",` + address, true},
		{`"anonymousId":"anon-1",` + address, `"anonymousId":"anon-1"`, false},
	} {
		if got := track(c.a) == track(c.b); got != c.same {
			t.Errorf("%s and %s are the same: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

// TestCookielessForms holds that what somebody says of themselves meets no name of the day.
func TestCookielessForms(t *testing.T) {
	e := cookielessEdge(t)
	for _, send := range []func() *httptest.ResponseRecorder{
		func() *httptest.ResponseRecorder {
			return e.post("/v1/forms/ask", `{"email":"ada@acme.example"}`,
				"Content-Type", "application/json")
		},
		func() *httptest.ResponseRecorder {
			return e.post("/v1/beacons", `{"site":"ask","type":"form_submit","visitor":"v",`+
				`"props":{"email":"ada@acme.example"}}`)
		},
		func() *httptest.ResponseRecorder {
			return e.post("/v1/identify", `{"writeKey":"ask","anonymousId":"a","userId":"u",`+
				`"traits":{"email":"ada@acme.example"}}`)
		},
	} {
		before := len(e.tape.read(t).submissions)
		if w := send(); w.Code >= 300 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		log := e.tape.read(t)
		s, b := log.submissions[len(log.submissions)-1], e.last(t)
		if len(log.submissions) != before+1 || s.Email != "ada@acme.example" || s.VisitorId != "" ||
			s.Consent != schemas.Consent_CONSENT_STATISTICAL || b.VisitorId != "" ||
			s.SubmissionId != b.EventId {
			t.Errorf("submission %v of %v", s, b)
		}
	}
}

// TestDaysAreNotClaimed holds that nobody outside gives out an id of a day.
func TestDaysAreNotClaimed(t *testing.T) {
	e := cookielessEdge(t)
	e.post("/v1/beacons", `{"site":"ask","type":"ping"}`)
	id := e.last(t).VisitorId
	e.post("/v1/beacons", `{"site":"acme","type":"ping","visitor":"`+id+`"}`)
	if b := e.last(t); b.VisitorId == id || len(b.VisitorId) != visitorChars {
		t.Errorf("claimed: %v", b)
	}
}
