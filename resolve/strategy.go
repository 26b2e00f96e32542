package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"crumbtrail/resolve/match"
)

// Attribute is something that a submission says of a person.
type Attribute string

// The attributes.
const (
	AttributeEmail     Attribute = "email"
	AttributeFirstName Attribute = "first_name"
	AttributeLastName  Attribute = "last_name"
	AttributePhone     Attribute = "phone"
	AttributeCompany   Attribute = "company"
)

// Attributes lists them.
func Attributes() []Attribute {
	return []Attribute{
		AttributeEmail, AttributeFirstName, AttributeLastName, AttributePhone, AttributeCompany,
	}
}

func (a Attribute) words() string {
	switch a {
	case AttributeEmail:
		return "e-mail address"
	case AttributePhone:
		return "phone number"
	}
	return strings.ReplaceAll(string(a), "_", " ")
}

// one is one value of the attribute, in words.
func (a Attribute) one() string {
	if a == AttributeEmail {
		return "an " + a.words()
	}
	return "a " + a.words()
}

// kind is how the model compares the attribute.
func (a Attribute) kind() match.Kind {
	switch a {
	case AttributeEmail:
		return match.EmailKind
	case AttributeFirstName:
		return match.GivenName
	case AttributeLastName:
		return match.FamilyName
	case AttributePhone:
		return match.Phone
	}
	return match.Company
}

// Strategy is a named rule for finding the contact of a submission. What All and Any name must be
// the same, once normalised, and finds the contacts that come into question; Also and Unless say
// which of those are meant. An attribute that is empty agrees with nothing.
type Strategy struct {
	Name string `json:"name"`
	// All must be the same.
	All []Condition `json:"all,omitempty"`
	// Of Any, one must be the same.
	Any []Condition `json:"any,omitempty"`
	// Of each group of Also, one must agree, to the degree that it says.
	Also [][]Condition `json:"also,omitempty"`
	// Of Unless, none may be there on both sides and differ.
	Unless []Condition `json:"unless,omitempty"`
	OnMany OnMany      `json:"on_many,omitempty"`
}

// Condition is one thing that a submission and a contact must agree in, once normalised.
type Condition struct {
	Attribute Attribute `json:"attribute"`
	// First and Last are how many characters are compared, from the beginning or the end; 0 is all.
	First int `json:"first,omitempty"`
	Last  int `json:"last,omitempty"`
	// Degree is how alike the two must be at least; empty is the same.
	Degree match.Degree `json:"degree,omitempty"`
}

// OnMany says what becomes of a submission that several contacts agree with.
type OnMany string

// What becomes of it: it is taken for the contact whose browser it came from, if that is one of
// them, else the oldest; or for the oldest, or the one that was updated last, whose browser it may
// be; or a person has to say.
const (
	OwnBrowser OnMany = "own_browser"
	Oldest     OnMany = "oldest"
	Newest     OnMany = "newest"
	ForReview  OnMany = "review"
)

// OnManys lists them, the default first.
func OnManys() []OnMany { return []OnMany{OwnBrowser, Oldest, Newest, ForReview} }

// BySignedLink is the strategy of a signed link that names its contact itself. Decisions name the
// model and a person who decides alike.
const (
	BySignedLink = "signed_link"
	ByModel      = "model"
	ByReview     = "review"
	ByErasure    = "erasure"
)

// BuiltIn says what strategies stand for that nobody configures.
func BuiltIn() map[string]string {
	return map[string]string{
		ByEmail().Name: "the same e-mail address", BySignedLink: "who the link was made for",
		ByModel: "what the model finds", ByReview: "what a person decided",
		ByErasure: "who is to be forgotten",
	}
}

// ByEmail is the strategy email: the same e-mail address.
func ByEmail() Strategy {
	return Strategy{Name: "email", All: []Condition{{Attribute: AttributeEmail}}}
}

// maxCharacters bounds how many characters of an attribute a condition may name.
const maxCharacters = 100

// ParseCondition reads a condition as the configuration writes it: an attribute, and how it is
// compared if not as a whole: last_name first 4, phone last 7, first_name close, company alike.
func ParseCondition(text string) (Condition, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Condition{}, fmt.Errorf("an attribute is missing")
	}
	c := Condition{Attribute: Attribute(words[0])}
	if len(words) == 2 && words[1] == "exact" {
		return c, nil
	}
	if len(words) == 2 {
		c.Degree = match.Degree(words[1])
		if c.Degree == match.Close || c.Degree == match.Alike {
			return c, nil
		}
	}
	if len(words) == 3 {
		n, err := strconv.Atoi(words[2])
		switch {
		case err != nil || n < 1 || n > maxCharacters:
		case words[1] == "first":
			return Condition{Attribute: c.Attribute, First: n}, nil
		case words[1] == "last":
			return Condition{Attribute: c.Attribute, Last: n}, nil
		}
	}
	if len(words) > 1 {
		return c, fmt.Errorf("%q is no condition: behind the attribute write exact, first N, last N, "+
			"close or alike", text)
	}
	return c, nil
}

// validate reports every problem of a strategy at once.
func (s Strategy) validate() (problems []error) {
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("strategy %q: "+format, append([]any{s.Name}, args...)...))
	}
	if len(s.All)+len(s.Any) == 0 {
		report("nothing has to be the same: name at least one attribute in all or any")
	}
	for _, c := range slices.Concat(s.All, s.Any) {
		if c.Degree != "" {
			report("%s %s finds nobody: put it into also", c.Attribute, c.Degree)
		}
	}
	for _, c := range s.conditions() {
		if !slices.Contains(Attributes(), c.Attribute) {
			report("there is no attribute %q", c.Attribute)
		}
		if c.Degree != "" && c.Degree != match.Close && c.Degree != match.Alike {
			report("there is no degree %q", c.Degree)
		}
		if c.First < 0 || c.Last < 0 || c.First > maxCharacters || c.Last > maxCharacters ||
			c.First > 0 && c.Last > 0 {
			report("of %s compare the first or the last 1 to %d characters", c.Attribute, maxCharacters)
		}
	}
	if slices.ContainsFunc(s.Also, func(group []Condition) bool { return len(group) == 0 }) {
		report("a group of also is empty")
	}
	if s.OnMany != "" && !slices.Contains(OnManys(), s.OnMany) {
		report("on_many cannot be %q", s.OnMany)
	}
	return problems
}

// conditions lists all conditions.
func (s Strategy) conditions() []Condition {
	return slices.Concat(s.All, s.Any, slices.Concat(s.Also...), s.Unless)
}

// Summary says in words whom a strategy finds.
func (s Strategy) Summary() string {
	var b strings.Builder
	b.WriteString(s.sameWords(nil, nil))
	for _, group := range s.Also {
		b.WriteString(", and " + list(group, "or", Condition.words))
	}
	for _, c := range s.Unless {
		b.WriteString(", unless both have " + c.differsWords())
	}
	switch s.OnMany {
	case Oldest:
		b.WriteString("; of several the oldest")
	case Newest:
		b.WriteString("; of several the one that was updated last")
	case ForReview:
		b.WriteString("; with several, a person has to say")
	default:
		b.WriteString("; of several this browser's own, else the oldest")
	}
	return b.String()
}

// Degrees says what the degrees of a strategy stand for in a model: how often two records of one
// person are so alike, and how often those of two.
func (s Strategy) Degrees(m match.Model) (lines []string) {
	for _, c := range s.conditions() {
		if c.Degree == "" {
			continue
		}
		one, two := m.Shares(c.Attribute.kind(), c.Degree)
		line := fmt.Sprintf("%s is what %.0f %% of one person's records have, and %.2g %% of two "+
			"persons'", c.words(), one*100, two*100)
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// what names what is compared of an attribute.
func (c Condition) what() string {
	switch {
	case c.First > 0:
		return fmt.Sprintf("first %d characters of the %s", c.First, c.Attribute.words())
	case c.Last > 0:
		return fmt.Sprintf("last %d characters of the %s", c.Last, c.Attribute.words())
	}
	return c.Attribute.words()
}

func (c Condition) words() string {
	switch c.Degree {
	case match.Close:
		return "a close " + c.Attribute.words()
	case match.Alike:
		return c.Attribute.one() + " alike"
	}
	return "the same " + c.what()
}

// differsWords says what both must not have.
func (c Condition) differsWords() string {
	has := c.Attribute.one()
	switch {
	case c.Degree == match.Close:
		return has + " and those are not close"
	case c.Degree == match.Alike:
		return has + " and those are not alike"
	case c.First+c.Last > 0:
		return has + " and the " + c.what() + " differ"
	}
	return has + " and those differ"
}

// list joins words with commas, and the last with a word.
func list[T any](of []T, last string, words func(T) string) string {
	var b strings.Builder
	for i, one := range of {
		switch {
		case i == 0:
		case i == len(of)-1:
			b.WriteString(" " + last + " ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(words(one))
	}
	return b.String()
}
