package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/evanw/esbuild/pkg/api"
)

// Other people's clients, as they are on npm: what they send is in the lake, each event once, and
// they send again what they are to send again.

// npmPackages installs the packages of a folder into a copy of it, at its lock file's versions.
func npmPackages(t *testing.T, folder string) (dir string) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool+" (apt-get install nodejs npm)")
		}
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, tail(string(out)))
	}
	return dir
}

// gateway stands before the collector, as a site's own proxy does. It answers 503 to the first
// request with an event called again, and 400 to every one with an event called refused.
type gateway struct {
	url   string
	proxy *httputil.ReverseProxy

	mu     sync.Mutex
	passed []passage
}

// passage is a request that brought events, and its answer.
type passage struct {
	body   string
	retry  string // X-Retry-Count
	status int
}

func newGateway(t *testing.T, collector string) *gateway {
	to, err := url.Parse(collector)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	g.url = s.URL
	return g
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // a client that went away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	text := string(body)
	if r.Method == http.MethodGet {
		text = r.URL.RawQuery
	}
	p := passage{body: text, retry: r.Header.Get("X-Retry-Count")}
	switch {
	case strings.Contains(text, `"refused"`):
		p.status = http.StatusBadRequest
	case strings.Contains(text, `"again"`) && len(g.answers(`"again"`)) == 0:
		p.status = http.StatusServiceUnavailable
	}
	if p.status != 0 {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.WriteHeader(p.status)
	} else {
		seen := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		g.proxy.ServeHTTP(seen, r)
		p.status = seen.status
	}
	if len(p.events()) > 0 {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.passed = append(g.passed, p)
	}
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// answers are the answers to the requests that held a text.
func (g *gateway) answers(text string) (statuses []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.passed {
		if strings.Contains(p.body, text) {
			statuses = append(statuses, p.status)
		}
	}
	return statuses
}

// events are the ids of what a request brought.
func (p passage) events() (ids []string) {
	if query, err := url.ParseQuery(p.body); err == nil && query.Has("eid") {
		return []string{query.Get("eid")}
	}
	type event struct{ EID, MessageID string }
	var body struct {
		event
		Data, Batch []event
	}
	if json.Unmarshal([]byte(p.body), &body) != nil {
		return nil
	}
	for _, e := range append(append(body.Data, body.Batch...), body.event) {
		if id := e.EID + e.MessageID; id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// taken counts how often each event was answered 200.
func (g *gateway) taken() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	times := map[string]int{}
	for _, p := range g.passed {
		if p.status == http.StatusOK {
			for _, id := range p.events() {
				times[id]++
			}
		}
	}
	return times
}

// clientsConfig has visits that outlive the test.
const clientsConfig = `
sites:
  - key: default
    origins: ["*"]
    consent: implied
    heartbeat: 1s
lake: {flush: 1s}
`

// settled waits until the lake has every event that was taken, and wants each there once, with
// times that agree, and none of what was refused.
func (g *gateway) settled(t *testing.T, data, protocol string) {
	t.Helper()
	taken := g.taken()
	eventually(t, patience, "every event to be in the lake", func() bool {
		return number(t, data, "SELECT count(*) FROM beacons") >= len(taken)
	})
	found := map[string]int{}
	for _, row := range rows(t, data, "SELECT event_id FROM beacons") {
		found[row[0]]++
	}
	for id, times := range taken {
		if times != 1 || found[id] != 1 {
			t.Errorf("event %s was taken %d times and is in the lake %d times", id, times, found[id])
		}
	}
	if len(found) != len(taken) {
		t.Errorf("in the lake are %v, taken were %v", slices.Sorted(maps.Keys(found)),
			slices.Sorted(maps.Keys(taken)))
	}
	if n := number(t, data, fmt.Sprintf(`SELECT count(*) FROM beacons WHERE protocol <> '%s'
		OR site <> 'default' OR clamped OR occurred_at > received_at OR created_at > sent_at
		OR abs(date_diff('ms', occurred_at, received_at) - date_diff('ms', created_at, sent_at)) > 1
			AND json_extract_string(props, '$._raw.ttm') IS NULL
		OR occurred_at < received_at - INTERVAL 2 MINUTE`, protocol)); n != 0 {
		t.Errorf("%d events of another protocol or time:\n%s", n,
			query(t, data, `SELECT event_id, protocol, occurred_at, received_at, created_at, sent_at
				FROM beacons`))
	}
	if got := g.answers(`"again"`); !slices.Equal(got, []int{503, 200}) {
		t.Errorf("answers to what is to come again: %v", got)
	}
	if got := g.answers(`"refused"`); !slices.Equal(got, []int{400}) {
		t.Errorf("answers to what is to be given up: %v", got)
	}
	if n := number(t, data, "SELECT count(*) FROM bad_beacons"); n != 0 {
		t.Errorf("bad beacons:\n%s", query(t, data, "SELECT reason, detail, path, raw FROM bad_beacons"))
	}
	t.Logf("%d events taken and in the lake, in %d requests", len(taken), len(g.passed))
}

// wantRows compares the answer to a query, a row a line.
func wantRows(t *testing.T, data, sql string, want ...string) {
	t.Helper()
	var got []string
	for _, row := range rows(t, data, sql) {
		got = append(got, strings.Join(row, " | "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot\n  %s\nwant\n  %s", sql,
			strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// clientPage serves a page of another origin than the collector's, with a script that is bundled as
// a site would.
func clientPage(t *testing.T, dir, script, collector string) (address string) {
	t.Helper()
	built := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(dir, script)}, Bundle: true, Format: api.FormatIIFE,
		Platform: api.PlatformBrowser, Target: api.ES2020, AbsWorkingDir: dir,
	})
	if len(built.Errors) > 0 || len(built.OutputFiles) != 1 {
		t.Fatalf("bundle %s: %v", script, built.Errors)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Pricing</title><h1>Pricing</h1>"+
			"<script>collector=%q</script><script src=/bundle.js></script>", collector)
	})
	mux.HandleFunc("GET /bundle.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(built.OutputFiles[0].Contents)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// do lets the page do its steps, and waits after each until one more event is answered 200.
func (g *gateway) do(t *testing.T, ctx context.Context, steps ...string) {
	t.Helper()
	for _, step := range steps {
		before := len(g.taken())
		tell(t, ctx, step)
		eventually(t, patience, step+" to be taken", func() bool {
			return len(g.taken()) > before
		})
	}
}

func tell(t *testing.T, ctx context.Context, step string) {
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("steps."+step+"(), true")); err != nil {
		t.Fatalf("step %s: %v", step, err)
	}
}

// refuse lets the page do what is answered an error, and waits for it.
func (g *gateway) refuse(t *testing.T, ctx context.Context, step string) {
	t.Helper()
	tell(t, ctx, step)
	eventually(t, patience, step+" to be refused", func() bool {
		return len(g.answers(`"`+step+`"`)) > 0
	})
	g.mu.Lock()
	passed := len(g.passed)
	g.mu.Unlock()
	// A tracker that has not heard yet would leave the next event waiting for the one after.
	eventually(t, patience, "the page to hear of it", func() bool {
		heard, err := chromedp.Run(ctx, chromedp.Evaluate[int]("window.heard ?? 1e9"))
		return err == nil && heard >= passed
	})
}

// clientInBrowser opens a page with a script of testdata/clients, which sends to a collector of its
// own by way of a gateway.
func clientInBrowser(
	t *testing.T, script string,
) (data string, s *server, g *gateway, page string, ctx context.Context) {
	t.Helper()
	needThorough(t)
	dir := npmPackages(t, "testdata/clients")
	data = filepath.Join(t.TempDir(), "data")
	s = up(t, data, write(t, "crumbtrail.yaml", clientsConfig))
	g = newGateway(t, s.url)
	page, ctx = clientPage(t, dir, script, g.url), chromium(t)
	visitPage(t, ctx, page)
	return data, s, g, page, ctx
}

func TestSnowplowInBrowser(t *testing.T) {
	data, s, g, page, ctx := clientInBrowser(t, "snowplow-browser.js")

	g.do(t, ctx, "view", "link", "own")
	g.do(t, ctx, "move") // and a ping follows within a second
	g.refuse(t, ctx, "again")
	g.do(t, ctx, "more") // takes along what was not taken
	g.refuse(t, ctx, "refused")
	g.do(t, ctx, "after")
	kept := networkCookie(t, ctx, g.url)
	g.do(t, ctx, "anonymous")
	if c := networkCookie(t, ctx, g.url); c != nil {
		t.Errorf("a cookie is still there after an anonymous event: %s", c.Value)
	}
	g.settled(t, data, "snowplow")

	wantRows(t, data, `SELECT type, props->>'name', title, consent, props->>'href', props->>'text',
			props->'data'->>'step', props->>'value', props->'_raw'->>'uid',
			array_to_string(list_sort(list_transform(CAST(props->'_raw'->'co' AS JSON[]),
				lambda c: split_part(c->>'schema', '/', 2))), ' ')
		FROM beacons WHERE type <> 'ping' ORDER BY occurred_at`,
		"page_view |  | Pricing | identified |  |  |  |  | u-17 | client_session web_page",
		"link_click |  |  | identified | https://shop.example/ | Buy ü |  |  | u-17 | "+
			"client_session web_page",
		"custom | checkout |  | identified |  |  | 3 |  | u-17 | cart client_session web_page",
		"custom | again |  | identified |  |  |  | 1.5 | u-17 | client_session web_page",
		"custom | more |  | identified |  |  |  | 1.5 | u-17 | client_session web_page",
		"custom | after |  | identified |  |  |  | 1.5 | u-17 | client_session web_page",
		"custom | anonymous |  | none |  |  |  | 1.5 |  | web_page",
	)
	wantRows(t, data, "SELECT DISTINCT engaged_ms, title FROM beacons WHERE type = 'ping'",
		"1000 | Pricing")
	visitors := rows(t, data, `SELECT DISTINCT visitor_id, json_extract_string(props, '$._raw.duid'),
		url FROM beacons WHERE consent = 'identified'`)
	if len(visitors) != 1 || visitors[0][0] != visitors[0][1] || visitors[0][2] != page+"/" {
		t.Fatalf("visitors, the tracker's own ids and pages are %v", visitors)
	}
	if kept == nil || kept.Value != visitors[0][0] || !kept.HTTPOnly ||
		time.Until(time.Unix(int64(kept.Expires), 0)) < 399*24*time.Hour {
		t.Errorf("the visitor %s is remembered as %+v", visitors[0][0], kept)
	}
	s.stop()
}

// networkCookie is the cookie that keeps the id which a tracker made, nil where there is none.
func networkCookie(t *testing.T, ctx context.Context, url string) *network.Cookie {
	t.Helper()
	got, err := chromedp.Call(ctx, network.GetCookies,
		network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got.Cookies {
		if c.Name == "sp" {
			return c
		}
	}
	return nil
}

func TestSegmentInBrowser(t *testing.T) {
	data, s, g, page, ctx := clientInBrowser(t, "segment-browser.js")

	g.do(t, ctx, "page", "track", "identify", "group", "screen", "alias")
	g.refuse(t, ctx, "again")
	g.do(t, ctx, "more")
	g.refuse(t, ctx, "refused")
	g.do(t, ctx, "after")
	eventually(t, patience, "again to be taken", func() bool {
		return len(g.answers(`"again"`)) == 2
	})
	g.settled(t, data, "segment")

	wantRows(t, data, `SELECT type, props->>'name', title, url, props->'properties'->>'price',
			props->>'category', props->>'screen', props->>'group', props->'_raw'->>'userId',
			props->'_raw'->'context'->'library'->>'name'
		FROM beacons ORDER BY occurred_at`,
		"page_view | Pricing | Pricing | "+page+"/ |  | docs |  |  |  | analytics.js",
		"custom | Product Viewed | Pricing | "+page+"/ | 9.5 |  |  |  |  | analytics.js",
		"custom | identify | Pricing | "+page+"/ |  |  |  |  | u-17 | analytics.js",
		"custom | group | Pricing | "+page+"/ |  |  |  | g-1 | u-17 | analytics.js",
		"custom | screen | Pricing | "+page+"/ |  |  | Cart |  | u-17 | analytics.js",
		"custom | alias | Pricing | "+page+"/ |  |  |  |  | u-17 | analytics.js",
		"custom | again | Pricing | "+page+"/ |  |  |  |  | u-17 | analytics.js",
		"custom | more | Pricing | "+page+"/ |  |  |  |  | u-17 | analytics.js",
		"custom | after | Pricing | "+page+"/ |  |  |  |  | u-17 | analytics.js",
	)
	checkIdentified(t, data, "ada@example.com | Ada | Lovelace | Engines")
	s.stop()
}

func TestRudderStackInBrowser(t *testing.T) {
	data, s, g, page, ctx := clientInBrowser(t, "rudderstack-browser.js")

	g.do(t, ctx, "page", "track", "identify")
	g.refuse(t, ctx, "again")
	g.do(t, ctx, "more")
	g.refuse(t, ctx, "refused")
	g.do(t, ctx, "after")
	eventually(t, patience, "again to be taken", func() bool {
		return len(g.answers(`"again"`)) == 2
	})
	g.settled(t, data, "segment")

	wantRows(t, data, `SELECT type, props->>'name', title, url, props->'properties'->>'price',
			props->>'category', props->'_raw'->>'userId', props->'_raw'->'context'->'library'->>'name'
		FROM beacons ORDER BY occurred_at`,
		"page_view | Pricing | Pricing | "+page+"/ |  | docs |  | RudderLabs JavaScript SDK",
		"custom | Product Viewed | Pricing | "+page+"/ | 9.5 |  |  | RudderLabs JavaScript SDK",
		"custom | identify | Pricing | "+page+"/ |  |  | u-17 | RudderLabs JavaScript SDK",
		"custom | again | Pricing | "+page+"/ |  |  | u-17 | RudderLabs JavaScript SDK",
		"custom | more | Pricing | "+page+"/ |  |  | u-17 | RudderLabs JavaScript SDK",
		"custom | after | Pricing | "+page+"/ |  |  | u-17 | RudderLabs JavaScript SDK",
	)
	checkIdentified(t, data, "ada@example.com | Ada | Lovelace | Engines")
	s.stop()
}

// checkIdentified wants the one visitor to be a contact, also in what it did before it said so.
func checkIdentified(t *testing.T, data, contact string) {
	t.Helper()
	eventually(t, patience, "a contact behind the visitor", func() bool {
		return number(t, data, "SELECT count(*) FROM beacons WHERE contact_id IS NULL") == 0
	})
	wantRows(t, data, "SELECT email, first_name, last_name, company FROM contacts", contact)
	wantRows(t, data, "SELECT count(DISTINCT visitor_id), count(DISTINCT contact_id) FROM beacons",
		"1 | 1")
	wantRows(t, data, "SELECT evidence FROM identities", "api")
	if held := query(t, data, "SELECT * FROM beacons"); strings.Contains(held, "ada@") {
		t.Error("an e-mail address in a beacon")
	}
}
