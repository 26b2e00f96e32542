package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	spring = Key{"spring", bytes.Repeat([]byte("s"), LeastSecret)}
	winter = Key{"winter", bytes.Repeat([]byte("w"), LeastSecret)}
)

func keysOf(t testing.TB, list ...Key) *Keys {
	t.Helper()
	k, err := NewKeys(list...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOpen(t *testing.T) {
	keys := keysOf(t, spring, winter)
	payload := []byte("ada@acme.example")
	signed := keys.Sign("link", now.Add(time.Hour), payload)
	edit := func(change func(raw []byte) []byte) string {
		raw, err := base64.RawURLEncoding.DecodeString(signed)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(change(raw))
	}
	flip := func(at int) string {
		return edit(func(raw []byte) []byte { raw[(at+len(raw))%len(raw)] ^= 1; return raw })
	}
	other := Key{"spring", winter.Secret}
	for _, c := range []struct {
		name, purpose, text string
		at                  time.Time
		want                error
	}{
		{"good", "link", signed, now, nil},
		{"good to the last second", "link", signed, now.Add(time.Hour - 1), nil},
		{"at its end", "link", signed, now.Add(time.Hour), ErrExpired},
		{"of the first key before", "link", keysOf(t, winter).Sign("link", now.Add(1e9), payload), now, nil},
		{"of another purpose", "confirm", signed, now, ErrForged},
		{"of another secret", "link", keysOf(t, other).Sign("link", now.Add(1e9), payload), now, ErrForged},
		{"of a key that is gone", "link", keysOf(t, Key{"old", spring.Secret}).Sign("link", now.Add(1e9),
			payload), now, ErrUnknownKey},
		{"forged and expired", "link", flip(-1), now.Add(2 * time.Hour), ErrForged},
		{"another payload", "link", flip(-20), now, ErrForged},
		{"a later end", "link", flip(3), now, ErrForged},
		{"another version", "link", flip(0), now, ErrMalformed},
		{"cut off", "link", edit(func(raw []byte) []byte { return raw[:len(raw)-3] }), now, ErrForged},
		{"cut short", "link", signed[:20], now, ErrMalformed},
		{"longer", "link", edit(func(raw []byte) []byte { return append(raw, 0) }), now, ErrForged},
		{"empty", "link", "", now, ErrMalformed},
		{"with padding", "link", signed + "=", now, ErrMalformed},
		{"with a newline", "link", signed[:10] + "\n" + signed[10:], now, ErrMalformed},
		{"without end", "link", strings.Repeat("A", MaxLength+1), now, ErrMalformed},
	} {
		got, err := keys.Open(c.purpose, c.text, c.at)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || !bytes.Equal(got, payload)) {
			t.Errorf("%s: opened %q, error %v, want %v", c.name, got, err, c.want)
		}
	}
}

// One text is one token: another writing of the same bytes would get past a list of used ones.
func TestTokenHasOneWriting(t *testing.T) {
	keys := keysOf(t, spring)
	for n := range 3 {
		signed := keys.Sign("p", now.Add(time.Hour), make([]byte, n))
		for c := range 128 {
			text := signed[:len(signed)-1] + string(rune(c))
			if _, err := keys.Open("p", text, now); err == nil && text != signed {
				t.Errorf("%q is taken for %q", text, signed)
			}
		}
	}
}

func TestPayloadCannotBeRead(t *testing.T) {
	keys := keysOf(t, spring)
	payload := []byte("ada@acme.example")
	first, second := keys.Sign("p", now, payload), keys.Sign("p", now, payload)
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || bytes.Contains(raw, []byte("ada")) || first == second {
		t.Errorf("%q and %q are of the same payload: want it hidden, and two texts", first, second)
	}
	if strings.ContainsFunc(first, func(r rune) bool {
		return !strings.ContainsRune("-_", r) && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	}) {
		t.Errorf("%q must be escaped in a URL", first)
	}
}

func TestNewKeysRefuses(t *testing.T) {
	short := Key{"a", make([]byte, LeastSecret-1)}
	for _, list := range [][]Key{
		nil,
		{short},
		{{"", spring.Secret}},
		{{"a b", spring.Secret}},
		{spring, spring},
		{{strings.Repeat("a", maxID+1), spring.Secret}},
	} {
		if _, err := NewKeys(list...); err == nil {
			t.Errorf("keys %v are taken", list)
		}
	}
}

func TestKeysPrintNoSecret(t *testing.T) {
	keys := keysOf(t, spring, winter)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, keys); text != "2 keys, spring first" {
			t.Errorf("%s prints %q", verb, text)
		}
	}
}

// FuzzOpen holds that nothing panics, that what opens was signed, and that any change is seen.
func FuzzOpen(f *testing.F) {
	keys := keysOf(f, spring, winter)
	f.Add(keys.Sign("link", now.Add(time.Hour), []byte("payload")), []byte("payload"), 3)
	f.Add("AQ", []byte{}, 0)
	f.Fuzz(func(t *testing.T, text string, payload []byte, at int) {
		if got, err := keys.Open("fuzz", text, now); err == nil {
			t.Errorf("%q opens as %q", text, got)
		}
		payload = payload[:min(len(payload), 1024)]
		signed := keys.Sign("link", now.Add(time.Hour), payload)
		if got, err := keys.Open("link", signed, now); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("signed %q, opened %q, %v", payload, got, err)
		}
		changed := []byte(signed)
		changed[uint(at)%uint(len(changed))] ^= byte(1 + uint(at)%127)
		if got, err := keys.Open("link", string(changed), now); err == nil {
			t.Errorf("%q changed to %q opens as %q", signed, changed, got)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	keys, payload := keysOf(b, spring), []byte("https://acme.example/spring?utm_campaign=spring")
	for b.Loop() {
		keys.Sign("link", now, payload)
	}
}
