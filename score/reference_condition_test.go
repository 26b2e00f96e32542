package score

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// row is the columns of an event or a contact: text as string, number as int64, boolean as bool,
// time as clock; NULL is absent.
type row map[string]any

// clock is a time of a row, in microseconds.
type clock int64

// truthValue is a condition's value, and unknown that of a comparison with NULL.
type truthValue int8

const (
	no      truthValue = -1
	unknown truthValue = 0
	yes     truthValue = 1
)

func truthOf(b bool) truthValue {
	if b {
		return yes
	}
	return no
}

// evaluable is a condition that was drawn: its text is in the language, its value is worked out
// here.
type evaluable interface {
	text() string
	eval(r row) truthValue
}

type (
	allOf  []evaluable // AND
	anyOf  []evaluable // OR
	notThe struct{ part evaluable }
	isNull struct {
		column string
		not    bool
	}
	// compares is a comparison, an IN or a BETWEEN of operands.
	compares struct {
		left  term
		word  string
		right []term
	}
	isTrue struct{ column string }
	// term is a column, or a literal's value.
	term struct {
		column string
		value  any
	}
)

func (a allOf) text() string  { return joinText(a, " AND ") }
func (a anyOf) text() string  { return joinText(a, " or ") }
func (n notThe) text() string { return "NOT (" + n.part.text() + ")" }
func (i isTrue) text() string { return i.column }

func joinText(parts []evaluable, word string) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = "(" + p.text() + ")"
	}
	return strings.Join(texts, word)
}

func (i isNull) text() string {
	if i.not {
		return i.column + " IS NOT NULL"
	}
	return i.column + " is null"
}

func (c compares) text() string {
	var rights []string
	for _, r := range c.right {
		rights = append(rights, r.text())
	}
	switch {
	case strings.HasSuffix(c.word, "IN"):
		return fmt.Sprintf("%s %s (%s)", c.left.text(), c.word, strings.Join(rights, ", "))
	default:
		return fmt.Sprintf("%s %s %s", c.left.text(), c.word, strings.Join(rights, " AND "))
	}
}

func (t term) text() string {
	switch v := t.value.(type) {
	case string:
		return quoteText(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case clock:
		return quoteText(time.UnixMicro(int64(v)).UTC().Format(instantLayout))
	case bool:
		return strconv.FormatBool(v)
	}
	return t.column
}

func (t term) of(r row) any {
	if t.column != "" {
		return r[t.column]
	}
	return t.value
}

func (a allOf) eval(r row) truthValue {
	least := yes
	for _, part := range a {
		least = min(least, part.eval(r))
	}
	return least
}

func (a anyOf) eval(r row) truthValue {
	most := no
	for _, part := range a {
		most = max(most, part.eval(r))
	}
	return most
}

func (n notThe) eval(r row) truthValue { return -n.part.eval(r) }
func (i isNull) eval(r row) truthValue { return truthOf((r[i.column] == nil) != i.not) }

func (i isTrue) eval(r row) truthValue {
	b, known := r[i.column].(bool)
	if !known {
		return unknown
	}
	return truthOf(b)
}

func (c compares) eval(r row) truthValue {
	word, not := strings.CutPrefix(c.word, "NOT ")
	left := c.left.of(r)
	var value truthValue
	switch word {
	case "IN":
		value = no
		for _, item := range c.right {
			value = max(value, compare(left, "=", item.of(r)))
		}
	case "BETWEEN":
		value = min(compare(left, ">=", c.right[0].of(r)), compare(left, "<=", c.right[1].of(r)))
	default:
		value = compare(left, word, c.right[0].of(r))
	}
	if not {
		return -value
	}
	return value
}

func compare(a any, word string, b any) truthValue {
	if a == nil || b == nil {
		return unknown
	}
	order := 0
	switch a := a.(type) {
	case string:
		b := b.(string)
		switch word {
		case "LIKE":
			return truthOf(like([]rune(a), []rune(b)))
		case "ILIKE":
			return truthOf(like([]rune(strings.ToLower(a)), []rune(strings.ToLower(b))))
		}
		order = cmp.Compare(a, b)
	case int64:
		order = cmp.Compare(a, b.(int64))
	case clock:
		order = cmp.Compare(a, b.(clock))
	case bool:
		order = cmp.Compare(truthOf(a), truthOf(b.(bool)))
	}
	return truthOf(map[string]bool{
		"=": order == 0, "<>": order != 0, "!=": order != 0, "<": order < 0, "<=": order <= 0,
		">": order > 0, ">=": order >= 0,
	}[word])
}

// like matches a text with a pattern: % is any text, _ any character.
func like(s, pattern []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(s) == 0
	case pattern[0] == '%':
		return like(s, pattern[1:]) || len(s) > 0 && like(s[1:], pattern)
	default:
		return len(s) > 0 && (pattern[0] == '_' || pattern[0] == s[0]) && like(s[1:], pattern[1:])
	}
}

// texts are what columns and literals hold, with what has a meaning in SQL, in a pattern or in
// another encoding; some are patterns of others.
var texts = []string{
	"/a", "/b", "/A%", "/_", "%", "", "it''s", "'; DROP TABLE x; --", `"`, `\`, `\'`, "$$", "é", "É",
	"_", "/*", "NULL", "\u2019", "🍪", "x\ny", "%é%", "é🍪", "__",
}

// beaconKinds and contactKinds are the columns that are drawn.
var (
	beaconKinds = map[kind][]string{
		text: {"url_path", "title"}, number: {"engaged_ms"}, boolean: {"is_bot"},
		instant: {"received_at", "created_at"},
	}
	contactKinds = map[kind][]string{text: {"company", "email"}, number: {"submissions"}}
)

// drawValue draws a value of a kind, never NULL.
func drawValue(t *rapid.T, of kind) any {
	switch of {
	case text:
		return rapid.SampledFrom(texts).Draw(t, "text")
	case number:
		return rapid.Int64Range(-2, 3).Draw(t, "number")
	case boolean:
		return rapid.Bool().Draw(t, "boolean")
	default:
		return clock(origin + rapid.Int64Range(-2, 2).Draw(t, "instant"))
	}
}

// drawRow draws each column, or leaves it NULL.
func drawRow(t *rapid.T, kinds map[kind][]string) row {
	r := row{}
	for of := text; of <= instant; of++ {
		for _, column := range kinds[of] {
			if rapid.IntRange(0, 3).Draw(t, "null") > 0 {
				r[column] = drawValue(t, of)
			}
		}
	}
	return r
}

// drawCondition draws a condition over some columns.
func drawCondition(t *rapid.T, kinds map[kind][]string, depth int) evaluable {
	if depth > 0 {
		parts := func() []evaluable {
			return []evaluable{
				drawCondition(t, kinds, depth-1), drawCondition(t, kinds, rapid.IntRange(0, depth-1).
					Draw(t, "depth")),
			}
		}
		switch rapid.IntRange(0, 3).Draw(t, "junction") {
		case 0:
			return allOf(parts())
		case 1:
			return anyOf(parts())
		case 2:
			return notThe{drawCondition(t, kinds, depth-1)}
		}
	}
	var of kind
	for {
		of = rapid.SampledFrom([]kind{text, text, number, boolean, instant}).Draw(t, "kind")
		if len(kinds[of]) > 0 {
			break
		}
	}
	column := rapid.SampledFrom(kinds[of]).Draw(t, "column")
	literal := func() term { return term{value: drawValue(t, of)} }
	words := []string{
		"=", "<>", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "BETWEEN", "NOT BETWEEN",
		"null", "column",
	}
	switch of {
	case text:
		words = append(words, "LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE")
	case boolean:
		words = append(words, "alone")
	}
	c := compares{left: term{column: column}, word: rapid.SampledFrom(words).Draw(t, "word")}
	switch c.word {
	case "null":
		return isNull{column, rapid.Bool().Draw(t, "not")}
	case "alone":
		return isTrue{column}
	case "column":
		c.word, c.right = "<=", []term{{column: rapid.SampledFrom(kinds[of]).Draw(t, "other")}}
		if rapid.Bool().Draw(t, "turned") {
			c.left, c.right[0] = literal(), c.left
		}
	case "IN", "NOT IN", "BETWEEN", "NOT BETWEEN":
		c.right = []term{literal(), literal()}
	default:
		c.right = []term{literal()}
	}
	return c
}
