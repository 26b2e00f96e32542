package ingest

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestCutTexts(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":"12345678"}`, `{"a":"12345678"}`},
		{`{"a":"123456789"}`, `{"a":"12345678","_cut":1}`},
		{`{"a":["123456789",{"b":"abcdefghij"}]} `, `{"a":["12345678",{"b":"abcdefgh"}],"_cut":2}`},
		{`{"a name that is long":"x"}`, `{"a name that is long":"x"}`},
		{`{"a name that is long" : "123456789"}`, `{"a name that is long" : "12345678","_cut":1}`},
		{`{"a":"1234567é9"}`, `{"a":"1234567","_cut":1}`},
		{`{"a":"123456é9"}`, `{"a":"123456é","_cut":1}`},
		{`{"a":"1234567\n9"}`, `{"a":"1234567","_cut":1}`},
		{`{"a":"1234567\"\"\""}`, `{"a":"1234567","_cut":1}`},
		{`{"a":"123\u00e99"}`, `{"a":"123","_cut":1}`},
		{`{"a":"\ud83d\ude00\ud83d\ude00"}`, `{"a":"","_cut":1}`},
		{`{"a":"\u0000\u0000"}`, `{"a":"\u0000","_cut":1}`},
	} {
		got := string(cutTexts([]byte(c.in), 8))
		if got != c.want || !gjson.Valid(got) {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	e := newEdge(t, nil).run(t)
	long := strings.Repeat("ä", 8<<10)
	w := e.post("/v1/beacons",
		`{"site":"acme","type":"custom","props":{"name":"a","text":"`+long+`"}}`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	props := gjson.ParseBytes(e.tape.read(t).beacons[0].Props)
	if text := props.Get("text").Str; len(text) != 8<<10 || !strings.HasPrefix(long, text) ||
		props.Get("_cut").Int() != 1 || props.Get("name").Str != "a" {
		t.Errorf("props %.100s, %d bytes of text", props.Raw, len(text))
	}
	// What was typed into a form is kept whole.
	e.send("POST", "/v1/forms/acme", "message="+long,
		"Content-Type", "application/x-www-form-urlencoded")
	if s := e.tape.read(t).submissions[0]; gjson.GetBytes(s.Fields, "message").Str != long {
		t.Errorf("%d bytes of fields", len(s.Fields))
	}
}
