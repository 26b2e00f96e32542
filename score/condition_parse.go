package score

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"crumbtrail/internal/strictyaml"
)

const (
	// maxConditionBytes and maxConditionDepth keep a condition within what a SQL parser takes.
	maxConditionBytes = 8192
	maxConditionDepth = 32
)

// parseCondition reads a condition over the given columns. Its error is a *conditionError.
func parseCondition(input string, over columns) (condition, error) {
	switch {
	case len(input) > maxConditionBytes:
		return condition{}, &conditionError{1, fmt.Sprintf("a condition may have %d bytes at most",
			maxConditionBytes)}
	case !utf8.ValidString(input) || strings.ContainsRune(input, 0):
		return condition{}, &conditionError{1, "a condition is UTF-8 text without zero bytes"}
	}
	tokens, err := lex(input)
	if err != nil {
		return condition{}, err
	}
	p := &parser{tokens: tokens, over: over}
	root := p.disjunction()
	if p.err == nil && p.tokens[0].class != endToken {
		p.fail(p.tokens[0], "expected AND, OR or the end, found %s", p.tokens[0])
	}
	if p.err != nil {
		return condition{}, p.err
	}
	return condition{root: root, uses: p.uses}, nil
}

// parser goes down the grammar; the first fault stops it, as err. The last token, the end, is
// never consumed.
type parser struct {
	tokens []token
	over   columns
	uses   []string
	depth  int
	err    error
}

func (p *parser) fail(at token, format string, args ...any) {
	if p.err == nil {
		p.err = &conditionError{at.pos, fmt.Sprintf(format, args...)}
	}
}

// take consumes the next token if it is that keyword or sign.
func (p *parser) take(value string) bool {
	t := p.tokens[0]
	if (t.class != keywordToken && t.class != signToken) || t.value != value {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) expect(value string) {
	if p.err == nil && !p.take(value) {
		p.fail(p.tokens[0], "expected %s, found %s", value, p.tokens[0])
	}
}

func (p *parser) disjunction() node { return p.joined("OR", p.conjunction) }

func (p *parser) conjunction() node { return p.joined("AND", p.inversion) }

func (p *parser) joined(word string, part func() node) node {
	parts := []node{part()}
	for p.err == nil && p.take(word) {
		parts = append(parts, part())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return junction{word, parts}
}

func (p *parser) inversion() node {
	start := p.tokens[0]
	if p.depth++; p.depth > maxConditionDepth {
		p.fail(start, "a condition may be nested %d deep at most", maxConditionDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.err != nil:
		return nil
	case p.take("NOT"):
		return negation{p.inversion()}
	case p.take("("):
		inner := p.disjunction()
		p.expect(")")
		return inner
	}
	return p.predicate()
}

func (p *parser) predicate() node {
	left := p.operand()
	if p.err != nil {
		return nil
	}
	t := p.tokens[0]
	if p.take("IS") {
		not := p.take("NOT")
		p.expect("NULL")
		return nullness{left, not}
	}
	not := p.take("NOT")
	switch {
	case p.take("IN"):
		return p.membership(left, not)
	case p.take("BETWEEN"):
		low := p.operand()
		p.expect("AND")
		high := p.operand()
		p.match(&left, &low)
		p.match(&left, &high)
		// A literal on the left takes its kind from the first bound.
		p.match(&left, &low)
		return between{left, not, low, high}
	case p.take("LIKE"):
		return p.pattern(left, strings.TrimLeft(negated(not, " LIKE"), " "))
	case p.take("ILIKE"):
		return p.pattern(left, strings.TrimLeft(negated(not, " ILIKE"), " "))
	case not:
		p.fail(p.tokens[0], "expected IN, BETWEEN, LIKE or ILIKE after NOT, found %s", p.tokens[0])
		return nil
	}
	for _, word := range []string{"=", "<>", "!=", "<", "<=", ">", ">="} {
		if p.take(word) {
			right := p.operand()
			p.match(&left, &right)
			if word == "!=" {
				word = "<>"
			}
			return comparison{left, word, right}
		}
	}
	if left.kind != boolean {
		p.fail(t, "expected a comparison, found %s", t)
	}
	return truth{left}
}

func (p *parser) pattern(left operand, word string) node {
	right := p.operand()
	if p.err == nil && (left.kind != text || right.kind != text) {
		p.fail(token{pos: left.pos}, "%s compares text with text", word)
	}
	return comparison{left, word, right}
}

func (p *parser) membership(left operand, not bool) node {
	p.expect("(")
	var list []operand
	for p.err == nil {
		item := p.operand()
		if p.err == nil && item.column != "" {
			p.fail(token{pos: item.pos}, "IN takes literals, found the column %s", item.column)
		}
		p.match(&left, &item)
		list = append(list, item)
		if !p.take(",") {
			break
		}
	}
	p.expect(")")
	return membership{left, not, list}
}

// match sees to it that two operands are of one kind; a text that is compared with a time becomes
// a time.
func (p *parser) match(a, b *operand) {
	if p.err != nil || a.kind == b.kind {
		return
	}
	for _, pair := range [][2]*operand{{a, b}, {b, a}} {
		clock, literal := pair[0], pair[1]
		if clock.kind != instant || literal.kind != text || literal.column != "" {
			continue
		}
		t, ok := parseInstant(literal.literal)
		if !ok {
			p.fail(token{pos: literal.pos}, "%s is no time: write it as '2026-01-31', "+
				"'2026-01-31 12:00:00' (UTC) or '2026-01-31T12:00:00Z'", quoteText(literal.literal))
			return
		}
		literal.kind, literal.literal = instant, t.UTC().Format(instantLayout)
		return
	}
	p.fail(token{pos: b.pos}, "%s cannot be compared with %s", a.kind, b.kind)
}

// instantLayout is how a time is printed; its offset keeps it apart from any session's time zone.
const instantLayout = "2006-01-02 15:04:05.999999+00"

// parseInstant reads a time to the microsecond; without an offset it is UTC.
func parseInstant(s string) (t time.Time, ok bool) {
	for _, layout := range []string{
		time.DateOnly, time.DateTime, "2006-01-02T15:04:05", time.RFC3339,
		"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07",
	} {
		t, err := time.Parse(layout, s)
		year := t.UTC().Year()
		if err == nil && t.Nanosecond()%1000 == 0 && year >= 1 && year <= 9999 {
			return t, true
		}
	}
	return time.Time{}, false
}

// operand consumes a column or a literal.
func (p *parser) operand() operand {
	t := p.tokens[0]
	if p.err != nil {
		return operand{}
	}
	if t.class != endToken {
		p.tokens = p.tokens[1:]
	}
	o := operand{literal: t.value, pos: t.pos}
	switch {
	case t.class == textToken:
		o.kind = text
	case t.class == numberToken:
		o.kind = number
	case t.class == keywordToken && (t.value == "TRUE" || t.value == "FALSE"):
		o.kind = boolean
	case t.class == nameToken && p.tokens[0].value == "(" && p.tokens[0].class == signToken:
		p.fail(t, "%s(…) is a function call, and a condition has none", t.value)
	case t.class == nameToken:
		c, ok := p.over[t.value]
		switch {
		case !ok && t.quoted:
			p.fail(t, "no such column: %s; text stands in single quotes: %s", quoteName(t.value),
				quoteText(t.value))
			return o
		case !ok:
			p.fail(t, "no such column: %v", strictyaml.OneOf(t.value, p.over.names()...))
			return o
		}
		if !slices.Contains(p.uses, c.name) {
			p.uses = append(p.uses, c.name)
		}
		o.kind, o.column, o.literal = c.kind, c.name, ""
	case t.class == keywordToken && t.value == "NULL":
		p.fail(t, "nothing equals NULL: write IS NULL or IS NOT NULL")
	default:
		p.fail(t, "expected a column or a literal, found %s", t)
	}
	return o
}
