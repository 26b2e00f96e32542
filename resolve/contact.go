package resolve

import (
	"cmp"
	"slices"

	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// contact is a golden record and what it is found by.
type contact struct {
	record     *schemas.Contact
	attributes attributes
}

// take puts a submission into the golden record. Of each attribute the latest that is not empty
// survives, except that a role mailbox does not displace a person's own address.
func (c *contact) take(s *schemas.Submission, from *attributes) {
	r := c.record
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	if !from.email.Role || r.Email == "" || c.attributes.email.Role {
		set(&r.Email, from.email.Address)
	}
	set(&r.FirstName, from.kept(AttributeFirstName, s.FirstName))
	set(&r.LastName, from.kept(AttributeLastName, s.LastName))
	set(&r.Phone, from.phone.Number)
	set(&r.Company, from.kept(AttributeCompany, s.Company))
	r.Version++
	r.Submissions++
	r.SubmissionId = s.SubmissionId
	r.UpdatedAtUs = max(r.UpdatedAtUs, s.ReceivedAtUs)
}

// said is what a golden record says.
func (c *contact) said() *schemas.Submission {
	return &schemas.Submission{
		Email: c.record.Email, FirstName: c.record.FirstName, LastName: c.record.LastName,
		Phone: c.record.Phone, Company: c.record.Company,
	}
}

// older orders contacts by age, and those of one moment by id, so that a restart changes nothing.
func older(a, b *contact) int {
	return cmp.Or(cmp.Compare(a.record.CreatedAtUs, b.record.CreatedAtUs),
		cmp.Compare(a.record.ContactId, b.record.ContactId))
}

// contacts holds every contact and finds them by the strategies' keys.
type contacts struct {
	byID     map[string]*contact
	byKey    []map[string][]*contact // by strategy; oldest first
	list     []Strategy
	reader   reader
	comparer comparer
	changed  map[string]bool // ids, since the last checkpoint
}

func newContacts(cfg Config) contacts {
	c := contacts{
		byID: map[string]*contact{}, list: cfg.Strategies, reader: newReader(cfg),
		comparer: comparer{match.NewTexts()}, changed: map[string]bool{},
	}
	for range c.list {
		c.byKey = append(c.byKey, map[string][]*contact{})
	}
	return c
}

// find returns the contacts that agree with a under a strategy, oldest first. If there is none, it
// says why one that was found by a key is not meant; complete is false where a lacks what the
// strategy needs.
func (c *contacts) find(
	strategy int, a *attributes,
) (found []*contact, refused string, complete bool) {
	s := c.list[strategy]
	keys := s.keys(a)
	for _, key := range keys {
		for _, of := range c.byKey[strategy][key] {
			differs := c.comparer.differs(s, a, &of.attributes)
			switch {
			case slices.Contains(found, of):
			case differs == "":
				found = append(found, of)
			case refused == "":
				refused = "contact " + of.record.ContactId + " has " + s.sameWords(a, &of.attributes) +
					", but " + differs
			}
		}
	}
	slices.SortFunc(found, older)
	return found, refused, len(keys) > 0
}

// put adds a contact that is in no list.
func (c *contacts) put(of *contact) {
	of.attributes = c.reader.read(of.said())
	c.byID[of.record.ContactId] = of
	for i, s := range c.list {
		for _, key := range s.keys(&of.attributes) {
			list := c.byKey[i][key]
			at, _ := slices.BinarySearchFunc(list, of, older)
			c.byKey[i][key] = slices.Insert(list, at, of)
		}
	}
}

// update runs what changes a contact, which is found by its new attributes from then on.
func (c *contacts) update(of *contact, change func()) {
	for i, s := range c.list {
		for _, key := range s.keys(&of.attributes) {
			list := c.byKey[i][key]
			if at, there := slices.BinarySearchFunc(list, of, older); there {
				list = slices.Delete(list, at, at+1)
			}
			if len(list) == 0 {
				delete(c.byKey[i], key)
			} else {
				c.byKey[i][key] = list
			}
		}
	}
	change()
	c.put(of)
	c.changed[of.record.ContactId] = true
}
