package score

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// conditionError is a fault in a condition; Pos is the character, counted from 1, at which it was
// noticed.
type conditionError struct {
	Pos int
	Msg string
}

func (e *conditionError) Error() string { return fmt.Sprintf("character %d: %s", e.Pos, e.Msg) }

// token is a piece of a condition's text.
type token struct {
	class tokenClass
	// value is a word in upper case, a column's name, a text's content, a number's digits, a sign.
	value string
	pos   int
	// quoted is true for a name in quotes.
	quoted bool
}

type tokenClass uint8

const (
	endToken tokenClass = iota
	// keywordToken is one of keywords.
	keywordToken
	nameToken
	textToken
	numberToken
	signToken
)

const keywords = " AND OR NOT IN BETWEEN LIKE ILIKE IS NULL TRUE FALSE "

func (t token) String() string {
	switch t.class {
	case endToken:
		return "the end"
	case textToken:
		return quoteText(t.value)
	default:
		return t.value
	}
}

// lex cuts a condition into tokens; the last is the end.
func lex(input string) ([]token, error) {
	var tokens []token
	for i := 0; ; {
		for i < len(input) && strings.IndexByte(" \t\r\n", input[i]) >= 0 {
			i++
		}
		pos := utf8.RuneCountInString(input[:i]) + 1
		if i == len(input) {
			return append(tokens, token{class: endToken, pos: pos}), nil
		}
		t, size, msg := lexOne(input[i:])
		if msg != "" {
			return nil, &conditionError{pos, msg}
		}
		t.pos = pos
		tokens = append(tokens, t)
		i += size
	}
}

// lexOne reads the token at the start of rest; msg says why there is none.
func lexOne(rest string) (t token, size int, msg string) {
	switch c := rest[0]; {
	case isLetter(c):
		size = leading(rest, func(c byte) bool { return isLetter(c) || isDigit(c) })
		if upper := strings.ToUpper(rest[:size]); strings.Contains(keywords, " "+upper+" ") {
			return token{class: keywordToken, value: upper}, size, ""
		}
		return token{class: nameToken, value: strings.ToLower(rest[:size])}, size, ""
	case isDigit(c), c == '-' && len(rest) > 1 && isDigit(rest[1]):
		return lexNumber(rest)
	case c == '\'', c == '"':
		value, size, ok := unquote(rest)
		switch {
		case !ok:
			return t, 0, fmt.Sprintf("a quote %c is never closed", c)
		case c == '"':
			return token{class: nameToken, value: value, quoted: true}, size, ""
		default:
			return token{class: textToken, value: value}, size, ""
		}
	}
	for _, sign := range []string{"<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ","} {
		if strings.HasPrefix(rest, sign) {
			return token{class: signToken, value: sign}, len(sign), ""
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return t, 0, fmt.Sprintf("%q has no meaning in a condition: it is made of comparisons, AND, "+
		"OR, NOT, IN, BETWEEN, LIKE and IS NULL", r)
}

// maxDigits bounds a number so that it is exact in SQL.
const maxDigits = 18

// lexNumber reads digits with an optional sign and fraction, and gives them without needless
// zeros, so that equal numbers print alike.
func lexNumber(rest string) (t token, size int, msg string) {
	sign := rest[:leading(rest, func(c byte) bool { return c == '-' })]
	size = len(sign)
	size += leading(rest[size:], isDigit)
	whole, fraction := strings.TrimLeft(rest[len(sign):size], "0"), ""
	if size+1 < len(rest) && rest[size] == '.' && isDigit(rest[size+1]) {
		n := leading(rest[size+1:], isDigit)
		fraction = strings.TrimRight(rest[size+1:size+1+n], "0")
		size += 1 + n
	}
	if size < len(rest) && (isLetter(rest[size]) || rest[size] == '.') {
		return t, 0, fmt.Sprintf("%q is not a number", rest[:size+1])
	}
	if len(whole)+len(fraction) > maxDigits {
		return t, 0, fmt.Sprintf("a number may have %d digits at most", maxDigits)
	}
	if whole == "" {
		whole = "0"
	}
	value := whole
	if fraction != "" {
		value += "." + fraction
	}
	if value != "0" {
		value = sign + value
	}
	return token{class: numberToken, value: value}, size, ""
}

// unquote reads a quoted text; its quote stands doubled inside it.
func unquote(rest string) (value string, size int, ok bool) {
	quote := rest[0]
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] != quote:
			b.WriteByte(rest[i])
		case i+1 < len(rest) && rest[i+1] == quote:
			b.WriteByte(quote)
			i++
		default:
			return b.String(), i + 1, true
		}
	}
	return "", 0, false
}

// leading counts the bytes at the start of s that are in the class.
func leading(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
