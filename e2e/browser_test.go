package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const browserTimeout = 10 * time.Minute

// chromium starts a browser with an empty profile. Nothing but the test's own servers is asked.
func chromium(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	var exe string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			exe = p
			break
		}
	}
	if exe == "" {
		lacking(t, "Chromium (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(exe), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	)
	ctx, cancel := context.WithTimeout(t.Context(), browserTimeout)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(options, more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", exe, err)
	}
	return ctx
}

// website serves three pages with the snippet, the last with a form.
func website(t *testing.T, snippet string) *httptest.Server {
	page := func(title, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, "<!doctype html><html><head><title>%s</title>\n%s</head>"+
				"<body><h1>%s</h1>%s</body></html>", title, snippet, title, body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page("Home", `<a href="/pricing">Pricing</a>`))
	mux.HandleFunc("GET /pricing", page("Pricing", `<a href="/contact">Contact</a>`))
	mux.HandleFunc("GET /contact", page("Contact", `
		<form data-crumbtrail-form="contact" method="post" action="/thanks">
		<input name="email" type="email"><input name="first_name"><input name="last_name">
		<input name="secret" type="password" value="hunter2">
		<button id="send">Send</button></form>`))
	mux.HandleFunc("POST /thanks", page("Thanks", ""))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// browserConfig has visits that end soon, but not while a slow machine loads the next page.
const browserConfig = `
sites:
  - key: default
    origins: ["*"]
    consent: implied
    gap: 8s
    grace: 1s
lake: {flush: 1s}
`

func TestBrowser(t *testing.T) {
	needThorough(t)
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", browserConfig)
	s := up(t, data, config)
	snippet := must(t, "snippet", "--config", config, "--url", s.url, "default")
	site := website(t, snippet)
	ctx := chromium(t)

	// Three pages, without a word of who it is.
	for n, path := range []string{"/", "/pricing", "/contact"} {
		visitPage(t, ctx, site.URL+path)
		eventually(t, patience, "page view "+path, func() bool {
			return number(t, data, "SELECT count(*) FROM beacons WHERE type = 'page_view'") > n
		})
	}
	const anonymous = "SELECT page_views, coalesce(contact_id, '') FROM visits"
	eventually(t, patience, "the first visit to end", func() bool {
		return len(rows(t, data, anonymous)) == 1
	})
	if got := rows(t, data, anonymous); got[0][0] != "3" || got[0][1] != "" {
		t.Fatalf("first visit has page views and contact %q, want 3 and none", got[0])
	}

	// Back again, and a form.
	visitPage(t, ctx, site.URL+"/contact")
	run(t, ctx, chromedp.SendKeys("input[name=email]", "Ada.Lovelace@Example.com"),
		chromedp.SendKeys("input[name=first_name]", "Ada"),
		chromedp.SendKeys("input[name=last_name]", "Lovelace"),
		chromedp.Click("#send"), chromedp.WaitVisible("h1"))
	eventually(t, patience, "a contact", func() bool {
		return number(t, data, "SELECT count(*) FROM contacts") == 1
	})
	eventually(t, patience, "the second visit to end", func() bool {
		return number(t, data, "SELECT count(*) FROM visits") == 2
	})
	checkPerson(t, data)
	printCookies(t, ctx, s.url)
	s.stop()
	if n := number(t, data, "SELECT count(DISTINCT visitor_id) FROM beacons"); n != 1 {
		t.Errorf("%d visitors of one browser", n)
	}
}

// visitPage opens a page and waits until it is there.
func visitPage(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	run(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible("h1"))
}

func run(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// checkPerson wants both visits under the contact, and no secret anywhere.
func checkPerson(t *testing.T, data string) {
	t.Helper()
	got := rows(t, data, `SELECT c.email, v.page_views, v.was_anonymous,
			v.ended_at < (SELECT min(occurred_at) FROM submissions)
		FROM contacts c JOIN visits v USING (contact_id) ORDER BY v.started_at`)
	t.Logf("visits under the contact: %q", got)
	if len(got) != 2 || strings.Join(got[0], " ") != "ada.lovelace@example.com 3 true true" ||
		got[1][0] != got[0][0] {
		t.Error("want both visits, the first from before the form and flagged so")
	}
	if secret := query(t, data, "SELECT * FROM submissions"); strings.Contains(secret, "hunter2") {
		t.Error("the password of the form is in the lake")
	}
}

// printCookies prints what the browser keeps, and holds it against what was promised.
func printCookies(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	got, err := chromedp.Call(ctx, network.GetCookies,
		network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*network.Cookie{}
	for _, c := range got.Cookies {
		t.Logf("cookie %s: lives %v, HttpOnly %v, Secure %v, SameSite %s", c.Name,
			time.Until(time.Unix(int64(c.Expires), 0)).Round(time.Second), c.HTTPOnly, c.Secure,
			c.SameSite)
		found[strings.TrimPrefix(c.Name, "__Host-")] = c
	}
	visitor, visit := found["ct_visitor"], found["ct_visit"]
	if visitor == nil || visit == nil {
		t.Fatalf("%d cookies, want ct_visitor and ct_visit among them", len(got.Cookies))
	}
	left := time.Until(time.Unix(int64(visitor.Expires), 0))
	if most := 400 * 24 * time.Hour; left > most || left < most-48*time.Hour {
		t.Errorf("ct_visitor lives %v more, want 400 days", left)
	}
	if !visitor.HTTPOnly || !visit.HTTPOnly {
		t.Error("a cookie that scripts can read")
	}
}
