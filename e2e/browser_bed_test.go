package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// bed is one collector, one web server with the pages of many sites, and one browser. Each story
// has a site and a browser profile of its own.
type bed struct {
	data, config string
	server       *server
	browser      context.Context
	// plain and secure serve the same: /e/ is the collector, as behind a site's own proxy, and
	// /SITE/… are pages of a site.
	plain, secure *httptest.Server
	proxy         *httputil.ReverseProxy

	mu       sync.Mutex
	snippets map[string]string
	calls    []call
	queries  sync.Mutex
}

// call is a request that the collector got.
type call struct {
	path, site, body string
	header           http.Header
	beacons          []sentBeacon
}

// sentBeacon is what of a beacon the stories look at.
type sentBeacon struct {
	ID, Type, Visitor, URL, Consent string
	Props                           struct {
		Name   string
		N      int
		Fields map[string]any
	}
}

// storyConfig has a site for each story. Visits of brief end soon.
const storyConfig = `
sites:
  - {key: ask, origins: ["*"], consent: required}
  - {key: askgpc, origins: ["*"], consent: required}
  - {key: opengpc, origins: ["*"], consent: implied}
  - {key: asktcf, origins: ["*"], consent: required, consent_signals: [tcf, gpp, gcm, dnt]}
  - {key: day, origins: ["*"], consent: required, cookieless: true}
  - {key: brief, origins: ["*"], consent: implied, gap: 3s, grace: 1s}
  - {key: other, origins: ["*"], consent: implied, gap: 3s, grace: 1s}
  - {key: spa, origins: ["*"], consent: implied}
  - {key: engaged, origins: ["*"], consent: implied}
  - {key: clicks, origins: ["*"], consent: implied}
  - {key: forms, origins: ["*"], consent: implied}
  - {key: offline, origins: ["*"], consent: implied}
  - {key: unload, origins: ["*"], consent: implied}
  - {key: people, origins: ["*"], consent: implied}
  - {key: signout, origins: ["*"], consent: implied}
  - {key: foreign, origins: ["*"], consent: implied}
  - {key: foreignask, origins: ["*"], consent: required}
  - {key: noscript, origins: ["*"], consent: implied}
  - {key: secure, origins: ["*"], consent: implied}
  - {key: hashes, origins: ["*"], consent: implied}
forms:
  - name: newsletter
    site: forms
    selector: ".signup form"
    fields: {email: EMAIL, first_name: FNAME}
  - {name: broken, site: forms, selector: "form:no-such-thing"}
trusted_proxies: [127.0.0.0/8]
lake: {flush: 1s}
`

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{
		data: filepath.Join(t.TempDir(), "data"), config: write(t, "crumbtrail.yaml", storyConfig),
		snippets: map[string]string{},
	}
	b.browser = chromium(t)
	b.server = up(t, b.data, b.config)
	to, err := url.Parse(b.server.url)
	if err != nil {
		t.Fatal(err)
	}
	b.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
	}}
	mux := http.NewServeMux()
	mux.Handle("/e/", http.StripPrefix("/e", http.HandlerFunc(b.collector)))
	mux.HandleFunc("/files/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", "attachment")
		_, _ = w.Write([]byte("a file"))
	})
	mux.HandleFunc("/favicon.ico", http.NotFound)
	mux.HandleFunc("/{site}/{path...}", func(w http.ResponseWriter, r *http.Request) {
		b.page(t, w, r)
	})
	b.plain, b.secure = httptest.NewServer(mux), httptest.NewTLSServer(mux)
	t.Cleanup(b.plain.Close)
	t.Cleanup(b.secure.Close)
	return b
}

// collector notes a request and passes it on.
func (b *bed) collector(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the page is gone
	}
	c := call{path: r.URL.Path, body: string(body), header: r.Header.Clone()}
	var said struct {
		Site    string
		Beacons []sentBeacon
	}
	if json.Unmarshal(body, &said) == nil {
		c.site, c.beacons = said.Site, said.Beacons
	}
	c.site = cmp.Or(c.site, r.URL.Query().Get("site"))
	b.mu.Lock()
	b.calls = append(b.calls, c)
	b.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	b.proxy.ServeHTTP(w, r)
}

// page serves a page of a site with the snippet as it is printed, and what stories need in it.
// The query's head stands before the snippet; snippet stands for it.
func (b *bed) page(t *testing.T, w http.ResponseWriter, r *http.Request) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	collector := cmp.Or(r.URL.Query().Get("collector"), scheme+r.Host) + "/e"
	snippet := cmp.Or(r.URL.Query().Get("snippet"), b.snippet(t, r.PathValue("site"), collector))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// Whatever comes back later is a new page.
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, "<!doctype html><title>%s</title>%s\n%s<h1>A page</h1>%s",
		r.PathValue("path"), r.URL.Query().Get("head"), snippet, pageBody)
}

// pageBody has links of every kind, and a form that knows nothing of crumbtrail.
const pageBody = `
<a id="plain" href="next">Next</a> <a id="icon" href="icon"><b id="inner">Icon</b></a>
<a id="middle" href="middle">Middle</a> <a id="ctrl" href="ctrl">Ctrl</a>
<a id="blank" href="blank" target="_blank">Blank</a>
<a id="pdf" href="/files/report.pdf">Report</a> <a id="file" href="/files/data" download>Data</a>
<div class="signup"><form method="post" action="thanks">
<input name="EMAIL"><input name="FNAME"><input name="colour" value="green">
<input type="checkbox" name="topic" value="a" checked>
<input type="checkbox" name="topic" value="b" checked>
<input type="checkbox" name="topic" value="c"><input name="nick" autocomplete="current-password">
<input type="password" name="word"><input name="card_number"><input name="number">
<button id="send">Send</button></form></div>
<form id="plainform"><input name="email"><button id="ask">Ask</button></form>`

func (b *bed) snippet(t *testing.T, site, collector string, more ...string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	args := append([]string{"snippet", "--config", b.config, "--url", collector}, more...)
	args = append(args, site)
	key := strings.Join(args, " ")
	if b.snippets[key] == "" {
		b.snippets[key] = must(t, args...)
	}
	return b.snippets[key]
}

// sent are the calls of a site on a path such as /v1/beacons, of every path where it is empty.
func (b *bed) sent(site, path string) (list []call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		if c.site == site && (path == "" || c.path == path) {
			list = append(list, c)
		}
	}
	return list
}

// beacons are those that a site's pages have sent, each once.
func (b *bed) beacons(site, kind string) (list []sentBeacon) {
	seen := map[string]bool{}
	for _, c := range b.sent(site, "") {
		for _, s := range c.beacons {
			if s.Type == kind && !seen[s.ID] {
				seen[s.ID] = true
				list = append(list, s)
			}
		}
	}
	return list
}

// waitSent waits until so many beacons of a kind have come from a site's pages.
func (b *bed) waitSent(t *testing.T, site, kind string, n int) []sentBeacon {
	t.Helper()
	var list []sentBeacon
	eventually(t, patience, fmt.Sprintf("%d %s of %s", n, kind, site), func() bool {
		list = b.beacons(site, kind)
		return len(list) >= n
	})
	return list
}

// rows asks the lake, one query at a time: each is a process.
func (b *bed) rows(t *testing.T, sql string) [][]string {
	t.Helper()
	b.queries.Lock()
	defer b.queries.Unlock()
	return rows(t, b.data, sql)
}

// waitRows waits until the lake answers as wanted, row by row.
func (b *bed) waitRows(t *testing.T, sql string, want ...string) {
	t.Helper()
	var got []string
	holds := func() bool {
		got = nil
		for _, row := range b.rows(t, sql) {
			got = append(got, strings.Join(row, " "))
		}
		return slices.Equal(got, want)
	}
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s\ngot:\n  %s\nwant:\n  %s", sql, strings.Join(got, "\n  "),
				strings.Join(want, "\n  "))
		}
	}
}

// profile is a browser profile of its own, with one tab.
type profile struct {
	t    *testing.T
	b    *bed
	ctx  context.Context
	base string
}

func (b *bed) profile(t *testing.T) *profile {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &profile{t, b, ctx, b.plain.URL}
}

// open goes to a page and waits until it is there, with its script.
func (p *profile) open(path string) {
	p.t.Helper()
	run(p.t, p.ctx, chromedp.Navigate(p.base+path), chromedp.WaitVisible("h1"))
	p.until("document.readyState == 'complete' && self.crumbtrail && crumbtrail.site")
}

// until waits until an expression is true in the page, or in the one that comes after it.
func (p *profile) until(expression string) {
	p.t.Helper()
	eventually(p.t, patience, expression, func() bool {
		value, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if p.ctx.Err() != nil {
			p.t.Fatalf("%s: %v", expression, err)
		}
		return err == nil && value // it fails between two pages
	})
}

// do runs a script in the page, to the end of its promise.
func (p *profile) do(script string) {
	p.t.Helper()
	eval[bool](p, "(async () => {"+script+"; return true})()")
}

// eval is the value of an expression in the page, once its promise is kept.
func eval[T any](p *profile, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// stored is what scripts find in the page's storage, one name each; empty is nothing.
func (p *profile) stored() string {
	p.t.Helper()
	return eval[string](p, `(async () => [document.cookie, ...Object.keys(localStorage),
		...Object.keys(sessionStorage), ...(await indexedDB.databases()).map(d => d.name),
		...(self.caches ? await caches.keys() : [])].filter(x => x).join(" "))()`)
}

// cookies are those that the browser sends to the pages' host, scripts or not.
func (p *profile) cookies() map[string]*network.Cookie {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, network.GetCookies,
		network.GetCookiesParams{URLs: []string{p.base}})
	if err != nil {
		p.t.Fatal(err)
	}
	found := map[string]*network.Cookie{}
	for _, c := range got.Cookies {
		found[c.Name] = c
	}
	return found
}

// header adds a header to every request, and a script to every page.
func (p *profile) header(name, value, script string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders,
		network.SetExtraHTTPHeadersParams{Headers: network.Headers{name: value}})
	if err == nil {
		_, err = chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
