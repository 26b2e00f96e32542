package attribute

import (
	"slices"
	"strings"
)

// IsPlaceholder reports whether a whole text, in lower case, is what people or programs write
// where they have nothing to write, whatever it was to be.
func IsPlaceholder(text string) bool {
	switch bare(text) {
	case "", "n/a", "na", "n.a", "none", "null", "nil", "nan", "undefined", "unknown", "empty",
		"blank", "missing", "unavailable", "not available", "not applicable", "not provided",
		"not specified",
		"none given", "tbd", "tba", "test", "testing", "dummy", "placeholder", "asdf", "qwerty", "xxx",
		"anonymous", "anon", "guest", "[object object]", "object object", "0", "#n/a", "#ref!", "$null",
		"k.a", "keine angabe", "unbekannt", "inconnu", "desconocido",
		"00000000-0000-0000-0000-000000000000":
		return true
	}
	return false
}

// bare is a text without the punctuation around it.
func bare(text string) string { return strings.Trim(text, " .-_/\\*?\"'") }

// noName reports whether a whole text, in lower case, is no name of anybody. Null, Test, Guest and
// Blank are families' names, too.
func noName(text string) bool {
	switch bare(text) {
	case "null", "nil", "none", "na", "nan", "test", "testing", "guest", "blank", "missing", "empty",
		"anon", "dummy", "tba", "tbd":
		return false
	case "no name", "noname", "name", "first name", "last name", "firstname", "lastname", "asdfgh":
		return true
	}
	return IsPlaceholder(text)
}

// IsPlaceholderID reports whether an id, in lower case, is one that many have: what programs send
// of somebody whom they do not know.
func IsPlaceholderID(id string) bool {
	switch bare(id) {
	case "1", "id", "user", "users", "user id", "user_id", "userid", "distinct_id", "distinctid",
		"anonymous_id", "anonymousid", "visitor", "visitor_id", "visitorid", "email", "true", "false",
		"not_authenticated", "not authenticated", "unauthenticated", "logged_out", "default", "admin",
		"system", "cookie", "string", "object", "$visitorid", "${visitorid}", "{{visitor_id}}":
		return true
	}
	return IsPlaceholder(id)
}

// isPlaceholderAddress reports whether an e-mail address, in lower case, was made up.
func isPlaceholderAddress(address string) bool {
	local, domain, _ := strings.Cut(address, "@")
	label, rest, _ := strings.Cut(domain, ".")
	switch domain {
	case "noemail.com", "nomail.com", "no-email.com", "test.test", "none.none", "example.example":
		return true
	case "example.com", "example.net", "example.org", "domain.com", "company.com", "mail.com",
		"email.com", "yourdomain.com", "yourcompany.com", "mydomain.com":
		return slices.Contains([]string{
			"test", "name", "email", "user", "you", "your", "yourname", "your.name", "mail", "me",
			"someone", "somebody", "example", "username", "firstname.lastname", "john.doe", "johndoe",
			"jane.doe", "janedoe", "foo", "abc", "no", "none", "your.email", "youremail",
		}, local)
	case "test.com", "test.de", "foo.com", "bar.com", "b.com", "b.c":
		return slices.Contains([]string{"test", "test1", "test123", "foo", "a"}, local)
	case "me.com": // a provider of many
		return local == "me"
	}
	return rest == "invalid" || strings.HasSuffix(rest, ".invalid") || local == label &&
		(IsPlaceholder(local) || onlyOne(local) ||
			slices.Contains([]string{"abc", "no", "123", "1234", "email", "mail", "foo", "fake"}, local))
}

// onlyOne reports that a short text is one character again and again.
func onlyOne(text string) bool {
	return text != "" && len(text) <= 5 && strings.Trim(text, text[:1]) == ""
}

// unread are mailboxes that no person reads, without - _ and dots.
func unread() []string {
	return []string{
		"noreply", "donotreply", "dontreply", "mailerdaemon", "bounce", "bounces", "null",
		"undefined", "devnull", "noemail", "nomail", "nobody",
	}
}

// isPlaceholderNumber reports whether the digits of a phone number, without a country code, are
// all the same or in a row.
func isPlaceholderNumber(digits string) bool {
	const up, down = "01234567890123456789", "98765432109876543210"
	digits = strings.TrimLeft(digits, "0")
	return digits == "" || strings.Trim(digits, digits[:1]) == "" ||
		strings.Contains(up, digits) || strings.Contains(down, digits)
}

// IsPlaceholderDay reports whether a day is what programs write where they have none.
func IsPlaceholderDay(year, month, day int) bool {
	switch [3]int{year, month, day} {
	case [3]int{1, 1, 1}, [3]int{1111, 11, 11}, [3]int{1899, 12, 30}, [3]int{1899, 12, 31},
		[3]int{1900, 1, 1}, [3]int{1970, 1, 1}, [3]int{9999, 12, 31}:
		return true
	}
	return false
}

// denied are values, as they are compared, that name nobody here.
type denied map[string]bool

// drop takes a text away that is denied.
func (d denied) drop(t Text) Text {
	if t.Fault == "" && d[t.Key()] {
		return Text{Fault: Denied}
	}
	return t
}

// denyEmails are addresses, whole domains and mailboxes of every domain.
type denyEmails struct{ addresses, domains, mailboxes map[string]bool }

// IsDeniedEmail reports whether an entry of Deny.Emails can be read.
func IsDeniedEmail(entry string) bool {
	_, _, ok := emailEntry(entry)
	return ok
}

// DeniedPhone is the number that an entry of Deny.Phones stands for; empty where it is none.
func DeniedPhone(entry string) string { return NormalisePhone(entry, "").Number }

// MailDomain writes the domain of an e-mail address in ASCII; ok is false where it can be none.
func MailDomain(text string) (domain string, ok bool) {
	return asciiDomain(lower(strings.TrimSpace(text)))
}

// emailEntry reads an entry: ada@acme.example, @acme.example for a domain with those below it, or
// kiosk@ for a mailbox of every domain. ok is false for anything else.
func emailEntry(entry string) (local, domain string, ok bool) {
	local, domain, found := strings.Cut(lower(strings.TrimSpace(entry)), "@")
	if !found || local == "" && domain == "" {
		return "", "", false
	}
	if domain != "" {
		if domain, ok = asciiDomain(domain); !ok {
			return "", "", false
		}
	}
	return local, domain, local == "" || isLocal(local)
}

func newDenyEmails(entries []string) denyEmails {
	d := denyEmails{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, entry := range entries {
		local, domain, ok := emailEntry(entry)
		switch {
		case !ok:
		case local == "":
			d.domains[domain] = true
		case domain == "":
			d.mailboxes[local] = true
		default:
			for _, keepTags := range []bool{true, false} {
				d.addresses[NormaliseEmail(local+"@"+domain, keepTags).Address] = true
			}
		}
	}
	return d
}

// has reports whether an address that is not empty is denied.
func (d denyEmails) has(address string) bool {
	local, domain, _ := strings.Cut(address, "@")
	for at := domain; len(d.domains) > 0 && at != ""; _, at, _ = strings.Cut(at, ".") {
		if d.domains[at] {
			return true
		}
	}
	return d.addresses[address] || d.mailboxes[local]
}
