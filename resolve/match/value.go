package match

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/nyaruka/phonenumbers"

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
		v.text = attribute.Fold(attribute.Clean(raw))
		steps = []string{"case, marks and punctuation folded"}
	}
	if drop := dropped(n.kind); drop != nil {
		if kept := without(v.text, drop); kept != v.text {
			v.text = kept
			steps = append(steps, "titles, legal forms and abbreviations evened out")
		}
	}
	if n.kind == GivenName || n.kind == FamilyName {
		v.part, _, _ = strings.Cut(v.text, " ")
	}
	v.hash = xxhash.Sum64String(v.text)
	v.letters = lettersOf(v.text)
	v.length = uint16(min(utf8.RuneCountInString(v.text), math.MaxUint16))
	return v, steps
}

// emailValue keeps an address that is none as a text: half of one still tells something.
func emailValue(raw string) (value, []string) {
	e := attribute.NormaliseEmail(raw, false)
	switch e.Fault {
	case attribute.EmailEmpty, attribute.EmailPlaceholder:
		return value{}, []string{"a placeholder: as if empty"}
	case attribute.EmailMalformed:
		text := strings.ToLower(strings.Join(strings.Fields(raw), ""))
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

func phoneValue(raw, region string) (value, []string) {
	text, steps := attribute.NormalisePhone(raw), []string{"digits alone"}
	if text == "" {
		return value{}, []string{"no phone number: as if empty"}
	}
	international := strings.HasPrefix(text, "+")
	if international || region != "" {
		number, err := phonenumbers.Parse(text, region)
		if err == nil && phonenumbers.IsPossibleNumber(number) {
			text = phonenumbers.Format(number, phonenumbers.E164)
			steps = []string{"written as E.164"}
		}
	}
	v := value{text: text, part: strings.TrimLeft(strings.TrimPrefix(text, "+"), "0")}
	if len(v.part) > nationalDigits {
		v.part = v.part[len(v.part)-nationalDigits:]
	}
	return v, steps
}

func dateValue(raw string, order dateOrder) (value, []string) {
	if day, ok := parseDate(raw, order); ok {
		return value{text: day.digits(), day: day}, []string{"read as a date"}
	}
	return value{text: alphanumeric(raw)}, []string{"no day of the calendar: compared as text"}
}

func alphanumeric(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// dropped are words that say nothing in a text of a kind, and what to write in their place.
func dropped(kind Kind) map[string]string {
	switch kind {
	case GivenName, FamilyName, FullName:
		return map[string]string{
			"mr": "", "mrs": "", "ms": "", "miss": "", "dr": "", "prof": "", "sir": "", "herr": "",
			"frau": "", "jr": "", "sr": "", "mme": "", "sra": "", "ing": "", "phd": "", "esq": "",
		}
	case Company:
		return map[string]string{
			"ltd": "", "limited": "", "inc": "", "incorporated": "", "llc": "", "llp": "", "plc": "",
			"gmbh": "", "ag": "", "kg": "", "co": "", "corp": "", "corporation": "", "company": "",
			"sa": "", "sarl": "", "sas": "", "srl": "", "spa": "", "bv": "", "nv": "", "oy": "",
			"ab": "", "as": "", "aps": "", "pty": "", "the": "", "and": "", "und": "", "ug": "",
		}
	case Address:
		return map[string]string{
			"st": "street", "rd": "road", "ave": "avenue", "av": "avenue", "blvd": "boulevard",
			"dr": "drive", "ln": "lane", "pl": "place", "ct": "court", "cres": "crescent",
			"cct": "circuit", "hwy": "highway", "sq": "square", "str": "strasse", "apt": "unit",
			"flat": "unit", "n": "north", "s": "south", "e": "east", "w": "west", "pde": "parade",
		}
	}
	return nil
}

// without replaces words; a text of nothing else stays as it is.
func without(text string, words map[string]string) string {
	kept := make([]string, 0, 8)
	for _, word := range strings.Fields(text) {
		if to, ok := words[word]; ok {
			word = to
		}
		if word != "" {
			kept = append(kept, word)
		}
	}
	if len(kept) == 0 {
		return text
	}
	return strings.Join(kept, " ")
}
