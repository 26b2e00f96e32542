package ingest

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"
)

// bounds is what JSON may not exceed.
type bounds struct {
	// depth is the deepest nesting, keys the most object keys.
	depth, keys int
	// doubles refuses numbers that a float64 cannot hold: DuckDB would choke on them later.
	doubles bool
}

// wellFormed says whether raw is JSON that can be walked safely. Its depth is checked before
// anything recurses.
func wellFormed(raw []byte, most bounds) *Rejection {
	if bad := most.hold(raw); bad != nil {
		return bad
	}
	if !gjson.ValidBytes(raw) {
		return &Rejection{ReasonInvalidJSON, "want one JSON value", ""}
	}
	return nil
}

// aliased reads JSON that nobody writes to for as long as the result is used: its texts alias raw.
func aliased(raw []byte) gjson.Result {
	return gjson.Parse(unsafe.String(unsafe.SliceData(raw), len(raw)))
}

// hold says whether raw keeps to the bounds, if it is JSON at all.
func (most bounds) hold(raw []byte) *Rejection {
	level, colons := 0, 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '"':
			i = endOfString(raw, i)
		case '{', '[':
			if level++; level > most.depth {
				return &Rejection{
					ReasonTooDeep, fmt.Sprintf("want at most %d levels of nesting", most.depth), "",
				}
			}
		case '}', ']':
			level--
		case ':':
			if colons++; colons > most.keys {
				return &Rejection{
					ReasonTooManyKeys, fmt.Sprintf("want at most %d keys", most.keys), "",
				}
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end := endOfNumber(raw, i)
			if most.doubles && !fitsFloat(raw[i:end]) {
				return &Rejection{ReasonInvalidValue, "want numbers that a double can hold", ""}
			}
			i = end - 1
		}
	}
	return nil
}

// endOfString returns the index of the quote that closes the string which opens at i, or where raw
// ends.
func endOfString(raw []byte, i int) int {
	for i++; i < len(raw); {
		quote := bytes.IndexByte(raw[i:], '"')
		if quote < 0 {
			return len(raw)
		}
		inside := raw[i : i+quote]
		if i += quote; len(inside) == 0 || inside[len(inside)-1] != '\\' {
			return i
		}
		// An odd number of backslashes escapes the quote. Before the string none can stand.
		escapes := len(inside) - len(bytes.TrimRight(inside, `\`))
		if i++; escapes%2 == 0 {
			return i - 1
		}
	}
	return len(raw)
}

func endOfNumber(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch c := raw[i]; {
		case '0' <= c && c <= '9', c == '.', c == 'e', c == 'E', c == '+', c == '-':
		default:
			return i
		}
	}
	return i
}

// fitsFloat is true for what is no number at all, too: that is invalid_json.
func fitsFloat(number []byte) bool {
	if len(number) < 300 && bytes.IndexByte(number, 'e') < 0 && bytes.IndexByte(number, 'E') < 0 {
		return true
	}
	f, _ := strconv.ParseFloat(string(number), 64)
	return !math.IsInf(f, 0)
}

// pointer is the JSON pointer to a member of the document, whose name a client chose.
func pointer(name string) string {
	const most = 256
	name = strings.ToValidUTF8(clip(name, most), "")
	return "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// cleanText says whether well-formed JSON is text throughout: valid UTF-8, and no escape that
// names half a surrogate pair, which would come out as bytes that are no text.
func cleanText(raw []byte) *Rejection {
	if !utf8.Valid(raw) {
		return &Rejection{ReasonInvalidUTF8, "want UTF-8", ""}
	}
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		switch unit := escaped(raw[i-1:]); {
		case 0xd800 <= unit && unit < 0xdc00:
			if low := escaped(raw[i+5:]); low < 0xdc00 || low > 0xdfff {
				return &Rejection{ReasonInvalidUnicode, "want surrogates in pairs", ""}
			}
			i += 10
		case 0xdc00 <= unit && unit <= 0xdfff:
			return &Rejection{ReasonInvalidUnicode, "want surrogates in pairs", ""}
		}
	}
	return nil
}

// escaped returns the code unit of the \uXXXX that raw begins with, 0 if it does not.
func escaped(raw []byte) uint64 {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(raw[2:6]), 16, 32)
	if err != nil {
		return 0
	}
	return unit
}

// clip cuts text to at most so many bytes.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}
