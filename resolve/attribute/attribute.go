// Package attribute reads what people say of themselves, e-mail addresses, phone numbers, names,
// companies and addresses, writes each in the one form in which it is compared, and guarantees that
// normalising twice changes nothing, that every step has a name for people, and that a text which
// names nobody is told apart.
package attribute

import "strings"

// Version is raised whenever a text becomes another value than before.
const Version = 1

// Fault says why a text is nobody's own; empty where it may be somebody's.
type Fault string

// The faults. A placeholder is what people write to get past a form and programs where they have
// nothing, or a mailbox that nobody reads. What is denied is on the list of whoever runs this.
const (
	Empty       Fault = "empty"
	Malformed   Fault = "malformed"
	Placeholder Fault = "placeholder"
	Denied      Fault = "denied"
)

// Words says a fault of an attribute, for people: "the phone number is a placeholder".
func (f Fault) Words(of string) string {
	switch f {
	case Placeholder:
		return "the " + of + " is a placeholder"
	case Denied:
		return "the " + of + " is on the deny-list"
	case Malformed:
		return "the " + of + " is malformed"
	}
	return "it has no " + of
}

// Text is a name or a company as it is compared.
type Text struct {
	// Folded is empty where there is a fault.
	Folded string
	Steps  []string
	Fault  Fault
}

// Key is what texts have equal that differ only in where their words end: Annamaria, Anna-Maria.
func (t Text) Key() string { return squeeze(t.Folded) }

// Rules say what is read differently where crumbtrail runs.
type Rules struct {
	// KeepTags compares e-mail addresses with what stands between + and @.
	KeepTags bool
	// MailDomains are domains whose mailboxes are those of another: acme.co.example is acme.example.
	MailDomains map[string]string
	Deny        Deny
}

// Deny has values that name nobody here, besides the placeholders, which name nobody anywhere.
type Deny struct {
	// Emails are addresses, domains with what is below them (@acme.example), and mailboxes of every
	// domain (kiosk@).
	Emails []string `json:"emails,omitempty"`
	// Phones are phone numbers, those of a region with their country code.
	Phones []string `json:"phones,omitempty"`
	// Names are given and family names.
	Names     []string `json:"names,omitempty"`
	Companies []string `json:"companies,omitempty"`
	// Visitors are ids of browsers that many have.
	Visitors []string `json:"visitors,omitempty"`
}

// Normaliser reads attributes by rules. It remembers the phone numbers that it has read, and so is
// for one goroutine.
type Normaliser struct {
	keepTags  bool
	domains   map[string]string
	emails    denyEmails
	phones    denied
	names     denied
	companies denied
	visitors  denied
	read      phoneCache
}

// New returns a normaliser. An entry that cannot be read has no effect.
func New(r Rules) *Normaliser {
	n := &Normaliser{
		keepTags: r.KeepTags, domains: map[string]string{}, emails: newDenyEmails(r.Deny.Emails),
		phones: denied{}, names: denied{}, companies: denied{}, visitors: denied{},
		read: newPhoneCache(),
	}
	for from, to := range r.MailDomains {
		domain, ok := MailDomain(from)
		other, fine := MailDomain(to)
		if ok && fine {
			n.domains[domain] = other
		}
	}
	for _, entry := range r.Deny.Phones {
		n.phones[DeniedPhone(entry)] = true
	}
	for _, entry := range r.Deny.Names {
		n.names[NormaliseName(entry).Key()] = true
	}
	for _, entry := range r.Deny.Companies {
		n.companies[NormaliseCompany(entry).Key()] = true
	}
	for _, entry := range r.Deny.Visitors {
		n.visitors[entry] = true
	}
	return n
}

// Visitor says why a browser's id is nobody's own, with Empty for none.
func (n *Normaliser) Visitor(id string) Fault {
	switch {
	case id == "":
		return Empty
	case IsPlaceholderID(strings.ToLower(id)):
		return Placeholder
	case n.visitors[id]:
		return Denied
	}
	return ""
}

// Email is NormaliseEmail by the rules.
func (n *Normaliser) Email(raw string) Email {
	e := normaliseEmail(raw, n.keepTags, n.domains)
	if e.Fault == "" && n.emails.has(e.Address) {
		return Email{Fault: Denied}
	}
	return e
}

// Phone is NormalisePhone by the rules.
func (n *Normaliser) Phone(raw, region string) Phone {
	p := n.read.phone(raw, region)
	if p.Fault == "" && n.phones[p.Number] {
		return Phone{Fault: Denied}
	}
	return p
}

// Name is NormaliseName by the rules.
func (n *Normaliser) Name(raw string) Text { return n.names.drop(NormaliseName(raw)) }

// Company is NormaliseCompany by the rules.
func (n *Normaliser) Company(raw string) Text { return n.companies.drop(NormaliseCompany(raw)) }
