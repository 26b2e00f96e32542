package attribute

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxText bounds what is kept of a name or a company, in characters.
const maxText = 200

// Clean is how a name or a company is kept: NFC, single spaces, no control characters, at most
// maxText characters; empty where it is a placeholder.
func Clean(raw string) string {
	if isPlain(raw) && len(raw) <= maxText {
		raw = strings.Join(strings.Fields(raw), " ")
		if noName(strings.ToLower(raw)) {
			return ""
		}
		return raw
	}
	if len(raw) > 4*maxText {
		raw = raw[:4*maxText]
	}
	raw = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(raw, ""))
	text := strings.Join(strings.Fields(norm.NFC.String(raw)), " ")
	if runes := []rune(text); len(runes) > maxText {
		text = strings.TrimSpace(string(runes[:maxText]))
	}
	if noName(strings.ToLower(text)) {
		return ""
	}
	return text
}

// Fold is how names are compared: without case, marks, apostrophes and punctuation, so that
// O'Brien is OBRIEN and Łódź is lodz. It is idempotent.
func Fold(text string) string {
	if isPlain(text) {
		return foldPlain(text)
	}
	text = strings.ToLower(norm.NFKD.String(strings.ToLower(text)))
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == 'ʼ', r == '`', r == '´':
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
			b.WriteString(letter(r))
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// isPlain reports printable ASCII, of which there is nothing to compose or to take apart.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// foldPlain is Fold of printable ASCII.
func foldPlain(text string) string {
	folded := make([]byte, 0, len(text))
	space := false
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '\'', c == '`':
			continue
		default:
			space = true
			continue
		}
		if space && len(folded) > 0 {
			folded = append(folded, ' ')
		}
		space = false
		folded = append(folded, c)
	}
	return string(folded)
}

// letter writes out the letters that Unicode does not take apart.
func letter(r rune) string {
	switch r {
	case 'ł':
		return "l"
	case 'ø':
		return "o"
	case 'đ', 'ð':
		return "d"
	case 'ß':
		return "ss"
	case 'æ':
		return "ae"
	case 'œ':
		return "oe"
	case 'þ':
		return "th"
	case 'ı':
		return "i"
	case 'ħ':
		return "h"
	case 'ŧ':
		return "t"
	}
	return string(r)
}
