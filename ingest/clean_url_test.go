package ingest

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

func TestCleanLinks(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"href":"https://a.example/?token=x&b=1"}`, `{"href":"https://a.example/?b=1"}`},
		{`{"a":[{"b":"/x?Ref=1#password=2"}],"c":"?b=1"}`, `{"a":[{"b":"/x"}],"c":"?b=1"}`},
		{`{"a":"https:\/\/a.example\/?e\u006dail\u003dx&b=1"}`, `{"a":"https://a.example/?b=1"}`},
		{`{"a":"HTTP://a.example?q=ada@acme.example"}`, `{"a":"HTTP://a.example"}`},
		{`{"a":"https://a.example/?REF=1"}`, `{"a":"https://a.example/"}`},
		{`{"a":"https://a.example/?re%66=1&ref&refs=2"}`, `{"a":"https://a.example/?refs=2"}`},
		{`{"a":"is it? token=x"}`, `{"a":"is it? token=x"}`},
		{`{"https://a.example/?token=x":1}`, `{"https://a.example/?token=x":1}`},
		{`{"a":"https://a.example/?b=1"}`, `{"a":"https://a.example/?b=1"}`},
		{``, ``},
	} {
		if got := string(cleanLinks([]byte(c.in), []string{"ref"})); got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

// Wherever an address of a page stands, in whatever protocol, a beacon holds none of what is to be
// cut out: what the site names, and what looks like a secret or a person.
func TestNothingOfTheQueryStays(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Sites[1].StripQuery = []string{"Ref"}
		cfg.Sites[1].Redirects = []string{"shop.example"}
	}).run(t)
	const (
		page = "https://acme.example/p?ref=CANARY&email=CANARY&q=CANARY%40a.example&kept=1" +
			"#token=CANARY"
		target = "https://shop.example/?kept=1&ref=CANARY&sessiontoken=CANARY&access_token=CANARY" +
			"&PHPSESSID=CANARY"
	)
	entity := func(schema, data string) string {
		return `{"schema":"iglu:com.snowplowanalytics.snowplow/` + schema +
			`/jsonschema/1-0-0","data":` + data + `}`
	}
	click := base64.RawURLEncoding.EncodeToString([]byte(entity("unstruct_event",
		entity("link_click", `{"targetUrl":"`+target+`","other":"`+page+`"}`))))
	around := base64.StdEncoding.EncodeToString([]byte(entity("contexts",
		"["+entity("web_page", `{"url":"`+page+`"}`)+"]")))
	query := func(pairs ...string) string {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values.Encode()
	}
	const json = "application/json"
	for _, c := range []struct{ method, target, body string }{
		{
			"POST", "/v1/beacons", `{"site":"acme","type":"link_click","url":"` + page +
				`","referrer":"` + page + `","props":{"href":"` + target + `"},"canonical":"` + page + `"}`,
		},
		{
			"GET", "/v1/pixel.gif?" +
				query("site", "acme", "url", page, "props", `{"to":"`+target+`"}`), "",
		},
		{"POST", "/v1/forms/acme", `{"_url":"` + page + `","email":"a@b.example"}`},
		{
			"GET", "/i?" + query("e", "ue", "aid", "acme", "url", page, "refr", page, "ue_px", click,
				"cx", around, "custom", page), "",
		},
		{"GET", "/r/tp2?" + query("aid", "acme", "u", target, "refr", page), ""},
		{
			"POST", "/v1/track", `{"writeKey":"acme","event":"E","userId":"u","properties":{"link":"` +
				target + `"},"context":{"page":{"url":"` + page + `","referrer":"` + page +
				`"},"referrer":{"url":"` + page + `"}},"landing":"` + page + `"}`,
		},
	} {
		w := e.send(c.method, c.target, c.body, "Content-Type", json, "Referer", page)
		if w.Code >= 400 {
			t.Errorf("%s %s: %d %s", c.method, c.target, w.Code, w.Body)
		}
		log := e.tape.read(t)
		b := log.beacons[len(log.beacons)-1]
		if text := b.String(); strings.Contains(text, "CANARY") || !strings.Contains(text, "kept=1") {
			t.Errorf("%s %s: %s", c.method, c.target, text)
		}
	}
	for _, s := range e.tape.read(t).submissions {
		if strings.Contains(s.Url, "CANARY") {
			t.Errorf("submission of %s", s.Url)
		}
	}
	if n := len(e.tape.read(t).beacons); n != 6 {
		t.Errorf("%d beacons", n)
	}
}
