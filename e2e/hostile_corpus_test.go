package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/url"
	"strings"
)

// door is a way in for JSON.
type door struct {
	name, path string
	// around puts a value into an event that is right but for it.
	around func(value string) string
	// whole are the statuses for a body that cannot be read, event for an event that cannot.
	whole, event []int
	// counts says that what is refused is counted as a beacon.
	counts bool
	// fields are the members of the event itself, for doubling them.
	twice string
	// strict is false where the media type is not looked at.
	strict bool
}

func doors() []door {
	const beacon = `"site":"default","type":"custom"`
	ok, bad := []int{200}, []int{400, 413}
	return []door{
		{
			"native", "/v1/beacons",
			func(v string) string { return `{` + beacon + `,"props":{"a":` + v + `}}` },
			bad, ok, true, `{` + beacon + `,"site":"other"}`, true,
		},
		{
			"form as JSON", "/v1/forms/default",
			func(v string) string { return `{"email":"a@b.example","a":` + v + `}` },
			bad, bad, true, "", true,
		},
		{
			"Snowplow", "/com.snowplowanalytics.snowplow/tp2",
			func(v string) string { return `{"data":[{"aid":"default","e":"pv","a":` + v + `}]}` },
			ok, ok, true, `{"data":[{"aid":"default","e":"pv","e":"pp"}]}`, false,
		},
		{
			"Segment batch", "/v1/batch",
			func(v string) string {
				return `{"writeKey":"default","batch":[{"type":"track","event":"e","userId":"u",` +
					`"properties":{"a":` + v + `}}]}`
			},
			bad, ok, true,
			`{"writeKey":"default","batch":[{"type":"page","userId":"u","userId":"w"}]}`, false,
		},
		{
			"Segment call", "/v1/t",
			func(v string) string {
				return `{"writeKey":"default","event":"e","userId":"u","properties":{"a":` + v + `}}`
			},
			bad, ok, true, `{"writeKey":"default","event":"e","userId":"u","userId":"w"}`, false,
		},
		{
			"consent", "/v1/consent",
			func(v string) string { return `{"site":"default","choice":"granted","a":` + v + `}` },
			bad, bad, false, "", false,
		},
	}
}

// request is a POST with a body, and headers beside it.
func request(path, body string, headers ...string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n", path, len(body))
	if !strings.Contains(strings.ToLower(strings.Join(headers, "")), "content-type") {
		headers = append(headers, "Content-Type: application/json")
	}
	for _, h := range append(headers, "Connection: close") {
		out.WriteString(h + "\r\n")
	}
	out.WriteString("\r\n" + body)
	return out.Bytes()
}

func get(target string, headers ...string) []byte {
	lines := []string{"GET " + target + " HTTP/1.1", "Host: a", "Connection: close"}
	lines = append(lines, headers...)
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

func packed(body string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(body)) // a buffer takes everything
	_ = w.Close()
	return out.String()
}

// bomb becomes about a gigabyte: gzip's members follow each other.
func bomb(prefix string) string {
	const megabytes, member = 960, 64
	zeros := packed(strings.Repeat(" ", member<<20))
	return packed(prefix) + strings.Repeat(zeros, megabytes/member)
}

func volleyShot() shot {
	return shot{
		name: "a gigabyte in gzip", want: []int{413}, reason: "too_large",
		wire: request("/v1/beacons", bomb("["), "Content-Encoding: gzip"),
	}
}

// hostileShots is the corpus.
func hostileShots() (shots []shot) {
	for _, d := range doors() {
		shots = append(shots, d.bodies()...)
		shots = append(shots, d.events()...)
	}
	shots = append(shots, queryShots()...)
	shots = append(shots, formShots()...)
	return append(shots, wireShots()...)
}

// reason is a reason at a door where something is counted.
func (d door) reason(name string) string {
	if !d.counts {
		return ""
	}
	return name
}

// bodies are those that cannot be read as a whole.
func (d door) bodies() (shots []shot) {
	fine := d.around("1")
	add := func(name, reason, body string, want []int, headers ...string) {
		shots = append(shots, shot{
			name: d.name + ", " + name, want: want, reason: d.reason(reason),
			wire: request(d.path, body, headers...),
		})
	}
	zip := "Content-Encoding: gzip"
	unsupported := []int{415}
	if d.whole[0] == 200 {
		unsupported = d.whole
	} else if !d.strict {
		unsupported = d.whole // of these protocols, 400 is what clients give up on
	}
	add("empty", "invalid_json", "", d.whole)
	add("not JSON", "invalid_json", `{"a":`, d.whole)
	add("two values", "invalid_json", fine+fine, d.whole)
	add("a scalar", "wrong_type", `17`, append(d.whole, d.event...))
	add("NUL", "invalid_json", "\x00"+fine, d.whole)
	add("10,000 deep", "too_deep", strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000), d.whole)
	add("5,000 deep, open", "too_deep", strings.Repeat(`{"a":`, 5000), d.whole)
	add("too large", "too_large", strings.Repeat(" ", 1<<20)+fine, d.whole)
	add("a million keys", "too_large", object(1_000_000), d.whole)
	add("gzip, cut off", "invalid_gzip", packed(fine)[:20], d.whole, zip)
	add("gzip, without its sum", "invalid_gzip", packed(fine)[:len(packed(fine))-4], d.whole, zip)
	add("no gzip", "invalid_gzip", fine, d.whole, zip)
	add("gzip in gzip", "invalid_json", packed(packed(fine)), d.whole, zip)
	add("a gigabyte", "too_large", bomb(fine), d.whole, zip)
	add("deflate", "unsupported_encoding", fine, unsupported, "Content-Encoding: deflate")
	add("gzip twice", "unsupported_encoding", fine, unsupported, "Content-Encoding: gzip, gzip")
	if d.strict {
		add("another media type", "unsupported_media_type", fine, []int{415}, "Content-Type: a/b")
	}
	return shots
}

// events are those that cannot be used, in a body that can be read.
func (d door) events() (shots []shot) {
	add := func(name, reason, value string, want []int) {
		shots = append(shots, shot{
			name: d.name + ", " + name, want: want, reason: d.reason(reason),
			wire: request(d.path, d.around(value)),
		})
	}
	deep := strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100)
	add("100 deep", "too_deep", deep, d.event)
	add("1,000 keys", "too_many_keys", object(1000), d.event)
	if d.name == "consent" {
		return shots // it keeps nothing of the rest
	}
	add("invalid UTF-8", "invalid_utf8", "\"\xff\xfe\xc0\x80\"", d.event)
	add("half a surrogate", "invalid_unicode", `"\ud800"`, d.event)
	add("surrogates the wrong way round", "invalid_unicode", `"\udc00\ud800"`, d.event)
	add("1e999", "invalid_value", "1e999", d.event)
	add("-1e999", "invalid_value", "-1e999", d.event)
	add("1e308", "", "1e308", []int{200, 204})
	add("a number of 300 digits", "", strings.Repeat("9", 300), []int{200, 204})
	if d.twice != "" {
		shots = append(shots, shot{
			name: d.name + ", a key twice", want: d.event, reason: "duplicate_key",
			wire: request(d.path, d.twice),
		})
	}
	return shots
}

// object is a JSON object with so many keys.
func object(keys int) string {
	var out strings.Builder
	for n := range keys {
		fmt.Fprintf(&out, `,"k%d":%d`, n, n)
	}
	return "{" + out.String()[1:] + "}"
}

// queryShots come in queries.
func queryShots() (shots []shot) {
	add := func(name, reason, target string, want int) {
		shots = append(shots, shot{name: name, reason: reason, wire: get(target), want: []int{want}})
	}
	pixel := func(name, reason, query string) {
		add("pixel, "+name, reason, "/v1/pixel.gif?site=default&"+query, 200)
	}
	pixel("bad escapes", "invalid_query", "a=%zz")
	pixel("a semicolon", "invalid_query", "a;b")
	pixel("props that are none", "invalid_json", "props=%7B")
	pixel("deep props", "too_deep", "props="+strings.Repeat("[", 9999))
	pixel("1e999", "invalid_value", "props=%7B%22a%22:1e999%7D")
	pixel("NUL", "invalid_value", "title=%00")
	pixel("1,000 keys", "too_many_keys", keys(1000))
	add("pixel, no site", "missing_field", "/v1/pixel.gif", 200)
	tracker := func(name, reason, query string) {
		add("tracker, "+name, reason, "/i?aid=default&e=pv&"+query, 200)
	}
	tracker("bad escapes", "invalid_query", "a=%")
	tracker("invalid UTF-8", "invalid_utf8", "a=%ff")
	tracker("NUL", "invalid_value", "a=%00")
	tracker("a key twice", "duplicate_key", "e=pp")
	tracker("9,000 parameters", "duplicate_key", strings.Repeat("a&", 9000))
	tracker("1,000 keys", "too_many_keys", keys(1000))
	tracker("no base64", "invalid_base64", "cx=%21")
	tracker("base64 of nothing good", "invalid_json", "cx=AAAA")
	tracker("no time", "invalid_time", "dtm=NaN")
	for _, path := range []string{"/v1/pixel.gif", "/i", "/health"} {
		add(path+", 100,000 parameters", "", path+"?"+strings.Repeat("a&", 100_000), 431)
	}
	redirect := func(name, target string) {
		add("redirect "+name, "invalid_redirect", "/r/tp2?u="+url.QueryEscape(target), 400)
	}
	redirect("elsewhere", "https://evil.example")
	redirect("to a script", "javascript:alert(1)")
	redirect("to a host within a host", "https://ok.example@evil.example")
	return shots
}

func keys(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "k%d=1&", i)
	}
	return out.String()
}

// formShots are forms as browsers encode them.
func formShots() []shot {
	form := func(name, reason, media, body string, want ...int) shot {
		return shot{
			name: "form, " + name, want: want, reason: reason,
			wire: request("/v1/forms/default", body, "Content-Type: "+media),
		}
	}
	const encoded, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	part := "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"
	return []shot{
		form("bad escapes", "invalid_form", encoded, "a=%zz", 400),
		form("100,000 fields", "too_many_keys", encoded, strings.Repeat("a=1&", 100_000), 400),
		form("invalid UTF-8", "", encoded, "a=%ff&email=a@b.example", 204),
		form("NUL", "", encoded, "a=%00", 204),
		form("a large field", "too_large", encoded, "a="+strings.Repeat("x", 500_000), 413),
		form("no boundary", "invalid_form", "multipart/form-data", part+"--b--", 400),
		form("another boundary", "invalid_form", "multipart/form-data; boundary=c", part, 400),
		form("no end", "invalid_form", parts, part, 400),
		form("10,000 parts", "too_many_keys", parts, strings.Repeat(part, 10_000)+"--b--", 400),
		form("a part that is all header", "", parts,
			"--b\r\nA: "+strings.Repeat("x", 900_000)+"\r\n\r\n--b--", 204),
		form("10,000 files", "", parts, strings.Repeat("--b\r\nContent-Disposition: form-data; "+
			"name=a; filename=f\r\n\r\nx\r\n", 10_000)+"--b--", 204),
		form("nothing", "", encoded, "", 204),
		form("another media type", "unsupported_media_type", "text/html", "a=1", 415),
	}
}

// wireShots are HTTP at its edges.
func wireShots() (shots []shot) {
	add := func(name string, wire []byte, want ...int) {
		shots = append(shots, shot{name: name, wire: wire, want: want})
	}
	refused := func(name, reason string, wire []byte, want int) {
		shots = append(shots, shot{name: name, reason: reason, wire: wire, want: []int{want}})
	}
	const fine = `{"site":"default","type":"ping"}`
	post := func(headers, body string) []byte {
		return []byte("POST /v1/beacons HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body)
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	const chunked = "Transfer-Encoding: chunked\r\n"
	long := strings.Repeat("x", 300<<10)

	add("a body shorter than said", post(length(1000), fine), 400)
	refused("a body longer than said", "invalid_json",
		post(length(5)+"Connection: close\r\n", fine), 400)
	add("a length of minus one", post("Content-Length: -1\r\n", fine), 400)
	add("two lengths", post(length(1)+length(2), fine), 400)
	add("a length of 9 EB", post("Content-Length: 9223372036854775807\r\n", fine), 400, 413)
	add("chunks that are none", post(chunked, "zz\r\n"), 400)
	add("a chunk of 16 EB", post(chunked, "ffffffffffffffff\r\n"), 400)
	refused("length and chunks", "invalid_json", post(length(5)+chunked, "0\r\n\r\n"), 400)
	add("an unknown coding", post("Transfer-Encoding: gzip, chunked\r\n", fine), 400, 501)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(long), long)
	for _, s := range []shot{
		{name: "no end of the body", wire: post(length(1000), fine), want: []int{400, 0}},
		{name: "chunks without end", wire: post(chunked, "5\r\n{\"a\":\r\n"), want: []int{400, 0}},
		{
			name: "chunks beyond the limit", wire: post(chunked, strings.Repeat(chunk, 8)),
			want: []int{413}, reason: "too_large",
		},
	} {
		s.open = true
		shots = append(shots, s)
	}
	shots = append(shots, shot{
		name: "100 requests at once", answers: 100, want: []int{200},
		wire: []byte(strings.Repeat(string(post(length(len(fine)), fine)), 100)),
	})
	add("100 Continue", post(length(len(fine))+"Expect: 100-continue\r\n", fine), 200)
	add("another expectation", post(length(len(fine))+"Expect: miracles\r\n", fine), 417)

	add("a cookie of 300 KB", get("/v1/pixel.gif?site=default", "Cookie: a="+long), 431)
	add("1,000 cookies", get("/v1/pixel.gif?site=default",
		"Cookie: "+strings.Repeat("ct_visitor=x; ", 1000)), 200)
	add("a header of 300 KB", get("/health", "A: "+long), 431)
	add("10,000 headers", get("/health", strings.TrimSuffix(
		strings.Repeat("A: b\r\n", 10_000), "\r\n")), 431)
	add("a header without a colon", get("/health", "nonsense"), 400)
	add("a header with NUL", get("/health", "A: \x00"), 400)
	add("a header with a bare CR", get("/health", "A: b\rC: d"), 400, 200)
	add("a line of 300 KB", get("/"+long), 431)
	add("an absolute URI", get("http://elsewhere.example/health"), 200)
	add("bad escapes in the path", get("/v1/%zz"), 400)
	add("NUL in the path", get("/v1/forms/%00"), 404, 405)
	add("out of the tree", get("/t/../../etc/passwd"), 404, 307, 301)
	refused("a site of 20,000 characters", "unknown_site",
		request("/v1/forms/"+long[:20_000], "a=1",
			"Content-Type: application/x-www-form-urlencoded"), 204)

	add("HTTP/1.0", []byte("GET /health HTTP/1.0\r\n\r\n"), 200)
	add("HTTP/1.1 without a host", []byte("GET /health HTTP/1.1\r\n\r\n"), 400)
	add("HTTP/9.9", []byte("GET /health HTTP/9.9\r\nHost: a\r\n\r\n"), 505, 400)
	add("HTTP/2 by prior knowledge", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400, 505, 0)
	add("an authority", []byte("CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 404, 405)
	add("garbage", []byte("\x00\x01\x02\x03\r\n\r\n"), 400, 0)
	add("TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+long[:500]), 400, 0)
	add("nothing", nil, 0)
	return shots
}
