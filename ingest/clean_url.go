package ingest

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// A form that is sent with GET, a link in a mail and a sign-in put secrets and personal data into
// addresses of pages. A beacon must hold none, so their parameters are cut out at the edge.

// clean takes out of a beacon what the site does not keep: parameters of the addresses in it, and
// the end of long texts.
func (s *Site) clean(b *schemas.Beacon, limits Limits) {
	b.Url, b.Referrer = cleanURL(b.Url, s.StripQuery), cleanURL(b.Referrer, s.StripQuery)
	b.Props = cutTexts(cleanLinks(b.Props, s.StripQuery), limits.StringBytes)
}

// isPersonalName says whether a parameter of this name may say who somebody is.
func isPersonalName(name string) bool {
	switch strings.Join(wordsOf(name), "") {
	case "email", "mail", "emailaddress", "useremail", "phone", "phonenumber", "tel", "telephone",
		"mobile", "firstname", "lastname", "fullname", "surname", "birthday", "birthdate", "ssn":
		return true
	}
	return false
}

// cleanURL returns an address without the parameters, of its query or its fragment, that may hold
// secrets or personal data, or are called as one of strip, which are in lower case.
func cleanURL(raw string, strip []string) string {
	at := strings.IndexAny(raw, "?#")
	if at < 0 || !tells(raw[at:], strip) {
		return raw
	}
	kept, rest := append(make([]byte, 0, len(raw)), raw[:at]...), raw[at:]
	for rest != "" {
		mark := rest[:1] // ? or #
		part := rest[1:]
		rest = ""
		if end := strings.IndexByte(part, '#'); end >= 0 {
			part, rest = part[:end], part[end:]
		}
		if part = cleanParameters(part, strip); part != "" {
			kept = append(append(kept, mark...), part...)
		}
	}
	return string(kept)
}

// tells says whether a query or a fragment has a parameter that is to be cut out.
func tells(rest string, strip []string) bool {
	for rest != "" {
		end := strings.IndexAny(rest[1:], "&#") + 1
		if end == 0 {
			end = len(rest)
		}
		if isCut(rest[1:end], strip) {
			return true
		}
		rest = rest[end:]
	}
	return false
}

func cleanParameters(query string, strip []string) string {
	pairs := strings.Split(query, "&")
	kept := pairs[:0]
	for _, pair := range pairs {
		if !isCut(pair, strip) {
			kept = append(kept, pair)
		}
	}
	if len(kept) == len(pairs) {
		return query
	}
	return strings.Join(kept, "&")
}

// isCut says whether a parameter is to be cut out.
func isCut(pair string, strip []string) bool {
	name, value, ok := strings.Cut(pair, "=")
	return ok && isTelling(name, value) || len(strip) > 0 && slices.Contains(strip, unescaped(name))
}

// unescaped is the name of a parameter in lower case.
func unescaped(name string) string {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	return strings.ToLower(name)
}

// cleanLinks copies a JSON object with the addresses in it clean, at any depth: where a link leads
// to, and what of the original an event of another protocol keeps.
func cleanLinks(object []byte, strip []string) []byte {
	if bytes.IndexByte(object, '?') < 0 && bytes.IndexByte(object, '#') < 0 &&
		bytes.IndexByte(object, '\\') < 0 {
		return object // no parameter, nor a mark that is escaped
	}
	var out []byte
	from := 0
	for i := 0; i < len(object); i++ {
		if object[i] != '"' {
			continue
		}
		begin := i
		i = endOfString(object, i)
		switch object[begin+1] {
		case '/', '?', 'h', 'H', '\\':
		default:
			continue
		}
		text := gjson.ParseBytes(object[begin : i+1]).Str
		if !isAddress(text) {
			continue
		}
		if clean := cleanURL(text, strip); clean != text && !isName(object[i+1:]) {
			out = append(append(out, object[from:begin]...), quote(clean)...)
			from = i + 1
		}
	}
	if from == 0 {
		return object
	}
	return append(out, object[from:]...)
}

// isAddress says whether text may be the address of a page, whole or from its host, its path or
// its query on.
func isAddress(text string) bool {
	if text == "" {
		return false
	}
	return text[0] == '/' || text[0] == '?' ||
		len(text) > 4 && strings.EqualFold(text[:4], "http")
}

func isTelling(name, value string) bool {
	if strings.HasPrefix(name, "utm_") || name == crossDomain {
		return name == crossDomain
	}
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	if isSecretName(name) || isPersonalName(name) {
		return true
	}
	if plain, err := url.QueryUnescape(value); err == nil {
		value = plain
	}
	// An e-mail address, whatever its parameter is called.
	user, host, ok := strings.Cut(value, "@")
	address := ok && user != "" && strings.IndexByte(host, '.') > 0 &&
		!strings.ContainsAny(user, "/:")
	return address || isCard(value)
}
