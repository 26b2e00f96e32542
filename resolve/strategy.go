package resolve

import (
	"fmt"
	"slices"
	"strings"

	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
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

// Strategy is a named rule: a submission belongs to the contact that agrees with it in all
// conditions. An attribute that is empty agrees with nothing.
type Strategy struct {
	Name string      `json:"name"`
	All  []Condition `json:"all"`
}

// Condition is one thing that a submission and a contact must agree in, once normalised.
type Condition struct {
	Attribute Attribute `json:"attribute"`
}

// BySignedLink is the strategy of a signed link that names its contact itself.
const BySignedLink = "signed_link"

// ByEmail is the strategy email: the same e-mail address.
func ByEmail() Strategy {
	return Strategy{Name: "email", All: []Condition{{AttributeEmail}}}
}

func (s Strategy) validate() error {
	if len(s.All) == 0 {
		return fmt.Errorf("strategy %q has no condition: name at least one attribute", s.Name)
	}
	for _, c := range s.All {
		switch c.Attribute {
		case AttributeEmail, AttributeFirstName, AttributeLastName, AttributePhone, AttributeCompany:
		default:
			return fmt.Errorf("strategy %q: there is no attribute %q", s.Name, c.Attribute)
		}
	}
	return nil
}

func (s Strategy) uses(a Attribute) bool { return slices.Contains(s.All, Condition{a}) }

// compared names what must be equal, for people: e-mail address and last name.
func (s Strategy) compared() string {
	words := make([]string, len(s.All))
	for i, c := range s.All {
		words[i] = c.Attribute.words()
	}
	if n := len(words) - 1; n > 0 {
		return strings.Join(words[:n], ", ") + " and " + words[n]
	}
	return words[0]
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

// attributes are the normalised attributes of a submission or a contact, for comparing alone.
type attributes struct {
	email     attribute.Email
	firstName string
	lastName  string
	phone     string
	company   string
}

// normalise prepares what a submission says for comparison.
func normalise(s *schemas.Submission, keepTags bool) attributes {
	return attributes{
		email:     attribute.NormaliseEmail(s.Email, keepTags),
		firstName: attribute.Fold(attribute.Clean(s.FirstName)),
		lastName:  attribute.Fold(attribute.Clean(s.LastName)),
		phone:     attribute.NormalisePhone(s.Phone),
		company:   attribute.Fold(attribute.Clean(s.Company)),
	}
}

// named reports whether there is a first and a last name.
func (a *attributes) named() bool { return a.firstName != "" && a.lastName != "" }

func (a *attributes) value(of Attribute) string {
	switch of {
	case AttributeEmail:
		return a.email.Address
	case AttributeFirstName:
		return a.firstName
	case AttributeLastName:
		return a.lastName
	case AttributePhone:
		return a.phone
	}
	return a.company
}

// key is what two sides have equal exactly where they agree under the strategy; ok is false where
// a needed attribute is empty. A role mailbox such as info@ is read by many, so it only counts
// together with the reader's name.
func (s Strategy) key(a *attributes) (key string, ok bool) {
	var b strings.Builder
	add := func(value string) {
		ok = ok && value != ""
		b.WriteString(value)
		b.WriteByte(0) // no value holds one
	}
	ok = true
	for _, c := range s.All {
		add(a.value(c.Attribute))
	}
	if s.uses(AttributeEmail) && a.email.Role {
		add(a.firstName)
		add(a.lastName)
	}
	return b.String(), ok
}
