package score

import (
	"slices"
	"strings"
)

// condition is a parsed `where` or `when`: comparisons over columns of a closed list and literals.
// It prints as SQL that is also the language it was parsed from, fully parenthesised, every name
// and text quoted: parsing what was printed gives an equal condition, and no word of the input
// gets into a statement without quotes. The zero condition is no condition.
type condition struct {
	root node
	// uses lists the view's columns that the condition reads, each once, in order of appearance.
	uses []string
}

// SQL returns the condition as text for a statement and for the model's canonical form.
func (c condition) SQL() string {
	if c.root == nil {
		return "TRUE"
	}
	var b strings.Builder
	c.root.print(&b)
	return b.String()
}

// usesAny says whether the condition reads one of these columns of the view.
func (c condition) usesAny(columns ...string) bool {
	return slices.ContainsFunc(c.uses, func(name string) bool {
		return slices.Contains(columns, name)
	})
}

// node is a part of a condition that is true, false or unknown.
type node interface{ print(b *strings.Builder) }

// operand is a column or a literal.
type operand struct {
	kind kind
	// column is the view's column; empty for a literal.
	column string
	// literal is the value: a text or time without its quotes, a number's digits, true or false.
	literal string
	// pos is where it stands in the text, in characters from 1; it is not printed.
	pos int
}

func (o operand) print(b *strings.Builder) {
	switch {
	case o.column != "":
		b.WriteString(quoteName(o.column))
	case o.kind == text || o.kind == instant:
		b.WriteString(quoteText(o.literal))
	default:
		b.WriteString(o.literal)
	}
}

type (
	// junction is its parts joined by AND or OR.
	junction struct {
		word  string
		parts []node
	}
	negation struct{ part node }
	// comparison is one of = <> < <= > >= LIKE ILIKE, the last two possibly with NOT before.
	comparison struct {
		left  operand
		word  string
		right operand
	}
	membership struct {
		left operand
		not  bool
		list []operand
	}
	between struct {
		left      operand
		not       bool
		low, high operand
	}
	nullness struct {
		left operand
		not  bool
	}
	// truth is a boolean column or literal that stands alone.
	truth struct{ left operand }
)

func (n junction) print(b *strings.Builder) {
	b.WriteByte('(')
	for i, part := range n.parts {
		if i > 0 {
			b.WriteString(" " + n.word + " ")
		}
		part.print(b)
	}
	b.WriteByte(')')
}

func (n negation) print(b *strings.Builder) {
	b.WriteString("(NOT ")
	n.part.print(b)
	b.WriteByte(')')
}

func (n comparison) print(b *strings.Builder) {
	b.WriteByte('(')
	n.left.print(b)
	b.WriteString(" " + n.word + " ")
	n.right.print(b)
	b.WriteByte(')')
}

func (n membership) print(b *strings.Builder) {
	b.WriteByte('(')
	n.left.print(b)
	b.WriteString(negated(n.not, " IN ("))
	for i, item := range n.list {
		if i > 0 {
			b.WriteString(", ")
		}
		item.print(b)
	}
	b.WriteString("))")
}

func (n between) print(b *strings.Builder) {
	b.WriteByte('(')
	n.left.print(b)
	b.WriteString(negated(n.not, " BETWEEN "))
	n.low.print(b)
	b.WriteString(" AND ")
	n.high.print(b)
	b.WriteByte(')')
}

func (n nullness) print(b *strings.Builder) {
	b.WriteByte('(')
	n.left.print(b)
	if n.not {
		b.WriteString(" IS NOT NULL)")
	} else {
		b.WriteString(" IS NULL)")
	}
}

func (n truth) print(b *strings.Builder) { n.left.print(b) }

func negated(not bool, word string) string {
	if not {
		return " NOT" + word
	}
	return word
}
