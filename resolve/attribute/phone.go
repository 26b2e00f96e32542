package attribute

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"
	"google.golang.org/protobuf/proto"
)

// Phone is a phone number as it is compared.
type Phone struct {
	// Number is E.164, such as +442079460958, then ;ext= with an extension; or the digits alone
	// where there is no telling the country. Empty where there is a fault.
	Number string
	// Text is what there is of digits in a number that cannot be one: half of it still tells
	// something, and no strategy finds anybody by it.
	Text  string
	Steps []string
	Fault Fault
}

const (
	// maxPhoneBytes bounds what is read as a phone number.
	maxPhoneBytes = 200
	// How many digits a number has whose country is not known; E.164 allows 15.
	fewestDigits, mostDigits = 6, 15
)

// IsRegion reports whether there are phone numbers of a region, two letters as in ISO 3166.
func IsRegion(region string) bool { return phonenumbers.GetSupportedRegions()[region] }

// NormalisePhone writes a phone number as E.164. Region is where numbers without a country code are
// from; where it is empty, those are compared by their digits: the same line written with and
// without its country code is two numbers then. It is idempotent.
func NormalisePhone(raw, region string) Phone {
	if len(raw) > maxPhoneBytes {
		return Phone{Fault: Malformed}
	}
	wide := norm.NFKC.String(strings.ToValidUTF8(raw, "")) // digits may be of full width
	text := strings.TrimFunc(wide, blank)
	switch {
	case text == "":
		return Phone{Fault: Empty}
	case IsPlaceholderID(strings.ToLower(text)):
		return Phone{Fault: Placeholder}
	}
	text = strings.TrimLeftFunc(text, func(r rune) bool { return r != '+' && !unicode.IsDigit(r) })
	var p Phone
	if region != "" || strings.HasPrefix(text, "+") {
		p = parsePhone(raw, text, region)
	} else {
		p = phoneDigits(raw, text)
	}
	if p.Fault == "" && p.Number != raw && len(p.Steps) == 0 {
		p.Steps = []string{"digits alone"}
	}
	return p
}

// parsePhone reads a number whose country is known. Raw is the text as it was typed.
func parsePhone(raw, text, region string) Phone {
	number, err := direct(text), error(nil)
	if number == nil {
		number, err = phonenumbers.Parse(text, region)
	}
	switch digits := digitsOf(text); {
	case err != nil && digits != "" && isPlaceholderNumber(digits):
		return Phone{Fault: Placeholder}
	case err != nil:
		return Phone{Text: digits[:min(len(digits), 2*mostDigits)], Fault: Malformed}
	}
	national := phonenumbers.GetNationalSignificantNumber(number)
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	switch {
	case isPlaceholderNumber(national):
		return Phone{Fault: Placeholder}
	case phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE:
		return Phone{Text: strings.TrimPrefix(e164, "+"), Fault: Malformed}
	}
	var s steps
	if international := strings.HasPrefix(text, "+"); !international {
		s = append(s, "read as a number of "+region)
	}
	extension := number.GetExtension()
	if extension != "" {
		e164 += ";ext=" + extension
	}
	s.add("written as E.164", raw, e164)
	return Phone{Number: e164, Steps: s}
}

// trunks are calling codes, and the digit that people of the country write before a number; a
// space where they write none. What else may stand there begins with that digit, too.
var trunks = map[string]byte{
	"1": '1', "27": '0', "31": '0', "32": '0', "33": '0', "34": ' ', "39": ' ', "41": '0', "43": '0',
	"44": '0', "45": ' ', "46": '0', "47": ' ', "48": ' ', "49": '0', "64": '0', "81": '0', "91": '0',
	"351": ' ', "353": '0', "420": ' ',
}

// direct reads what is E.164 already, so that there is nothing to look for in it: a tenth of the
// time. It is nil for what may be something else.
func direct(text string) *phonenumbers.PhoneNumber {
	const longestCode, fewest, most = 3, 1 + 8, 1 + mostDigits
	if len(text) < fewest || len(text) > most || text[0] != '+' ||
		strings.Trim(text[1:], "0123456789") != "" {
		return nil
	}
	for n := 1; n <= longestCode; n++ {
		trunk, ok := trunks[text[1:1+n]]
		if !ok {
			continue
		}
		national := text[1+n:]
		if national[0] == trunk || national[0] == '0' {
			return nil
		}
		code, _ := strconv.Atoi(text[1 : 1+n])
		number, _ := strconv.ParseUint(national, 10, 64) // digits, at most 15
		return &phonenumbers.PhoneNumber{
			CountryCode: proto.Int32(int32(code)), NationalNumber: proto.Uint64(number),
		}
	}
	return nil
}

// phoneDigits reads a number of any country, with 00 before it where it is from another one.
func phoneDigits(raw, text string) Phone {
	extension := ""
	if strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsLetter(r) || strings.ContainsRune("#~;,", r)
	}) {
		text, extension = phonenumbers.MaybeSeparateExtensionFromPhone(text)
	}
	if cut := strings.IndexFunc(text, unicode.IsLetter); cut >= 0 {
		text = text[:cut]
	}
	digits := digitsOf(text)
	if extension != "" {
		extension = ";ext=" + extension
	}
	switch {
	case digits != "" && isPlaceholderNumber(digits):
		return Phone{Fault: Placeholder}
	case strings.HasPrefix(digits, "00"):
		return parsePhone(raw, "+"+digits[2:]+extension, "")
	case len(digits) > mostDigits || len(digits) < fewestDigits:
		return Phone{Text: digits[:min(len(digits), 2*mostDigits)], Fault: Malformed}
	}
	return Phone{Number: digits + extension}
}

func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, text)
}

// phoneCache remembers what was read of the latest texts: parsing takes microseconds. When the
// newer half is full it becomes the older one, whose texts are forgotten.
type phoneCache struct{ newer, older map[phoneText]Phone }

type phoneText struct{ raw, region string }

// phonesKept is how many texts are remembered at least.
const phonesKept = 8192

func newPhoneCache() phoneCache { return phoneCache{newer: map[phoneText]Phone{}} }

func (c *phoneCache) phone(raw, region string) Phone {
	key := phoneText{raw, region}
	if p, ok := c.newer[key]; ok {
		return p
	}
	p, ok := c.older[key]
	if !ok {
		p = NormalisePhone(raw, region)
	}
	if len(raw) > maxPhoneBytes {
		return p // not worth its bytes
	}
	if len(c.newer) == phonesKept {
		c.newer, c.older = map[phoneText]Phone{}, c.newer
	}
	c.newer[phoneText{strings.Clone(raw), region}] = p
	return p
}
