// Package attribute reads what people say of themselves, e-mail addresses, phone numbers and names,
// writes each in the one form in which it is compared, and guarantees that normalising twice
// changes nothing and that a text which names nobody is told apart.
package attribute

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Email is an e-mail address as it is compared.
type Email struct {
	// Address is empty where there is a fault.
	Address string
	// Role is true for a mailbox of a function, such as info@ or sales@.
	Role bool
	// Steps name what normalising changed, for people.
	Steps []string
	// Fault says why the text names nobody; EmailEmpty where there was none.
	Fault EmailFault
}

// EmailFault says why an e-mail address cannot be used.
type EmailFault string

// The faults. A placeholder is an address typed to get past a form, or one that nobody reads.
const (
	EmailEmpty       EmailFault = "empty"
	EmailMalformed   EmailFault = "malformed"
	EmailPlaceholder EmailFault = "placeholder"
)

const (
	maxLocalBytes = 64
	maxEmailBytes = 254
)

// NormaliseEmail brings an address into the form in which it is compared: trimmed, lower case,
// NFC, the domain in ASCII, without a +tag unless keepTags, and for Gmail without the dots that it
// ignores. It is idempotent.
func NormaliseEmail(raw string, keepTags bool) Email {
	if len(raw) > 4*maxEmailBytes || !utf8.ValidString(raw) {
		return Email{Fault: EmailMalformed}
	}
	var e Email
	step := func(before, after, name string) string {
		if before != after {
			e.Steps = append(e.Steps, name)
		}
		return after
	}
	text := step(raw, strings.TrimFunc(raw, func(r rune) bool {
		return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff'
	}), "white space trimmed")
	if text == "" {
		return Email{Fault: EmailEmpty}
	}
	text = step(text, lower(text), "lower-cased")
	if IsPlaceholder(text) {
		return Email{Fault: EmailPlaceholder}
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return Email{Fault: EmailMalformed}
	}
	local, typed := text[:at], text[at+1:]
	domain, ok := asciiDomain(typed)
	if !ok || !isLocal(local) {
		return Email{Fault: EmailMalformed}
	}
	step(typed, domain, "domain written in ASCII")
	if plus := strings.IndexByte(local, '+'); plus > 0 && !keepTags {
		local = step(local, local[:plus], "tag dropped")
	}
	if domain == "gmail.com" || domain == "googlemail.com" {
		local = step(local, strings.ReplaceAll(local, ".", ""), "dots dropped, as Gmail does")
		domain = step(domain, "gmail.com", "googlemail.com read as gmail.com")
	}
	if !isLocal(local) || len(local)+1+len(domain) > maxEmailBytes {
		return Email{Fault: EmailMalformed}
	}
	e.Address = local + "@" + domain
	mailbox := plain(local)
	if IsPlaceholder(e.Address) || slices.Contains(unread(), mailbox) {
		return Email{Fault: EmailPlaceholder}
	}
	e.Role = slices.Contains(roles(), mailbox)
	return e
}

// lower is lower case in NFC: lower-casing can leave what composes.
func lower(s string) string {
	return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
}

// plain takes away what people put between the words of a mailbox.
func plain(local string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, local)
}

// isLocal reports whether text can stand before the @, unquoted: quoted ones are not in use.
func isLocal(text string) bool {
	if text == "" || len(text) > maxLocalBytes || text[0] == '.' || text[len(text)-1] == '.' ||
		strings.Contains(text, "..") {
		return false
	}
	for _, r := range text {
		switch {
		case r >= utf8.RuneSelf:
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
				return false
			}
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune(".!#$%&'*+/=?^_`{|}~-", r):
		default:
			return false
		}
	}
	return true
}

// asciiDomain writes a domain in ASCII (IDNA 2008); ok is false where it can be none of mail.
func asciiDomain(text string) (domain string, ok bool) {
	const maxLabel, maxDomain = 63, 253
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
		idna.BidiRule())
	domain, err := profile.ToASCII(strings.TrimSuffix(text, "."))
	if err != nil || len(domain) > maxDomain || !strings.Contains(domain, ".") {
		return "", false
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if label == "" || len(label) > maxLabel {
			return "", false
		}
	}
	last := labels[len(labels)-1]
	return domain, strings.Trim(last, "0123456789") != "" // an address in digits is no domain
}

// IsPlaceholder reports whether a whole text, in lower case, is what people or programs write
// where they have nothing to write.
func IsPlaceholder(text string) bool {
	switch strings.Trim(text, " .-_/\\*?") {
	case "", "n/a", "na", "n.a", "none", "null", "nil", "nan", "undefined", "unknown", "empty",
		"test", "asdf", "xxx", "anonymous", "[object object]", "0":
		return true
	}
	switch text {
	case "test@test.com", "test@test.test", "test@example.com", "test@test.de", "test@mail.com",
		"test@email.com", "a@a.com", "a@b.com", "a@b.c", "aa@aa.com", "abc@abc.com",
		"asdf@asdf.com", "x@x.com", "xx@xx.com", "xxx@xxx.com", "foo@bar.com", "none@none.com",
		"na@na.com", "no@no.com", "no@email.com", "noemail@noemail.com", "email@email.com",
		"email@example.com", "name@example.com", "user@example.com", "you@example.com",
		"123@123.com", "me@me.com", "null@null.com", "undefined@undefined.com":
		return true
	}
	return false
}

// unread are mailboxes that no person reads, without - _ and dots.
func unread() []string {
	return []string{
		"noreply", "donotreply", "dontreply", "mailerdaemon", "bounce", "bounces", "null",
		"undefined", "devnull", "noemail", "nomail", "nobody",
	}
}

// roles are mailboxes of functions, which several people read, without - _ and dots.
func roles() []string {
	return []string{
		"abuse", "accounting", "accounts", "admin", "administrator", "billing", "booking",
		"buero", "careers", "commercial", "contact", "contacto", "contactus", "customerservice",
		"einkauf", "enquiries", "events", "feedback", "finance", "hello", "help", "helpdesk",
		"hostmaster", "hr", "info", "infos", "inquiries", "invoice", "invoices", "it", "jobs",
		"kontakt", "legal", "mail", "mailbox", "marketing", "media", "news", "newsletter",
		"office", "order", "orders", "postmaster", "poststelle", "press", "privacy", "purchasing",
		"reception", "recruiting", "root", "sales", "secretariat", "security", "service",
		"services", "shop", "support", "team", "ventas", "vertrieb", "webmaster", "welcome",
	}
}
