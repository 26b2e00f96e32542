package ingest

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Cookies are read as net/http reads them, whatever the header says.
func TestCookieOf(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	draw := rand.New(rand.NewPCG(seed, 1))
	parts := []string{
		"ct_visit", "ct_visitor", "=", "=", ";", ";", " ", "\t", `"`, `""`, "a", "\\", "ü", ",", "\x7f",
	}
	for range 20_000 {
		r := &http.Request{Header: http.Header{}}
		for range 1 + draw.IntN(2) {
			line := ""
			for range draw.IntN(12) {
				line += parts[draw.IntN(len(parts))]
			}
			r.Header.Add("Cookie", line)
		}
		want, err := r.Cookie(visitCookie)
		value, ok := cookieOf(r.Header, visitCookie)
		if ok != (err == nil) || ok && value != want.Value {
			t.Fatalf("seed %d: of %q %q, %v, net/http has %v, %v", seed, r.Header["Cookie"], value, ok,
				want, err)
		}
	}
}

// Cookies are set as net/http sets them.
func TestPut(t *testing.T) {
	for _, j := range []jar{{}, {secure: true}, {embedded: true}, {secure: true, embedded: true}} {
		for _, c := range []http.Cookie{
			{Name: visitorCookie, Value: "mn5NnDYvT0CQ5ruMDzGkNg", MaxAge: 3600},
			{Name: hostPrefix + visitCookie, Value: "", MaxAge: -1},
			{Name: consentCookie, Value: "granted.1767225600.banner", MaxAge: 1},
		} {
			w := httptest.NewRecorder()
			j.put(w, c.Name, c.Value, time.Duration(c.MaxAge)*time.Second)
			c.Path, c.HttpOnly, c.Secure = "/", c.Name != consentCookie, j.secure
			c.SameSite = http.SameSiteLaxMode
			if j.secure && j.embedded {
				c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
			}
			if got := w.Header().Get("Set-Cookie"); got != c.String() {
				t.Errorf("set %q, net/http sets %q", got, c.String())
			}
		}
	}
}
