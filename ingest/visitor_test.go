package ingest

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestVisitIsToldAndNotMadeLonger(t *testing.T) {
	e := newEdge(t, nil).run(t)
	ask := func(site string, headers ...string) (state visitState, text string) {
		w := e.post("/v1/visit", `{"site":"`+site+`"}`, headers...)
		if len(cookiesOf(w)) != 0 {
			t.Errorf("to ask sets cookies: %v", w.Header())
		}
		if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		return state, w.Body.String()
	}
	if state, text := ask("acme"); state.Visit != nil || state.Consent != "identified" ||
		!strings.Contains(text, `"visit":null`) {
		t.Errorf("before the first beacon: %s", text)
	}
	set := cookiesOf(e.post("/v1/beacons", `{"site":"acme","type":"page_view"}`))
	visit := "ct_visit=" + set["ct_visit"].Value
	state, text := ask("acme", "Cookie", visit)
	if v := state.Visit; v == nil || v.EndsIn < 1700 || v.EndsIn > 1800 ||
		v.Began.Unix() != e.tape.read(t).beacons[0].ReceivedAtUs/1e6 {
		t.Errorf("in a visit: %s", text)
	}
	if strings.Contains(text, set["ct_visitor"].Value) || len(text) > 120 {
		t.Errorf("it tells too much: %s", text)
	}
	if state, text := ask("ask", "Cookie", visit); state.Visit != nil || state.Consent != "none" {
		t.Errorf("without consent: %s", text)
	}
	if state, _ := ask("acme", "Cookie", visit[:len(visit)-3]+"AAA"); state.Visit != nil {
		t.Error("a forged visit is believed")
	}
}

func TestResetMakesAnotherVisitor(t *testing.T) {
	e := newEdge(t, nil).run(t)
	first := cookiesOf(e.post("/v1/beacons", `{"site":"acme","type":"page_view"}`))
	cookies := "ct_visitor=" + first["ct_visitor"].Value + "; ct_visit=" + first["ct_visit"].Value
	w := e.post("/v1/reset", `{"site":"acme","beacons":[{"site":"acme","type":"ping"}]}`,
		"Cookie", cookies)
	second := cookiesOf(w)
	b := e.tape.read(t).beacons
	if len(b) != 2 || b[1].VisitorId != b[0].VisitorId {
		t.Errorf("what was sent before is not the first one's: %v", b)
	}
	for _, name := range []string{"ct_visitor", "ct_visit"} {
		// The first 21 characters of ct_visit are its id.
		c := second[name]
		if c == nil || c.Value[:21] == first[name].Value[:21] || c.MaxAge <= 0 {
			t.Errorf("%s is %v, as before or gone", name, c)
		}
	}
	if n := len(w.Header()["Set-Cookie"]); n != 2 {
		t.Errorf("%d cookies are set, want each once: %v", n, w.Header())
	}
	third := cookiesOf(e.post("/v1/reset", `{"site":"acme"}`, "Cookie", cookies))
	if len(third) != 2 || third["ct_visitor"].Value == first["ct_visitor"].Value {
		t.Errorf("without beacons: %v", third)
	}
	if got := cookiesOf(e.post("/v1/reset", `{"site":"ask"}`)); len(got) != 0 {
		t.Errorf("stored without consent: %v", got)
	}
	got := cookiesOf(e.post("/v1/reset", `{"site":"ask"}`, "Cookie", cookies))
	if c := got["ct_visitor"]; c == nil || c.MaxAge >= 0 {
		t.Errorf("kept without consent: %v", got)
	}
}

func TestWhoMayAskAndReset(t *testing.T) {
	e := newEdge(t, nil).run(t)
	for _, c := range []struct {
		body, origin string
		status       int
	}{
		{`{"site":"acme"}`, "https://acme.example", 200},
		{`{"site":"acme"}`, "https://evil.example", 403},
		{`{"site":"nobody"}`, "", 400},
		{`{"site":`, "", 400},
		{``, "", 400},
		{`{"site":"acme","a":` + strings.Repeat("[", batchDepth) + strings.Repeat("]", batchDepth) + `}`, "", 400},
	} {
		for _, path := range []string{"/v1/visit", "/v1/reset"} {
			headers := []string{}
			if c.origin != "" {
				headers = []string{"Origin", c.origin}
			}
			if w := e.post(path, c.body, headers...); w.Code != c.status {
				t.Errorf("%s %s from %q: %d, want %d", path, c.body, c.origin, w.Code, c.status)
			}
		}
	}
	if n := len(e.tape.read(t).beacons); n != 0 {
		t.Errorf("%d beacons of nothing", n)
	}
}

func TestScriptKnowsTheFormsOfItsSite(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Forms = []Form{
			{Name: "everywhere", Selector: "form.contact"},
			{Name: "here", Site: "acme", Selector: `form[action="</script>"]`},
			{Name: "there", Site: "count", Selector: "#there"},
			{Name: "unseen", Site: "acme", Fields: map[string]string{"email": "mail"}},
		}
	})
	text := e.send("GET", "/t/acme.js", "").Body.String()
	here, everywhere := strings.Index(text, `"here"`), strings.Index(text, `"everywhere"`)
	if here < 0 || everywhere < here || strings.Contains(text, "there\"]],") ||
		strings.Contains(text, "#there") || strings.Contains(text, "unseen") ||
		strings.Contains(text, "</script") {
		t.Errorf("want the site's own form, then that of all: %.300s", text)
	}
	if text := e.send("GET", "/t/ask.js", "").Body.String(); strings.Contains(text, `"here"`) {
		t.Error("a site's form is in the script of another")
	}
}

func TestScriptHashesAreThoseOfWhatIsServed(t *testing.T) {
	cfg := Config{
		Sites: testSites(), Forms: []Form{{Name: "f", Selector: "form"}},
	}
	sums, err := ScriptHashes(cfg, "acme")
	if err != nil || len(sums) != 2 {
		t.Fatalf("%d hashes, %v", len(sums), err)
	}
	e := newEdge(t, func(c *Config) { c.Forms = cfg.Forms })
	for i, from := range []string{"same-site", "cross-site"} {
		w := e.send("GET", "/t/acme.js", "", "Sec-Fetch-Site", from, "Origin", "https://acme.example")
		if sum := sha512.Sum384(w.Body.Bytes()); !bytes.Equal(sum[:], sums[i][:]) {
			t.Errorf("%s: another script than promised", from)
		}
		h := w.Header()
		if h.Get("Access-Control-Allow-Origin") != "https://acme.example" ||
			h.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("a page that names the hash may not read it: %v", h)
		}
	}
	if sums[0] == sums[1] {
		t.Error("the two hashes are one")
	}
	if _, err := ScriptHashes(cfg, "nobody"); err == nil {
		t.Error("a site that nobody configured has hashes")
	}
}
