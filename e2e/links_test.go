package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const linksConfig = quick + `
links:
  - {name: spring, target: "https://shop.example/spring", pass_query: true}
`

// browser is what a person has in hand: it keeps cookies, and shows where it is led.
type browser struct {
	t      *testing.T
	client *http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{
		Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do makes a request and returns the status, where it leads to, and the media type.
func (b *browser) do(method, target, body string) (status int, to, media string) {
	b.t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("User-Agent",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("Content-Type")
}

// leads follows a link and wants to be led to a target.
func (b *browser) leads(link, target string) {
	b.t.Helper()
	if status, to, _ := b.do("GET", link, ""); status != http.StatusFound || to != target {
		b.t.Fatalf("%s: %d to %q, want %q", link, status, to, target)
	}
}

// A mail to a contact says whose the phone is that nobody knew, back to what was read on it before.
func TestSignedLinkNamesABrowser(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", linksConfig)
	s := up(t, data, config)
	if status, _, _ := newBrowser(t).do("POST", s.url+"/v1/forms/default",
		`{"email":"ada@acme.example"}`); status != http.StatusNoContent {
		t.Fatalf("form: %d", status)
	}
	phone := newBrowser(t)
	phone.do("POST", s.url+"/v1/beacons",
		`{"site":"default","type":"page_view","url":"https://default.example/pricing"}`)
	count := func(sql string) func() bool {
		return func() bool { return number(t, data, "SELECT count(*) FROM "+sql) == 1 }
	}
	eventually(t, patience, "a contact and a visit of nobody's", func() bool {
		return count("contacts")() && count("visits WHERE contact_id IS NULL AND page_views = 1")()
	})
	contact := rows(t, data, "SELECT contact_id FROM contacts")[0][0]
	link := func(args ...string) []string {
		out := must(t, append([]string{
			"link", "--data", data, "--config", config, "--url", s.url,
		}, args...)...)
		return strings.Fields(out)
	}
	made := link("spring", "--contact", contact, "--campaign", "mail1", "--pixel")
	phone.do("GET", made[1], "")
	phone.do("HEAD", made[0], "") // a scanner's
	phone.leads(made[0], "https://shop.example/spring?utm_medium=email&utm_campaign=mail1")
	eventually(t, patience, "both visits and the mail to be the contact's", func() bool {
		return count("link_clicks WHERE NOT is_bot AND link = 'spring' AND utm_campaign = 'mail1' "+
			"AND contact_id = '"+contact+"'")() &&
			count("visits WHERE was_anonymous AND page_views = 1 AND contact_id = '"+contact+"'")() &&
			count("mail_opens WHERE utm_campaign = 'mail1' AND contact_id = '"+contact+"'")()
	})
	got := rows(t, data, "SELECT evidence, strategy, reason FROM identities "+
		"JOIN decisions USING (submission_id) WHERE evidence = 'signed_link'")
	want := []string{
		"signed_link", "signed_link",
		"the link was made for this contact; everything that this browser did before is theirs",
	}
	if len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("identities and why: %q", got)
	}
	if !count("link_clicks WHERE bot_rule = 'head_request' AND contact_id IS NULL")() {
		t.Errorf("a scanner's click: %s", query(t, data, "FROM link_clicks"))
	}
	s.stop()
}

// What does not say that it is ours leads where the configuration says, or nowhere.
func TestBadLinks(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", linksConfig)
	s := up(t, data, config)
	const contact = "0e4b5ce6-0000-5000-8000-000000000000"
	make := func(data string, args ...string) string {
		return strings.TrimSpace(must(t, append([]string{
			"link", "--data", data, "--config", config, "--url", s.url, "--contact", contact,
		}, args...)...))
	}
	other := filepath.Join(t.TempDir(), "data") // with a key of its own
	second := serve(t, "up", "--data", other, "--config", config)
	second.stop()
	b := newBrowser(t)
	for _, c := range []struct {
		link, target string
		status       int
	}{
		{make(data, "--to", "https://x.example/a"), "https://x.example/a", http.StatusFound},
		{make(data, "--to", "https://x.example/a", "--expires", "1ms"), "", http.StatusGone},
		{make(other, "--to", "https://x.example/a"), "", http.StatusForbidden},
		{s.url + "/l/" + url.PathEscape("https://evil.example"), "", http.StatusForbidden},
		{make(data, "spring", "--expires", "1ms"), "https://shop.example/spring", http.StatusFound},
		{make(other, "spring"), "https://shop.example/spring", http.StatusFound},
		{s.url + "/r/nothing", "", http.StatusNotFound},
		{s.url + "/r/spring/evil.example", "", http.StatusNotFound},
	} {
		if status, to, _ := b.do("GET", c.link, ""); status != c.status || to != c.target {
			t.Errorf("%s: %d to %q, want %d to %q", c.link, status, to, c.status, c.target)
		}
	}
	if status, _, media := b.do("GET", s.url+"/o/nothing.gif", ""); status != http.StatusOK ||
		media != "image/gif" {
		t.Errorf("a pixel that is none: %d %s", status, media)
	}
	s.stop()
	for sql, want := range map[string]string{
		"SELECT reason, count(*) FROM bad_beacons GROUP BY 1 ORDER BY 1": "reason,count_star()\n" +
			"token_expired,1\ntoken_forged,1\ntoken_malformed,2\nunknown_link,1\n",
		"SELECT link, recipient, props->>'token' AS token FROM link_clicks ORDER BY ALL": "link," +
			"recipient,token\nspring,,token_expired\nspring,,token_forged\n," + contact + ",\n",
	} {
		if got := query(t, data, sql); got != want {
			t.Errorf("%s:\n%s", sql, got)
		}
	}
}

// V1: a browser that was led on has left its click, whatever happens then.
func TestKillAfterAClick(t *testing.T) {
	kills := 3
	if thorough() {
		kills = 10
	}
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", linksConfig)
	b := newBrowser(t)
	for n := range kills {
		s := up(t, data, config)
		b.leads(fmt.Sprintf("%s/r/spring?n=%d", s.url, n),
			fmt.Sprintf("https://shop.example/spring?n=%d", n))
		s.kill()
	}
	s := up(t, data, config)
	s.stop()
	for n := range kills {
		if got := number(t, data, fmt.Sprintf("SELECT count(*) FROM link_clicks "+
			"WHERE target = 'https://shop.example/spring?n=%d'", n)); got != 1 {
			t.Errorf("click %d is in the lake %d times", n, got)
		}
	}
}
