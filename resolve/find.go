package resolve

import (
	"fmt"
	"slices"
	"strings"

	"crumbtrail/schemas"
)

// finding is what strategies say of a submission.
type finding struct {
	// strategy is the name of the one that decided, or of the first that was asked.
	strategy string
	// record is the one that agrees, of the contact that is meant; found is false where nobody is.
	record uint32
	found  bool
	// others are records of the other contacts that agree, one each.
	others []uint32
	// review is true where a person has to say which of the others is meant.
	review bool
	// compared is true where there was all that a strategy compares.
	compared bool
	why      string
}

// find asks strategies in turn. The first that finds exactly one contact decides; else the first
// that finds several.
func (m *Machine) find(s *schemas.Submission, a *attributes, visitor []byte) finding {
	if s.Recipient != "" {
		return m.recipient(s)
	}
	var several, none finding
	for _, at := range m.strategies.of(s.Site, s.Form) {
		f := m.match(at, a, visitor)
		switch {
		case f.found && len(f.others) == 0:
			return f
		case len(f.others) > 0 && several.strategy == "":
			several = f
		case none.strategy == "", f.compared && !none.compared:
			none = f
		}
	}
	if several.strategy != "" {
		return several
	}
	return none
}

// match finds the contact of a submission by one strategy, and says why.
func (m *Machine) match(at int, a *attributes, visitor []byte) finding {
	s := m.cfg.Strategies[at]
	f := finding{strategy: s.Name}
	agreeing, reason, complete := m.records.agreeing(at, a)
	f.compared = complete
	contacts := m.apart(agreeing, a)
	switch {
	case len(contacts) == 1:
		f.record, f.found = contacts[0], true
		f.why = "one contact has " + s.sameWords(a, m.records.list[f.record].attributes())
	case len(contacts) > 1:
		m.among(&f, s, a, contacts, visitor)
	case reason != "":
		f.why = reason
	case complete:
		f.why = "no contact has " + s.sameWords(a, nil)
	case s.uses(AttributeEmail) && a.email.Role && !a.named():
		if own, ok := m.ownMailbox(a, visitor); ok {
			f.record, f.found = own, true
			f.why = "this browser's contact gave the same role mailbox before"
			return f
		}
		f.why = "the e-mail address is a role mailbox, which without a name is nobody's own"
	default:
		f.why = s.lacking(a)
	}
	return f
}

// apart returns of each contact among records the one that says the very same, else the one that
// has most in common with what was said, of those the first. The oldest contact comes first.
func (m *Machine) apart(agreeing []uint32, a *attributes) []uint32 {
	best := map[uint32]uint32{} // by contact
	said := wordsOf(a)
	common := func(i uint32) int { return said.alike(m.records.list[i].words) }
	var contacts []uint32
	for _, i := range agreeing {
		c := m.records.list[i].contact
		before, known := best[c]
		if !known {
			contacts = append(contacts, c)
		}
		if !known || common(i) > common(before) {
			best[c] = i
		}
	}
	slices.Sort(contacts)
	for at, c := range contacts {
		contacts[at] = best[c]
	}
	return contacts
}

// among chooses one of several contacts that agree, each by one of its records, the oldest first:
// as the strategy says, this browser's own before others. The next is named.
func (m *Machine) among(
	f *finding, s Strategy, a *attributes, contacts []uint32, visitor []byte,
) {
	taken, how := 0, "the oldest is taken"
	very := slices.IndexFunc(contacts, func(i uint32) bool {
		return m.records.list[i].words == wordsOf(a)
	})
	switch own, evidence := m.own(visitor, contacts); {
	case s.OnMany == ForReview && very >= 0:
		taken, how = very, "the oldest that gave the very same is taken"
	case s.OnMany == ForReview:
		f.others, f.review = contacts, true
		f.why = fmt.Sprintf("%d contacts have %s: a person has to say which of them it is",
			len(contacts), s.sameWords(a, nil))
		return
	case s.OnMany == Newest:
		how = "the one that was updated last is taken"
		for at, i := range contacts {
			if m.updated(i) >= m.updated(contacts[taken]) {
				taken = at
			}
		}
	case s.OnMany == Oldest:
	case own >= 0:
		taken, how = own, "this browser's own, by "+evidence+", is taken"
	case very >= 0:
		taken, how = very, "the oldest that gave the very same is taken"
	}
	f.record, f.found = contacts[taken], true
	f.others = slices.Delete(slices.Clone(contacts), taken, taken+1)
	f.why = fmt.Sprintf("%d contacts have %s: %s, the next is %s", len(contacts),
		s.sameWords(a, m.records.list[f.record].attributes()), how, m.contact(f.others[0]))
}

// updated is when the contact of a record was changed last.
func (m *Machine) updated(i uint32) int64 {
	return m.records.list[m.records.list[i].contact].updatedUs
}

// own returns which of several contacts a browser is by what it did before, and what says so; -1
// where it is none of them. Whose browser it is beats which of them is the oldest: a link that was
// made for one of them, above all.
func (m *Machine) own(visitor []byte, contacts []uint32) (at int, evidence string) {
	last := m.identities.last(visitor)
	current, ok := m.whose(visitor)
	if !ok {
		return -1, ""
	}
	at = slices.IndexFunc(contacts, func(i uint32) bool {
		return m.records.list[i].contact == current
	})
	return at, strings.ReplaceAll(last.Evidence, "_", " ")
}

// whose is the number of the contact that a browser is now.
func (m *Machine) whose(visitor []byte) (contact uint32, ok bool) {
	last := m.identities.last(visitor)
	record, ok := m.records.number(last.GetRecordId())
	if !ok {
		return 0, false
	}
	return m.records.list[record].contact, true
}

// ownMailbox finds the record by which a browser's contact gave a role mailbox before.
func (m *Machine) ownMailbox(a *attributes, visitor []byte) (record uint32, ok bool) {
	own, ok := m.whose(visitor)
	if !ok {
		return 0, false
	}
	first, last := a.firstName.Key(), a.lastName.Key()
	for _, i := range m.index.Members(own) {
		of := m.records.list[i].attributes()
		if of.email.Address == a.email.Address && (first == "" || first == of.firstName.Key()) &&
			(last == "" || last == of.lastName.Key()) {
			return i, true
		}
	}
	return 0, false
}
