package resolve

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
)

// Erasing a person takes all records of their contacts out of the state and of the compacted
// topics: what they said, what is known of them and others, whose browsers were theirs. What is
// left of a record is its number, so that the numbers of others stay what they are. The Erasure
// says what else is to go wherever rows were made of it.

// evidenceErased is that of an identity which says that a browser is nobody's for a time.
const evidenceErased = "erased"

// NothingKnown is why an erasure is refused of whom there is nothing, or nothing any more.
const NothingKnown = "nothing is known of whom it names"

// AddressMAC is how a request names an e-mail address: by HMAC-SHA256 over it as it is compared.
func AddressMAC(key []byte, address string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(address))
	return mac.Sum(nil)
}

// Address is an e-mail address as it is compared, and what is wrong with it.
func (c Config) Address(text string) (address string, fault attribute.Fault) {
	email := newReader(c).normaliser.Email(text)
	return email.Address, email.Fault
}

// sought reports whether a request asks for an address.
func sought(r *schemas.ErasureRequest, address string) bool {
	return len(r.AddressMac) > 0 && address != "" &&
		hmac.Equal(AddressMAC(r.AddressKey, address), r.AddressMac)
}

// erase carries out a request, and puts out what belongs to the person.
func (m *Machine) erase(s *schemas.Submission, out *stage.Output) {
	d := decisionOn(s, schemas.Outcome_OUTCOME_REFUSED)
	d.Strategy, d.By = ByErasure, s.GetErasure().GetBy()
	numbers, unlinked, why := m.meant(s.GetErasure())
	e := &schemas.Erasure{
		RequestId: s.SubmissionId, ErasedAtUs: s.ReceivedAtUs, By: d.By,
		Note: s.GetErasure().GetNote(), Found: s.GetErasure().GetFound(),
	}
	if e.Found == nil {
		e.Found = &schemas.Found{}
	}
	if why == "" {
		e.Pending = m.erasePending(s.GetErasure(), e.Found)
		if found := e.Found; len(numbers)+len(unlinked)+len(found.Submissions)+len(found.Events)+
			len(found.BadBeacons)+len(found.Versions)+len(found.Visits) == 0 {
			why = NothingKnown
		}
	}
	if d.Reason = why; why != "" {
		m.counts.Refused++
		m.tell(d, out)
		return
	}
	for _, v := range unlinked {
		e.Visitors = append(e.Visitors, &schemas.VisitorSpan{
			Site: v.Site, VisitorId: v.VisitorId, ToUs: s.ReceivedAtUs,
		})
	}
	m.eraseRecords(numbers, e, &change{us: s.ReceivedAtUs, submission: s.SubmissionId}, out)
	m.counts.Erased++
	d.Outcome = schemas.Outcome_OUTCOME_ERASED
	d.Reason = fmt.Sprintf("contacts %d, records %d, browsers %d, and what they left elsewhere",
		e.Contacts, len(e.Records), browsers(e))
	put(out, schemas.Erasures, []byte(e.RequestId), e)
	m.tell(d, out)
}

// browsers is how many an erasure names.
func browsers(e *schemas.Erasure) int {
	all := map[string]bool{}
	for _, v := range e.Visitors {
		all[string(schemas.VisitorKey(schemas.Site(v.Site), schemas.VisitorID(v.VisitorId)))] = true
	}
	return len(all)
}

// meant finds the records of all contacts that a request means, ascending, and the browsers that it
// names which belong to nobody; why not, where it cannot be carried out.
func (m *Machine) meant(
	r *schemas.ErasureRequest,
) (numbers []uint32, unlinked []*schemas.VisitorName, why string) {
	contacts := map[uint32]bool{}
	for _, id := range r.GetContacts() {
		if i, ok := m.records.number(id); ok {
			contacts[m.records.list[i].contact] = true
		}
	}
	if len(r.GetAddressMac()) > 0 {
		for _, one := range m.records.list {
			if sought(r, one.words.email) {
				contacts[one.contact] = true
			}
		}
	}
	for _, v := range r.GetVisitors() {
		key := schemas.VisitorKey(schemas.Site(v.Site), schemas.VisitorID(v.VisitorId))
		theirs := map[uint32]bool{}
		for _, edge := range m.identities.byVisitor[string(key)].GetEdges() {
			if i, ok := m.records.number(edge.RecordId); ok {
				theirs[m.records.list[i].contact] = true
			}
		}
		switch {
		case len(theirs) > 1:
			return nil, nil, fmt.Sprintf("%d contacts have used the browser: name one of them",
				len(theirs))
		case len(m.identities.byVisitor[string(key)].GetEdges()) == 0:
			unlinked = append(unlinked, v)
		}
		maps.Copy(contacts, theirs)
	}
	for _, contact := range slices.Sorted(maps.Keys(contacts)) {
		numbers = append(numbers, m.index.Members(contact)...)
	}
	slices.Sort(numbers)
	return numbers, unlinked, ""
}

// erasePending gives up the submissions that wait to be confirmed by an address that is asked for,
// and adds them to what was found.
func (m *Machine) erasePending(r *schemas.ErasureRequest, found *schemas.Found) (n int64) {
	for _, id := range slices.Sorted(maps.Keys(m.pending.byID)) {
		if !sought(r, m.pending.byID[id].address) {
			continue
		}
		s := m.pending.take(id)
		found.Submissions = append(found.Submissions, submissionName(s.Site, s.VisitorId, s.SubmissionId))
		m.counts.Expired++
		n++
	}
	return n
}

func submissionName(site, visitor, submission string) *schemas.SubmissionName {
	return &schemas.SubmissionName{Site: site, VisitorId: visitor, SubmissionId: submission}
}

// eraseRecords takes records out, and says in e what goes with them.
func (m *Machine) eraseRecords(
	numbers []uint32, e *schemas.Erasure, c *change, out *stage.Output,
) {
	erased, contacts := map[string]bool{}, map[uint32]bool{}
	for _, i := range numbers {
		erased[m.id(i)] = true
		contacts[m.records.list[i].contact] = true
		e.Records = append(e.Records, m.id(i))
		for _, topic := range []schemas.Topic{schemas.Records, schemas.Aliases, schemas.Contacts} {
			out.Put(string(topic), []byte(m.id(i)), nil)
		}
	}
	e.Contacts = int64(len(contacts))
	m.eraseIdentities(erased, e, c, out)
	pairs := m.edges.with(numbers)
	for _, p := range pairs {
		if m.edges.byPair[p].put {
			out.Put(string(schemas.Edges), schemas.EdgeKey(m.id(p.left), m.id(p.right)), nil)
			e.Edges++
		}
	}
	m.edges.forget(pairs)
	hot := len(m.index.Hot())
	for _, i := range numbers {
		c.moved = append(c.moved, m.forget(i)...)
	}
	c.moved = slices.DeleteFunc(c.moved, func(i uint32) bool { return m.records.list[i].erased })
	if len(m.index.Hot()) < hot {
		c.pairs = m.warmed(c)
	}
	m.publish(c, out)
}

// forget takes a record out, of which no edge is left, and returns the others whose cluster has
// another least record since.
func (m *Machine) forget(i uint32) (moved []uint32) {
	moved = m.index.Remove(i)
	m.hotKeys = len(m.index.Hot())
	m.records.forget(i)
	return moved
}

// warmed adds the pairs that the model finds likely now that a key is not too common any more.
func (m *Machine) warmed(c *change) (pairs []pair) {
	for i := range m.records.list {
		for _, e := range m.likely(uint32(i)) {
			p := pairOf(e.I, e.J)
			if of := m.edges.byPair[p]; p.right != uint32(i) || of != nil && of.likely != nil {
				continue
			}
			m.edges.of(p).likely = m.likelihood(&e, c.us, c.submission)
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// eraseIdentities takes the browsers of records from them, and says for which time each was
// theirs. On a browser that others use, too, that time becomes nobody's: the edge before would
// reach over it otherwise.
func (m *Machine) eraseIdentities(
	erased map[string]bool, e *schemas.Erasure, c *change, out *stage.Output,
) {
	for _, visitor := range slices.Sorted(maps.Keys(m.identities.byVisitor)) {
		edges := m.identities.byVisitor[visitor].Edges
		theirs := func(edge *schemas.Identity) bool { return erased[edge.RecordId] }
		if !slices.ContainsFunc(edges, theirs) {
			continue
		}
		others := slices.ContainsFunc(edges, func(edge *schemas.Identity) bool {
			return edge.RecordId != "" && !theirs(edge)
		})
		for at, edge := range edges {
			if !theirs(edge) && others {
				continue
			}
			key := schemas.IdentityKey(schemas.Site(edge.Site), schemas.VisitorID(edge.VisitorId),
				edge.ValidFromUs)
			if theirs(edge) {
				span := &schemas.VisitorSpan{
					Site: edge.Site, VisitorId: edge.VisitorId, FromUs: edge.ValidFromUs, ToUs: c.us,
				}
				if at+1 < len(edges) {
					span.ToUs = edges[at+1].ValidFromUs
				}
				e.Visitors = append(e.Visitors, span)
				e.Identities++
				found := e.Found
				found.Submissions = append(found.Submissions,
					submissionName(edge.Site, edge.VisitorId, edge.SubmissionId))
			}
			if !others {
				out.Put(string(schemas.Identities), key, nil)
				continue
			}
			edges[at] = &schemas.Identity{
				Site: edge.Site, VisitorId: edge.VisitorId, ValidFromUs: edge.ValidFromUs,
				LinkedAtUs: c.us, Evidence: evidenceErased,
			}
			put(out, schemas.Identities, key, edges[at])
		}
		if !others {
			delete(m.identities.byVisitor, visitor)
		}
		m.identities.changed[visitor] = true
	}
}

// with lists the pairs that records are in, in order.
func (e *edges) with(numbers []uint32) (pairs []pair) {
	for p := range e.byPair {
		_, left := slices.BinarySearch(numbers, p.left)
		if _, right := slices.BinarySearch(numbers, p.right); left || right {
			pairs = append(pairs, p)
		}
	}
	slices.SortFunc(pairs, comparePairs)
	return pairs
}

// forget takes pairs out, and with them what reviews say of them: one that says nothing else is no
// more.
func (e *edges) forget(pairs []pair) {
	for _, p := range pairs {
		for _, r := range e.byPair[p].rulings {
			of := r.review
			of.rulings = slices.DeleteFunc(of.rulings, func(one ruled) bool { return one.pair == p })
			if e.changedReviews[of.id] = true; len(of.rulings) == 0 {
				delete(e.reviews, of.id)
			}
		}
		delete(e.byPair, p)
		e.changed[p] = true
	}
}

// forget leaves nothing of a record but its number.
func (r *records) forget(number uint32) {
	of := r.list[number]
	a := of.attributes()
	for i, s := range r.rules {
		for _, key := range s.keys(a) {
			left := slices.DeleteFunc(r.byKey[i][key], func(n uint32) bool { return n == number })
			if r.byKey[i][key] = left; len(left) == 0 {
				delete(r.byKey[i], key)
			}
			delete(r.byPerson[i], key) // people makes it again where it is needed
		}
	}
	delete(r.byID, of.said.RecordId)
	if hash := of.words.hash(); r.byWords[hash] == number {
		delete(r.byWords, hash)
		next := slices.IndexFunc(r.list, func(one *record) bool {
			return one != of && !one.erased && one.words == of.words
		})
		if next >= 0 {
			r.byWords[hash] = uint32(next)
		}
	}
	*of = record{said: &schemas.Record{}, contact: number, erased: true}
	r.changed[number] = true
}
