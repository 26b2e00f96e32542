package resolve

import (
	"slices"
	"strings"

	"crumbtrail/schemas"
)

// recipient returns the contact that a signed link was made for, nil where there is none, and says
// why. An id alone makes no contact.
func (m *Machine) recipient(s *schemas.Submission) (*contact, string) {
	if found := m.contacts.byID[s.Recipient]; found != nil {
		return found, "the link was made for this contact"
	}
	return nil, "the link was made for a contact that is not known"
}

// own returns the contact that a browser is by what it did before, where it is among several that
// agree with a submission, which of them is the next, and what says so. Whose browser it is beats
// which of them is the oldest: a link that was made for one of them, above all.
func (m *Machine) own(visitor []byte, among []*contact) (own *contact, next, evidence string) {
	edges := m.identities.byVisitor[string(visitor)].GetEdges()
	if len(edges) == 0 {
		return nil, "", ""
	}
	last := edges[len(edges)-1]
	at := slices.IndexFunc(among, func(c *contact) bool {
		return c.record.ContactId == last.ContactId
	})
	if at < 0 {
		return nil, "", ""
	}
	next = among[0].record.ContactId
	if at == 0 {
		next = among[1].record.ContactId
	}
	return among[at], next, strings.ReplaceAll(last.Evidence, "_", " ")
}
