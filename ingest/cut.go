package ingest

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// cutKey is the member of props that says how many of its texts were cut.
const cutKey = "_cut"

// cutTexts cuts every text in an object that takes more than so many bytes of its JSON, and says
// in "_cut" how many those were. Names of members are left whole.
func cutTexts(object []byte, most int) []byte {
	if len(object) <= most {
		return object
	}
	var out []byte
	from, cut := 0, 0
	for i := 0; i < len(object); i++ {
		if object[i] != '"' {
			continue
		}
		begin := i + 1
		i = endOfString(object, i)
		if i-begin <= most || isName(object[i+1:]) {
			continue
		}
		end := begin + wholeChars(object[begin:i], most)
		out = append(out, object[from:end]...)
		from = i
		cut++
	}
	if cut == 0 {
		return object
	}
	out = append(out, bytes.TrimRight(object[from:], " \t\r\n")...)
	out[len(out)-1] = ','
	return append(out, `"`+cutKey+`":`+strconv.Itoa(cut)+"}"...)
}

// isName says whether what follows a string makes it the name of a member.
func isName(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// wholeChars is how many bytes of a JSON string's inside, at most most, are whole characters.
func wholeChars(inside []byte, most int) int {
	for i := 0; ; {
		next := i
		switch unit := escaped(inside[i:]); {
		case 0xd800 <= unit && unit < 0xdc00:
			next += 12
		case unit != 0 || bytes.HasPrefix(inside[i:], []byte(`\u`)):
			next += 6
		case inside[i] == '\\':
			next += 2
		default:
			_, size := utf8.DecodeRune(inside[i:])
			next += size
		}
		if next > most {
			return i
		}
		i = next
	}
}
