package e2e

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestBrowserStories is what the tracker promises a page and its visitors, in a browser.
func TestBrowserStories(t *testing.T) {
	needThorough(t)
	b := newBed(t)
	t.Run("stories", func(t *testing.T) {
		for name, story := range map[string]func(*testing.T, *bed){
			"consent": storyConsent, "cookieless": storyCookieless, "privacy control": storyPrivacyControl, "banner": storyBanner,
			"https": storySecure, "hashes": storyHashes, "single page": storySinglePage,
			"engaged time": storyEngaged, "clicks": storyClicks, "form": storyForm,
			"offline": storyOffline, "unload": storyUnload, "two devices": storyTwoDevices,
			"two sites": storyTwoSites, "sign-out": storySignOut, "another site's pages": storyForeign,
			"no script": storyNoScript,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				story(t, b)
			})
		}
	})
	b.server.stop()
	checkSecrets(t, b)
}

// storySinglePage is a page that changes its address: each way is a page view, once, with the
// address before as its referrer.
func storySinglePage(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/spa/a")
	steps := []string{
		`history.pushState(0, "", "b")`, `history.replaceState(0, "", "c")`, `history.back()`,
		`location.hash = "part"`,
	}
	for n, script := range steps {
		p.do(script)
		b.waitSent(t, "spa", "page_view", n+2)
	}
	// The same address again is no page view, nor is state alone.
	p.do(`history.pushState(1, ""); history.replaceState(2, "", location.href)`)
	p.do(`crumbtrail("event", "end")`)
	b.waitSent(t, "spa", "custom", 1)
	at := b.plain.URL + "/spa/"
	b.waitRows(t, `SELECT url, coalesce(referrer, '-') FROM beacons
		WHERE site = 'spa' AND type = 'page_view' ORDER BY occurred_at, topic_offset`,
		at+"a -", at+"b "+at+"a", at+"c "+at+"b", at+"a "+at+"c", at+"a#part "+at+"a")
}

// storyEngaged is a tab that is hidden for a while, which does not count.
func storyEngaged(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/engaged/page?head=" + url.QueryEscape(`<script>
		// What the page itself sees of how long it was in sight.
		let shown = 0, since = performance.now()
		const inSight = () => shown + (document.hidden ? 0 : performance.now() - since)
		document.addEventListener("visibilitychange", () => {
			if (document.hidden) shown += performance.now() - since
			else since = performance.now()
		}, true)
		addEventListener("pagehide", () => {
			sessionStorage.inSight = inSight()
			sessionStorage.total = performance.now()
		}, true)
	</script>`))
	p.until("inSight() > 1500")
	front, cancel := chromedp.NewContext(p.ctx, chromedp.WithNewWindow(false))
	defer cancel()
	run(t, front, chromedp.Navigate("about:blank"))
	p.until("document.hidden")
	const hidden = 4000
	began := eval[float64](p, "performance.now()")
	p.until(fmt.Sprintf("performance.now() - %f > %d", began, hidden))
	if err := chromedp.Cancel(front); err != nil {
		t.Fatal(err)
	}
	p.until("!document.hidden")
	p.do(`dispatchEvent(new Event("scroll"))`)
	p.until("inSight() > 3500")
	p.do(`crumbtrail("event", "left"); location = "next"`)
	p.until("sessionStorage.total")
	total := eval[float64](p, `+sessionStorage.total`)
	inSight := eval[float64](p, `+sessionStorage.inSight`)
	b.waitSent(t, "engaged", "page_view", 2)
	var pings [][]string
	eventually(t, patience, "a ping as the tab was hidden and one as the page was left", func() bool {
		pings = b.rows(t, `SELECT engaged_ms, sum(engaged_ms) OVER () FROM beacons
			WHERE site = 'engaged' AND type = 'ping' AND url_path = '/engaged/page'`)
		return len(pings) >= 2
	})
	var engaged float64
	if _, err := fmt.Sscan(pings[0][1], &engaged); err != nil {
		t.Fatal(err)
	}
	t.Logf("engaged %.0f ms of %.0f ms in sight, %.0f ms in all", engaged, inSight, total)
	const slack = 700 // between the script, the page and the last ping
	if engaged < inSight-slack || engaged > inSight+slack || engaged > total-hidden+slack {
		t.Errorf("engaged %.0f ms, in sight %.0f ms", engaged, inSight)
	}
}

// storyClicks is links of every kind, by mouse.
func storyClicks(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/clicks/page")
	for n, c := range []struct {
		id, leads string
		options   []chromedp.MouseOption
	}{
		{"middle", "page", []chromedp.MouseOption{chromedp.ButtonMiddle}},
		{"ctrl", "page", []chromedp.MouseOption{chromedp.ButtonModifiers(chromedp.ModifierCtrl)}},
		{"pdf", "page", nil},
		{"file", "page", nil},
		{"inner", "icon", nil},
		{"plain", "next", nil},
		{"blank", "next", nil},
	} {
		nodes, err := chromedp.Run(p.ctx, chromedp.Nodes("#"+c.id, chromedp.NodeVisible))
		if err != nil {
			t.Fatal(err)
		}
		run(t, p.ctx, chromedp.MouseClickNode(nodes[0], c.options...))
		b.waitSent(t, "clicks", "link_click", n+1)
		p.until(fmt.Sprintf(`location.pathname == "/clicks/%s" && document.readyState == "complete" &&
			crumbtrail.site`, c.leads))
	}
	at := b.plain.URL
	b.waitRows(t, `SELECT props->>'href', props->>'text', coalesce(props->>'new_tab', '-'),
			coalesce(props->>'download', '-')
		FROM link_clicks WHERE site = 'clicks' ORDER BY occurred_at, topic_offset`,
		at+"/clicks/middle Middle true -", at+"/clicks/ctrl Ctrl true -",
		at+"/files/report.pdf Report - true", at+"/files/data Data - true",
		at+"/clicks/icon Icon - -", at+"/clicks/next Next - -", at+"/clicks/blank Blank true -")
}

// secrets are what is typed into fields that must not be kept.
func secrets() []string { return []string{"hunter2-word", "hunter2-nick", "4242424242424242"} }

// storyForm is a form on a page that was not changed for it: the configuration says which, and what
// its fields mean. It leads away at once.
func storyForm(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/forms/signup")
	said := secrets()
	for selector, text := range map[string]string{
		"EMAIL": "Grace@Example.com", "FNAME": "Grace", "word": said[0], "nick": said[1],
		"card_number": said[2], "number": said[2],
	} {
		run(t, p.ctx, chromedp.SendKeys("input[name="+selector+"]", text))
	}
	run(t, p.ctx, chromedp.Click("#send"))
	p.until(`location.pathname == "/forms/thanks" && document.readyState == "complete"`)
	b.waitSent(t, "forms", "form_submit", 1)
	// A page's own script may submit it, too; one submission, once its handler has let it go.
	p.open("/forms/scripted")
	p.do(`const form = document.querySelector(".signup form")
		form.EMAIL.value = "alan@example.com"
		form.addEventListener("submit", e => { e.preventDefault(); setTimeout(() => form.submit()) })
		document.querySelector("#send").click()`)
	p.until(`location.pathname == "/forms/thanks" && document.readyState == "complete"`)
	// What nobody mapped is none of ours, unless the page says so.
	p.open("/forms/unmapped")
	p.do(`plainform.onsubmit = () => false; plainform.requestSubmit()
		crumbtrail("form", plainform, {email: "email"}, "asked")
		plainform.email.value = "kay@example.com"; plainform.requestSubmit()`)
	b.waitSent(t, "forms", "form_submit", 3)
	b.waitRows(t, `SELECT form, email, coalesce(first_name, '-'), coalesce(fields->>'colour', '-'),
			coalesce(CAST(fields->'topic' AS VARCHAR), '-'), parse_path(url)[-1]
		FROM submissions WHERE site = 'forms' ORDER BY occurred_at`,
		`newsletter Grace@Example.com Grace green ["a","b"] signup`,
		`newsletter alan@example.com - green ["a","b"] scripted`,
		`asked kay@example.com - - - unmapped`)
}

// checkSecrets looks for what must not be kept: in all that pages sent, in every row of the lake
// and in every byte of the data directory.
func checkSecrets(t *testing.T, b *bed) {
	t.Helper()
	if len(b.beacons("forms", "form_submit")) == 0 {
		return // its story was not asked for
	}
	said := secrets()
	for _, c := range b.calls {
		// A card's number in a field that does not say so is for the collector to know.
		if strings.Contains(c.body, said[0]) || strings.Contains(c.body, said[1]) {
			t.Errorf("a secret left the browser: %s", c.body)
		}
	}
	text := query(t, b.data, "FROM submissions") + query(t, b.data, "FROM beacons") +
		query(t, b.data, "FROM bad_beacons")
	if !strings.Contains(text, "alan@example.com") {
		t.Error("the lake does not hold what it should")
	}
	err := filepath.WalkDir(b.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		bytes, err := os.ReadFile(path)
		text += string(bytes)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range said {
		if strings.Contains(text, secret) {
			t.Errorf("%q was kept", secret)
		}
	}
}

// offline cuts the browser off from its network, or ends that.
func (p *profile) offline(cut bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, network.EmulateNetworkConditionsByRule,
		network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{
			Offline: cut, DownloadThroughput: -1, UploadThroughput: -1,
		}}})
	if err == nil {
		_, err = chromedp.Call(p.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{
			Offline: cut, DownloadThroughput: -1, UploadThroughput: -1,
		})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// storyOffline is a browser without network for a while, over a change of pages even: nothing is
// lost, nothing comes twice.
func storyOffline(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/offline/page")
	b.waitSent(t, "offline", "page_view", 1)
	p.offline(true)
	p.do(`for (let n = 0; n < 5; n++) crumbtrail("event", "away", {n})`)
	p.until(`Object.keys(localStorage).some(k => k.startsWith("ct_queue:"))`)
	p.offline(false)
	b.waitSent(t, "offline", "custom", 5)
	p.offline(true)
	p.do(`for (let n = 5; n < 10; n++) crumbtrail("event", "away", {n})`)
	p.until(`Object.keys(localStorage).some(k => k.startsWith("ct_queue:"))`)
	run(t, p.ctx, chromedp.Navigate("about:blank"))
	p.offline(false)
	p.open("/offline/back")
	b.waitSent(t, "offline", "custom", 10)
	p.until(`Object.keys(localStorage).length == 0`)
	b.waitRows(t, `SELECT count(*), count(DISTINCT props->>'n'), count(DISTINCT visitor_id)
		FROM beacons WHERE site = 'offline' AND type = 'custom'`, "10 10 1")
}

// storyUnload is a page that is left with more than browsers let go at once.
func storyUnload(t *testing.T, b *bed) {
	const events = 250
	p := b.profile(t)
	p.open("/unload/page")
	b.waitSent(t, "unload", "page_view", 1)
	p.do(fmt.Sprintf(`for (let n = 0; n < %d; n++) crumbtrail("event", "e", {n, text: "x".repeat(400)})
		location = "next"`, events))
	p.until(`location.pathname == "/unload/next"`)
	list := b.waitSent(t, "unload", "custom", events)
	bytes := 0
	for _, c := range b.sent("unload", "") {
		bytes += len(c.body)
		if len(c.body) > 64<<10 {
			t.Errorf("a request of %d bytes", len(c.body))
		}
	}
	t.Logf("%d events, %d KB", len(list), bytes>>10)
	if bytes < 100<<10 {
		t.Errorf("only %d bytes were sent", bytes)
	}
	b.waitRows(t, `SELECT count(*), count(DISTINCT props->>'n') FROM beacons
		WHERE site = 'unload' AND type = 'custom'`, fmt.Sprintf("%d %[1]d", events))
}

// storyTwoDevices is one person in two browser profiles: two visitors until both say the same
// e-mail address, one contact after.
func storyTwoDevices(t *testing.T, b *bed) {
	for n, path := range []string{"/people/laptop", "/people/phone"} {
		p := b.profile(t)
		p.open(path)
		p.do(`plainform.onsubmit = () => false
			crumbtrail("form", plainform, {email: "email"}, "ask")
			plainform.email.value = "ada@two.example"; plainform.requestSubmit()`)
		b.waitSent(t, "people", "form_submit", n+1)
	}
	b.waitRows(t, `SELECT count(DISTINCT c.contact_id), count(DISTINCT i.visitor_id)
		FROM contacts c JOIN identities i USING (contact_id) WHERE c.email = 'ada@two.example'`, "1 2")
	b.waitRows(t, `SELECT count(DISTINCT visitor_id) FROM beacons WHERE site = 'people'`, "2")
}

// storyTwoSites is one browser on pages with two scripts: two websites, and no visit is of both. A
// page may know which visit it is in.
func storyTwoSites(t *testing.T, b *bed) {
	p := b.profile(t)
	for n := range 2 {
		p.open("/brief/page")
		b.waitSent(t, "brief", "page_view", n+1)
		p.open("/other/page")
		b.waitSent(t, "other", "page_view", n+1)
	}
	first := p.cookies()["ct_visitor"]
	p.do(`self.heard = []; await crumbtrail("visit", v => heard.push(v.visit ? "open" : "over"))`)
	p.until(`heard.join() == "open,over"`)
	if gap := p.cookies()["ct_visit"]; gap != nil {
		t.Errorf("the visit is over, its cookie is not: %+v", gap)
	}
	p.do(`crumbtrail("event", "back")`)
	p.until(`heard.join() == "open,over,open"`)
	if next := p.cookies()["ct_visitor"]; next.Value != first.Value || next.Expires <= first.Expires {
		t.Errorf("the next visit does not renew ct_visitor: %v, then %v", first, next)
	}
	b.waitRows(t, `SELECT site, page_views, beacons - pings FROM visits
		WHERE site IN ('brief', 'other') ORDER BY site, started_at`,
		"brief 2 2", "other 2 2", "other 0 1")
}

// storySignOut is a browser that two people use: what is said after a sign-out is of another
// visitor, who begins with the page that they find.
func storySignOut(t *testing.T, b *bed) {
	p := b.profile(t)
	p.open("/signout/page")
	b.waitSent(t, "signout", "page_view", 1)
	p.do(`crumbtrail("event", "mine"); await crumbtrail("reset"); location = "bye"`)
	p.until(`location.pathname == "/signout/bye" && document.readyState == "complete"`)
	p.do(`crumbtrail("event", "theirs")`)
	b.waitSent(t, "signout", "custom", 2)
	p.do(`crumbtrail("reset"); crumbtrail("event", "nobody's")`)
	b.waitSent(t, "signout", "page_view", 4)
	// By the browser's clock: what a busy machine lets a batch wait is in occurred_at.
	b.waitRows(t, `SELECT string_agg(coalesce(props->>'name', url_path), ' '
			ORDER BY created_at, topic_offset)
		FROM beacons WHERE site = 'signout' AND type <> 'ping'
		GROUP BY visitor_id ORDER BY min(created_at)`,
		"/signout/page mine", "/signout/page /signout/bye theirs", "nobody's /signout/bye")
}

// storyForeign is pages of another site than the collector's, where browsers keep none of its
// cookies: an id that the page keeps stands in.
func storyForeign(t *testing.T, b *bed) {
	p := b.profile(t)
	p.base = strings.Replace(b.plain.URL, "127.0.0.1", "localhost", 1)
	at := "?collector=" + url.QueryEscape(b.plain.URL)
	p.open("/foreign/a" + at)
	p.open("/foreign/b" + at)
	b.waitSent(t, "foreign", "page_view", 2)
	if stored := p.stored(); !strings.Contains(stored, "ct_visitor:foreign") {
		t.Errorf("stored %q", stored)
	}
	p.do(`await crumbtrail("consent", "withdrawn")`)
	if stored := p.stored(); stored != "ct_consent:foreign" {
		t.Errorf("stored after the withdrawal: %q", stored)
	}
	p.open("/foreign/c" + at)
	p.do(`crumbtrail("event", "after")`)
	p.do(`await crumbtrail("consent", "granted")`)
	b.waitSent(t, "foreign", "page_view", 3)
	b.waitRows(t, `SELECT count(DISTINCT visitor_id), string_agg(url_path, ' ' ORDER BY occurred_at)
		FROM beacons WHERE site = 'foreign' AND type <> 'ping' AND visitor_id IS NOT NULL`,
		"2 /foreign/a /foreign/b /foreign/c")
	p.open("/foreignask/a" + at)
	p.do(`await crumbtrail("consent", "granted")`)
	p.open("/foreignask/b" + at)
	b.waitSent(t, "foreignask", "page_view", 3)
	b.waitRows(t, `SELECT url_path, consent, count(visitor_id) FROM beacons
		WHERE site = 'foreignask' AND type = 'page_view' GROUP BY ALL ORDER BY ALL`,
		"/foreignask/a identified 1", "/foreignask/a none 0", "/foreignask/b identified 1")
	if slices.ContainsFunc(b.sent("foreign", "/v1/beacons"), func(c call) bool {
		return c.header.Get("Cookie") != ""
	}) {
		t.Error("a page of another site sends cookies")
	}
}

// storyNoScript is a browser without scripts, which still counts.
func storyNoScript(t *testing.T, b *bed) {
	p := b.profile(t)
	_, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: true})
	if err != nil {
		t.Fatal(err)
	}
	run(t, p.ctx, chromedp.Navigate(b.plain.URL+"/noscript/page"))
	b.waitRows(t, `SELECT type, protocol, url FROM beacons WHERE site = 'noscript'`,
		"page_view pixel "+b.plain.URL+"/noscript/page")
}
