package resolve

import "crumbtrail/schemas"

// recipient finds the contact that a signed link was made for, and says why. An id alone makes no
// contact. One that is an alias by now means whoever has taken it over.
func (m *Machine) recipient(s *schemas.Submission) finding {
	f := finding{strategy: BySignedLink}
	f.record, f.found = m.records.number(s.Recipient)
	switch {
	case !f.found:
		f.why = "the link was made for a contact that is not known"
	case m.contact(f.record) != s.Recipient:
		f.why = "the link was made for a contact that is part of this one"
	default:
		f.why = "the link was made for this contact"
	}
	return f
}
