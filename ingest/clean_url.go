package ingest

import (
	"net/url"
	"strings"
)

// A form that is sent with GET, a link in a mail and a sign-in put secrets and personal data into
// addresses of pages. A beacon must hold none, so their parameters are cut out at the edge.

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
// secrets or personal data.
func cleanURL(raw string) string {
	at := strings.IndexAny(raw, "?#")
	if at < 0 || strings.IndexByte(raw[at:], '=') < 0 {
		return raw
	}
	if !tells(raw[at:]) {
		return raw
	}
	kept, rest := raw[:at], raw[at:]
	for rest != "" {
		mark := rest[:1] // ? or #
		part := rest[1:]
		rest = ""
		if end := strings.IndexByte(part, '#'); end >= 0 {
			part, rest = part[:end], part[end:]
		}
		if part = cleanParameters(part); part != "" {
			kept += mark + part
		}
	}
	return kept
}

// tells says whether a query or a fragment has a parameter that is to be cut out.
func tells(rest string) bool {
	for rest != "" {
		end := strings.IndexAny(rest[1:], "&#") + 1
		if end == 0 {
			end = len(rest)
		}
		if name, value, ok := strings.Cut(rest[1:end], "="); ok && isTelling(name, value) {
			return true
		}
		rest = rest[end:]
	}
	return false
}

func cleanParameters(query string) string {
	pairs := strings.Split(query, "&")
	kept := pairs[:0]
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !isTelling(name, value) {
			kept = append(kept, pair)
		}
	}
	if len(kept) == len(pairs) {
		return query
	}
	return strings.Join(kept, "&")
}

func isTelling(name, value string) bool {
	if strings.HasPrefix(name, "utm_") {
		return false
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
