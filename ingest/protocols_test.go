package ingest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"

	"github.com/cockroachdb/datadriven"
	"github.com/tidwall/gjson"
)

// A request in, its answer and what reached the log out. It is midnight on 1 January 2000.
func TestProtocolStories(t *testing.T) {
	for _, file := range []string{"snowplow.txt", "segment.txt", "options.txt"} {
		t.Run(file, func(t *testing.T) {
			change := func(cfg *Config) {
				cfg.Sites[1].Redirects = []string{"shop.example", "127.0.0.1:8080"}
				cfg.Sites[1].Heartbeat = 15 * time.Second
				if file == "options.txt" {
					cfg.StrictKeys = true
					cfg.Snowplow = Snowplow{
						DoNotTrack: DoNotTrack{"optout", regexp.MustCompile("^(1|yes)$")},
						Paths: map[string]string{
							"/com.acme/go": PathRedirect, "/com.acme/hook": PathHook, "/com.acme/t1": PathPayload,
						},
					}
				}
			}
			bubble(t, change, func(t *testing.T, e *edge, stop func()) {
				defer stop()
				e.tellStory(t, "testdata/"+file)
			})
		})
	}
}

func (e *edge) tellStory(t *testing.T, file string) {
	before := e.tape.read(t)
	datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
		head, body, _ := strings.Cut(d.Input, "\n\n")
		lines := strings.Split(head, "\n")
		method, target, _ := strings.Cut(lines[0], " ")
		headers := []string{"User-Agent", "Story/1.0"}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			headers = append(headers, name, value)
		}
		w := e.send(method, target, body, headers...)
		var out strings.Builder
		fmt.Fprintln(&out, w.Code)
		for _, name := range slices.Sorted(maps.Keys(w.Header())) {
			switch name {
			case "Content-Type", "Location", "Set-Cookie", "Access-Control-Allow-Origin",
				"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Allow":
				for _, value := range w.Header()[name] {
					fmt.Fprintf(&out, "%s: %s\n", name, redacted(value))
				}
			}
		}
		if text := strings.TrimSpace(w.Body.String()); strings.HasPrefix(text, "GIF89a") {
			fmt.Fprintf(&out, "an image of %d bytes\n", w.Body.Len())
		} else if text != "" {
			fmt.Fprintln(&out, text)
		}
		after := e.tape.read(t)
		for _, b := range after.beacons[len(before.beacons):] {
			tellBeacon(&out, b)
		}
		for _, s := range after.submissions[len(before.submissions):] {
			fmt.Fprintf(&out, "submission %s of %s %s: form %q, email %q, %q %q, phone %q, company %q\n"+
				"  fields: %s\n", s.Kind.Name(), s.SubmissionId, s.Consent.Name(), s.Form, s.Email,
				s.FirstName, s.LastName, s.Phone, s.Company, s.Fields)
		}
		for _, b := range after.bad[len(before.bad):] {
			fmt.Fprintf(&out, "bad %s: site %q, %s: %s %s\n  %q\n",
				b.Protocol, b.Site, b.Reason, b.Detail, b.Path, b.Raw)
		}
		before = after
		return out.String()
	})
}

// redacted hides what is drawn at random.
func redacted(cookie string) string {
	name, rest, _ := strings.Cut(cookie, "=")
	value, attributes, _ := strings.Cut(rest, ";")
	if strings.HasPrefix(name, "ct_") && value != "" && value != someVisitor {
		return name + "=(random);" + attributes
	}
	return cookie
}

func tellBeacon(out *strings.Builder, b *schemas.Beacon) {
	at := func(us int64) string {
		if us == 0 {
			return ""
		}
		return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.999Z")
	}
	id, visitor, clamped := b.EventId, b.VisitorId, ""
	if len(id) == 36 && id[14] == '7' {
		id = "(made)"
	}
	if len(visitor) == visitorChars && visitor != someVisitor {
		visitor = "(random)"
	}
	if b.Clamped {
		clamped = "yes"
	}
	campaign := ""
	if b.Campaign != nil {
		campaign = strings.Join([]string{
			b.Campaign.Source, b.Campaign.Medium, b.Campaign.Name, b.Campaign.Term, b.Campaign.Content,
		}, "/")
	}
	fmt.Fprintf(out, "%s %s, site %s, %s\n", b.Type.Name(), id, b.Site, b.Consent.Name())
	for _, f := range []struct{ name, value string }{
		{"visitor", visitor},
		{"created", at(b.CreatedAtUs)},
		{"sent", at(b.SentAtUs)},
		{"occurred", at(b.OccurredAtUs)},
		{"clamped", clamped},
		{"url", b.Url},
		{"referrer", b.Referrer},
		{"title", b.Title},
		{"user_agent", b.UserAgent},
		{"bot_rule", b.Agent.GetBotRule()},
		{"language", b.Agent.GetLanguage()},
		{"ip", b.Ip},
		{"campaign", campaign},
		{"engaged_ms", strings.TrimPrefix(fmt.Sprint(b.EngagedMs), "0")},
		{"referring_visitor", b.ReferringVisitorId},
		{"referring_visitor_at", at(b.ReferringVisitorAtUs)},
		{"props", string(b.Props)},
	} {
		if f.value != "" {
			fmt.Fprintf(out, "  %s: %s\n", f.name, f.value)
		}
	}
}

// Whatever comes, by any protocol: an answer that its clients know what to make of, a reason, and a
// bounded piece of it in bad-beacons.
func TestHostileInput(t *testing.T) {
	e := newEdge(t, nil).run(t)
	deep := func(levels int) string {
		return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
	}
	keys := func(n int) string {
		var out strings.Builder
		for i := range n {
			fmt.Fprintf(&out, `"k%d":1,`, i)
		}
		return out.String()
	}
	for _, c := range []struct {
		name, body, coding string
		// What a tracker's event and a library's call are refused for.
		snowplow, segment string
	}{
		{"empty", "", "", ReasonInvalidJSON, ReasonInvalidJSON},
		{"no JSON", `{"data":[{]`, "", ReasonInvalidJSON, ReasonInvalidJSON},
		{"two values", `{"data":[]}{}`, "", ReasonInvalidJSON, ReasonInvalidJSON},
		{"invalid UTF-8", `{"data":[{"e":"pv","aid":"acme","page":"` + "\xff" + `"}],"event":"E","userId":"` +
			"\xff" + `"}`, "", ReasonInvalidUTF8, ReasonInvalidUTF8},
		{
			"NUL", `{"data":[{"e":"pv","aid":"a\u0000","p":1}],"event":"E","userId":"\u0000"}`, "",
			ReasonInvalidValue, ReasonMissingField,
		},
		{
			"lone surrogate", `{"data":[{"e":"pv","aid":"acme","page":"\udc00"}],"event":"\ud800","userId":"u"}`, "",
			ReasonInvalidUnicode, ReasonInvalidUnicode,
		},
		{"deep", deep(4000), "", ReasonTooDeep, ReasonTooDeep},
		{"deep inside", `{"data":[{"e":"ue","aid":"acme","ue_pr":` + quote(deep(99)) + `}],"event":"E",` +
			`"userId":"u","properties":` + deep(99) + "}", "", ReasonTooDeep, ReasonTooDeep},
		{
			"huge number", `{"data":[{"e":"pv","aid":"acme","x":1e309}],"event":"E","userId":"u","a":1e309}`, "",
			ReasonInvalidValue, ReasonInvalidValue,
		},
		{
			"key twice", `{"data":[{"e":"pv","e":"pp","aid":"acme"}],"event":"E","event":"F","userId":"u"}`, "",
			ReasonDuplicateKey, ReasonDuplicateKey,
		},
		{"many keys", `{"data":[{` + keys(40_000) + `"e":"pv"}]}`, "", ReasonTooLarge, ReasonTooLarge},
		{
			"some keys", `{"data":[{` + keys(300) + `"":1}],` + keys(300) + `"":1}`, "",
			ReasonTooManyKeys, ReasonTooManyKeys,
		},
		{"too long", strings.Repeat(" ", 1<<20+1), "", ReasonTooLarge, ReasonTooLarge},
		{"bomb", packed(t, strings.Repeat(" ", 64<<20)), "gzip", ReasonTooLarge, ReasonTooLarge},
		{"cut gzip", packed(t, "{}")[:20], "gzip", ReasonInvalidGzip, ReasonInvalidGzip},
		{"gzip in gzip", packed(t, packed(t, "{}")), "gzip", ReasonInvalidJSON, ReasonInvalidJSON},
		{"brotli", "{}", "br", ReasonEncoding, ReasonEncoding},
		{
			"many events", `{"data":[` + strings.Repeat("1,", 2500) + "1]}", "",
			ReasonTooManyBeacons, ReasonMissingField,
		},
	} {
		for _, by := range []struct{ target, reason string }{
			{"/com.snowplowanalytics.snowplow/tp2", c.snowplow}, {"/v1/track", c.segment},
		} {
			t.Run(c.name+by.target, func(t *testing.T) {
				before := e.Counts().RejectedByReason[by.reason]
				w := e.post(by.target, c.body, "Content-Encoding", c.coding,
					"Content-Type", "image/png", "Authorization", "Basic YWNtZTo=")
				if w.Code != http.StatusOK && (w.Code != http.StatusBadRequest || by.target != "/v1/track") {
					t.Errorf("status %d %s", w.Code, w.Body)
				}
				if got := e.Counts(); got.RejectedByReason[by.reason] != before+1 || got.Accepted > 0 {
					t.Errorf("want one %s: %v, %d accepted", by.reason, got.RejectedByReason, got.Accepted)
				}
				bad := e.tape.read(t).bad
				if last := bad[len(bad)-1]; len(last.Raw) > 8<<10 || last.Reason != by.reason {
					t.Errorf("kept %d bytes of %s", len(last.Raw), last.Reason)
				}
			})
		}
	}
}

// The limits of the tracking API are on what a gzipped body unpacks to.
func TestSegmentLimits(t *testing.T) {
	e := newEdge(t, nil).run(t)
	const event = `{"type":"track","event":"E","userId":"u","properties":{"a":""}}`
	sized := func(bytes int) string {
		return strings.Replace(event, `""`, `"`+strings.Repeat("x", bytes-len(event))+`"`, 1)
	}
	batch := func(events int, each string) string {
		return `{"batch":[` + strings.TrimSuffix(strings.Repeat(each+",", events), ",") + `]}`
	}
	for _, c := range []struct {
		target, body               string
		status, accepted, rejected int64
	}{
		{"/v1/track", sized(32 << 10), 200, 1, 0},
		{"/v1/track", sized(32<<10 + 1), 400, 0, 1},
		{"/v1/batch", batch(2500, event), 200, 2500, 0},
		{"/v1/batch", batch(2501, event), 400, 0, 1},
		{"/v1/batch", batch(1, sized(32<<10)+","+sized(32<<10+1)+","+event), 200, 2, 1},
		{"/v1/batch", batch(15, sized(32<<10)), 200, 15, 0},
		{"/v1/batch", `{"context":{"app":"` + strings.Repeat("x", 4<<10-10) + `"},` +
			batch(3, event)[1:], 200, 3, 0},
		{"/v1/batch", `{"context":{"app":"` + strings.Repeat("x", 4<<10-9) + `"},` +
			batch(3, event)[1:], 200, 0, 3},
		{"/v1/batch", `{"context":{"app":"\ud800"},` + batch(3, event)[1:], 200, 0, 3},
		{"/v1/batch", batch(16, sized(32<<10)), 400, 0, 1},
	} {
		for _, coding := range []string{"", "gzip"} {
			body := c.body
			if coding != "" {
				body = packed(t, body)
			}
			before := e.Counts()
			w := e.post(c.target, body, "Authorization", "Basic YWNtZTo=", "Content-Encoding", coding)
			after := e.Counts()
			if int64(w.Code) != c.status || after.Accepted-before.Accepted != c.accepted ||
				after.Rejected()-before.Rejected() != c.rejected {
				t.Errorf("%s of %d bytes, %q: %d %s, %d accepted, %d rejected", c.target, len(c.body),
					coding, w.Code, w.Body, after.Accepted-before.Accepted, after.Rejected()-before.Rejected())
			}
		}
	}
}

// While the log takes nothing, and from an address that asks too often, every protocol's answer is
// one to send again on, with a time; a redirect does not lead on before its click is kept.
func TestProtocolsBackPressure(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Sites[1].Redirects = []string{"shop.example"}
		cfg.Limits = DefaultLimits()
		cfg.Limits.RequestsPerSecond, cfg.Limits.RequestsAtOnce = 0.001, 4
	}).run(t)
	requests := []struct{ method, target, body string }{
		{"POST", "/com.snowplowanalytics.snowplow/tp2", `{"data":[{"e":"pv","aid":"acme"}]}`},
		{"GET", "/i?e=pv&aid=acme", ""},
		{"GET", "/r/tp2?aid=acme&u=https%3A%2F%2Fshop.example%2F", ""},
		{"POST", "/v1/t", `{"writeKey":"acme","event":"E","userId":"u"}`},
	}
	e.tape.fail(errors.New("no broker"))
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		for _, r := range requests {
			w := e.send(r.method, r.target, r.body, "Origin", "https://acme.example")
			h := w.Header()
			if w.Code != want || !strings.HasSuffix(w.Body.String(), " later\n") ||
				h.Get("Retry-After") == "" || h.Get("Location") != "" ||
				h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") == "" ||
				!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") ||
				(h.Get("X-RateLimit-Reset") != "") != (want == http.StatusTooManyRequests) {
				t.Errorf("%s: %d %v, want %d", r.target, w.Code, h, want)
			}
		}
	}
}

func TestRedirectsAreOff(t *testing.T) {
	e := newEdge(t, nil).run(t)
	w := e.send("GET", "/r/tp2?aid=acme&u=https%3A%2F%2Facme.example%2F", "")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "redirects disabled") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The library is told the address under which it asked, as proxies pass it on.
func TestSettingsBehindProxy(t *testing.T) {
	e := newEdge(t, nil)
	w := e.send("GET", "/v1/projects/acme/settings", "", "Origin", "https://acme.example",
		"X-Forwarded-Host", "acme.example", "X-Forwarded-Prefix", "/e/")
	if !strings.Contains(w.Body.String(), `"apiHost":"acme.example/e/v1","protocol":"https"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// FuzzSnowplowPayload holds any body to the limits, and its beacons to what the log may contain.
func FuzzSnowplowPayload(f *testing.F) {
	f.Add([]byte(`{"data":[{"e":"pv","aid":"acme","eid":"1","dtm":"1","stm":"2","page":"\ud83c\udf6a"}]}`))
	f.Add([]byte(`{"data":[{"e":"se","aid":"a","se_ca":"c","se_ac":"a"},{"e":"ue","aid":"a","ue_px":"e30"}]}`))
	f.Add([]byte(`{"data":[{"e":"ue","aid":"a","ue_pr":"{\"data\":{\"schema\":\"iglu:v/n/j/1\",\"data\":[1]}}"}]}`))
	f.Add([]byte(`{"data":[` + "\xff" + `,{"a":"\u0000"},{"e":1e308}]}`))
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, body []byte) {
		events := 0
		bad := decodePayload(body, func(raw []byte) {
			events++
			p, bad := jsonParams(raw, limits)
			checkSnowplow(t, p, bad, limits)
		})
		if bad != nil && (bad.Reason == "" || events > 0) || events > snowplowEvents {
			t.Fatalf("%d events, and %v", events, bad)
		}
	})
}

// FuzzSnowplowQuery is FuzzSnowplowPayload for queries, and those of a redirect.
func FuzzSnowplowQuery(f *testing.F) {
	f.Add("e=pv&aid=acme&url=https%3A%2F%2Facme.example%2F&u=x", "")
	f.Add("aid=acme&u=https%3A%2F%2Facme.example%2F%3Femail%3Da%40b.c", "")
	f.Add("%ff=%00&&=;", "")
	f.Add("aid=a&schema=iglu%3Av%2Fn%2Fj%2F1", `{"schema":"iglu:v/n/j/1","data":{"a":"\ud800"}}`)
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, query, body string) {
		p, bad := queryParams(query, limits)
		checkSnowplow(t, p, bad, limits)
		p, bad = queryParams(query, limits)
		checkSnowplow(t, p.redirected("acme"), bad, limits)
		p, bad = hookParams(query, []byte(body), limits)
		checkSnowplow(t, p, bad, limits)
	})
}

// FuzzSnowplowPacked holds what comes in base64 to the limits.
func FuzzSnowplowPacked(f *testing.F) {
	f.Add("eyJkYXRhIjpbeyJzY2hlbWEiOiJpZ2x1OnYvbi9qLzEiLCJkYXRhIjp7fX1dfQ==")
	f.Add("eyJkYXRhIjp7InNjaGVtYSI6ImlnbHU6di9uL2ovMSIsImRhdGEiOnsiYSI6MX19fQ")
	f.Add("!")
	f.Add("_-+/ ==")
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"cx", "ue_px", "co", "ue_pr"} {
			p := &params{values: map[string]string{}}
			p.set("e", "ue")
			p.set("aid", "acme")
			p.set("ue_pr", selfDescribing(uriRedirect, `{"uri":"x"}`))
			if name == "ue_px" {
				delete(p.values, "ue_pr")
			}
			p.set(name, text)
			checkSnowplow(t, p, nil, limits)
		}
	})
}

// checkSnowplow holds an event that was read to what the log may contain.
func checkSnowplow(t *testing.T, p *params, bad *Rejection, limits Limits) {
	t.Helper()
	var c *claim
	if bad == nil {
		c, bad = decodeSnowplow(p, limits)
	}
	if bad != nil {
		if bad.Reason == "" {
			t.Fatal("refused without a reason")
		}
		return
	}
	checkClaim(t, c, limits)
}

// FuzzSegment holds any body to the limits, and its beacons to what the log may contain.
func FuzzSegment(f *testing.F) {
	f.Add("batch", []byte(`{"batch":[{"type":"track","event":"E","userId":"u",
		"timestamp":"2026-01-01T00:00:00Z"}],"context":{"ip":"192.0.2.1","locale":"de"},"sentAt":"2026-01-01T00:00:01Z","writeKey":"acme"}`))
	f.Add("identify", []byte(`{"userId":"u","traits":{"name":"Ada Lovelace",
		"company":{"name":"E"},"otp":1}}`))
	f.Add("page", []byte(`{"anonymousId":"a","name":"n",
		"properties":{"url":"https://a.example/?token=x","k":1}}`))
	f.Add("", []byte(`{"type":"group","userId":1e308,"groupId":"\u0000","traits":{"a":"\ud800"}}`))
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, call string, body []byte) {
		one := func(call string, raw []byte, batch segmentBatch) {
			m, bad := parseSegment(call, raw, batch, "", limits)
			if bad != nil {
				if bad.Reason == "" {
					t.Fatal("refused without a reason")
				}
				return
			}
			checkClaim(t, m.claim("acme"), limits)
		}
		one(segmentCall(call), body, segmentBatch{})
		list, batch, bad := segmentMembers(body)
		if bad != nil {
			return
		}
		if batch.bad = checkContext(batch.context.Raw, limits); batch.bad != nil {
			batch.context = gjson.Result{}
		}
		events := 0
		_ = elements(body, list, segmentEvents, func(raw []byte) { events++; one("", raw, batch) })
		if events > segmentEvents {
			t.Fatalf("%d events", events)
		}
	})
}

// checkClaim holds what a protocol makes of an event to what the log may contain: text, JSON that
// is bounded, no more of a person than the consent allows.
func checkClaim(t *testing.T, c *claim, limits Limits) {
	t.Helper()
	b := c.beacon
	for _, text := range []string{
		b.EventId, b.Site, b.Url, b.Referrer, b.Title, b.UserAgent, c.visitor, c.user, c.form,
		b.Agent.GetLanguage(), b.Campaign.GetName(),
	} {
		if !cleanName(text) || len(text) > 4*maxURL {
			t.Fatalf("no text: %q", text)
		}
	}
	if b.Type == schemas.BeaconType_BEACON_TYPE_UNSPECIFIED {
		t.Fatal("no type")
	}
	const none, all = schemas.Consent_CONSENT_NONE, schemas.Consent_CONSENT_IDENTIFIED
	for consent := none; consent <= all; consent++ {
		props := c.props(consent)
		if len(props) == 0 {
			continue
		}
		most := bounds{depth: 2*limits.Depth + 8, keys: 4*limits.Keys + 32, doubles: true}
		if bad := wellFormed(props, most); bad != nil || len(props) > 3*limits.BeaconBytes {
			t.Fatalf("%d bytes of props %q: %v", len(props), props, bad)
		}
		if bad := cleanText(props); bad != nil {
			t.Fatalf("props %q: %v", props, bad)
		}
		raw := gjson.GetBytes(props, rawKey)
		for name, least := range map[string]schemas.Consent{
			"uid": all, "userId": all, "duid": all - 1, "sid": all - 1, "anonymousId": all - 1,
		} {
			if raw.Get(name).Exists() && consent < least {
				t.Fatalf("%s of consent %s: %s", name, consent.Name(), props)
			}
		}
	}
	s, _ := forms(nil).submission(&schemas.Beacon{}, c.form, c.fields)
	if len(s.Fields) > 0 {
		holdsNoSecret(t, s.Fields, limits)
	}
}
