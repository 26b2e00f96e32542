package resolve

import (
	"cmp"
	"maps"
	"slices"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// A contact is the records of a cluster. Its id is that of the record that came first, and its
// golden record is a fold over what they all say. So contacts become one and come apart again
// without anything being lost: only the golden records are made anew, and aliases say which contact
// a record's id stands for.

// maxRecords bounds the records of a contact. What one that has as many says in new words is
// counted, and not kept.
const maxRecords = match.MaxCluster

// change is what a submission changes, until it is put out.
type change struct {
	us         int64
	submission string
	records    []uint32 // said anew
	pairs      []pair   // of which something else is known
	moved      []uint32 // records whose cluster has another least record
	merged     []string // contacts that stand for themselves no more
	parted     []string // contacts that stand for themselves again
}

// link brings the clusters in line with what is known of pairs, all at once: a review may be of
// thousands.
func (m *Machine) link(pairs []pair, c *change) {
	for _, p := range pairs {
		m.index.RestoreLink(p.left, p.right, m.edges.of(p).link())
	}
	c.pairs = append(c.pairs, pairs...)
	c.moved = append(c.moved, m.index.Settle()...)
}

// publish puts out what has changed: records, edges, aliases and contacts. It is called once for a
// change.
func (m *Machine) publish(c *change, out *stage.Output) {
	touched := map[uint32]bool{}
	for _, i := range c.records {
		r := m.records.list[i]
		put(out, schemas.Records, []byte(r.said.RecordId), r.said)
		m.records.changed[i] = true
		touched[m.index.Members(i)[0]] = true
	}
	slices.SortFunc(c.pairs, comparePairs)
	for _, p := range slices.Compact(c.pairs) {
		left, right := m.id(p.left), m.id(p.right)
		put(out, schemas.Edges, schemas.EdgeKey(left, right), m.edges.of(p).message(left, right, c))
		m.edges.changed[p] = true
		m.edges.of(p).put = true
	}
	slices.Sort(c.moved)
	stood := map[uint32]bool{} // contacts that had their id from this record
	for _, i := range slices.Compact(c.moved) {
		r, now := m.records.list[i], m.index.Members(i)[0]
		before := r.contact
		if before == now {
			continue
		}
		stood[i] = before == i
		r.contact = now
		m.records.changed[i] = true
		touched[before], touched[now] = true, true
		put(out, schemas.Aliases, []byte(r.said.RecordId), &schemas.Alias{
			ContactId: r.said.RecordId, CurrentContactId: m.id(now), SinceUs: c.us,
			SubmissionId: c.submission,
		})
		if r.version > 0 {
			touched[i] = true
		}
	}
	for _, i := range slices.Sorted(maps.Keys(touched)) {
		m.publishContact(i, stood, c, out)
	}
	m.counts.Merged += int64(len(c.merged))
	m.counts.Parted += int64(len(c.parted))
}

// publishContact puts out a new version of the contact that has its id from a record: what it is
// now, or who took it over.
func (m *Machine) publishContact(i uint32, stood map[uint32]bool, c *change, out *stage.Output) {
	r := m.records.list[i]
	was, moved := stood[i]
	var golden *schemas.Contact
	switch {
	case r.contact == i:
		golden = m.golden(m.index.Members(i))
		if moved && !was {
			c.parted = append(c.parted, r.said.RecordId)
		}
	case r.version == 0:
		return // it never stood for itself
	default:
		golden = m.golden([]uint32{i})
		golden.Records, golden.Submissions, golden.MergedInto = 0, 0, m.id(r.contact)
		if moved && was {
			c.merged = append(c.merged, r.said.RecordId)
		}
	}
	r.version++
	r.updatedUs = max(r.updatedUs, c.us)
	golden.Version, golden.UpdatedAtUs = r.version, r.updatedUs
	m.records.changed[i] = true
	put(out, schemas.Contacts, []byte(golden.ContactId), golden)
}

// id is the id of a record.
func (m *Machine) id(number uint32) string { return m.records.list[number].said.RecordId }

// contact is the id of the contact that a record is part of.
func (m *Machine) contact(number uint32) string { return m.id(m.records.list[number].contact) }

// golden makes a golden record of the records of a contact, ascending. Of each attribute the latest
// that is not empty survives, except that a role mailbox does not displace a person's own address.
func (m *Machine) golden(members []uint32) *schemas.Contact {
	first := m.records.list[members[0]].said
	g := &schemas.Contact{
		ContactId: first.RecordId, CreatedAtUs: first.FirstAtUs, Records: int64(len(members)),
	}
	inOrder := make([]*record, len(members))
	for at, i := range members {
		inOrder[at] = m.records.list[i]
	}
	slices.SortFunc(inOrder, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.said.LastAtUs, b.said.LastAtUs), cmp.Compare(a.last, b.last))
	})
	set := func(to *string, compared, said string) {
		if compared != "" {
			*to = said
		}
	}
	role := true
	for _, r := range inOrder {
		w := &r.words
		if w.email != "" && (role || !r.role) {
			g.Email, role = w.email, r.role
		}
		set(&g.FirstName, w.firstName, r.said.FirstName)
		set(&g.LastName, w.lastName, r.said.LastName)
		set(&g.Phone, w.phone, w.phone)
		set(&g.Company, w.company, r.said.Company)
		g.Submissions += r.said.Submissions
		g.SubmissionId = r.said.LastSubmissionId
	}
	return g
}
