package resolve

import (
	"slices"

	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
)

// attributes are the normalised attributes of what somebody said, for comparing alone.
type attributes struct {
	email     attribute.Email
	phone     attribute.Phone
	firstName attribute.Text
	lastName  attribute.Text
	company   attribute.Text
}

// reader normalises what is said, by the configuration.
type reader struct {
	normaliser *attribute.Normaliser
	regions    map[string]string
}

func newReader(c Config) reader {
	return reader{regions: c.Regions, normaliser: attribute.New(attribute.Rules{
		KeepTags: c.KeepTags, MailDomains: c.MailDomains, Deny: c.Deny,
	})}
}

// read prepares what is said for comparison. Where a phone number has no country code, the site
// says which it is.
func (r reader) read(s *schemas.Submission) attributes {
	region, ok := r.regions[s.Site]
	if !ok {
		region = r.regions[""]
	}
	return attributes{
		email:     r.normaliser.Email(s.Email),
		phone:     r.normaliser.Phone(s.Phone, region),
		firstName: r.normaliser.Name(s.FirstName),
		lastName:  r.normaliser.Name(s.LastName),
		company:   r.normaliser.Company(s.Company),
	}
}

// named reports whether there is a first and a last name.
func (a *attributes) named() bool { return a.firstName.Folded != "" && a.lastName.Folded != "" }

// person is the first and the last name, as they are compared; empty where there is none.
func (a *attributes) person() string {
	if a.firstName.Folded == "" && a.lastName.Folded == "" {
		return ""
	}
	return a.firstName.Key() + " " + a.lastName.Key()
}

// samePerson reports whether two have a name, and the same.
func (a *attributes) samePerson(b *attributes) bool {
	return a.person() != "" && a.person() == b.person()
}

// value is what is equal where two agree in a whole attribute; empty where it names nobody.
func (a *attributes) value(of Attribute) string {
	switch of {
	case AttributeEmail:
		return a.email.Address
	case AttributeFirstName:
		return a.firstName.Key()
	case AttributeLastName:
		return a.lastName.Key()
	case AttributePhone:
		return a.phone.Number
	}
	return a.company.Key()
}

// text is what degrees are told from.
func (a *attributes) text(of Attribute) string {
	switch of {
	case AttributeFirstName:
		return a.firstName.Folded
	case AttributeLastName:
		return a.lastName.Folded
	case AttributeCompany:
		return a.company.Folded
	}
	return a.value(of)
}

// fault says why an attribute names nobody.
func (a *attributes) fault(of Attribute) attribute.Fault {
	switch of {
	case AttributeEmail:
		return a.email.Fault
	case AttributeFirstName:
		return a.firstName.Fault
	case AttributeLastName:
		return a.lastName.Fault
	case AttributePhone:
		return a.phone.Fault
	}
	return a.company.Fault
}

// steps says what normalising did to an attribute. That case and marks were folded goes without
// saying.
func (a *attributes) steps(of Attribute) []string {
	switch of {
	case AttributeEmail:
		return a.email.Steps
	case AttributePhone:
		return a.phone.Steps
	case AttributeFirstName:
		return beyondFolding(a.firstName)
	case AttributeLastName:
		return beyondFolding(a.lastName)
	}
	return beyondFolding(a.company)
}

func beyondFolding(t attribute.Text) []string {
	return slices.DeleteFunc(slices.Clone(t.Steps), func(step string) bool {
		return step == attribute.Folding
	})
}
