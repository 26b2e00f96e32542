package ingest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
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
	first := jar{request: httptest.NewRequest("GET", "/", nil), signer: newSigner([]byte("k"))}
	value := first.visit(&site, now)
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
		next := jar{request: r, signer: newSigner([]byte(c.key))}.visit(&site, now.Add(c.after))
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
	if !regexp.MustCompile(`^granted\.[0-9]{10}\.api$`).MatchString(said.Value) ||
		said.HttpOnly || said.MaxAge != 180*24*3600 ||
		said.SameSite != http.SameSiteLaxMode || set["ct_visitor"] == nil {
		t.Errorf("cookies %v", set)
	}
	cookies := "ct_consent=" + said.Value + "; ct_visitor=" + set["ct_visitor"].Value + "; ct_visit=" +
		set["ct_visit"].Value
	e.post("/v1/beacons", `{"site":"ask","type":"page_view"}`, append(origin, "Cookie", cookies)...)
	w = e.post("/v1/consent", `{"site":"ask","choice":"withdrawn"}`,
		append(origin, "Cookie", cookies+"; sp=5f1d9b7c-9f0e-4d3f-8a51-2f4f3c6f1a10")...)
	set = cookiesOf(w)
	if !strings.HasPrefix(set["ct_consent"].Value, "withdrawn.") ||
		set["ct_consent"].MaxAge != 34_560_000 || set["ct_visitor"].MaxAge >= 0 ||
		set["ct_visit"].MaxAge >= 0 || set["sp"] == nil || set["sp"].MaxAge >= 0 ||
		!strings.Contains(w.Body.String(), `"none"`) {
		t.Errorf("withdrawn: %v %s", set, w.Body)
	}
	b := e.tape.read(t).beacons[0]
	if b.Consent != schemas.Consent_CONSENT_IDENTIFIED || b.ConsentChoice != granted ||
		b.ConsentSource != schemas.ConsentSource_CONSENT_SOURCE_API ||
		b.ConsentAtUs == 0 || b.ConsentAtUs > b.ReceivedAtUs || b.ConsentAtUs%1e6 != 0 {
		t.Errorf("after the grant %v", b)
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

// TestPurposes tries what a banner says of purposes, and what of it reaches the beacons.
func TestPurposes(t *testing.T) {
	const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	e := newEdge(t, nil).run(t)
	for _, c := range []struct{ said, mode, cookie string }{
		{`"purposes":{"analytics":true}`, "statistical", "statistical.%.api"},
		{`"purposes":{"analytics":true,"marketing":true}`, "statistical", "statistical.%.api"},
		{
			`"purposes":{"analytics":true,"marketing":true,"profiling":true},"source":"gcm"`,
			"identified", "granted.%.gcm",
		},
		{`"purposes":{"marketing":true,"profiling":true},"source":"gpp"`, "none", "refused.%.gpp"},
		{`"purposes":{"analytics":false}`, "none", "refused.%.api"},
		{`"choice":"withdrawn","source":"tcf"`, "none", "withdrawn.%.tcf"},
		{
			`"choice":"granted","source":"tcf","tc_sha256":"` + hash + `","tcf_purposes":[1,8,10]`,
			"identified", "granted.%.tcf.281." + hash,
		},
		{`"choice":"granted","source":"tcf","tcf_purposes":[24]`, "identified", "granted.%.tcf.800000."},
	} {
		w := e.post("/v1/consent", `{"site":"ask",`+c.said+`}`)
		said := cookiesOf(w)["ct_consent"]
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `{"consent":"`+c.mode+`"}`) {
			t.Fatalf("%s: %d %s", c.said, w.Code, w.Body)
		}
		before, after, _ := strings.Cut(c.cookie, "%")
		if !strings.HasPrefix(said.Value, before) || !strings.HasSuffix(said.Value, after) {
			t.Errorf("%s: cookie %s", c.said, said.Value)
		}
		e.post("/v1/beacons", `{"site":"ask","type":"ping"}`, "Cookie", "ct_consent="+said.Value)
		b := e.tape.read(t).beacons
		got := b[len(b)-1]
		source, _, _ := strings.Cut(after[1:], ".")
		if got.Consent.Name() != c.mode || got.ConsentSource.Name() != source ||
			got.ConsentChoice.Name() != strings.TrimSuffix(before, ".") || got.ConsentAtUs == 0 {
			t.Errorf("%s: %v", c.said, got)
		}
		if tcf := strings.Contains(c.said, "8,10"); tcf != (got.TcSha256 == hash) ||
			tcf != (got.TcfPurposes == 1<<0|1<<7|1<<9) {
			t.Errorf("%s: hash %q, purposes %b", c.said, got.TcSha256, got.TcfPurposes)
		}
	}
	for _, bad := range []string{
		``, `"choice":"granted","purposes":{"analytics":true}`, `"purposes":{}`, `"purposes":true`,
		`"purposes":{"analytics":"yes"}`, `"purposes":{"analytics":true,"sale":true}`,
		`"choice":"statistical"`, `"choice":"granted","source":"site"`, `"choice":"granted","source":1`,
		`"choice":"granted","tc_sha256":"abc"`, `"choice":"granted","tcf_purposes":[0]`,
		`"choice":"granted","tcf_purposes":[25]`, `"choice":"granted","tcf_purposes":[1.5]`,
		`"choice":"granted","tcf_purposes":["1"]`, `"choice":"granted","tcf_purposes":{"a":1}`,
	} {
		w := e.post("/v1/consent", strings.Replace(`{"site":"ask",`+bad+`}`, ",}", "}", 1))
		if w.Code != http.StatusBadRequest || len(cookiesOf(w)) != 0 {
			t.Errorf("%s: %d, cookies %v", bad, w.Code, cookiesOf(w))
		}
	}
}

// TestConsentCookie reads what a browser may send as ct_consent.
func TestConsentCookie(t *testing.T) {
	const now = 1_800_000_000
	const (
		api = schemas.ConsentSource_CONSENT_SOURCE_API
		tcf = schemas.ConsentSource_CONSENT_SOURCE_TCF
		gpp = schemas.ConsentSource_CONSENT_SOURCE_GPP
	)
	hash := strings.Repeat("0f", 32)
	for text, want := range map[string]statement{
		"":                                        {},
		"maybe.1700000000.api":                    {},
		"granted":                                 {choice: granted, source: api},
		"refused":                                 {choice: refused, source: api},
		"statistical.1799000000.gpp":              {choice: statistical, source: gpp, at: 1799e6},
		"granted.1784448000.api":                  {choice: granted, source: api, at: 1784448e3},
		"granted.1784447999.api":                  {}, // 180 days and a second ago
		"statistical.1700000000.gpp":              {},
		"refused.1700000000.api":                  {choice: refused, source: api, at: 17e8},
		"granted.1800000001.api":                  {choice: granted, source: api},
		"granted.-1.api":                          {choice: granted, source: api},
		"refused.x.dnt":                           {choice: refused, source: api},
		"granted.1799000000.tcf.281." + hash:      {granted, tcf, 1799e6, hash, 0x281},
		"granted.1799000000.tcf.1000000.0F":       {choice: granted, source: tcf, at: 1799e6},
		"granted.1799000000.tcf." + "." + hash:    {granted, tcf, 1799e6, hash, 0},
		"granted.1799000000.tcf.f." + hash + ".x": {choice: granted, source: tcf, at: 1799e6, tcfPurposes: 15},
	} {
		got := parseStatement(text, now)
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
		if got.choice == undecided {
			continue
		}
		if again := parseStatement(got.cookie(), now); again != got {
			t.Errorf("%q: written as %s, read as %+v", text, got.cookie(), again)
		}
	}
}

func TestRefusalIsRenewed(t *testing.T) {
	e := newEdge(t, nil)
	for ago, renewed := range map[time.Duration]bool{time.Hour: false, 30 * 24 * time.Hour: true} {
		said := statement{
			choice: refused, source: schemas.ConsentSource_CONSENT_SOURCE_API,
			at: time.Now().Add(-ago).Unix(),
		}
		got := cookiesOf(e.send("GET", "/t/acme.js", "", "Cookie", "ct_consent="+said.cookie()))
		if c := got["ct_consent"]; (c != nil) != renewed ||
			renewed && (c.Value != said.cookie() || c.MaxAge != 34_560_000) {
			t.Errorf("refused %s ago: %v", ago, got)
		}
	}
}

// TestConsentWithoutCookies holds that a sender without cookies can say what was said, and that a
// link cannot.
func TestConsentWithoutCookies(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	const body = `{"site":"ask","type":"ping","visitor":"claimed"}`
	at := time.Now().Add(-time.Hour).Unix()
	said := fmt.Sprintf("?ct_consent=granted.%d.tcf", at)
	refused := []string{"Cookie", "ct_consent=refused"}
	for _, c := range []struct {
		method, path, body string
		headers            []string
		mode, source       string
	}{
		{"POST", "/v1/beacons" + said, body, nil, "identified", "tcf"},
		{"POST", "/v1/beacons" + said, body, refused, "none", "api"},
		{"POST", "/v1/beacons?ct_consent=maybe", body, nil, "none", "site"},
		{"POST", "/v1/forms/ask" + said, `{"email":"ada@acme.example"}`, nil, "identified", "tcf"},
		{
			"POST", "/v1/t" + said, `{"event":"x","anonymousId":"a","writeKey":"ask"}`, nil,
			"identified", "tcf",
		},
		{"GET", "/v1/pixel.gif" + said + "&site=ask", "", nil, "none", "site"},
		{"GET", "/r/ask" + said, "", nil, "none", "site"},
	} {
		w := e.send(c.method, c.path, c.body,
			append([]string{"Content-Type", "application/json", "User-Agent", firefox}, c.headers...)...)
		b := e.last(t)
		if w.Code >= 400 || b.Consent.Name() != c.mode || b.ConsentSource.Name() != c.source ||
			c.mode == "identified" && b.ConsentAtUs != at*1e6 || c.method == "GET" && len(cookiesOf(w)) > 0 {
			t.Errorf("%s %s: %d %v, cookies %v", c.method, c.path, w.Code, b, cookiesOf(w))
		}
	}
	w := e.post("/v1/beacons"+said, body, "Origin", "https://evil.example")
	if w.Code != http.StatusForbidden || len(cookiesOf(w)) > 0 {
		t.Errorf("another origin speaks for the visitor: %d, cookies %v", w.Code, cookiesOf(w))
	}
	w = e.post("/v1/visit"+said, `{"site":"ask"}`)
	if !strings.Contains(w.Body.String(), `"identified"`) {
		t.Errorf("visit: %d %s", w.Code, w.Body)
	}
}
