package ingest

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
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
	key    []byte
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
	cookie, err := j.request.Cookie(j.name(base))
	if err != nil {
		return ""
	}
	return cookie.Value
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

// said returns what the visitor has said, at the time now.
func (j jar) said(now time.Time) statement {
	return parseStatement(j.read(consentCookie), now.Unix())
}

// set stores a cookie under the name that it has here.
func (j jar) set(w http.ResponseWriter, base, value string, life time.Duration) {
	j.put(w, j.name(base), value, life)
}

// put stores a cookie of a name, or deletes it where life is negative. A site that is embedded in
// others keeps its cookies apart for each of those; browsers take such cookies over HTTPS alone.
func (j jar) put(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: j.secure, HttpOnly: name != consentCookie, SameSite: http.SameSiteLaxMode,
	}
	if j.embedded && j.secure {
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(w, &cookie)
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
		if _, err := j.request.Cookie(name); err == nil {
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
)

// openVisit returns the cookie of a visit that is going on.
func (j jar) openVisit(site *Site, now time.Time) (raw []byte, goesOn bool) {
	raw, err := base64.RawURLEncoding.DecodeString(j.read(visitCookie))
	return raw, err == nil && len(raw) == visitBytes+signBytes &&
		hmac.Equal(raw[visitBytes:], j.sign(raw[:visitBytes])) &&
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
	return base64.RawURLEncoding.EncodeToString(append(raw[:visitBytes], j.sign(raw[:visitBytes])...))
}

func (j jar) sign(value []byte) []byte {
	mac := hmac.New(sha256.New, j.key)
	mac.Write(value)
	return mac.Sum(nil)
}

// keep sets the cookies that a consent allows, and deletes those that it does not.
func (j jar) keep(
	w http.ResponseWriter, site *Site, allowed schemas.Consent, visitor string, now time.Time,
) {
	j = j.of(site)
	switch {
	case allowed <= schemas.Consent_CONSENT_NONE:
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
