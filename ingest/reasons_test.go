package ingest

import (
	"bytes"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"crumbtrail/internal/token"
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// refusal is a request that is refused, and where in it.
type refusal struct {
	reason, protocol string
	// target and body are a GET's where body is empty, else a POST's.
	target, body string
	header       []string
	// path is the JSON pointer to the place, empty where it is all of the input.
	path string
}

// refusals has each reason of each protocol.
func refusals() []refusal {
	const n, form, sp, seg = "/v1/beacons", "/v1/forms/acme", "/com.snowplowanalytics.snowplow/tp2",
		"/v1/t"
	jsonType := []string{"Content-Type", "application/json"}
	zip := []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}
	formType := []string{"Content-Type", "application/x-www-form-urlencoded"}
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	native := func(members string) string { return `{"site":"acme","type":"ping",` + members + `}` }
	event := func(params string) string { return `{"data":[{"aid":"acme","e":"pv",` + params + `}]}` }
	call := func(members string) string {
		return `{"writeKey":"acme","event":"e","userId":"u",` + members + `}`
	}
	long := strings.Repeat("x", 200)
	elsewhere := []string{"Origin", "https://evil.example"}
	return []refusal{
		{ReasonInvalidJSON, "native", n, `{`, nil, ""},
		{ReasonInvalidUTF8, "native", n, native("\"props\":{\"a\":\"\xff\"}"), nil, ""},
		{ReasonInvalidUnicode, "native", n, native(`"props":{"a":"\ud800"}`), nil, ""},
		{ReasonTooLarge, "native", n, native(`"props":{"a":"` + strings.Repeat("x", 70_000) + `"}`), nil, ""},
		{ReasonTooDeep, "native", n, native(`"props":{"a":` + deep + `}`), nil, ""},
		{ReasonTooManyKeys, "native", n, native(`"props":` + manyKeys(300)), nil, ""},
		{ReasonTooManyBeacons, "native", n, "[" + strings.Repeat("1,", 500) + "1]", nil, ""},
		{ReasonDuplicateKey, "native", n, native(`"site":"acme"`), nil, "/site"},
		{ReasonMissingField, "native", n, `{"site":"acme"}`, nil, "/type"},
		{ReasonMissingField, "native", n, `{"type":"ping"}`, nil, "/site"},
		{ReasonWrongType, "native", n, native(`"url":1`), nil, "/url"},
		{ReasonWrongType, "native", n, `1`, nil, ""},
		{ReasonWrongType, "native", n, `{"beacons":1}`, nil, "/beacons"},
		{ReasonInvalidValue, "native", n, native(`"consent":"perhaps"`), nil, "/consent"},
		{ReasonInvalidValue, "native", n, native(`"props":{"a":1e999}`), nil, ""},
		{ReasonInvalidTime, "native", n, native(`"created_at":"noon"`), nil, "/created_at"},
		{ReasonInvalidTime, "native", n, `{"sent_at":"noon","beacons":[]}`, nil, "/sent_at"},
		{ReasonTooLong, "native", n, native(`"id":"` + long + `"`), nil, "/id"},
		{ReasonUnknownSite, "native", n, `{"site":"nobody","type":"ping"}`, nil, "/site"},
		{ReasonOrigin, "native", n, native(`"title":""`), elsewhere, ""},
		{ReasonMediaType, "native", n, native(`"title":""`), []string{"Content-Type", "a/b"}, ""},
		{ReasonEncoding, "native", n, "x", []string{"Content-Encoding", "br"}, ""},
		{ReasonInvalidGzip, "native", n, "x", zip, ""},

		{ReasonInvalidQuery, "pixel", "/v1/pixel.gif?a=%zz", "", nil, ""},
		{ReasonInvalidJSON, "pixel", "/v1/pixel.gif?props=%7B", "", nil, "/props"},
		{ReasonMissingField, "pixel", "/v1/pixel.gif", "", nil, "/site"},
		{ReasonUnknownSite, "pixel", "/v1/pixel.gif?site=nobody", "", nil, "/site"},

		{ReasonInvalidForm, "form", form, "a=%zz", formType, ""},
		{ReasonTooManyKeys, "form", form, strings.Repeat("a=1&", 300), formType, ""},
		{ReasonTooLarge, "form", form, "a=" + strings.Repeat("x", 70_000), formType, ""},
		{ReasonMediaType, "form", form, "x", []string{"Content-Type", "a/b"}, ""},
		{ReasonWrongType, "form", form, "[]", jsonType, ""},
		{ReasonInvalidGzip, "form", form, "x", zip, ""},
		{ReasonUnknownSite, "form", "/v1/forms/nobody", "a=1", formType, ""},
		{ReasonOrigin, "form", form, "a=1", append(formType, elsewhere...), ""},

		{ReasonInvalidJSON, "snowplow", sp, `{`, nil, ""},
		{ReasonMissingField, "snowplow", sp, `{}`, nil, "/data"},
		{ReasonWrongType, "snowplow", sp, `{"data":1}`, nil, "/data"},
		{ReasonWrongType, "snowplow", sp, event(`"url":{}`), nil, "/url"},
		{ReasonDuplicateKey, "snowplow", sp, event(`"e":"pp"`), nil, "/e"},
		{ReasonMissingField, "snowplow", sp, `{"data":[{"e":"pv"}]}`, nil, "/aid"},
		{ReasonMissingField, "snowplow", sp, `{"data":[{"aid":"acme"}]}`, nil, "/e"},
		{ReasonMissingField, "snowplow", sp, `{"data":[{"aid":"acme","e":"se"}]}`, nil, "/se_ca"},
		{ReasonInvalidValue, "snowplow", sp, `{"data":[{"aid":"acme","e":"x"}]}`, nil, "/e"},
		{ReasonInvalidTime, "snowplow", sp, event(`"dtm":"noon"`), nil, "/dtm"},
		{ReasonTooLong, "snowplow", sp, event(`"eid":"` + long + `"`), nil, "/eid"},
		{ReasonInvalidBase64, "snowplow", sp, event(`"cx":"!"`), nil, "/cx"},
		{ReasonInvalidJSON, "snowplow", sp, event(`"co":"{"`), nil, "/co"},
		{ReasonInvalidQuery, "snowplow", "/i?e=%zz", "", nil, ""},
		{ReasonUnknownSite, "snowplow", "/i?e=pv&aid=nobody", "", nil, "/aid"},
		{ReasonInvalidRedirect, "snowplow", "/r/tp2?u=https%3A%2F%2Fevil.example", "", nil, "/u"},
		{ReasonMissingField, "snowplow", "/com.snowplowanalytics.iglu/v1?aid=acme", "", nil, "/schema"},

		{ReasonInvalidJSON, "segment", seg, `{`, nil, ""},
		{ReasonTooLarge, "segment", seg, call(`"a":"` + strings.Repeat("x", 40_000) + `"`), nil, ""},
		{ReasonMissingField, "segment", "/v1/batch", `{}`, nil, "/batch"},
		{ReasonWrongType, "segment", "/v1/batch", `{"batch":1}`, nil, "/batch"},
		{ReasonMissingField, "segment", seg, `{"event":"e","userId":"u"}`, nil, "/writeKey"},
		{ReasonMissingField, "segment", seg, `{"writeKey":"acme","userId":"u"}`, nil, "/event"},
		{ReasonMissingField, "segment", seg, `{"writeKey":"acme","event":"e"}`, nil, "/userId"},
		{ReasonMissingField, "segment", "/v1/a", `{"writeKey":"acme","userId":"u"}`, nil, "/previousId"},
		{ReasonInvalidValue, "segment", "/v1/batch", `{"batch":[{"type":"x","writeKey":"acme"}]}`, nil, "/type"},
		{ReasonDuplicateKey, "segment", seg, call(`"event":"e"`), nil, "/event"},
		{ReasonTooLong, "segment", seg, call(`"messageId":"` + long + `"`), nil, "/messageId"},
		{ReasonUnknownSite, "segment", seg, `{"writeKey":"nobody","event":"e","userId":"u"}`, nil, "/writeKey"},
	}
}

func manyKeys(n int) string {
	out := []byte{'{'}
	for i := range n {
		out = appendMember(out, quote("k"+strconv.Itoa(i)), "1")
	}
	return string(append(out, '}'))
}

// Each bad beacon says by what protocol it came, why it is refused, what was expected and where,
// and has its bytes, but for forms, whose bytes may be a password.
func TestRefusals(t *testing.T) {
	for _, r := range refusals() {
		e := newEdge(t, func(cfg *Config) {
			cfg.Sites[1].Redirects = []string{"acme.example"}
		}).run(t)
		method := http.MethodPost
		if r.body == "" {
			method = http.MethodGet
		}
		w := e.send(method, r.target, r.body, r.header...)
		bad := e.tape.read(t).bad
		if len(bad) != 1 {
			t.Errorf("%s by %s: %d bad beacons, answered %d %s", r.reason, r.protocol, len(bad),
				w.Code, w.Body)
			continue
		}
		b := bad[0]
		if b.Reason != r.reason || b.Protocol != r.protocol || b.Path != r.path ||
			!strings.HasPrefix(b.Detail, "want ") {
			t.Errorf("%s by %s at %q: kept as %s by %s at %q: %s", r.reason, r.protocol, r.path,
				b.Reason, b.Protocol, b.Path, b.Detail)
		}
		if whole := r.protocol != "form" && r.reason != ReasonTooLarge; whole && !holds(r, b.Raw) {
			t.Errorf("%s by %s: %q was kept of %q", r.reason, r.protocol, b.Raw, r.target+r.body)
		}
	}
}

// holds says whether the kept bytes are of the request.
func holds(r refusal, raw []byte) bool {
	_, query, _ := strings.Cut(r.target, "?")
	if r.protocol == "pixel" && gjson.ValidBytes(raw) {
		return true // the beacon that was made of it
	}
	return len(raw) > 0 && strings.Contains(r.body+query, string(raw)) || r.body+query == string(raw)
}

// reasonsOf are the values of the constants of this package that are named like reasons.
func reasonsOf(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			for i := 0; ok && i < len(spec.Names) && i < len(spec.Values); i++ {
				value, isText := spec.Values[i].(*ast.BasicLit)
				if isText && strings.HasPrefix(spec.Names[i].Name, "Reason") {
					reasons[strings.Trim(value.Value, `"`)] = spec.Names[i].Name
				}
			}
			return true
		})
	}
	return reasons
}

// Every reason that there is can come to be, and the README says what to do about it.
func TestReasonsAreReachedAndDocumented(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	// TestReplayStories and TestPoison reach these, TestRefusedLinks the others.
	reached := map[string]bool{ReasonNotCombined: true, ReasonInternal: true}
	for _, reason := range linkReasons() {
		reached[reason] = true
	}
	for _, r := range refusals() {
		reached[r.reason] = true
	}
	reasons := reasonsOf(t)
	if len(reasons) < 20 {
		t.Fatalf("only %d reasons were found", len(reasons))
	}
	for reason, name := range reasons {
		if !reached[reason] {
			t.Errorf("no refusal of this test has %s", name)
		}
		if !documented(string(readme), reason) {
			t.Errorf("the table of reasons in README.md lacks %s", reason)
		}
	}
}

func linkReasons() []string {
	return []string{
		ReasonUnknownLink, ReasonTokenMalformed, ReasonTokenUnknownKey, ReasonTokenForged,
		ReasonTokenExpired, ReasonTokenMisplaced,
	}
}

// Links that are none of ours, or no longer, are kept with the reason, too.
func TestRefusedLinks(t *testing.T) {
	keysOf := func(id string) *token.Keys {
		keys, err := token.NewKeys(token.Key{ID: id, Secret: bytes.Repeat([]byte(id), token.LeastSecret)})
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	e := newEdge(t, func(cfg *Config) {
		withLinks(cfg)
		cfg.Keys = keysOf("a")
	}).run(t)
	free := &schemas.SignedLink{Site: "acme", Target: "https://shop.example/"}
	named := &schemas.SignedLink{Site: "acme", Link: "spring"}
	path := func(keys *token.Keys, l *schemas.SignedLink, life time.Duration) string {
		text, err := LinkPath(keys, l, time.Now().Add(life))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	_, misplaced, _ := strings.Cut(path(e.cfg.Keys, named, time.Hour), "?t=")
	forged := []byte(path(e.cfg.Keys, free, time.Hour))
	if last := &forged[len(forged)-4]; *last == 'A' {
		*last = 'B'
	} else {
		*last = 'A'
	}
	for i, target := range []string{
		"/r/nowhere", "/l/AAAA", path(keysOf("b"), free, time.Hour), string(forged),
		path(e.cfg.Keys, free, -time.Hour), "/l/" + misplaced,
	} {
		e.send(http.MethodGet, target, "")
		want := linkReasons()[i]
		if bad := e.tape.read(t).bad; len(bad) != i+1 || bad[i].Reason != want ||
			bad[i].Protocol != protocolLink || string(bad[i].Raw) != target {
			t.Errorf("%s: %v, want %s", target, bad, want)
		}
	}
}

// documented says whether a reason stands in the first cell of a row.
func documented(page, reason string) bool {
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) > 1 && cells[0] == "" &&
			strings.Contains(cells[1], "`"+reason+"`") {
			return true
		}
	}
	return false
}

// A pointer into what came is a JSON pointer, whatever the names in it.
func TestPathsAreJSONPointers(t *testing.T) {
	for _, c := range []struct{ body, path string }{
		{`{"data":[{"aid":"acme","e":"pv","a/b":{}}]}`, "/a~1b"},
		{`{"data":[{"aid":"acme","e":"pv","a~b":"1","a~b":"2"}]}`, "/a~0b"},
	} {
		e := newEdge(t, nil).run(t)
		e.post("/com.snowplowanalytics.snowplow/tp2", c.body)
		if bad := e.tape.read(t).bad; len(bad) != 1 || bad[0].Path != c.path {
			t.Errorf("%s: %v, want %s", c.body, bad, c.path)
		}
	}
	e := newEdge(t, nil).run(t)
	e.send(http.MethodGet, "/i?aid=acme&e=pv&a%2Fb=1&a%2Fb=2", "")
	e.post("/v1/t", `{"writeKey":"acme","event":"e","userId":"u","a~b":1,"a~b":2}`)
	for i, want := range []string{"/a~1b", "/a~0b"} {
		if bad := e.tape.read(t).bad; len(bad) != 2 || bad[i].Path != want {
			t.Errorf("%v, want %s", bad, want)
		}
	}
}
