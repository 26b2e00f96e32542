package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// storyConsent is a visitor who is asked: nothing is kept of them before they agree, without a
// reload everything works after, and nothing is kept or sent once they have withdrawn.
func storyConsent(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/ask/first")
	p.do(`crumbtrail("event", "before")`)
	b.waitSent(t, "ask", "page_view", 1)
	b.waitSent(t, "ask", "custom", 1)
	if stored, cookies := p.stored(), p.cookies(); stored != "" || len(cookies) != 0 {
		t.Errorf("stored before consent: %q, cookies %v", stored, cookies)
	}
	for _, c := range b.sent("ask", "") {
		if c.header.Get("Cookie") != "" || strings.Contains(c.body, `"visitor"`) {
			t.Errorf("an id before consent: cookies %q, body %s", c.header.Get("Cookie"), c.body)
		}
	}

	if got := eval[string](p, `crumbtrail("consent", "granted")`); got != "identified" {
		t.Errorf("granted is answered %q", got)
	}
	b.waitSent(t, "ask", "page_view", 2)
	checkCookies(t, p)
	p.do(`crumbtrail("event", "between")`)
	b.waitSent(t, "ask", "custom", 2)

	if got := eval[string](p, `crumbtrail("consent", "withdrawn")`); got != "none" {
		t.Errorf("withdrawn is answered %q", got)
	}
	cookies := p.cookies()
	choice := cookies["ct_consent"]
	if len(cookies) != 1 || choice == nil || !strings.HasPrefix(choice.Value, "withdrawn.") {
		t.Errorf("cookies after the withdrawal: %v", cookies)
	}
	if stored := p.stored(); stored != "ct_consent="+choice.Value {
		t.Errorf("stored after the withdrawal: %q", stored)
	}
	before := len(b.sent("ask", ""))
	p.do(`crumbtrail("event", "after"); history.pushState(0, "", "elsewhere")`)
	p.open("/ask/second")
	p.do(`crumbtrail("event", "after"); document.querySelector("#file").click()`)
	p.open("/ask/third")
	// What the pages before had to send is on its way before this.
	p.do(`await fetch("/e/v1/visit", {method: "POST", body: '{"site":"ask"}'})`)
	if after := b.sent("ask", ""); len(after) != before+1 {
		t.Errorf("sent after the withdrawal: %+v", after[before:])
	}

	p.do(`await fetch("/e/v1/consent", {method: "POST", body: '{"site":"ask","choice":"refused"}'})`)
	p.open("/ask/fourth")
	b.waitSent(t, "ask", "page_view", 3)
	b.waitRows(t, `SELECT type, consent, coalesce(consent_choice, '-'), visitor_id IS NOT NULL,
			coalesce(props->>'name', '')
		FROM beacons WHERE site = 'ask' AND type <> 'ping' ORDER BY occurred_at, topic_offset`,
		"page_view none - false ", "custom none - false before",
		"page_view identified granted true ", "custom identified granted true between",
		"page_view none refused false ")

	p.do(`await crumbtrail("consent", "granted"); await crumbtrail("consent", "denied")`)
	if choice := p.cookies()["ct_consent"]; choice == nil || choice.Value != "refused" {
		t.Errorf("a word that is none leaves the choice %v", choice)
	}
}

// checkCookies holds what the browser keeps against what was promised.
func checkCookies(t *testing.T, p *profile) {
	t.Helper()
	cookies := p.cookies()
	for _, name := range []string{"ct_visitor", "ct_visit", "ct_consent"} {
		c := cookies[name]
		if c == nil {
			t.Fatalf("no cookie %s: %v", name, cookies)
		}
		left := time.Until(time.Unix(int64(c.Expires), 0)).Round(time.Second)
		t.Logf("cookie %s: lives %v (%.1f days), HttpOnly %v, Secure %v, SameSite %s", name, left,
			left.Hours()/24, c.HTTPOnly, c.Secure, c.SameSite)
		if c.HTTPOnly != (name != "ct_consent") || c.SameSite != network.CookieSameSiteLax ||
			c.Session || left > 400*24*time.Hour {
			t.Errorf("%s: %+v", name, c)
		}
	}
	ends := time.Unix(int64(cookies["ct_visitor"].Expires), 0)
	if time.Until(ends) < 399*24*time.Hour {
		t.Errorf("ct_visitor lives until %v, want what browsers allow", ends)
	}
	if stored := p.stored(); strings.Contains(stored, "ct_visit") ||
		!strings.HasPrefix(stored, "ct_consent=granted.") {
		t.Errorf("scripts see %q", stored)
	}
}

// storyCookieless is a site that knows a visitor for a day with nothing in the browser, not even
// what waits for the network.
func storyCookieless(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/day/first?head=" + url.QueryEscape(`<script>
		const written = [], set = Storage.prototype.setItem
		Storage.prototype.setItem = function (key, value) {
			written.push(key)
			set.call(this, key, value)
		}
	</script>`))
	b.waitSent(t, "day", "page_view", 1)
	p.offline(true)
	p.do(`crumbtrail("event", "away"); await fetch("/day/away").catch(() => {})`)
	p.offline(false)
	b.waitSent(t, "day", "custom", 1)
	if written := eval[string](p, "written.join()"); written != "" {
		t.Errorf("stored meanwhile: %s", written)
	}
	p.open("/day/second")
	b.waitRows(t, `SELECT count(*), count(DISTINCT visitor_id), min(left(visitor_id, 4)),
			min(consent)
		FROM beacons WHERE site = 'day' AND type <> 'ping'`, "3 1 day. statistical")
	if stored, cookies := p.stored(), p.cookies(); stored != "" || len(cookies) != 0 {
		t.Errorf("stored: %q, cookies %v", stored, cookies)
	}
}

// storyPrivacyControl is a browser that sends Global Privacy Control: it ends in none where consent
// is required, even once granted, and in statistical where it is implied.
func storyPrivacyControl(t *testing.T, b *bed) {
	p := b.profile(t)
	p.header("Sec-GPC", "1",
		`Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {get: () => true})`)
	p.open("/askgpc/page")
	p.do(`await crumbtrail("consent", "granted"); crumbtrail("event", "done")`)
	b.waitSent(t, "askgpc", "custom", 1)
	if cookies := p.cookies(); cookies["ct_visitor"] != nil || cookies["ct_visit"] != nil {
		t.Errorf("stored against the signal: %v", cookies)
	}
	p.do(`document.cookie = "ct_consent=; max-age=0"`)
	p.open("/opengpc/page")
	b.waitSent(t, "opengpc", "page_view", 1)
	b.waitRows(t, `SELECT site, consent, visitor_id IS NOT NULL, gpc, consent_source,
			count(DISTINCT type)
		FROM beacons WHERE site LIKE '%gpc' AND type <> 'ping' GROUP BY ALL ORDER BY ALL`,
		"askgpc none false true gpc 1", "askgpc none false true site 1",
		"opengpc statistical true true gpc 1")
}

// bannerStub is a page's consent banner, as far as the tracker asks it: choose stands for a click
// on it.
const bannerStub = `<script>
	const listeners = []
	function __tcfapi(command, version, callback) {
		if (command != "addEventListener" || version != 2) throw "unexpected " + command
		listeners.push(callback)
		callback({eventStatus: "cmpuishown", gdprApplies: true, tcString: "",
			purpose: {consents: {}}}, true)
	}
	function choose(text, ...purposes) {
		const consents = Object.fromEntries(purposes.map(n => [n, true]))
		for (const callback of listeners) callback({eventStatus: "useractioncomplete",
			gdprApplies: true, tcString: text, purpose: {consents}}, true)
	}
	function gtag() { (self.dataLayer = self.dataLayer || []).push(arguments) }
	gtag("consent", "default", {analytics_storage: "denied", ad_user_data: "denied",
		ad_personalization: "denied"})
</script>`

// storyBanner is a page with a banner of others: the tracker does as it says, without a call of
// the page, and records what was consented to.
func storyBanner(t *testing.T, b *bed) {
	p := b.profile(t)
	path := "/asktcf/page?head=" + url.QueryEscape(bannerStub)
	p.open(path)
	b.waitSent(t, "asktcf", "page_view", 1)
	if calls := b.sent("asktcf", "/v1/consent"); len(calls) != 0 {
		t.Errorf("a banner that is only shown was taken for a choice: %v", calls)
	}
	for n, step := range []struct{ script, choice string }{
		{`choose("TCSTRING-A", 1, 3, 4, 8, 9, 10)`, "granted"},
		{`choose("TCSTRING-B", 1, 8, 9, 10)`, "statistical"},
		{`choose("TCSTRING-C", 1)`, "refused"},
		{`gtag("consent", "update", {analytics_storage: "granted"})`, "statistical"},
	} {
		p.do(step.script)
		eventually(t, patience, step.script, func() bool {
			return len(b.sent("asktcf", "/v1/consent")) == n+1
		})
		p.until(fmt.Sprintf("/ct_consent=%s[.]/.test(document.cookie)", step.choice))
		p.do(`crumbtrail("event", "now")`)
		b.waitSent(t, "asktcf", "custom", n+1)
	}
	// On the next page the banner has nothing new to say.
	p.open(path)
	p.do(`crumbtrail("event", "now")`)
	b.waitSent(t, "asktcf", "custom", 5)
	if n := len(b.sent("asktcf", "/v1/consent")); n != 4 {
		t.Errorf("the choice was said %d times, want 4", n)
	}
	sum := sha256.Sum256([]byte("TCSTRING-A"))
	b.waitRows(t, `SELECT consent, consent_choice, consent_source, coalesce(tcf_purposes, ''),
			coalesce(tc_sha256 = '`+hex.EncodeToString(sum[:])+`', false)
		FROM beacons WHERE site = 'asktcf' AND type = 'custom' ORDER BY occurred_at, topic_offset`,
		"identified granted tcf 1,3,4,8,9,10 true", "statistical statistical tcf 1,8,9,10 false",
		"none refused tcf 1 false", "statistical statistical gcm  false",
		"statistical statistical gcm  false")
	storyOptOut(t, b)
}

// storyOptOut is a banner of the United States that says that somebody has opted out, and a browser
// with Do Not Track.
func storyOptOut(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/asktcf/us?head=" + url.QueryEscape(`<script>
		function __gpp(command, callback) {
			callback({eventName: "signalStatus", pingData: {signalStatus: "ready", parsedSections:
				{usnat: [{SaleOptOut: 2, SharingOptOut: 1, TargetedAdvertisingOptOut: 2}]}}}, true)
		}
	</script>`))
	p.until("/ct_consent=statistical[.]\\d+[.]gpp/.test(document.cookie)")
	quiet := b.profile(t)
	quiet.header("DNT", "1",
		`Object.defineProperty(Navigator.prototype, "doNotTrack", {get: () => "1"})`)
	quiet.open("/asktcf/dnt")
	quiet.do(`await crumbtrail("consent", "granted"); crumbtrail("event", "dnt")`)
	b.waitRows(t, `SELECT consent, consent_source FROM beacons
		WHERE site = 'asktcf' AND (props->>'name') = 'dnt'`, "none dnt")
	if cookies := quiet.cookies(); cookies["ct_visitor"] != nil {
		t.Errorf("stored against Do Not Track: %v", cookies)
	}
}

// storySecure is a site with HTTPS: its cookies belong to the very host, and are renewed.
func storySecure(t *testing.T, b *bed) {
	p := b.profile(t)
	p.base = b.secure.URL
	p.open("/secure/page")
	b.waitSent(t, "secure", "page_view", 1)
	eventually(t, patience, "cookies", func() bool { return len(p.cookies()) == 2 })
	first := p.cookies()
	for _, name := range []string{"__Host-ct_visitor", "__Host-ct_visit"} {
		c := first[name]
		if c == nil || !c.Secure || !c.HTTPOnly || c.Path != "/" || c.Domain != "127.0.0.1" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	p.open("/secure/again")
	b.waitSent(t, "secure", "page_view", 2)
	const name = "__Host-ct_visitor"
	eventually(t, patience, "the cookie to be renewed", func() bool {
		next := p.cookies()[name]
		return next.Value == first[name].Value && next.Expires > first[name].Expires
	})
}

// storyHashes is a page that names the script's hashes: the right script runs, another does not.
func storyHashes(t *testing.T, b *bed) {
	foreign := strings.Replace(b.plain.URL, "127.0.0.1", "localhost", 1)
	right := b.snippet(t, "hashes", b.plain.URL+"/e", "--integrity")
	hash := regexp.MustCompile(`sha384-[A-Za-z0-9+/]{64}`)
	if n := len(hash.FindAllString(right, -1)); n != 2 {
		t.Fatalf("%d hashes, want that for pages of the site and that for others: %s", n, right)
	}
	wrong := hash.ReplaceAllString(right, "sha384-"+strings.Repeat("A", 64))
	p := b.profile(t)
	for n, base := range []string{b.plain.URL, foreign} {
		p.base = base
		p.open("/hashes/right?snippet=" + url.QueryEscape(right))
		b.waitSent(t, "hashes", "page_view", n+1)
		blocked := base + "/hashes/wrong?snippet=" + url.QueryEscape(
			strings.Replace(wrong, "<script ", `<script onerror="blocked = true" `, 1))
		run(t, p.ctx, chromedp.Navigate(blocked), chromedp.WaitVisible("h1"))
		p.until("self.blocked")
		if eval[bool](p, "!!self.crumbtrail") {
			t.Errorf("from %s another script than that of the hash ran", base)
		}
	}
	if n := len(b.beacons("hashes", "page_view")); n != 2 {
		t.Errorf("%d page views, want 2", n)
	}
	if calls := b.sent("hashes", "/v1/beacons"); !slices.ContainsFunc(calls, func(c call) bool {
		return strings.Contains(c.header.Get("Cookie"), "ct_visitor=")
	}) {
		t.Error("the first beacon comes without the cookie that the script brought")
	}
}
