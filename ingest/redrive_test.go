package ingest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// shop is a site that the collector of TestRedrive learns of too late.
func shop(cfg *Config) {
	cfg.Sites = append(cfg.Sites, Site{
		Key: "shop", Origins: []string{"https://shop.example"}, Consent: ConsentImplied,
		Redirects: []string{"shop.example"},
	})
}

func newRedriver(t testing.TB, change func(*Config)) *Redriver {
	t.Helper()
	cfg := Config{Partitions: testPartitions, Sites: testSites()}
	if change != nil {
		change(&cfg)
	}
	d, err := NewRedriver(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// drive drives a bad beacon and reads what came of it.
func drive(t testing.TB, d *Redriver, bad *schemas.BadBeacon) (Redriven, logged) {
	t.Helper()
	out := d.Drive(bad, time.Now())
	var log logged
	for _, m := range out.Messages {
		log.take(t, m)
	}
	if len(log.beacons) != out.Accepted {
		t.Errorf("%d beacons, %d accepted", len(log.beacons), out.Accepted)
	}
	return out, log
}

// ways are all the ways in which one event of the site shop can come.
func ways() map[string]func(e *edge) {
	event := `{"id":"1","site":"shop","type":"page_view","visitor":"v1",
		"created_at":"2020-01-01T00:00:00Z","url":"https://shop.example/a?utm_source=x"}`
	headers := []string{
		"Origin", "https://shop.example", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0",
		"Accept-Language", "de-CH,de", "Referer", "https://shop.example/from",
		"Content-Type", "application/json", "Cookie", "ct_visitor=AAAAAAAAAAAAAAAAAAAAAA",
	}
	post := func(target, body string, more ...string) func(e *edge) {
		return func(e *edge) { e.post(target, body, append(more, headers...)...) }
	}
	get := func(target string) func(e *edge) {
		return func(e *edge) { e.send(http.MethodGet, target, "", headers...) }
	}
	packed := base64.RawURLEncoding.EncodeToString(
		[]byte(selfDescribing("iglu:a/b/jsonschema/1-0-0", `{"c":1}`)))
	tracker := `{"e":"ue","eid":"1","aid":"shop","duid":"v1","dtm":"1577836800000",
		"stm":"1577836860000","tv":"js-4.6.0","p":"web","ue_px":"` + packed + `"}`
	call := `{"type":"track","event":"Bought","messageId":"1","anonymousId":"v1","channel":"browser",
		"writeKey":"shop","originalTimestamp":"2020-01-01T00:00:00Z","sentAt":"2020-01-01T00:01:00Z"}`
	return map[string]func(e *edge){
		"native":  post("/v1/beacons", event),
		"batch":   post("/v1/beacons", `{"sent_at":"2020-01-01T00:02:00Z","beacons":[`+event+`]}`),
		"pixel":   get("/v1/pixel.gif?id=1&site=shop&props=%7B%22a%22:1%7D"),
		"form":    post("/v1/forms/shop", `{"_form":"demo","_url":"https://shop.example/f","email":"a@b.example"}`),
		"tracker": post("/com.snowplowanalytics.snowplow/tp2", `{"schema":"x","data":[`+tracker+`]}`),
		"query":   get("/i?e=pv&eid=1&aid=shop&duid=v1&dtm=1577836800000&stm=1577836860000&page=T"),
		"hook": post("/com.snowplowanalytics.iglu/v1?aid=shop&eid=1&p=web&schema="+
			url.QueryEscape("iglu:a/b/jsonschema/1-0-0"), `{"c":1}`),
		"hook by query": get("/com.snowplowanalytics.iglu/v1?aid=shop&eid=1&p=web&c=1&schema=" +
			url.QueryEscape("iglu:a/b/jsonschema/1-0-0")),
		"call": post("/v1/t", call),
		"calls": post("/v1/batch", `{"context":{"page":{"url":"https://shop.example/b"},"locale":"en"},`+
			`"sentAt":"2020-01-01T00:03:00Z","batch":[`+strings.Replace(call, `"sentAt"`, `"x"`, 1)+`]}`),
		"identify": post("/v1/i", `{"messageId":"1","anonymousId":"v1","channel":"browser",
			"traits":{"email":"a@b.example"}}`, "Authorization", "Bearer shop"),
	}
}

// What is driven again comes out as if it had been taken at once, by whatever way it came.
func TestRedriveIsAsIfTakenAtOnce(t *testing.T) {
	for name, send := range ways() {
		t.Run(name, func(t *testing.T) {
			late, early := newEdge(t, nil).run(t), newEdge(t, shop).run(t)
			send(late)
			send(early)
			refused, want := late.tape.read(t), early.tape.read(t)
			if len(refused.bad) != 1 || len(want.beacons) != 1 {
				t.Fatalf("refused %v\ntaken %v %v", refused, want.beacons, want.bad)
			}
			bad := refused.bad[0]
			if out := newRedriver(t, nil).Drive(bad, time.Now()); len(out.Messages) > 0 ||
				len(out.Refused) != 1 || out.Refused[0].Reason != ReasonUnknownSite {
				t.Fatalf("without the site: %+v", out)
			}
			out, got := drive(t, newRedriver(t, shop), bad)
			if out.Accepted != 1 || len(out.Refused) > 0 {
				t.Fatalf("%+v", out)
			}
			b, direct := got.beacons[0], want.beacons[0]
			if !strings.Contains(string(b.Props), `"_redriven_from":"`+bad.BadBeaconId+`"`) {
				t.Errorf("props %s do not name the bad beacon", b.Props)
			}
			if b.ReceivedAtUs != bad.ReceivedAtUs || b.Collector != "" {
				t.Errorf("received %d by %q, want %d", b.ReceivedAtUs, b.Collector, bad.ReceivedAtUs)
			}
			if age := direct.ReceivedAtUs - direct.OccurredAtUs; b.ReceivedAtUs-b.OccurredAtUs != age {
				t.Errorf("it happened %d µs before, want %d", b.ReceivedAtUs-b.OccurredAtUs, age)
			}
			b.Props = unmarked(t, b.Props)
			if diff := cmp.Diff(direct, b, protocmp.Transform(), protocmp.IgnoreFields(direct,
				"received_at_us", "occurred_at_us", "clock_us", "collector", "event_id")); diff != "" {
				t.Error(diff)
			}
			if direct.EventId == "1" && b.EventId != "1" {
				t.Errorf("event id %s", b.EventId)
			}
			if diff := cmp.Diff(want.submissions, got.submissions, protocmp.Transform(),
				protocmp.IgnoreFields(&schemas.Submission{}, "received_at_us", "occurred_at_us",
					"submission_id")); diff != "" {
				t.Error(diff)
			}
			if r := got.bad; len(r) != 1 || r[0].BadBeaconId != bad.BadBeaconId ||
				r[0].RedrivenAtUs == 0 || r[0].RedrivenBeacons != 1 || len(r[0].Raw) > 0 {
				t.Errorf("receipt %v", r)
			}
			_, again := drive(t, newRedriver(t, shop), bad)
			again.beacons[0].Props = unmarked(t, again.beacons[0].Props)
			if !proto.Equal(again.beacons[0], b) {
				t.Errorf("the second time %v\nthe first %v", again.beacons[0], b)
			}
		})
	}
}

// unmarked takes the mark out of props.
func unmarked(t testing.TB, props []byte) []byte {
	t.Helper()
	before, _, found := strings.Cut(string(props), `"`+redrivenKey+`"`)
	switch before = strings.TrimSuffix(before, ","); {
	case !found:
		t.Fatalf("no mark in %s", props)
	case before == "{":
		return nil
	}
	return []byte(before + "}")
}

// Of an input whose parts have different fates, what is refused is kept as a part of it, under an
// id that another redrive gives it, too.
func TestRedriveInParts(t *testing.T) {
	bad := &schemas.BadBeacon{
		BadBeaconId: "b1", ReceivedAtUs: 1e15, Protocol: protocolNative, Reason: ReasonInvalidJSON,
		Raw: []byte(`[{"site":"acme","type":"ping"},{"site":"acme"},{"site":"acme","type":"ping"}]`),
	}
	out, log := drive(t, newRedriver(t, nil), bad)
	if out.Accepted != 2 || len(out.Refused) != 1 || out.Refused[0].Path != "/type" {
		t.Fatalf("%+v", out)
	}
	if log.beacons[0].EventId == log.beacons[1].EventId {
		t.Error("two beacons have one id")
	}
	part := log.bad[0]
	if part.PartOf != "b1" || part.Reason != ReasonMissingField || part.ReceivedAtUs != 1e15 ||
		string(part.Raw) != `{"site":"acme"}` {
		t.Errorf("part %v", part)
	}
	_, again := drive(t, newRedriver(t, nil), bad)
	for i, b := range again.beacons {
		if b.EventId != log.beacons[i].EventId || b.VisitorId != log.beacons[i].VisitorId {
			t.Errorf("the second time %v, the first %v", b, log.beacons[i])
		}
	}
	if again.bad[0].BadBeaconId != part.BadBeaconId {
		t.Errorf("the part has the ids %s and %s", part.BadBeaconId, again.bad[0].BadBeaconId)
	}
}

func TestRedriveOfLines(t *testing.T) {
	line := `192.0.2.7 - - [01/Jan/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "Mozilla"`
	for _, c := range []struct {
		name string
		bad  *schemas.BadBeacon
		want string // the site, empty where it is still refused
	}{
		{"a log's line, repaired", &schemas.BadBeacon{
			Protocol: protocolCombined, Site: "logs", Raw: []byte(line),
		}, "logs"},
		{"not repaired", &schemas.BadBeacon{
			Protocol: protocolCombined, Site: "logs", Raw: []byte(line + " x"),
		}, ""},
		{"a beacon's line", &schemas.BadBeacon{Protocol: protocolNative, Site: "old", Raw: []byte(
			`{"site":"new","visitor":"v","type":"ping","received_at":"2026-01-01T00:00:00Z"}`)}, "new"},
		{"with a site given", &schemas.BadBeacon{
			Protocol: protocolNative, Site: "given",
			Raw:     []byte(`{"site":"new","visitor":"v","type":"ping","received_at":"2026-01-01T00:00:00Z"}`),
			Context: &schemas.BadContext{Call: callSite},
		}, "given"},
		{"without its time", &schemas.BadBeacon{
			Protocol: protocolNative, Raw: []byte(`{"site":"new","visitor":"v","type":"ping"}`),
		}, ""},
	} {
		c.bad.BadBeaconId, c.bad.Source, c.bad.Line, c.bad.ReceivedAtUs = "b", "access.log", 3, 1e15
		out, log := drive(t, newRedriver(t, nil), c.bad)
		switch {
		case c.want == "" && (len(out.Messages) > 0 || len(out.Refused) != 1):
			t.Errorf("%s: %+v", c.name, out)
		case c.want != "" && (out.Accepted != 1 || log.beacons[0].Site != c.want ||
			log.beacons[0].Collector != ""):
			t.Errorf("%s: %+v", c.name, out)
		}
	}
}

func TestRedriveOfWhatIsNotThere(t *testing.T) {
	whole := func() *schemas.BadBeacon {
		return &schemas.BadBeacon{
			BadBeaconId: "b", ReceivedAtUs: 1e15, Protocol: protocolNative,
			Raw: []byte(`{"site":"acme","type":"ping"}`),
		}
	}
	for name, spoil := range map[string]func(*schemas.BadBeacon){
		"cut":       func(b *schemas.BadBeacon) { b.Truncated = true },
		"empty":     func(b *schemas.BadBeacon) { b.Raw = nil },
		"a stage's": func(b *schemas.BadBeacon) { b.Protocol = "sessionize" },
		"timeless":  func(b *schemas.BadBeacon) { b.ReceivedAtUs = 0 },
	} {
		b := whole()
		spoil(b)
		if out := newRedriver(t, nil).Drive(b, time.Now()); out.Hopeless == "" || len(out.Messages) > 0 {
			t.Errorf("%s: %+v", name, out)
		}
	}
	if out := newRedriver(t, nil).Drive(whole(), time.Now()); out.Accepted != 1 {
		t.Errorf("%+v", out)
	}
}

// A refusal of consent still counts when the input is driven again, and so does an origin.
func TestRedriveKeepsConsentAndOrigin(t *testing.T) {
	e := newEdge(t, nil).run(t)
	body := `{"site":"shop","type":"page_view","visitor":"v1"}`
	e.post("/v1/beacons", body, "Cookie", "ct_visitor=AAAAAAAAAAAAAAAAAAAAAA; ct_consent=refused")
	e.post("/v1/beacons", body, "Sec-GPC", "1", "Cookie", "ct_visitor=AAAAAAAAAAAAAAAAAAAAAA")
	e.post("/v1/beacons", body, "Origin", "https://evil.example")
	bad := e.tape.read(t).bad
	for i, want := range []schemas.Consent{
		schemas.Consent_CONSENT_NONE, schemas.Consent_CONSENT_STATISTICAL,
	} {
		if bad[i].Context.VisitorId != "" || bad[i].Context.Ip != "" {
			t.Errorf("%d: kept of who it was: %v", i, bad[i].Context)
		}
		_, log := drive(t, newRedriver(t, shop), bad[i])
		if log.beacons[0].Consent != want {
			t.Errorf("%d: consent %v, want %v", i, log.beacons[0].Consent, want)
		}
	}
	out, _ := drive(t, newRedriver(t, shop), bad[2])
	if len(out.Refused) != 1 || out.Refused[0].Reason != ReasonOrigin {
		t.Errorf("%+v", out)
	}
}

// What is kept beside the bytes of an input holds no secret either, nor when somebody has chosen
// who may not be known; and of an address that leads nowhere as much as of a page's.
func TestContextOfBadBeaconsHoldsNoSecrets(t *testing.T) {
	e := newEdge(t, nil).run(t)
	e.post("/v1/b", `{"writeKey":"nobody","batch":[{"type":"track","event":"E","userId":"u"}],`+
		`"context":{"app":{"name":"x"},"traits":{"password":"sesame"}}}`)
	e.post("/com.snowplowanalytics.iglu/v1?aid=nobody&schema=iglu:a/b/jsonschema/1-0-0&pin=sesame",
		`{"a":1}`)
	e.post("/v1/forms/nobody", `{"_url":"https://a.example/?token=sesame&a=1"}`,
		"Content-Type", "application/json")
	e.post("/v1/beacons", `{"site":"nobody","type":"ping"}`,
		"Referer", "https://a.example/?a=1&email=sesame%40b.example",
		"Cookie", "ct_consent=refused.1700000123.tcf.1."+strings.Repeat("ab", 32))
	e.send(http.MethodGet, "/r/nothing?password=sesame&a=1", "")
	bad := e.tape.read(t).bad
	if len(bad) != 5 {
		t.Fatalf("%d bad beacons", len(bad))
	}
	for _, b := range bad {
		if strings.Contains(b.String(), "sesame") {
			t.Errorf("%s: %v", b.Protocol, b)
		}
	}
	const day = "refused.1699920000.tcf.1."
	for got, want := range map[string]string{
		bad[0].Context.Batch:    `{"app":{"name":"x"},"traits":{}}`,
		bad[1].Context.Query:    "aid=nobody&schema=iglu:a/b/jsonschema/1-0-0",
		bad[2].Context.Url:      "https://a.example/?a=1",
		bad[3].Context.Referrer: "https://a.example/?a=1",
		bad[3].Context.Consent:  day,
		string(bad[4].Raw):      "/r/nothing?a=1",
	} {
		if got != want {
			t.Errorf("kept %q, want %q", got, want)
		}
	}
}

// No secret that was typed is in what is kept, by whatever protocol it came.
func TestBadBeaconsHoldNoSecrets(t *testing.T) {
	e := newEdge(t, nil).run(t)
	form := `{"email":"a@b.example","password":"sesame","card":"4111 1111 1111 1111"}`
	e.post("/v1/forms/nobody", form, "Content-Type", "application/json")
	e.post("/v1/beacons", `{"site":"nobody","type":"form_submit","props":{"fields":`+form+`}}`)
	e.post("/v1/i", `{"writeKey":"nobody","userId":"u","traits":`+form+`}`)
	event := selfDescribing("iglu:com.snowplowanalytics.snowplow/submit_form/jsonschema/1-0-0",
		`{"formId":"f","elements":[{"name":"user","value":"ann"},{"name":"password","value":"sesame"}]}`)
	packed := base64.RawURLEncoding.EncodeToString([]byte(event))
	for _, params := range []string{`"ue_px":"` + packed + `"`, `"ue_pr":` + quote(event)} {
		event := `{"data":[{"e":"ue","aid":"nobody",` + params
		for _, body := range []string{event + `}]}`, event} {
			e.post("/com.snowplowanalytics.snowplow/tp2", body)
		}
	}
	e.send(http.MethodGet, "/i?e=ue&aid=nobody&ue_px="+packed, "")
	e.send(http.MethodGet, "/i?e=ue&aid=nobody&ue_pr="+url.QueryEscape(event), "")
	bad := e.tape.read(t).bad
	if len(bad) != 9 {
		t.Fatalf("%d bad beacons", len(bad))
	}
	for _, b := range bad {
		for _, secret := range []string{"sesame", "4111", packed[80:]} {
			if strings.Contains(string(b.Raw), secret) {
				t.Errorf("%s: %s", b.Protocol, b.Raw)
			}
		}
	}
	// What a form has lost by it, its submission would not have had.
	_, log := drive(t, newRedriver(t, func(cfg *Config) {
		cfg.Sites = append(cfg.Sites, Site{Key: "nobody", Consent: ConsentImplied})
	}), bad[0])
	if len(log.submissions) != 1 || log.submissions[0].Email != "a@b.example" {
		t.Errorf("%v", log.submissions)
	}
}
