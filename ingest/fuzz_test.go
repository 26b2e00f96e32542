package ingest

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"crumbtrail/schemas"

	"github.com/klauspost/compress/gzip"
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"
)

// The decoders that have no fuzz target beside their other tests have it here.

// What comes out of a packed body is as long as is allowed, and the same as any other reader gets.
func FuzzUnzip(f *testing.F) {
	var good bytes.Buffer
	w := gzip.NewWriter(&good)
	_, _ = w.Write([]byte(strings.Repeat("crumb ", 50))) // a buffer takes everything
	_ = w.Close()
	packed := good.Bytes()
	f.Add(packed)
	f.Add(packed[:len(packed)-5])
	f.Add(append(slices.Clone(packed), packed...))
	f.Add([]byte("\x1f\x8b\x08\x1f"))
	f.Add([]byte{})
	e := newEdge(f, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.BeaconBytes, cfg.Limits.UnpackedBytes = 256, 400
	})
	f.Fuzz(func(t *testing.T, packed []byte) {
		body, bad := e.unzip(packed)
		if len(body) > max(e.limits.UnpackedBytes, len(packed)) {
			t.Fatalf("%d bytes of %d", len(body), len(packed))
		}
		again, badAgain := e.unzip(packed) // by a reader that was used before
		if !bytes.Equal(body, again) || (bad == nil) != (badAgain == nil) {
			t.Fatalf("the first time %v, then %v", bad, badAgain)
		}
	})
}

// A batch falls apart into as many pieces of JSON as are allowed, each of the body's own bytes.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{
		`{"beacons":[{"site":"a"},1],"sent_at":"2026-01-01T00:00:00Z"}`, `[{},[],"x"]`, `{"site":"a"}`,
		`{"beacons":[],"beacons":[{}]}`, `[1,2,3,4,5,6]`, "\xff", `{"beacons":{}}`, `{"sent_at":1}`,
	} {
		f.Add([]byte(seed))
	}
	limits := DefaultLimits()
	limits.BatchBeacons = 5
	f.Fuzz(func(t *testing.T, body []byte) {
		count := 0
		decodeBatch(body, limits, func(raw []byte, _ time.Time) {
			count++
			if !gjson.ValidBytes(raw) || !bytes.Contains(body, raw) {
				t.Fatalf("%q of %q", raw, body)
			}
		})
		if count > limits.BatchBeacons {
			t.Fatalf("%d beacons", count)
		}
	})
}

// A consent that is read is one that somebody may have given, and stays the same in its cookie.
func FuzzStatement(f *testing.F) {
	for _, seed := range []string{
		`{"site":"a","choice":"granted"}`, `{"site":"a","purposes":{"analytics":true}}`,
		`{"site":"a","choice":"refused","source":"tcf","tcf_purposes":[1,24]}`, `{}`, "\xff", `[`,
	} {
		f.Add([]byte(seed), "granted.1767225600.tcf.3.00")
	}
	f.Add([]byte("1"), "refused..api")
	f.Add([]byte("1"), "withdrawn.99999999999999999999.gpp.ffffffffff")
	f.Fuzz(func(t *testing.T, body []byte, cookie string) {
		const now = 1_800_000_000
		stays := func(said statement) {
			if again := parseStatement(said.cookie(), now); again != said {
				t.Errorf("%+v becomes %+v by %q", said, again, said.cookie())
			}
		}
		if _, said, ok := decodeStatement(body, DefaultLimits(), now); ok {
			if said.choice == undecided || said.at != now {
				t.Errorf("%s is read as %+v", body, said)
			}
			stays(said)
		}
		if said := parseStatement(cookie, now); said.choice != undecided {
			if said.at > now {
				t.Errorf("%q was said in the time to come", cookie)
			}
			stays(said)
		} else if said != (statement{}) {
			t.Errorf("%q: undecided, but %+v", cookie, said)
		}
	})
}

// Whatever is in a cookie's header, the visitor is an id of ours or nobody, and a visit goes on
// only with a cookie that was signed here.
func FuzzCookies(f *testing.F) {
	site := testSites()[1]
	if err := site.normalise(); err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	key := newSigner([]byte("key of the tests"))
	empty := jar{request: httptest.NewRequest(http.MethodGet, "/", nil), signer: key}
	f.Add("ct_visitor=AAAAAAAAAAAAAAAAAAAAAA; ct_visit=" + empty.visit(&site, now))
	f.Add("ct_visitor=\"AAAAAAAAAAAAAAAAAAAAA\xff\"; ct_consent=granted.1.api; ct_consent=refused")
	f.Add("ct_visit=" + strings.Repeat("A", 86) + "; sp=00000000-0000-4000-8000-000000000000")
	f.Add("=;;; ct_visitor; ct_visit=\x00")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{header}
		j := jar{request: r, signer: key}
		if id := j.visitor(); id != "" {
			if raw, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(raw) != 16 {
				t.Errorf("visitor %q", id)
			}
		}
		other := jar{request: r, signer: newSigner([]byte("another"))}
		if _, goesOn := other.openVisit(&site, now); goesOn {
			t.Errorf("a visit goes on that was signed elsewhere: %q", header)
		}
		if id := networkCookie(r); id != "" && !isUUID(id) {
			t.Errorf("network id %q", id)
		}
		w := httptest.NewRecorder()
		j.keep(w, &site, schemas.Consent_CONSENT_IDENTIFIED, newVisitor(), now)
		for _, set := range w.Result().Cookies() {
			if err := set.Valid(); err != nil {
				t.Errorf("%q is answered %v: %v", header, set, err)
			}
		}
	})
}

// Who sends is the other end of the connection or, where that is trusted, an address in the header:
// the last one that is not trusted.
func FuzzPeer(f *testing.F) {
	f.Add("10.0.0.1:5", "1.2.3.4, 10.9.9.9")
	f.Add("10.0.0.1:5", "1.2.3.4, , 10.9.9.9")
	f.Add("[::ffff:10.0.0.1]:5", "[2001:db8::1]:443,::1%eth0")
	f.Add("192.0.2.1:80", "10.0.0.1")
	f.Add("", ",,,,")
	e := newEdge(f, func(cfg *Config) {
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	f.Fuzz(func(t *testing.T, remote, header string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {header}}}
		connected, got := peerOf(r), e.peer(r)
		if !e.trusted(connected) && got != connected {
			t.Errorf("%q from %q: %v", header, remote, got)
		}
		named := slices.ContainsFunc(strings.Split(header, ","), func(hop string) bool {
			addr, err := parsePeer(strings.TrimSpace(hop))
			return err == nil && addr == got
		})
		if got != connected && !named {
			t.Errorf("%v is neither in %q nor %q", got, header, remote)
		}
	})
}

// A redirect leads to a host that a site has listed, and nowhere else, as browsers read it.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{
		"https://ok.example/a", "https://OK.example", "https://ok.example@evil.example",
		`https://ok.example\@evil.example`, "//ok.example", "javascript:alert(1)",
		"https://ok.example.evil.example", "https://evil.example#ok.example", "https://ok.example\t.evil",
	} {
		f.Add("acme", seed)
	}
	list, err := newSites([]Site{{Key: "acme", Redirects: []string{"ok.example"}}}, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, target string) {
		if list.leadsTo(key, target) == "" {
			return
		}
		rest, ok := strings.CutPrefix(strings.ToLower(target), "https://")
		if !ok {
			rest, ok = strings.CutPrefix(strings.ToLower(target), "http://")
		}
		if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
			rest = rest[:end]
		}
		if !ok || rest != "ok.example" {
			t.Errorf("%q leads to %q", target, rest)
		}
	})
}

// The events of a webhook are refused, or make an event with the site that was named.
func FuzzHook(f *testing.F) {
	f.Add("aid=a&schema=iglu%3Aa%2Fb%2Fjsonschema%2F1-0-0&x=1", []byte(nil))
	f.Add("aid=a", []byte(`{"schema":"iglu:a/b/jsonschema/1-0-0","data":{"x":1}}`))
	f.Add("aid=a&schema=s", []byte(`[1,2]`))
	f.Add("&&==&%", []byte("\xff"))
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		p, bad := hookParams(query, body, limits)
		if bad != nil {
			return
		}
		claim, bad := decodeSnowplow(p, limits)
		if bad == nil && (claim.beacon.Site != p.get("aid") || !gjson.ValidBytes(
			claim.props(schemas.Consent_CONSENT_IDENTIFIED))) {
			t.Errorf("%q %q: %v", query, body, claim.beacon)
		}
	})
}

// A line to drive from is refused, or says the same once it is written and read again.
func FuzzDecodeBad(f *testing.F) {
	for _, b := range []*schemas.BadBeacon{
		{BadBeaconId: "a", ReceivedAtUs: 1, Protocol: protocolNative, Raw: []byte(`{"site":"a"}`)},
		{BadBeaconId: "b", ReceivedAtUs: 1e15, Raw: []byte("\xff\x00"), Truncated: true},
		{
			BadBeaconId: "c", ReceivedAtUs: 2e15, Source: "log", Line: 3,
			Context: &schemas.BadContext{Call: callHook, Gpc: true, SentAtUs: 5},
		},
	} {
		text, err := EncodeBad(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"bad_beacon_id":"a","received_at":"2026-01-01T00:00:00Z","raw":"\ud800"}`))
	f.Add([]byte(`{"bad_beacon_id":"a","received_at":"0000-01-01T00:00:00Z","context":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		b, err := DecodeBad(line)
		if err != nil {
			return
		}
		text, err := EncodeBad(b)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if again, err := DecodeBad(text); err != nil || !proto.Equal(again, b) {
			t.Fatalf("%s\nis %v\nagain %v, %v", line, b, again, err)
		}
	})
}

// Whatever is driven again, by any protocol: what is taken is of a site that there is, came in when
// the bad beacon did, names it, and fits the log; and nothing is taken without a receipt.
func FuzzRedrive(f *testing.F) {
	for name, send := range ways() {
		if strings.HasPrefix(name, "hook") {
			continue // they need their query
		}
		e := newEdge(f, nil).run(f)
		send(e)
		b := e.tape.read(f).bad[0]
		f.Add(b.Protocol, b.GetContext().GetCall(), b.Site, b.Raw, false)
	}
	f.Add(protocolCombined, "", "acme", []byte("1.2.3.4 - - [] x"), true)
	f.Add(protocolNative, callSite, "acme",
		[]byte(`{"type":"ping","received_at":"2020-01-01T00:00:00Z"}`), true)
	f.Add(protocolSegment, callBatch, "acme",
		[]byte(`{"batch":[{"type":"page","userId":"u"}]}`), false)
	d := newRedriver(f, shop)
	f.Fuzz(func(t *testing.T, protocol, call, site string, raw []byte, recorded bool) {
		bad := &schemas.BadBeacon{
			BadBeaconId: "b", ReceivedAtUs: 1e15, Protocol: protocol, Raw: raw,
			Site:    strings.ReplaceAll(strings.ToValidUTF8(clip(site, maxSite), ""), "\x00", ""),
			Context: &schemas.BadContext{Call: call},
		}
		if recorded {
			bad.Source = "log"
		}
		out := d.Drive(bad, time.Now())
		if (out.Accepted > 0) != (len(out.Messages) > 0) {
			t.Fatalf("%+v", out)
		}
		var log logged
		for _, m := range out.Messages {
			log.take(t, m)
		}
		receipts := 0
		for _, b := range log.bad {
			if b.RedrivenAtUs != 0 {
				receipts++
			} else if b.PartOf != "b" {
				t.Errorf("a part of nothing: %v", b)
			}
		}
		if out.Accepted > 0 && receipts != 1 || len(log.beacons) != out.Accepted {
			t.Fatalf("%d beacons of %d, %d receipts", len(log.beacons), out.Accepted, receipts)
		}
		for _, b := range log.beacons {
			switch {
			case !recorded && (d.c.sites.find(b.Site) == nil || b.ReceivedAtUs != bad.ReceivedAtUs),
				b.OccurredAtUs > b.ReceivedAtUs, b.EventId == "",
				utf8.RuneCountInString(b.EventId) > maxEventID, b.Collector != "",
				!gjson.ValidBytes(b.Props), !bytes.Contains(b.Props, []byte(redrivenKey)):
				t.Errorf("of %q: %v", raw, b)
			}
		}
	})
}

// What a client chose to call a member is one segment of a JSON pointer.
func FuzzPointer(f *testing.F) {
	f.Add("a/b~c")
	f.Add(strings.Repeat("é", 300))
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, name string) {
		p := pointer(name)
		if !strings.HasPrefix(p, "/") || strings.Count(p, "/") != 1 || !utf8.ValidString(p) ||
			len(p) > 600 {
			t.Errorf("%q points %q", name, p)
		}
		text := strings.ReplaceAll(strings.ReplaceAll(p[1:], "~1", "/"), "~0", "~")
		if utf8.ValidString(name) && len(name) <= 256 && text != name {
			t.Errorf("%q points to %q", name, text)
		}
	})
}

// The query of an address, once cleaned, holds no parameter that is to be cut out of it, and
// cleaning it again changes nothing.
func FuzzStrip(f *testing.F) {
	f.Add("https://a.example/?email=a@b.c&x=1&Token=2#y?email=3")
	f.Add("https://a.example/?%65mail=1&email")
	f.Add("?&&=&email=&%zz=1")
	strip := []string{"email", "token"}
	f.Fuzz(func(t *testing.T, raw string) {
		clean := cleanURL(raw, strip)
		if len(clean) > len(raw) {
			t.Errorf("%q grows to %q", raw, clean)
		}
		if again := cleanURL(clean, strip); again != clean {
			t.Errorf("%q becomes %q, then %q", raw, clean, again)
		}
		u, err := url.Parse(clean)
		if err != nil {
			return
		}
		for name := range u.Query() {
			if slices.ContainsFunc(strip, func(s string) bool { return strings.EqualFold(s, name) }) {
				t.Errorf("%q keeps %s: %q", raw, name, clean)
			}
		}
	})
}
