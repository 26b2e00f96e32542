package ingest

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Some fields of forms must never be kept, whoever sends them: passwords, payment cards and
// one-time codes. They are known by their names, and card numbers by their digits too.

// secretParts make a name secret wherever they stand in it, punctuation left out.
func secretParts() []string {
	return []string{
		"password", "passwd", "passwort", "passphrase", "passcode", "kennwort", "motdepasse",
		"contrase", "wachtwoord", "creditcard", "cardnumber", "cardnum", "cardno", "cardexp",
		"cardcvc", "cardcvv", "cardcode", "ccnumber", "ccnum", "ccexp", "cccsc", "cccvc",
		"cvv", "securitycode", "onetimecode", "onetimepass", "verificationcode", "smscode",
		"authcode", "accesstoken", "authtoken", "resettoken", "sessiontoken", "apikey", "sessionid",
		"sessid",
	}
}

// secretWords make a name secret where they are one of its words.
func secretWords() []string {
	return []string{"pwd", "otp", "totp", "mfa", "2fa", "cvc", "csc", "secret", "token", "jwt"}
}

// secretNames are secret as they are: as a word of a longer name they mean something else.
func secretNames() []string { return []string{"pass", "pin", "pw", "userpass"} }

// isSecretName says whether a field of this name may hold a secret.
func isSecretName(name string) bool {
	words := wordsOf(name)
	joined := strings.Join(words, "")
	for _, part := range secretParts() {
		if strings.Contains(joined, part) {
			return true
		}
	}
	for _, secret := range secretWords() {
		for _, word := range words {
			if word == secret {
				return true
			}
		}
	}
	for _, secret := range secretNames() {
		if joined == secret {
			return true
		}
	}
	return false
}

// wordsOf splits a name at punctuation and where a capital follows a small letter.
func wordsOf(name string) []string {
	var words []string
	start := -1
	end := func(at int) {
		if start >= 0 {
			words = append(words, strings.ToLower(name[start:at]))
			start = -1
		}
	}
	for i := range len(name) {
		c := name[i]
		upper := 'A' <= c && c <= 'Z'
		switch {
		case !upper && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c < 0x80:
			end(i)
			continue
		case upper && i > 0 && 'a' <= name[i-1] && name[i-1] <= 'z':
			end(i)
		}
		if start < 0 {
			start = i
		}
	}
	end(len(name))
	return words
}

// isCard says whether text may be the number of a payment card: 14 to 19 digits, with spaces or
// hyphens, which begin as those of banks do and whose check digit is right (ISO/IEC 7812). A
// telephone number in international form begins with a plus sign.
func isCard(text string) bool {
	text = strings.TrimSpace(text)
	if text == "" || text[0] < '2' || text[0] > '6' {
		return false
	}
	digits, sum := 0, 0
	for i := len(text) - 1; i >= 0; i-- {
		c := text[i]
		switch {
		case c == ' ' || c == '-':
			continue
		case c < '0' || c > '9':
			return false
		}
		d := int(c - '0')
		if digits%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		digits++
	}
	return digits >= 14 && digits <= 19 && sum%10 == 0
}

// dropSecrets copies a well-formed JSON value without the members that may hold secrets, at any
// depth, and says how many those were.
func dropSecrets(raw []byte) (kept []byte, dropped int) {
	kept = keepOpen(make([]byte, 0, len(raw)), gjson.ParseBytes(raw), &dropped)
	return kept, dropped
}

func keepOpen(out []byte, v gjson.Result, dropped *int) []byte {
	object := v.IsObject()
	if !object && !v.IsArray() {
		return append(out, v.Raw...)
	}
	bracket := byte('[')
	if object {
		bracket = '{'
	}
	out = append(out, bracket)
	first := true
	v.ForEach(func(key, member gjson.Result) bool {
		number := member.Type == gjson.Number || member.Type == gjson.String
		if object && isSecretName(key.Str) || number && isCard(member.String()) {
			*dropped++
			return true
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		if object {
			out = append(append(out, key.Raw...), ':')
		}
		out = keepOpen(out, member, dropped)
		return true
	})
	return append(out, bracket+2) // the closing one
}

// withoutSecrets returns what may be kept of a refused input. Where it cannot be read, and may be
// a form's or what a library says of a person, that is nothing, and cut is true. Members that may
// hold secrets are left out; no beacon would have had them.
func withoutSecrets(protocol string, raw []byte, limits Limits) (kept []byte, cut bool) {
	switch protocol {
	case protocolCombined:
		return raw, false
	case protocolSnowplow:
		if typedSecret(string(raw[:min(len(raw), limits.RawBytes)])) { // no more is kept
			return nil, true
		}
		return raw, false
	case protocolForm:
		if len(raw) == 0 {
			return nil, false
		}
	default:
		if !slices.ContainsFunc([]string{"form_submit", `"fields"`, `"traits"`},
			func(mark string) bool { return bytes.Contains(raw, []byte(mark)) }) {
			return raw, false
		}
	}
	if wellFormed(raw, bounds{depth: limits.Depth, keys: len(raw)}) != nil {
		return nil, true
	}
	if kept, dropped := dropSecrets(raw); dropped > 0 {
		return kept, false
	}
	return raw, false
}

// typedSecret says whether what a tracker of Snowplow has sent holds something that was typed into
// a field for a secret. Events of forms are JSON within a parameter, plain or in base64, and the
// name of a field is a value in it.
func typedSecret(raw string) bool {
	for rest := raw; ; {
		at := strings.Index(rest, "ue_px")
		if at < 0 {
			break
		}
		rest = strings.TrimLeft(rest[at+len("ue_px"):], "\": =")
		end := strings.IndexFunc(rest, func(c rune) bool {
			return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("+/-_", c)
		})
		if end < 0 {
			end = len(rest)
		}
		if text, ok := decodeBase64(rest[:end]); ok && elementSecret(text) {
			return true
		}
	}
	if !strings.Contains(raw, "_form") {
		return false
	}
	if text, err := url.QueryUnescape(raw); err == nil {
		raw = text
	}
	return elementSecret(strings.ReplaceAll(raw, `\`, ""))
}

// elementSecret looks at the objects with a value in a JSON text, which need not be whole. Those of
// fields are flat and short, so that little around each value is looked at.
func elementSecret(text string) bool {
	const before, after, mark = 1 << 10, 4 << 10, `"value"`
	for at := strings.Index(text, mark); at >= 0; {
		open := max(strings.LastIndexByte(text[max(0, at-before):at], '{'), 0) + max(0, at-before)
		var name, kind, value string
		gjson.Parse(clip(text[open:], after)).ForEach(func(key, v gjson.Result) bool {
			switch key.Str {
			case "name", "elementId":
				name = v.Str
			case "type":
				kind = v.Str
			case "value":
				value = v.String()
			}
			return true
		})
		if value != "" && (kind == "password" || isSecretName(name) || isCard(value)) {
			return true
		}
		next := strings.Index(text[at+len(mark):], mark)
		if next < 0 {
			return false
		}
		at += len(mark) + next
	}
	return false
}
