package ingest

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"crumbtrail/schemas"
)

// The cookies, without the prefix that they have over HTTPS.
const (
	// visitorCookie holds 128 random bits, which name the browser.
	visitorCookie = "ct_visitor"
	// visitCookie holds an id, when the visit began and when it was last seen, signed.
	visitCookie = "ct_visit"
	// consentCookie holds what the visitor has said, for scripts to read, and no id.
	consentCookie = "ct_consent"
	// hostPrefix ties a cookie to this very host: no other can set it.
	hostPrefix = "__Host-"
)

const (
	// browsersCap is the longest that browsers keep a cookie (RFC 6265bis).
	browsersCap = 400 * 24 * time.Hour
	// choiceLifetime is how long a consent is kept before it must be asked for again. A refusal is
	// kept as long as browsers keep anything, and renewed when a page is opened a day after it.
	choiceLifetime = 180 * 24 * time.Hour
	refusalRenewed = 24 * time.Hour
	// visitorChars is the length of a visitor's id: 128 bits in base64.
	visitorChars = 22
)

// newVisitor returns a fresh id, from which nothing can be told.
func newVisitor() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, as documented
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// jar reads and sets the cookies of one request.
type jar struct {
	request *http.Request
	// secure is true over HTTPS, on the way to the last trusted proxy at least.
	secure bool
	signer *signer
	// embedded is true of a site whose pages are in frames of other sites.
	embedded bool
}

func (j jar) name(base string) string {
	if j.secure && base != consentCookie {
		return hostPrefix + base
	}
	return base
}

func (j jar) read(base string) string {
	value, _ := cookieOf(j.request.Header, j.name(base))
	return value
}

// cookieOf returns the value of the first cookie of a name that net/http would take.
func cookieOf(header http.Header, name string) (value string, ok bool) {
	for _, line := range header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(strings.Trim(part, blanks), "=")
			if strings.Trim(key, blanks) != name {
				continue
			}
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			if !strings.ContainsFunc(value, noCookie) {
				return value, true
			}
		}
	}
	return "", false
}

// blanks may stand around a cookie.
const blanks = " \t\r\n"

// noCookie is true of what may not be in a cookie's value.
func noCookie(r rune) bool {
	return r < ' ' || r > '~' || r == '"' || r == '\\'
}

// visitor returns the id in our cookie, empty where there is none that we could have set.
func (j jar) visitor() string {
	id := j.read(visitorCookie)
	if len(id) != visitorChars {
		return ""
	}
	if _, err := base64.RawURLEncoding.DecodeString(id); err != nil {
		return ""
	}
	return id
}

// said returns what the visitor has said, at the time now. Where browsers keep no cookie of the
// collector, and of servers, a query of the same name and form says it. It counts in a POST, which
// pages of other origins cannot send: a link must not speak for whoever follows it.
func (j jar) said(now time.Time) statement {
	text := j.read(consentCookie)
	if text == "" && j.request.Method == http.MethodPost && j.request.URL.RawQuery != "" {
		text = j.request.URL.Query().Get(consentCookie)
	}
	return parseStatement(text, now.Unix())
}

// isBlind says whether a page of another site had the browser post something on its way here. Such
// a request lacks the cookies, which are Lax, and its answer could write over what nobody has seen.
func isBlind(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Site") == "cross-site" &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// set stores a cookie under the name that it has here.
func (j jar) set(w http.ResponseWriter, base, value string, life time.Duration) {
	j.put(w, j.name(base), value, life)
}

// put stores a cookie of a name, or deletes it where life is negative. A site that is embedded in
// others keeps its cookies apart for each of those; browsers take such cookies over HTTPS alone.
// Nothing in name and value needs to be escaped.
func (j jar) put(w http.ResponseWriter, name, value string, life time.Duration) {
	line := make([]byte, 0, 192)
	line = append(append(append(append(line, name...), '='), value...), "; Path=/; Max-Age="...)
	line = strconv.AppendInt(line, int64(max(life, 0)/time.Second), 10)
	if name != consentCookie {
		line = append(line, "; HttpOnly"...)
	}
	if j.secure {
		line = append(line, "; Secure"...)
	}
	if j.embedded && j.secure {
		line = append(line, "; SameSite=None; Partitioned"...)
	} else {
		line = append(line, "; SameSite=Lax"...)
	}
	h := w.Header()
	h["Set-Cookie"] = append(h["Set-Cookie"], string(line))
}

// of is the jar of a site.
func (j jar) of(site *Site) jar {
	j.embedded = site.Embedded
	return j
}

// VisitorLifetime is how long ct_visitor is asked to live, how much of that is sent, and whether
// each answer begins it anew.
func (s *Site) VisitorLifetime() (asked, sent time.Duration, renewed bool) {
	asked = cmp.Or(s.CookieLifetime, defaultLifetime)
	return asked, min(asked, browsersCap), !s.FixedLifetime
}

// remember stores who the visitor is, as long as the site asks for and browsers allow, and lets
// the visit go on.
func (j jar) remember(w http.ResponseWriter, site *Site, visitor string, now time.Time) {
	if _, life, renewed := site.VisitorLifetime(); renewed || visitor != j.visitor() {
		j.set(w, visitorCookie, visitor, life)
	}
	j.set(w, visitCookie, j.visit(site, now), site.Gap)
}

// forget deletes what was stored of who the visitor is, also what was before the site had HTTPS.
func (j jar) forget(w http.ResponseWriter) {
	for _, name := range []string{
		hostPrefix + visitorCookie, hostPrefix + visitCookie, visitorCookie, visitCookie,
	} {
		if _, ok := cookieOf(j.request.Header, name); ok {
			j.expire(w, name)
		}
	}
}

// expire deletes a cookie, also one from before its site was embedded.
func (j jar) expire(w http.ResponseWriter, name string) {
	j.put(w, name, "", -time.Second)
	if j.embedded && j.secure {
		j.embedded = false
		j.put(w, name, "", -time.Second)
	}
}

// choose stores what the visitor has said.
func (j jar) choose(w http.ResponseWriter, said *statement) {
	life := choiceLifetime
	if said.objects() {
		life = browsersCap
	}
	j.set(w, consentCookie, said.cookie(), life)
}

// A visit's cookie: 16 random bytes, the first and the last second as 8 bytes each, and an HMAC.
const (
	visitBytes = 16 + 8 + 8
	signBytes  = sha256.Size
	visitChars = (4*(visitBytes+signBytes) + 2) / 3
)

// openVisit returns the cookie of a visit that is going on.
func (j jar) openVisit(site *Site, now time.Time) (raw []byte, goesOn bool) {
	text := j.read(visitCookie)
	if len(text) != visitChars {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return raw, err == nil && j.signer.signed(raw[:visitBytes], raw[visitBytes:]) &&
		now.Unix()-visitSeen(raw).Unix() <= int64(site.Gap/time.Second)
}

// visitBegan and visitSeen are the first and the last second of a visit.
func visitBegan(raw []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(raw[16:])), 0)
}

func visitSeen(raw []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(raw[24:])), 0)
}

// visit returns the value that keeps a visit going, or begins one where none is going on.
func (j jar) visit(site *Site, now time.Time) string {
	raw, goesOn := j.openVisit(site, now)
	if !goesOn {
		raw = make([]byte, visitBytes, visitBytes+signBytes)
		_, _ = rand.Read(raw[:16]) // never fails, as documented
		binary.BigEndian.PutUint64(raw[16:], uint64(now.Unix()))
	}
	binary.BigEndian.PutUint64(raw[24:], uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(j.signer.sign(raw[:visitBytes], raw[:visitBytes]))
}

// signer signs with one key. It keeps what it has made of the key.
type signer struct{ macs sync.Pool }

func newSigner(key []byte) *signer {
	return &signer{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// sign appends the signature of value to dst.
func (s *signer) sign(dst, value []byte) []byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write(value)
	return mac.Sum(dst)
}

func (s *signer) signed(value, signature []byte) bool {
	var want [signBytes]byte
	return hmac.Equal(signature, s.sign(want[:0], value))
}

// keep sets the cookies that a consent allows, and deletes those that it does not.
func (j jar) keep(
	w http.ResponseWriter, site *Site, allowed schemas.Consent, visitor string, now time.Time,
) {
	j = j.of(site)
	switch {
	case !site.stores(allowed):
		j.forget(w)
	case visitor != "":
		j.remember(w, site, visitor, now)
	}
}

// emptied is a jar of somebody who has brought no cookies.
func (j jar) emptied() jar {
	j.request = &http.Request{Header: http.Header{}}
	return j
}
