package ingest

import (
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

// dropSecrets copies a well-formed JSON value without what may hold secrets, at any depth, and says
// how many those were: members of such a name, the values of {"name":…,"value":…} where that is the
// name, and numbers of cards. Text that is JSON itself is looked into.
func dropSecrets(raw []byte) (kept []byte, dropped int) {
	k := keeper{}
	kept = k.keep(make([]byte, 0, len(raw)), gjson.ParseBytes(raw))
	return kept, k.dropped
}

// keeper copies JSON without secrets.
type keeper struct {
	dropped int
	// unread is true where it was not known what was dropped.
	unread bool
	// packed looks into the parameters of Snowplow's trackers that are JSON in base64.
	packed bool
	// most is how many bytes of what cannot be read may be kept, and are worth a look.
	most int
}

func (k *keeper) keep(out []byte, v gjson.Result) []byte {
	object := v.IsObject()
	switch {
	case v.Type == gjson.String:
		return k.text(out, v)
	case !object && !v.IsArray():
		return append(out, v.Raw...)
	}
	bracket := byte('[')
	secret := false
	if object {
		bracket = '{'
		secret = namesSecret(v)
	}
	out = append(out, bracket)
	first := true
	v.ForEach(func(key, member gjson.Result) bool {
		number := member.Type == gjson.Number || member.Type == gjson.String
		if object && isSecretName(key.Str) || number && isCard(member.String()) ||
			secret && isValue(key.Str) {
			k.dropped++
			return true
		}
		if object && k.packed && isPacked(key.Str) {
			text, ok := k.unpacked(member.Str)
			if !ok {
				return true
			}
			member = gjson.Parse(quote(text))
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		if object {
			out = append(append(out, key.Raw...), ':')
		}
		out = k.keep(out, member)
		return true
	})
	return append(out, bracket+2) // the closing one
}

// text copies text, and looks into it where it is JSON.
func (k *keeper) text(out []byte, v gjson.Result) []byte {
	if inner, changed := k.inner(v.Str); changed {
		return append(out, quote(inner)...)
	}
	return append(out, v.Raw...)
}

// textDepth is as deep as text is looked into that is JSON.
const textDepth = 64

// inner is text that is JSON without what may hold secrets; changed is false of other text, and
// where nothing was dropped.
func (k *keeper) inner(text string) (kept string, changed bool) {
	if start := strings.TrimSpace(text); !strings.HasPrefix(start, "{") &&
		!strings.HasPrefix(start, "[") {
		return text, false
	}
	if wellFormed([]byte(text), bounds{depth: textDepth, keys: len(text)}) != nil {
		return text, false
	}
	before := k.dropped
	out := k.keep(make([]byte, 0, len(text)), gjson.Parse(text))
	return string(out), k.dropped > before
}

// namesSecret says whether an object is a field with a secret's name, as {"name":…,"value":…}, or
// one that is typed unseen.
func namesSecret(object gjson.Result) (secret bool) {
	object.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "name", "id", "field", "key", "label":
			secret = secret || v.Type == gjson.String && isSecretName(v.Str)
		case "type":
			secret = secret || v.Str == "password"
		}
		return !secret
	})
	return secret
}

func isValue(name string) bool { return name == "value" || name == "values" }
