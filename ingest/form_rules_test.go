package ingest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

func TestFormsOfASite(t *testing.T) {
	list := forms{
		{Name: "demo", MinFill: 1},
		{Name: "demo", Site: "acme", MinFill: 2},
		{Name: "news", Site: "acme", MinFill: 3},
	}
	for _, c := range []struct {
		site, name string
		want       time.Duration
	}{
		{"acme", "demo", 2},
		{"shop", "demo", 1},
		{"shop", "news", time.Second},
		{"acme", "", time.Second},
	} {
		if got := list.of(c.site, c.name).MinFill; got != c.want {
			t.Errorf("form %q of site %s: %d, want %d", c.name, c.site, got, c.want)
		}
	}
}

func TestFieldOf(t *testing.T) {
	fields := gjson.Parse(`{"a.b":1,"/x":2,"c":{"d":[{"e/f":3},4],"d~":5},"a":6,"a":7}`)
	for name, want := range map[string]string{
		"a.b": "1", "/x": "2", "/c/d/0/e~1f": "3", "/c/d/1": "4", "/c/d/2": "", "/c/d~0": "5", "a": "7",
		"c.d": "", "": "", "/": "", "/c/d/0x": "", "/a/b": "", "#": "", "c.d.#": "",
	} {
		if got := fieldOf(fields, name).Raw; got != want {
			t.Errorf("field %q: %s, want %s", name, got, want)
		}
	}
}

// A form with an attribute in an object, sent in every encoding and by other people's clients.
func TestMappingsOfEveryEncoding(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Forms = []Form{{Name: "demo", Fields: map[string]string{
			"email": "user[mail]", "company": "/org/name",
		}}, {Name: "identify", Fields: map[string]string{"email": "workMail"}}}
	}).run(t)
	media, parts := multipartOf(t, "user[mail]", "ann@x.example", "_form", "demo")
	for _, c := range []struct{ path, media, body string }{
		{"/v1/forms/acme", urlencoded, "user%5Bmail%5D=ann%40x.example&_form=demo"},
		{"/v1/forms/acme", media, parts},
		{"/v1/forms/acme", "application/json", `{"user[mail]":"ann@x.example","_form":"demo","org":{"name":"X"}}`},
		{"/v1/beacons", "application/json", `{"site":"acme","type":"form_submit","props":` +
			`{"form":"demo","fields":{"user[mail]":"ann@x.example"}}}`},
		{"/v1/identify", "application/json", `{"writeKey":"acme","anonymousId":"b1","traits":` +
			`{"workMail":"ann@x.example","email":"private@x.example"}}`},
		{"/com.snowplowanalytics.snowplow/tp2", "application/json", `{"data":[{"e":"ue","aid":"acme",` +
			`"ue_pr":` + strconv.Quote(`{"data":{"schema":"iglu:com.snowplowanalytics.snowplow/`+
			`submit_form/jsonschema/1-0-0","data":{"formId":"demo","elements":[{"name":"user[mail]",`+
			`"value":"ann@x.example"}]}}}`) + `}]}`},
	} {
		if w := e.post(c.path, c.body, "Content-Type", c.media); w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", c.path, c.media, w.Code, w.Body)
		}
	}
	got := e.tape.read(t).submissions
	if len(got) != 6 {
		t.Fatalf("%d submissions, want 6", len(got))
	}
	for i, s := range got {
		if s.Email != "ann@x.example" {
			t.Errorf("submission %d: %v", i, s)
		}
	}
	if got[2].Company != "X" {
		t.Errorf("company %q of an object", got[2].Company)
	}
}

func TestSpamRules(t *testing.T) {
	const sent = 1_767_225_600_000_000
	f := &Form{Traps: []string{"website", "/more/fax"}, MinFill: 3 * time.Second}
	for fields, want := range map[string]string{
		`{}`:                                   "",
		`{"website":""}`:                       "",
		`{"website":"  "}`:                     "",
		`{"website":null}`:                     "",
		`{"website":false}`:                    "",
		`{"website":["",""]}`:                  "",
		`{"website":"x"}`:                      SpamTrap,
		`{"website":["","x"]}`:                 SpamTrap,
		`{"more":{"fax":1}}`:                   SpamTrap,
		`{"_trap":"x"}`:                        SpamTrap,
		`{"trap":"x","_started":"yesterday"}`:  "",
		`{"_started":1767225597001}`:           SpamTooFast,
		`{"_started":"1767225597001"}`:         SpamTooFast,
		`{"_started":"2026-01-01T00:00:00Z"}`:  SpamTooFast,
		`{"_started":1767225597000}`:           "",
		`{"_started":1767225600001}`:           "", // a clock that is ahead
		`{"_started":-5}`:                      "",
		`{"_started":""}`:                      "",
		`{"_started":{}}`:                      "",
		`{"_started":1767225600000,"_trap":1}`: SpamTrap,
	} {
		if got := f.spamRule(gjson.Parse(fields), sent); got != want {
			t.Errorf("%s: %q, want %q", fields, got, want)
		}
	}
	if got := (&Form{}).spamRule(gjson.Parse(`{"_started":1767225600000}`), sent); got != "" {
		t.Errorf("no least time: %q", got)
	}
}

// A bot hears what people hear, and what it sent is kept and marked.
func TestSpamIsMarkedSilently(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Forms = []Form{{Name: "demo", Traps: []string{"password2"}}}
	}).run(t)
	for _, body := range []string{
		"email=ann%40x.example&_form=demo&_redirect=/thanks&password2=",
		"email=bot%40x.example&_form=demo&_redirect=/thanks&password2=hunter2",
		"email=bot%40x.example&_redirect=/thanks&_started=" + strconv.FormatInt(time.Now().UnixMilli(), 10),
	} {
		w := e.post("/v1/forms/acme", body, "Content-Type", urlencoded)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/thanks" {
			t.Errorf("%s: %d %v", body, w.Code, w.Header())
		}
	}
	var rules []string
	for _, s := range e.tape.read(t).submissions {
		rules = append(rules, s.SpamRule)
		if strings.Contains(string(s.Fields), "hunter2") || s.Email == "" {
			t.Errorf("submission %v", s)
		}
	}
	if diff := cmp.Diff([]string{"", SpamTrap, SpamTooFast}, rules); diff != "" {
		t.Error(diff)
	}
}

func TestConsentOfAForm(t *testing.T) {
	f := &Form{Consents: []FormConsent{
		{Field: "news", Grants: []string{"marketing", "profiling"}},
		{Field: "/more/calls", Grants: []string{"calls"}},
	}}
	for fields, want := range map[string]string{
		`{}`:                                 "",
		`{"news":""}`:                        "",
		`{"news":null}`:                      "",
		`{"news":"on"}`:                      "marketing+ profiling+",
		`{"news":"newsletter"}`:              "marketing+ profiling+",
		`{"news":["0","1"]}`:                 "marketing+ profiling+",
		`{"news":[]}`:                        "",
		`{"news":" No "}`:                    "marketing- profiling-",
		`{"news":0}`:                         "marketing- profiling-",
		`{"news":true,"more":{"calls":"n"}}`: "marketing+ profiling+ calls-",
	} {
		var got []string
		for _, c := range f.consents(gjson.Parse(fields)) {
			sign := "-"
			if c.Granted {
				sign = "+"
			}
			got = append(got, c.Purpose+sign)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", fields, got, want)
		}
	}
}

func TestRedirectsHome(t *testing.T) {
	e := newEdge(t, nil).run(t)
	for _, c := range []struct{ site, origin, want string }{
		{"acme", "", "/thanks"},
		{"acme", "https://acme.example", "https://acme.example/thanks"},
		{"count", "https://any.example", "/thanks"}, // any origin is none that the site names
		{"default", "http://localhost:3000", "http://localhost:3000/thanks"},
		{"default", "null", "/thanks"},
	} {
		w := e.post("/v1/forms/"+c.site, "_redirect=/thanks", "Content-Type", urlencoded,
			"Origin", c.origin)
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != c.want {
			t.Errorf("site %s, origin %q: %d %q, want %q", c.site, c.origin, w.Code, got, c.want)
		}
	}
}

func TestDoubleOptIn(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Forms = []Form{{Name: "news", ConfirmWithin: time.Hour}}
	}).run(t)
	e.post("/v1/forms/acme", "email=ann%40x.example&_form=news", "Content-Type", urlencoded)
	e.post("/v1/forms/acme", "email=ann%40x.example&_form=other", "Content-Type", urlencoded)
	s := e.tape.read(t).submissions
	if s[0].ConfirmUntilUs != s[0].ReceivedAtUs+3_600_000_000 || s[1].ConfirmUntilUs != 0 {
		t.Errorf("submissions %v", s)
	}
}

// Nobody is asked about traffic of the past.
func TestRecordedFormsAreNotConfirmed(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Forms = []Form{{Name: "news", ConfirmWithin: time.Hour}}
		cfg.Clock = NewRecordedClock()
	}).run(t)
	e.post("/v1/forms/acme", "email=ann%40x.example&_form=news", "Content-Type", urlencoded)
	if s := e.tape.read(t).submissions; len(s) != 1 || s[0].ConfirmUntilUs != 0 {
		t.Errorf("submissions %v", s)
	}
}
