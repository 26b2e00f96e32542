package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A browser that looks ahead is marked, and the click that a person then makes is theirs: one
// browser clicks, and lands.
func TestPrefetchedLink(t *testing.T) {
	needThorough(t)
	data := filepath.Join(t.TempDir(), "data")
	var shop *httptest.Server
	snippet := "" // known once the collector runs, which has to know the shop
	mux := http.NewServeMux()
	mux.HandleFunc("GET /spring", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Spring</title>%s<h1>Spring</h1>", snippet)
	})
	link := ""
	mux.HandleFunc("GET /mail", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Mail</title><h1>Mail</h1><a id="go" href="%s">Spring</a>
			<script type="speculationrules">{"prefetch":[{"urls":["%s"],"eagerness":"immediate"}]}</script>`,
			link, link)
	})
	shop = httptest.NewServer(mux)
	t.Cleanup(shop.Close)
	config := write(t, "crumbtrail.yaml", browserConfig+
		"links: [{name: spring, target: \""+shop.URL+"/spring\"}]\n")
	s := up(t, data, config)
	snippet = must(t, "snippet", "--config", config, "--url", s.url, "default")
	link = strings.TrimSpace(must(t, "link", "spring", "--data", data, "--config", config,
		"--url", s.url, "--email", "ada@acme.example"))
	// By its own name, a browser without a window is a bot.
	ctx := chromium(t, chromedp.UserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "+
		"(KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"))
	// What is prefetched may be taken for the page itself: nothing waits for the end of loading.
	if _, err := chromedp.Run(ctx,
		chromedp.Evaluate[bool](fmt.Sprintf("location.href = %q, true", shop.URL+"/mail"))); err != nil {
		t.Fatal(err)
	}
	run(t, ctx, chromedp.WaitVisible("#go"))
	clicks := func(where string) int {
		return number(t, data, "SELECT count(*) FROM link_clicks WHERE "+where)
	}
	eventually(t, patience, "the browser to look ahead", func() bool {
		return clicks("bot_rule = 'prefetch' AND visitor_id IS NULL") > 0
	})
	if n := number(t, data, "SELECT count(*) FROM contacts"); n != 0 {
		t.Errorf("looking ahead made %d contacts", n)
	}
	run(t, ctx, chromedp.Click("#go"), chromedp.WaitVisible("h1"))
	eventually(t, patience, "the click and the page to be one visit of the contact", func() bool {
		return number(t, data, "SELECT count(*) FROM visits JOIN contacts USING (contact_id) "+
			"WHERE page_views = 1 AND beacons >= 2 AND email = 'ada@acme.example'") == 1
	})
	s.stop()
	if n := clicks("NOT is_bot"); n != 1 {
		t.Errorf("%d clicks of people, want one: %s", n, query(t, data, "SELECT bot_rule, props, "+
			"visitor_id, user_agent FROM link_clicks ORDER BY occurred_at"))
	}
	if n := number(t, data, "SELECT count(*) FROM page_views WHERE referrer IS NULL"); n != 1 {
		t.Errorf("the page was told where from: %s", query(t, data, "FROM page_views"))
	}
}
