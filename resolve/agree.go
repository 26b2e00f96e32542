package resolve

import (
	"slices"
	"strings"
	"unicode/utf8"

	"crumbtrail/resolve/attribute"
	"crumbtrail/resolve/match"
)

// value is what of an attribute a condition compares.
func (c Condition) value(a *attributes) string {
	text := a.value(c.Attribute)
	if c.First+c.Last == 0 {
		return text
	}
	if c.Attribute == AttributePhone {
		text, _, _ = strings.Cut(text, ";") // an extension follows
	}
	n := utf8.RuneCountInString(text)
	if c.First > 0 {
		return cut(text, min(n, c.First))
	}
	return text[len(cut(text, n-min(n, c.Last))):]
}

// cut is the first n characters of a text that has as many.
func cut(text string, n int) string {
	at := 0
	for range n {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return text[:at]
}

// comparer tells degrees.
type comparer struct{ texts *match.Texts }

// agrees reports whether two agree in a condition.
func (t comparer) agrees(c Condition, a, b *attributes) bool {
	x, y := c.value(a), c.value(b)
	if x == "" || y == "" {
		return false
	}
	return x == y || c.Degree != "" &&
		t.texts.Alike(c.Attribute.kind(), c.Degree, a.text(c.Attribute), b.text(c.Attribute))
}

// differs says why a contact that a key has found is not the one that a strategy means: "it has
// another first name". It is empty where it is.
func (t comparer) differs(s Strategy, a, b *attributes) string {
	for _, c := range s.Unless {
		if c.value(a) != "" && c.value(b) != "" && !t.agrees(c, a, b) {
			return "it has another " + c.Attribute.words()
		}
	}
	for _, group := range s.Also {
		if !slices.ContainsFunc(group, func(c Condition) bool { return t.agrees(c, a, b) }) {
			return "it does not have " + list(group, "or", Condition.words)
		}
	}
	return ""
}

// keys are what two sides have one of in common exactly where they are the same in All and in one
// of Any; none where what they need is empty. A role mailbox such as info@ is read by many, so it
// only counts together with the reader's name.
func (s Strategy) keys(a *attributes) []string {
	var all strings.Builder
	for _, c := range s.All {
		if !addKey(&all, c, a) {
			return nil
		}
	}
	if len(s.Any) == 0 {
		return []string{all.String()}
	}
	var keys []string
	for i, c := range s.Any {
		var one strings.Builder
		one.WriteString(all.String())
		one.WriteByte(byte(i))
		if addKey(&one, c, a) {
			keys = append(keys, one.String())
		}
	}
	return keys
}

// addKey reports whether there is what a condition needs.
func addKey(b *strings.Builder, c Condition, a *attributes) bool {
	values := []string{c.value(a)}
	if c.Attribute == AttributeEmail && a.email.Role {
		values = append(values, a.firstName.Key(), a.lastName.Key())
	}
	for _, v := range values {
		b.WriteString(v)
		b.WriteByte(0) // no value holds one
	}
	return !slices.Contains(values, "")
}

// uses reports whether somebody is found by an attribute.
func (s Strategy) uses(a Attribute) bool {
	return slices.ContainsFunc(slices.Concat(s.All, s.Any), func(c Condition) bool {
		return c.Attribute == a
	})
}

// sameWords says what is the same where a strategy has found somebody, and what was done to what a
// said before it was compared: the same e-mail address (tag dropped) and last name. Of Any it is
// what b has, too; without b, everything that a could be found by, and without a everything.
func (s Strategy) sameWords(a, b *attributes) string {
	words := func(c Condition) string {
		said := c.what()
		if a == nil {
			return said
		}
		if steps := a.steps(c.Attribute); len(steps) > 0 {
			said += " (" + strings.Join(steps, ", ") + ")"
		}
		return said
	}
	var anyOf []Condition
	for _, c := range s.Any {
		if a == nil || c.value(a) != "" && (b == nil || c.value(a) == c.value(b)) {
			anyOf = append(anyOf, c)
		}
	}
	same := "the same " + list(s.All, "and", words)
	switch joined := list(anyOf, "or", words); {
	case len(s.All) == 0:
		same = "the same " + joined
	case joined != "":
		same += ", and the same " + joined
	}
	if a != nil && a.email.Role && s.uses(AttributeEmail) {
		same += " and, as many people read this mailbox, the same name"
	}
	return same
}

// lacking says what a strategy needs and a does not have.
func (s Strategy) lacking(a *attributes) string {
	var missing []string
	for _, c := range slices.Concat(s.All, s.Any) {
		switch fault := a.fault(c.Attribute); {
		case fault == "":
		case fault != attribute.Empty:
			return fault.Words(c.Attribute.words())
		default:
			missing = append(missing, c.Attribute.words())
		}
	}
	return "it has no " + strings.Join(missing, " and no ") + " to compare"
}
