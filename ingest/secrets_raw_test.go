package ingest

import (
	"encoding/base64"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestSecretsAtAnyDepth(t *testing.T) {
	for _, c := range []struct {
		in, out string
		dropped int
	}{
		{`{"a":{"b":[{"password":"x","c":1}]}}`, `{"a":{"b":[{"c":1}]}}`, 1},
		{`{"card[number]":"x","card":{"cvc":"1","holder":"Ann"}}`, `{"card":{"holder":"Ann"}}`, 2},
		{`["4111 1111 1111 1111","ok",4111111111111111]`, `["ok"]`, 2},
		{`[{"name":"password","value":"x"},{"name":"email","value":"y"}]`, `[{"name":"password"},{"name":"email","value":"y"}]`, 1},
		{`{"id":"f1","type":"password","value":"x"}`, `{"id":"f1","type":"password"}`, 1},
		{`{"values":"x","field":"otp"}`, `{"field":"otp"}`, 1},
		{`{"payload":"{\"password\":\"x\",\"a\":\"<\"}"}`, `{"payload":"{\"a\":\"<\"}"}`, 1},
		{`{"payload":"[\"{\\\"pin\\\":\\\"x\\\"}\"]"}`, `{"payload":"[\"{}\"]"}`, 1},
		{`{"payload":"{\"a\": 1}","note":"{not json"}`, `{"payload":"{\"a\": 1}","note":"{not json"}`, 0},
	} {
		got, dropped := dropSecrets([]byte(c.in))
		if string(got) != c.out || dropped != c.dropped {
			t.Errorf("%s: %s, %d dropped; want %s, %d", c.in, got, dropped, c.out, c.dropped)
		}
	}
}

// No text can be written so that the search for secrets takes much more than the text has.
func TestSearchForSecretsIsLinear(t *testing.T) {
	const n = 64 << 10
	limits := DefaultLimits()
	limits.RawBytes = n
	clean := func(text string) { cleanURL(text, nil) }
	refuse := func(text string) { withoutSecrets(protocolSnowplow, []byte(text), limits) }
	for name, c := range map[string]struct {
		look func(string)
		text string
	}{
		"fragments": {clean, "/?token=x" + strings.Repeat("#a", n/2)},
		"events":    {refuse, "ue_px=" + strings.Repeat("ue_px", n/5)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.look(c.text)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64*n {
			t.Errorf("%s: %d bytes for a text of %d", name, took, len(c.text))
		}
	}
}

// A refused event of Snowplow's trackers is kept without what was typed, however it is packed.
func TestRefusedEventsKeepNoSecrets(t *testing.T) {
	form := `{"data":{"schema":"iglu:com.snowplowanalytics.snowplow/submit_form/jsonschema/1-0-0",` +
		`"data":{"formId":"f","elements":[{"name":"password","value":"hunter2"},{"name":"a","value":"b"}]}}}`
	open := strings.Replace(form, `,"value":"hunter2"`, "", 1)
	pack := base64.RawURLEncoding.EncodeToString
	limits := DefaultLimits()
	const snowplow, pixel = protocolSnowplow, protocolPixel
	for _, c := range []struct {
		name, protocol, raw, kept string
		cut                       bool
	}{
		{
			"packed", snowplow, `{"e":"xx","ue_px":"` + pack([]byte(form)) + `"}`,
			`{"e":"xx","ue_px":"` + pack([]byte(open)) + `"}`, false,
		},
		{
			"padded", snowplow, `{"ue_px":"` + base64.StdEncoding.EncodeToString([]byte(form)) + `"}`,
			`{"ue_px":"` + pack([]byte(open)) + `"}`, false,
		},
		{
			"context", snowplow, `{"cx":"` + pack([]byte(form)) + `"}`,
			`{"cx":"` + pack([]byte(open)) + `"}`, false,
		},
		{
			"base64 cut off", snowplow, `{"e":"xx","ue_px":"` + pack([]byte(form))[:213] + `!"}`,
			`{"e":"xx"}`, true,
		},
		{
			"json cut off", snowplow, `{"e":"xx","cx":"` + pack([]byte(form[:160])) + `"}`, `{"e":"xx"}`,
			true,
		},
		{
			"text", snowplow, `{"ue_pr":` + strconv.Quote(form) + `}`,
			`{"ue_pr":` + strconv.Quote(open) + `}`, false,
		},
		{
			"query", snowplow, "e=xx&ue_px=" + pack([]byte(form)) + "&aid=acme&co=" + url.QueryEscape(form),
			"e=xx&ue_px=" + pack([]byte(open)) + "&aid=acme&co=" + url.QueryEscape(open), false,
		},
		{
			"query with bad escapes", snowplow,
			"a=%zz&pwd=hunter2%&ue_px=" + pack([]byte(form)) + "%", "a=%zz", true,
		},
		{"form with a bad escape", pixel, "type=form_submit&props=%zz", "type=form_submit", true},
		{"cut off", snowplow, `{"e":"pv","ue_px":"` + pack([]byte(form))[:213], "", true},
		{
			"query of names", pixel, "type=form_submit&password=hunter2&a=b&x=4111+1111+1111+1111",
			"type=form_submit&a=b", false,
		},
		{"form cut off", protocolNative, `{"type":"form_submit","props":{"password":"hunter2"`, "", true},
		{"not a form", protocolForm, "password=hunter2", "", true},
	} {
		kept, cut := withoutSecrets(c.protocol, []byte(c.raw), limits)
		if string(kept) != c.kept || cut != c.cut {
			t.Errorf("%s: kept %s, cut %v; want %s, %v", c.name, kept, cut, c.kept, c.cut)
		}
	}
	for _, c := range []struct{ protocol, raw string }{
		{snowplow, `{"e":"xx","ue_px":"` + pack([]byte(open)) + `"}`},
		{snowplow, "e=xx&co=%7B%7D&ue_px=" + pack([]byte(open))},
		{snowplow, `{"e":"pv","cx":"!"`},
		{snowplow, `{"e":"pv","cx":"!","ue_px":"e30"}`},
		{protocolNative, `{"type":"page_view","props":{"password":1}}`},
		{protocolNative, "\xff\xfe"},
		{protocolNative, ""},
		{protocolForm, ""},
		{pixel, "&&=&"},
		{protocolCombined, `127.0.0.1 - - "GET /?password=form_submit`},
	} {
		if kept, cut := withoutSecrets(c.protocol, []byte(c.raw), limits); string(kept) != c.raw || cut {
			t.Errorf("%s: kept %s, cut %v", c.raw, kept, cut)
		}
	}
}

// FuzzWithoutSecrets holds that what could be read is kept without secrets.
func FuzzWithoutSecrets(f *testing.F) {
	f.Add(protocolSnowplow, []byte(`{"ue_px":"eyJwYXNzd29yZCI6IngifQ","cx":"!",`+
		`"fields":{"a":"{\"pin\":1}"}}`))
	f.Add(protocolSnowplow, []byte("ue_px=eyJwYXNzd29yZCI6IngifQ&cx=%7B&password=x"))
	f.Add(protocolForm, []byte(`{"ue_pr":"{\"password\":\"x`))
	f.Fuzz(func(t *testing.T, protocol string, raw []byte) {
		kept, _ := withoutSecrets(protocol, raw, DefaultLimits())
		if string(kept) == string(raw) ||
			wellFormed(raw, bounds{depth: DefaultLimits().Depth, keys: len(raw)}) != nil {
			return
		}
		if again, dropped := dropSecrets(kept); dropped > 0 {
			t.Fatalf("%q is kept as %q, which holds more than %q", raw, kept, again)
		}
	})
}
