package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"
)

// cookiesOf returns the cookies that an answer sets.
func cookiesOf(w *httptest.ResponseRecorder) map[string]*http.Cookie {
	set := map[string]*http.Cookie{}
	for _, c := range w.Result().Cookies() {
		set[c.Name] = c
	}
	return set
}

const someVisitor = "AAAAAAAAAAAAAAAAAAAAAA"

// TestConsent tries what a site asks for against what a visitor said, with and without Global
// Privacy Control.
func TestConsent(t *testing.T) {
	const none, statistical, identified = "none", "statistical", "identified"
	for _, c := range []struct{ site, said, mode, withGPC string }{
		{"ask", "", none, none},
		{"ask", "granted", identified, none},
		{"ask", "refused", none, none},
		{"acme", "", identified, statistical},
		{"acme", "granted", identified, statistical},
		{"acme", "refused", none, none},
		{"count", "", statistical, statistical},
		{"count", "granted", statistical, statistical},
		{"count", "refused", none, none},
	} {
		for _, gpc := range []bool{false, true} {
			want := c.mode
			headers := []string{}
			if c.said != "" {
				headers = append(headers, "Cookie", "ct_consent="+c.said)
			}
			if gpc {
				want, headers = c.withGPC, append(headers, "Sec-GPC", "1")
			}
			t.Run(strings.Join(append(headers, c.site), " "), func(t *testing.T) {
				consentCell(t, c.site, want, headers)
			})
		}
	}
}

func consentCell(t *testing.T, site, want string, headers []string) {
	e := newEdge(t, nil).run(t)
	send := func(id, more string, headers ...string) *httptest.ResponseRecorder {
		w := e.post("/v1/beacons", `{"id":"`+id+`","site":"`+site+`","type":"page_view"`+more+`}`,
			headers...)
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return w
	}
	fresh := cookiesOf(send("1", "", headers...))
	send("2", `,"consent":"none"`, headers...)
	send("3", `,"consent":"identified","visitor":"claimed"`, headers...)
	known := cookiesOf(send("4", "", append(headers, "Cookie", "ct_visitor="+someVisitor)...))
	b := e.tape.read(t).beacons
	if len(b) != 4 || b[0].Consent.Name() != want || b[2].Consent.Name() != want {
		t.Fatalf("want consent %s, got %v", want, b)
	}
	if b[1].Consent != schemas.Consent_CONSENT_NONE || b[1].VisitorId != "" {
		t.Errorf("a beacon that asks for less: %v", b[1])
	}
	if want == "none" {
		if b[0].VisitorId+b[2].VisitorId+b[3].VisitorId != "" || b[0].Ip != "" {
			t.Errorf("somebody is named without consent: %v", b)
		}
		if len(fresh) != 0 {
			t.Errorf("stored without consent: %v", fresh)
		}
		if gone := known["ct_visitor"]; gone == nil || gone.MaxAge >= 0 || len(known) != 1 {
			t.Errorf("ct_visitor is still there: %v", known)
		}
		return
	}
	if len(fresh) != 2 || fresh["ct_visitor"].Value != b[0].VisitorId || len(b[0].VisitorId) < 22 {
		t.Errorf("cookies %v for %v", fresh, b[0])
	}
	if b[2].VisitorId != "claimed" || b[3].VisitorId != someVisitor ||
		known["ct_visitor"].Value != someVisitor {
		t.Errorf("visitors %q, %q, cookies %v", b[2].VisitorId, b[3].VisitorId, known)
	}
}

func TestCookieAttributes(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Sites = append(cfg.Sites, Site{
			Key: "brief", Consent: ConsentNotAsked, FixedLifetime: true,
			CookieLifetime: 13 * 30 * 24 * time.Hour, Gap: 10 * time.Minute,
		})
	}).run(t)
	const body = `{"site":"acme","type":"page_view"}`
	set := cookiesOf(e.post("/v1/beacons", body))
	visitor, visit := set["ct_visitor"], set["ct_visit"]
	if visitor.MaxAge != 34_560_000 || !visitor.HttpOnly || visitor.Secure ||
		visitor.SameSite != http.SameSiteLaxMode || visitor.Path != "/" || visitor.Domain != "" {
		t.Errorf("ct_visitor %v", visitor)
	}
	if visit.MaxAge != 1800 || !visit.HttpOnly || visit.SameSite != http.SameSiteLaxMode {
		t.Errorf("ct_visit %v", visit)
	}
	again := cookiesOf(e.post("/v1/beacons", body,
		"Cookie", "ct_visitor="+visitor.Value+"; ct_visit="+visit.Value))
	if again["ct_visitor"].Value != visitor.Value || again["ct_visitor"].MaxAge != 34_560_000 {
		t.Errorf("ct_visitor is not renewed: %v", again)
	}
	// The first 21 characters are bytes of the visit's id alone.
	if again["ct_visit"].Value[:21] != visit.Value[:21] {
		t.Errorf("the visit does not go on: %q, then %q", visit.Value, again["ct_visit"].Value)
	}
	forged := "B" + visit.Value[1:]
	if visit.Value[0] == 'B' {
		forged = "C" + visit.Value[1:]
	}
	if got := cookiesOf(e.post("/v1/beacons", body, "Cookie", "ct_visit="+forged)); got["ct_visit"].
		Value[:21] == forged[:21] {
		t.Error("a forged visit goes on")
	}
	for _, bad := range []string{"short", strings.Repeat("!", 22), someVisitor + "A"} {
		got := cookiesOf(e.post("/v1/beacons", body, "Cookie", "ct_visitor="+bad))
		if got["ct_visitor"].Value == bad || len(got["ct_visitor"].Value) != 22 {
			t.Errorf("took %q for an id of ours: %v", bad, got)
		}
	}
	const brief = `{"site":"brief","type":"page_view"}`
	if got := cookiesOf(e.post("/v1/beacons", brief)); got["ct_visitor"].MaxAge != 33_696_000 ||
		got["ct_visit"].MaxAge != 600 {
		t.Errorf("cookies of a site with lifetimes of its own: %v", got)
	}
	got := cookiesOf(e.post("/v1/beacons", brief, "Cookie", "ct_visitor="+someVisitor))
	if got["ct_visitor"] != nil {
		t.Errorf("a fixed lifetime was renewed: %v", got)
	}
	got = cookiesOf(e.post("/v1/beacons", `{"site":"acme","type":"ping","visitor":"me"}`))
	if got["ct_visitor"] != nil {
		t.Errorf("a claim became a cookie: %v", got)
	}
}

func TestCookiesOverHTTPS(t *testing.T) {
	e := newEdge(t, nil).run(t)
	const body = `{"site":"acme","type":"page_view"}`
	set := cookiesOf(e.post("https://e.example/v1/beacons", body))
	for _, name := range []string{"__Host-ct_visitor", "__Host-ct_visit"} {
		if c := set[name]; c == nil || !c.Secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: %v", name, set)
		}
	}
	// A neighbour of the host can set the plain name, not the other one.
	e.post("https://e.example/v1/beacons", body, "Cookie", "ct_visitor="+someVisitor)
	e.post("https://e.example/v1/beacons", body, "Cookie", "__Host-ct_visitor="+someVisitor)
	b := e.tape.read(t).beacons
	if b[1].VisitorId == someVisitor || b[2].VisitorId != someVisitor {
		t.Errorf("visitors %q and %q", b[1].VisitorId, b[2].VisitorId)
	}
	// X-Forwarded-Proto is believed of a trusted proxy alone.
	got := cookiesOf(e.post("/v1/beacons", body, "X-Forwarded-Proto", "https"))
	if got["ct_visitor"] == nil {
		t.Errorf("believed a stranger: %v", got)
	}
}

func TestVisitRunsOut(t *testing.T) {
	site := DefaultSite()
	if err := site.normalise(); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	value := jar{request: httptest.NewRequest("GET", "/", nil), key: []byte("k")}.visit(&site, now)
	for _, c := range []struct {
		after  time.Duration
		key    string
		goesOn bool
	}{
		{30 * time.Minute, "k", true},
		{30*time.Minute + time.Second, "k", false},
		{time.Minute, "another", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "ct_visit="+value)
		next := jar{request: r, key: []byte(c.key)}.visit(&site, now.Add(c.after))
		if goesOn := next[:21] == value[:21]; goesOn != c.goesOn {
			t.Errorf("after %s signed with %q the visit goes on: %v", c.after, c.key, goesOn)
		}
	}
}

func TestChoice(t *testing.T) {
	e := newEdge(t, nil).run(t)
	origin := []string{"Origin", "https://ask.example"}
	w := e.post("/v1/consent", `{"site":"ask","choice":"granted"}`, origin...)
	set := cookiesOf(w)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"identified"`) ||
		w.Header().Get("Access-Control-Allow-Origin") != "https://ask.example" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	said := set["ct_consent"]
	if said.Value != "granted" || said.HttpOnly || said.MaxAge != 180*24*3600 ||
		said.SameSite != http.SameSiteLaxMode || set["ct_visitor"] == nil {
		t.Errorf("cookies %v", set)
	}
	cookies := "ct_consent=granted; ct_visitor=" + set["ct_visitor"].Value + "; ct_visit=" +
		set["ct_visit"].Value
	e.post("/v1/beacons", `{"site":"ask","type":"page_view"}`, append(origin, "Cookie", cookies)...)
	w = e.post("/v1/consent", `{"site":"ask","choice":"withdrawn"}`,
		append(origin, "Cookie", cookies)...)
	set = cookiesOf(w)
	if set["ct_consent"].Value != "refused" || set["ct_visitor"].MaxAge >= 0 ||
		set["ct_visit"].MaxAge >= 0 || !strings.Contains(w.Body.String(), `"none"`) {
		t.Errorf("withdrawn: %v %s", set, w.Body)
	}
	if b := e.tape.read(t).beacons; b[0].Consent != schemas.Consent_CONSENT_IDENTIFIED {
		t.Errorf("after the grant %v", b[0])
	}
	for _, c := range []struct {
		body, origin string
		status       int
	}{
		{`{"site":"ask","choice":"granted"}`, "https://evil.example", http.StatusForbidden},
		{`{"site":"ask","choice":"maybe"}`, "https://ask.example", http.StatusBadRequest},
		{`{"site":"nowhere","choice":"granted"}`, "", http.StatusBadRequest},
		{`{`, "", http.StatusBadRequest},
		{`{"site":7,"choice":"granted"}`, "", http.StatusBadRequest},
	} {
		w := e.post("/v1/consent", c.body, "Origin", c.origin)
		if w.Code != c.status || len(cookiesOf(w)) != 0 {
			t.Errorf("%s from %q: %d, cookies %v", c.body, c.origin, w.Code, cookiesOf(w))
		}
	}
}
