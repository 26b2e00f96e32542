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
	Fault Fault
}

const (
	maxLocalBytes = 64
	maxEmailBytes = 254
)

// NormaliseEmail brings an address into the form in which it is compared: trimmed, lower case,
// NFC, the domain in ASCII, without a +tag unless keepTags, and without what its provider ignores.
// It is idempotent.
func NormaliseEmail(raw string, keepTags bool) Email {
	return normaliseEmail(raw, keepTags, nil)
}

// normaliseEmail is NormaliseEmail, where domains are those of others.
func normaliseEmail(raw string, keepTags bool, domains map[string]string) Email {
	if len(raw) > 4*maxEmailBytes || !utf8.ValidString(raw) {
		return Email{Fault: Malformed}
	}
	var steps steps
	text := steps.add("white space trimmed", raw, strings.TrimFunc(raw, blank))
	if text == "" {
		return Email{Fault: Empty}
	}
	text = steps.add("lower-cased", text, lower(text))
	if IsPlaceholderID(text) {
		return Email{Fault: Placeholder}
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return Email{Fault: Malformed}
	}
	local, typed := text[:at], text[at+1:]
	domain, ok := asciiDomain(typed)
	if !ok || !isLocal(local) {
		return Email{Fault: Malformed}
	}
	steps.add("domain written in ASCII", typed, domain)
	if to, ok := domains[domain]; ok {
		domain = steps.add(domain+" read as "+to, domain, to)
	}
	if plus := strings.IndexByte(local, '+'); plus > 0 && !keepTags {
		local = steps.add("tag dropped", local, local[:plus])
	}
	local, domain = provided(local, domain, keepTags, &steps)
	if !isLocal(local) || len(local)+1+len(domain) > maxEmailBytes {
		return Email{Fault: Malformed}
	}
	e := Email{Address: local + "@" + domain, Steps: steps}
	mailbox := plain(local)
	if isPlaceholderAddress(e.Address) || slices.Contains(unread(), mailbox) {
		return Email{Fault: Placeholder}
	}
	e.Role = slices.Contains(roles(), mailbox)
	return e
}

// steps are what was done to a text, for people.
type steps []string

// add notes a step that changed something, and returns what became of the text.
func (s *steps) add(name, before, after string) string {
	if before != after {
		*s = append(*s, name)
	}
	return after
}

// blank reports white space, also that which cannot be seen.
func blank(r rune) bool { return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' }

// provided writes an address as the provider of the mailbox reads it. Microsoft's, among others,
// ignore no more than a tag.
func provided(local, domain string, keepTags bool, s *steps) (string, string) {
	switch domain {
	case "gmail.com", "googlemail.com":
		local = s.add("dots dropped, as Gmail does", local, strings.ReplaceAll(local, ".", ""))
		return local, s.add(domain+" read as gmail.com", domain, "gmail.com")
	case "icloud.com", "me.com", "mac.com":
		return local, s.add(domain+" read as icloud.com", domain, "icloud.com")
	case "proton.me", "protonmail.com", "protonmail.ch", "pm.me":
		// Two accounts never differ in these alone.
		return s.add("dots, hyphens and underscores dropped, as Proton does", local, plain(local)),
			s.add(domain+" read as proton.me", domain, "proton.me")
	case "yandex.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "yandex.com.tr", "ya.ru":
		return s.add("dots read as hyphens, as Yandex does", local, strings.ReplaceAll(local, ".", "-")),
			s.add(domain+" read as yandex.ru", domain, "yandex.ru")
	}
	// At Yahoo a hyphen begins the word of a disposable address, and stands in no other.
	name, _, _ := strings.Cut(domain, ".")
	if cut := strings.IndexByte(local, '-'); cut > 0 && !keepTags &&
		(name == "yahoo" || domain == "ymail.com" || domain == "rocketmail.com") {
		local = s.add("what is behind the hyphen dropped, as Yahoo does", local, local[:cut])
	}
	return local, domain
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
	domain = strings.TrimSuffix(text, ".")
	if !isPlainDomain(domain) {
		profile := idna.New(idna.MapForLookup(), idna.Transitional(false),
			idna.StrictDomainName(true), idna.BidiRule())
		var err error
		if domain, err = profile.ToASCII(domain); err != nil {
			return "", false
		}
	}
	if len(domain) > maxDomain || !strings.Contains(domain, ".") {
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

// isPlainDomain reports a domain of lower-case letters, digits and single hyphens inside labels,
// which is as it should be.
func isPlainDomain(text string) bool {
	before := byte('.')
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '.' && before != '-':
		case c == '-' && before != '.' && before != '-':
		default:
			return false
		}
		before = c
	}
	return before != '-'
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
