package match

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"crumbtrail/resolve/attribute"
)

// value is a text as it is compared.
type value struct {
	text string
	hash uint64
	// part is what of it counts alone: the user part of an e-mail address, the last digits of a
	// phone number, the first word of a name; empty where there is none.
	part string
	// letters has a bit for each character that is in the text, length is how many there are.
	letters uint64
	length  uint16
	day     date
	role    bool // a mailbox of several people
}

// lettersOf sets a bit for each letter and digit; other characters share what bits are left.
func lettersOf(text string) (set uint64) {
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z':
			set |= 1 << (r - 'a')
		case r >= '0' && r <= '9':
			set |= 1 << (26 + r - '0')
		default:
			set |= 1 << (36 + r%28)
		}
	}
	return set
}

// normaliser brings the texts of one column into the form in which they are compared.
type normaliser struct {
	kind   Kind
	order  dateOrder
	region string // of phone numbers without a country code, such as GB; may be empty
}

// of returns the value of a text and names what was done to it; a value without a text is none.
func (n normaliser) of(raw string) (v value, steps []string) {
	raw = strings.TrimSpace(raw)
	if raw == "" || n.kind != GivenName && n.kind != FamilyName &&
		attribute.IsPlaceholder(strings.ToLower(raw)) {
		return value{}, nil
	}
	switch n.kind {
	case EmailKind:
		v, steps = emailValue(raw)
	case Phone:
		v, steps = phoneValue(raw, n.region)
	case Date:
		v, steps = dateValue(raw, n.order)
	case Postcode, Code:
		v.text = alphanumeric(raw)
		steps = []string{"letters and digits alone, lower-cased"}
	default:
		t := wordsOf(n.kind, raw)
		v.text, steps = t.Folded, t.Steps
	}
	if v.text == "" {
		return value{}, steps
	}
	if n.kind == GivenName || n.kind == FamilyName {
		v.part, _, _ = strings.Cut(v.text, " ")
	}
	v.hash = xxhash.Sum64String(v.text)
	v.letters = lettersOf(v.text)
	v.length = uint16(min(utf8.RuneCountInString(v.text), math.MaxUint16))
	return v, steps
}

func wordsOf(kind Kind, raw string) attribute.Text {
	switch kind {
	case GivenName, FamilyName:
		return attribute.NormaliseName(raw)
	case FullName:
		return attribute.NormaliseFullName(raw)
	case Company:
		return attribute.NormaliseCompany(raw)
	case Address:
		return attribute.NormaliseAddress(raw)
	}
	return attribute.NormaliseText(raw)
}

// emailValue keeps an address that is none as a text: half of one still tells something.
func emailValue(raw string) (value, []string) {
	e := attribute.NormaliseEmail(raw, false)
	switch e.Fault {
	case attribute.Empty, attribute.Placeholder:
		return value{}, []string{"a placeholder: as if empty"}
	case attribute.Malformed:
		text := strings.ToLower(strings.Join(strings.Fields(raw), ""))
		if text != raw { // the same text is the same value
			return emailValue(text)
		}
		part, _, found := strings.Cut(text, "@")
		if !found {
			part = ""
		}
		return value{text: text, part: part}, []string{"malformed: compared as text"}
	}
	part, _, _ := strings.Cut(e.Address, "@")
	if e.Role {
		part = ""
	}
	return value{text: e.Address, part: part, role: e.Role}, e.Steps
}

// nationalDigits is how many of a number's last digits tell it from others in one country.
const nationalDigits = 9

// phoneValue keeps a number that is none as its digits, if there are enough of them.
func phoneValue(raw, region string) (value, []string) {
	p := attribute.NormalisePhone(raw, region)
	text, steps := p.Number, p.Steps
	if p.Fault == attribute.Malformed && len(p.Text) >= fewestDigits && len(p.Text) <= mostDigits {
		text, steps = p.Text, []string{"no possible number: compared by its digits"}
	}
	if text == "" {
		return value{}, []string{"no phone number: as if empty"}
	}
	number, extension, _ := strings.Cut(text, ";ext=")
	v := value{text: text, part: strings.TrimLeft(strings.TrimPrefix(number, "+"), "0")}
	if len(v.part) > nationalDigits {
		v.part = v.part[len(v.part)-nationalDigits:]
	}
	v.part += extension
	return v, steps
}

// How many digits a text has that is compared as a phone number, without being one.
const fewestDigits, mostDigits = 6, 15

// dateValue reads the digits again where the text is no day: the same text is the same value.
func dateValue(raw string, order dateOrder) (value, []string) {
	text := alphanumeric(raw)
	day, ok := parseDate(raw, order)
	if !ok {
		day, ok = parseDate(text, order)
	}
	if ok {
		if attribute.IsPlaceholderDay(int(day.year), int(day.month), int(day.day)) {
			return value{}, []string{"a placeholder: as if empty"}
		}
		return value{text: day.digits(), day: day}, []string{"read as a date"}
	}
	return value{text: text}, []string{"no day of the calendar: compared as text"}
}

func alphanumeric(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}
