package ingest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/token"
	"crumbtrail/schemas"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
	ada     = "0e4b5ce6-0000-5000-8000-000000000000"
)

func withLinks(cfg *Config) {
	cfg.Links = []Link{
		{Name: "spring", Target: "https://acme.example/spring?utm_campaign=s&a=1#top", Site: "acme"},
		{Name: "open", Target: "https://acme.example", Site: "acme", PassQuery: true},
		{Name: "ask", Target: "http://ask.example/", Site: "ask"},
	}
}

// click follows a link as a browser does.
func (e *edge) click(target string, headers ...string) *httptest.ResponseRecorder {
	return e.send(http.MethodGet, target, "", append([]string{"User-Agent", firefox}, headers...)...)
}

func (e *edge) path(t testing.TB, l *schemas.SignedLink, life time.Duration) string {
	t.Helper()
	path, err := LinkPath(e.cfg.Keys, l, time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// last is the newest beacon.
func (e *edge) last(t testing.TB) *schemas.Beacon {
	t.Helper()
	all := e.tape.read(t).beacons
	if len(all) == 0 {
		t.Fatal("no beacon")
	}
	return all[len(all)-1]
}

func TestNamedLink(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	w := e.click("/r/spring?b=2", "Referer", "https://www.google.com/")
	h := w.Header()
	if w.Code != http.StatusFound || h.Get("Location") != e.links["spring"].Target ||
		h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v", w.Code, h)
	}
	b := e.last(t)
	if b.Type != schemas.BeaconType_BEACON_TYPE_LINK_CLICK || b.Link != "spring" || b.Site != "acme" ||
		b.Protocol != "link" || b.Recipient != "" || b.Agent.BotRule != "" || b.Ip != "192.0.2.0" ||
		b.Channel != "campaign" || b.Campaign.Name != "s" ||
		b.Referrer != "https://www.google.com/" ||
		string(b.Props) != `{"href":"https://acme.example/spring?utm_campaign=s&a=1#top"}` {
		t.Errorf("beacon %v", b)
	}
	// The browser is known from then on, by the cookie alone.
	cookie := visitorCookieOf(t, w)
	if cookie != b.VisitorId {
		t.Errorf("cookie %q, visitor %q", cookie, b.VisitorId)
	}
	e.click("/r/spring", "Cookie", visitorCookie+"="+cookie)
	if got := e.last(t); got.VisitorId != cookie || got.EventId == b.EventId {
		t.Errorf("second click of %q by %q", cookie, got.VisitorId)
	}
	if w := e.click("/r/nothing"); w.Code != http.StatusNotFound {
		t.Errorf("no link: %d", w.Code)
	}
	log := e.tape.read(t)
	if len(log.beacons) != 2 || len(log.submissions) != 0 || len(log.bad) != 1 ||
		log.bad[0].Reason != ReasonUnknownLink {
		t.Errorf("%d beacons, %d submissions, bad %v", len(log.beacons), len(log.submissions), log.bad)
	}
}

func visitorCookieOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == visitorCookie {
			return c.Value
		}
	}
	return ""
}

func TestLinkPassesQuery(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	for _, c := range []struct{ query, want string }{
		{"", "https://acme.example"},
		{
			"utm_source=news&x=a%20b%0d%0a&t=zzz&&=1&%zz=2",
			"https://acme.example?utm_source=news&x=a+b%0D%0A",
		},
		{"x=" + strings.Repeat("a", maxURL), "https://acme.example"},
	} {
		w := e.click("/r/open?" + c.query)
		if got := w.Header().Get("Location"); w.Code != http.StatusFound || got != c.want {
			t.Errorf("%.50s: leads to %.80q, want %q", c.query, got, c.want)
		}
	}
	if got := e.last(t).Campaign; got != nil {
		t.Errorf("campaign %v of a query that was too long", got)
	}
}

func TestSignedLinks(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	campaign := &schemas.Campaign{Source: "news", Medium: "email", Name: "s2"}
	named := &schemas.SignedLink{Site: "acme", Link: "spring", ContactId: ada, Campaign: campaign}
	free := &schemas.SignedLink{
		Site: "acme", Target: "https://shop.example/?q=1", Email: "ada@x.example",
	}
	ask := &schemas.SignedLink{Site: "ask", Link: "ask", ContactId: ada}
	other := token.Draw()
	forge := func(l *schemas.SignedLink) string {
		path, err := LinkPath(other, l, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	elsewhere := strings.Replace(e.path(t, named, time.Hour), "/r/spring", "/r/open", 1)
	_, text, _ := strings.Cut(e.path(t, named, time.Hour), "?t=")
	for _, c := range []struct {
		name, path string
		headers    []string
		status     int
		target     string
		recipient  string
		submitted  bool
	}{
		{
			"named", e.path(t, named, time.Hour), nil, 302,
			"https://acme.example/spring?utm_campaign=s&a=1&utm_source=news&utm_medium=email#top", ada, true,
		},
		{"free", e.path(t, free, time.Hour), nil, 302, "https://shop.example/?q=1", "", true},
		{
			"opted out", e.path(t, named, time.Hour),
			[]string{"Sec-GPC", "1"},
			302,
			"https://acme.example/spring?utm_campaign=s&a=1&utm_source=news&utm_medium=email#top", "", false,
		},
		{"consent not asked for yet", e.path(t, ask, time.Hour), nil, 302, "http://ask.example/", "", false},
		{"named, expired", e.path(t, named, 0), nil, 302, e.links["spring"].Target, "", false},
		{"named, forged", forge(named), nil, 302, e.links["spring"].Target, "", false},
		{"named, of another link", elsewhere, nil, 302, "https://acme.example", "", false},
		{"named, no token", "/r/spring?t=AAAA", nil, 302, e.links["spring"].Target, "", false},
		{"free, expired", e.path(t, free, 0), nil, 410, "", "", false},
		{"free, forged", forge(free), nil, 403, "", "", false},
		{"free, no token", "/l/https%3A%2F%2Fevil.example", nil, 403, "", "", false},
		{"free, of a named link", "/l/" + text, nil, 403, "", "", false},
	} {
		before := e.tape.read(t)
		w := e.click(c.path, c.headers...)
		after := e.tape.read(t)
		if w.Code != c.status || w.Header().Get("Location") != c.target {
			t.Errorf("%s: %d to %q, want %d to %q", c.name, w.Code, w.Header().Get("Location"),
				c.status, c.target)
		}
		if c.status != http.StatusFound {
			if len(after.beacons) != len(before.beacons) || len(after.bad) != len(before.bad)+1 {
				t.Errorf("%s: want it in bad beacons", c.name)
			}
			continue
		}
		b := e.last(t)
		if b.Recipient != c.recipient || len(after.beacons) != len(before.beacons)+1 ||
			(len(after.submissions) > len(before.submissions)) != c.submitted {
			t.Errorf("%s: recipient %q, %d submissions more", c.name, b.Recipient,
				len(after.submissions)-len(before.submissions))
		}
		if c.submitted {
			s := after.submissions[len(after.submissions)-1]
			if s.SubmissionId != b.EventId || s.VisitorId != b.VisitorId || s.Recipient != c.recipient ||
				s.Kind != schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK ||
				(s.Email != "") != (c.recipient == "") || strings.Contains(b.String(), "ada@") {
				t.Errorf("%s: beacon %v, submission %v", c.name, b, s)
			}
		}
	}
	for result, want := range map[string]float64{
		"good": 4, ReasonTokenExpired: 2, ReasonTokenForged: 2, ReasonTokenMalformed: 2,
		ReasonTokenMisplaced: 2,
	} {
		if got := countOf(t, e.metrics.tokens, result); got != want {
			t.Errorf("%v tokens are %s, want %v", got, result, want)
		}
	}
}

// countOf is what a metric of links says of a result.
func countOf(t testing.TB, counter *prometheus.CounterVec, result string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(counter)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		labels := m.GetLabel() // by name: protocol, result
		if labels[0].GetValue() == protocolLink && labels[1].GetValue() == result {
			return m.GetCounter().GetValue()
		}
	}
	return 0
}

// Consent is that of the moment of the click: revoked, then clicked at once.
func TestClickAfterWithdrawal(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	path := e.path(t, &schemas.SignedLink{Site: "ask", Link: "ask", ContactId: ada}, time.Hour)
	consent := func(choice string) (cookies string) {
		w := e.post("/v1/consent", `{"site":"ask","choice":"`+choice+`"}`,
			"Origin", "https://ask.example")
		for _, c := range w.Result().Cookies() {
			cookies += c.Name + "=" + c.Value + "; "
		}
		return cookies
	}
	e.click(path, "Cookie", consent("granted"))
	if log := e.tape.read(t); len(log.submissions) != 1 || e.last(t).Recipient != ada {
		t.Fatalf("granted: beacon %v, submissions %v", e.last(t), log.submissions)
	}
	e.click(path, "Cookie", consent("withdrawn"))
	log := e.tape.read(t)
	if b := e.last(t); len(log.submissions) != 1 || b.Recipient != "" || b.VisitorId != "" ||
		b.Ip != "" {
		t.Errorf("withdrawn: beacon %v, submissions %v", b, log.submissions)
	}
}

func TestMachinesThatFollowLinks(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	path := e.path(t, &schemas.SignedLink{Site: "acme", Link: "spring", ContactId: ada}, time.Hour)
	for _, c := range []struct {
		method  string
		headers []string
		rule    string
		bound   bool // to a browser
		status  int
	}{
		{"GET", []string{"User-Agent", firefox, "Sec-Fetch-Mode", "navigate"}, "", true, 302},
		{"HEAD", []string{"User-Agent", firefox}, ruleHead, false, 302},
		{"GET", []string{"User-Agent", firefox, "Sec-Purpose", "prefetch;prerender"}, enrich.RulePrefetch, false, 503},
		{"GET", []string{"User-Agent", firefox, "Purpose", "prefetch"}, enrich.RulePrefetch, false, 503},
		{"GET", []string{"User-Agent", firefox, "X-Moz", "Prefetch"}, enrich.RulePrefetch, false, 503},
		{"GET", []string{"User-Agent", firefox, "Sec-Fetch-Mode", "no-cors"}, ruleNotNavigated, false, 302},
		{"GET", nil, ruleNoAgent, false, 302},
		{"GET", []string{"User-Agent", "BarracudaCentral/1.0"}, "mail_scanner", true, 302},
		{"GET", []string{"User-Agent", "Slackbot-LinkExpanding 1.0"}, "slack_preview", true, 302},
	} {
		before := len(e.tape.read(t).submissions)
		w := e.send(c.method, path, "", c.headers...)
		b := e.last(t)
		if w.Code != c.status || (w.Header().Get("Location") != "") != (c.status == 302) ||
			b.Agent.BotRule != c.rule || (b.VisitorId != "") != c.bound ||
			(visitorCookieOf(t, w) != "") != c.bound ||
			(c.rule != "") != (b.Agent.Device == enrich.DeviceBot) {
			t.Errorf("%s %v: %d %v, beacon %v", c.method, c.headers, w.Code, w.Header(), b)
		}
		if got := len(e.tape.read(t).submissions) - before; (got == 1) != (c.rule == "") {
			t.Errorf("%s %v: %d submissions", c.method, c.headers, got)
		}
	}
}

func TestOpens(t *testing.T) {
	e := newEdge(t, withLinks).run(t)
	l := &schemas.SignedLink{
		Site: "acme", Link: "spring", ContactId: ada,
		Campaign: &schemas.Campaign{Name: "s", Medium: "email"},
	}
	path := func(keys *token.Keys, l *schemas.SignedLink, life time.Duration) string {
		path, err := OpenPath(keys, l, time.Now().Add(life))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := path(e.cfg.Keys, l, time.Hour)
	for _, c := range []struct {
		name, path, agent string
		recipient, rule   string
		proxy             string
		kept              bool
	}{
		{"a mail program", good, firefox, ada, "", "", true},
		{"Gmail", good, "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 " +
			"(via ggpht.com GoogleImageProxy)", ada, "", "gmail", true},
		{"Apple", good, "Mozilla/5.0", ada, ruleAppleMail, "apple", true},
		{"nobody", good, "", ada, ruleNoAgent, "", true},
		{
			"no consent", path(e.cfg.Keys, &schemas.SignedLink{Site: "ask", ContactId: ada}, time.Hour),
			firefox, "", "", "", true,
		},
		{"expired", path(e.cfg.Keys, l, 0), firefox, "", "", "", false},
		{"forged", path(token.Draw(), l, time.Hour), firefox, "", "", "", false},
		{
			"of a link", strings.Replace(e.path(t, l, time.Hour), "/r/spring?t=", "/o/", 1) + ".gif",
			firefox, "", "", "", false,
		},
	} {
		before := e.tape.read(t)
		w := e.send(http.MethodGet, c.path, "", "User-Agent", c.agent, "Cookie",
			visitorCookie+"="+newVisitor())
		after := e.tape.read(t)
		if w.Code != 200 || w.Header().Get("Content-Type") != "image/gif" ||
			w.Body.String() != string(pixel()) || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d %v", c.name, w.Code, w.Header())
		}
		if kept := len(after.beacons) > len(before.beacons); kept != c.kept ||
			(len(after.bad) > len(before.bad)) == kept || len(after.submissions) > 0 {
			t.Fatalf("%s: kept %v, %d bad", c.name, kept, len(after.bad))
		}
		if !c.kept {
			continue
		}
		b := e.last(t)
		props := `{"name":"open"}`
		if c.proxy != "" {
			props = `{"name":"open","proxy":"` + c.proxy + `"}`
		}
		if b.Recipient != c.recipient || b.VisitorId != "" || b.Agent.BotRule != c.rule ||
			string(b.Props) != props || b.Protocol != "open" ||
			c.proxy != "" && (b.Agent.Browser != "" || b.Ip != "") {
			t.Errorf("%s: %v", c.name, b)
		}
	}
}

// A person is led on, and soon, whatever the log does. It runs in a bubble.
func TestLinkWithoutLog(t *testing.T) {
	change := func(cfg *Config) {
		withLinks(cfg)
		cfg.Limits = DefaultLimits()
		cfg.Limits.QueueRequests = 1
	}
	bubble(t, change, func(t *testing.T, e *edge, _ func()) {
		synctest.Wait()
		e.tape.slow(5 * time.Second)
		took := make(chan time.Duration)
		click := func() {
			began := time.Now()
			if w := e.click("/r/spring"); w.Code != http.StatusFound {
				t.Errorf("%d", w.Code)
			}
			took <- time.Since(began)
		}
		// The first is under way to the log, the second waits, and there is no room for a third.
		for range 3 {
			go click()
			synctest.Wait()
		}
		if got := <-took; got != 0 {
			t.Errorf("no room: led on after %v", got)
		}
		for range 2 {
			if got := <-took; got != e.limits.RedirectAfter {
				t.Errorf("slow log: led on after %v", got)
			}
		}
		e.tape.slow(0)
		time.Sleep(time.Minute) // they become durable all the same
		go click()
		<-took
		for result, want := range map[string]float64{linkUnconfirmed: 2, linkLost: 1, linkRecorded: 1} {
			if got := countOf(t, e.metrics.linkMetrics.requests, result); got != want {
				t.Errorf("%v clicks are %s, want %v", got, result, want)
			}
		}
		if c := e.Counts(); c.Accepted != 3 || c.Shed != 1 {
			t.Errorf("counts %+v", c)
		}
	})
}

// An address over its limit is led on, unheard.
func TestLinkOverTheLimit(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		withLinks(cfg)
		cfg.Limits = DefaultLimits()
		cfg.Limits.RequestsPerSecond, cfg.Limits.RequestsAtOnce = 0.001, 2
	}).run(t)
	for range 3 {
		if w := e.click("/r/spring"); w.Code != http.StatusFound {
			t.Errorf("%d", w.Code)
		}
	}
	if c := e.Counts(); c.Accepted != 2 || c.Shed != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestCheckTarget(t *testing.T) {
	for _, target := range []string{
		"https://acme.example", "http://acme.example:8080/a/b?c=d&e=%20#f", "https://[2001:db8::1]:443/",
		"https://xn--bcher-kva.example/", "https://acme.example/@user", "https://192.0.2.1/",
		"HTTPS://Acme.Example/",
	} {
		if err := CheckTarget(target); err != nil {
			t.Errorf("%q: %v", target, err)
		}
	}
	for _, target := range []string{
		"", "/path", "//evil.example", "///evil.example", "https:evil.example", "https:/evil.example",
		"https:///evil.example", `https:\\evil.example`, `\\evil.example`, `/\evil.example`,
		"javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)",
		"data:text/html,x", "ftp://acme.example/", "blob:https://acme.example/1", "file:///etc/passwd",
		"https://user@acme.example/", "https://user:pass@acme.example/", "https://@acme.example/",
		"https://acme.example@evil.example/", `https://acme.example\@evil.example/`,
		`https://evil.example\.acme.example/`, "https://acme.example/\r\nSet-Cookie: a=b",
		"https://acme.example/\x00", "https://acme.example/ x", "https://acme.example/\x7f",
		"https://acme.example/<script>", "https://bücher.example/", "https://acme.example／evil.example/",
		"https://acme.example。evil.example/", "https://acme.example/ü", "https://evil%2eexample/",
		"https://ac\tme.example/", "https://acme.example:99x/", "https://acme.example:/", "https://",
		"https://...", "https://a b/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://a,b/",
		"https://acme.example/%zz", "https://acme.example/" + strings.Repeat("a", maxURL),
	} {
		if CheckTarget(target) == nil {
			t.Errorf("%q is taken", target)
		}
	}
}

// FuzzTarget holds that what may be led to stays on its host, whatever is added to it.
func FuzzTarget(f *testing.F) {
	f.Add("https://acme.example/?a=1#b", "utm_source", "x\r\ny")
	f.Add("https://acme.example?", "a=b", "&c#d")
	f.Add(`https://acme.example\@evil.example`, "", "")
	f.Add("https://acme.example??", "a", "b")
	f.Fuzz(func(t *testing.T, target, name, value string) {
		if CheckTarget(target) != nil {
			return
		}
		before, err := url.Parse(target)
		if err != nil {
			t.Fatalf("%q: %v", target, err)
		}
		led := withParameters(target, []parameter{{name, value}, {name, "second"}})
		after, err := url.Parse(led)
		if err != nil || CheckTarget(led) != nil || after.Host != before.Host ||
			after.Path != before.Path || after.Fragment != before.Fragment {
			t.Errorf("%q leads to %q", target, led)
		}
		pair := len(url.QueryEscape(name)) + len(url.QueryEscape(value)) + len("?=")
		if query := before.Query(); !query.Has(name) && name != "" && len(target)+pair < maxURL &&
			after.Query().Get(name) != value {
			t.Errorf("%q leads to %q, want %q=%q in it", target, led, name, value)
		}
	})
}
