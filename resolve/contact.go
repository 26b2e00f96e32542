package resolve

import (
	"cmp"
	"slices"

	"crumbtrail/resolve/attribute"
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
	set(&r.FirstName, attribute.Clean(s.FirstName))
	set(&r.LastName, attribute.Clean(s.LastName))
	set(&r.Phone, from.phone)
	set(&r.Company, attribute.Clean(s.Company))
	r.Version++
	r.Submissions++
	r.SubmissionId = s.SubmissionId
	r.UpdatedAtUs = max(r.UpdatedAtUs, s.ReceivedAtUs)
	c.prepare()
}

// prepare makes what the contact is compared by. A tag that the record kept is kept.
func (c *contact) prepare() {
	c.attributes = normalise(&schemas.Submission{
		Email: c.record.Email, FirstName: c.record.FirstName, LastName: c.record.LastName,
		Phone: c.record.Phone, Company: c.record.Company,
	}, true)
}

// older orders contacts by age, and those of one moment by id, so that a restart changes nothing.
func older(a, b *contact) int {
	return cmp.Or(cmp.Compare(a.record.CreatedAtUs, b.record.CreatedAtUs),
		cmp.Compare(a.record.ContactId, b.record.ContactId))
}

// contacts holds every contact and finds them by the strategies' keys.
type contacts struct {
	byID    map[string]*contact
	byKey   []map[string][]*contact // by strategy; oldest first
	list    []Strategy
	changed map[string]bool // ids, since the last checkpoint
}

func newContacts(list []Strategy) contacts {
	c := contacts{byID: map[string]*contact{}, list: list, changed: map[string]bool{}}
	for range list {
		c.byKey = append(c.byKey, map[string][]*contact{})
	}
	return c
}

// find returns the contacts that agree with a under a strategy, oldest first; complete is false
// where a lacks an attribute that the strategy needs.
func (c *contacts) find(strategy int, a *attributes) (found []*contact, complete bool) {
	key, ok := c.list[strategy].key(a)
	if !ok {
		return nil, false
	}
	return c.byKey[strategy][key], true
}

// put adds a contact that is in no list.
func (c *contacts) put(of *contact) {
	c.byID[of.record.ContactId] = of
	for i, s := range c.list {
		key, ok := s.key(&of.attributes)
		if !ok {
			continue
		}
		list := c.byKey[i][key]
		at, _ := slices.BinarySearchFunc(list, of, older)
		c.byKey[i][key] = slices.Insert(list, at, of)
	}
}

// update runs what changes a contact, which is found by its new attributes from then on.
func (c *contacts) update(of *contact, change func()) {
	for i, s := range c.list {
		key, ok := s.key(&of.attributes)
		if !ok {
			continue
		}
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
	change()
	c.put(of)
	c.changed[of.record.ContactId] = true
}
