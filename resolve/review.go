package resolve

import (
	"fmt"
	"slices"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// A review is what a person decided about contacts. It says of pairs of records that they are one
// or two, which holds until a later review says otherwise or withdraws it, and which no strategy
// and no model overrules.

// judge carries a review out, and puts out what it decided. One that cannot be is refused, without
// effect.
func (m *Machine) judge(s *schemas.Submission, out *stage.Output) {
	d := decisionOn(s, schemas.Outcome_OUTCOME_REFUSED)
	d.Strategy, d.By = ByReview, s.GetReview().GetBy()
	c := &change{us: s.ReceivedAtUs, submission: s.SubmissionId}
	switch r := s.GetReview(); {
	case m.edges.reviews[s.SubmissionId] != nil: // older than what recent remembers
		d.Reason = "it was decided before"
	case r.GetVerdict() == schemas.Verdict_VERDICT_ACCEPT:
		m.accept(s, d, c)
	case r.GetVerdict() == schemas.Verdict_VERDICT_REJECT:
		m.refuse(s, d, c)
	case r.GetVerdict() == schemas.Verdict_VERDICT_SPLIT:
		m.split(s, d, c)
	case r.GetVerdict() == schemas.Verdict_VERDICT_WITHDRAW:
		m.withdraw(s, d, c)
	default:
		d.Reason = "it says neither accept, reject, split nor withdraw"
	}
	m.countReview(d.Outcome)
	if d.Outcome != schemas.Outcome_OUTCOME_REFUSED {
		m.publish(c, out)
		d.Merged, d.Parted = c.merged, c.parted
	}
	if i, ok := m.records.number(d.RecordId); ok {
		d.ContactId = m.contact(i)
	}
	m.tell(d, out)
}

func (m *Machine) countReview(outcome schemas.Outcome) {
	switch outcome {
	case schemas.Outcome_OUTCOME_ACCEPTED:
		m.counts.Accepted++
	case schemas.Outcome_OUTCOME_REJECTED:
		m.counts.Rejected++
	case schemas.Outcome_OUTCOME_SPLIT:
		m.counts.Split++
	case schemas.Outcome_OUTCOME_WITHDRAWN:
		m.counts.Withdrawn++
	default:
		m.counts.Refused++
	}
}

// sides reads the two records that a review speaks of. It gives the decision a reason where it
// cannot.
func (m *Machine) sides(r *schemas.Review, d *schemas.Decision) (left, right uint32, ok bool) {
	left, ok = m.side(r.Left, "left", d)
	if !ok {
		return 0, 0, false
	}
	d.RecordId = r.Left
	if right, ok = m.side(r.Right, "right", d); !ok {
		return 0, 0, false
	}
	if left == right {
		d.Reason = "left and right are the same"
		return 0, 0, false
	}
	return left, right, true
}

func (m *Machine) side(id, which string, d *schemas.Decision) (number uint32, ok bool) {
	number, ok = m.records.number(id)
	switch {
	case id == "":
		d.Reason = "it names no " + which
	case !ok:
		d.Reason = fmt.Sprintf("no contact or record has the id that it names as %s", which)
	}
	return number, ok
}

// impose lets a review hold, and brings the clusters in line with it.
func (m *Machine) impose(
	s *schemas.Submission, rulings []ruled, c *change,
) *review {
	r := &review{
		id: s.SubmissionId, ordinal: m.counts.Submissions, by: s.Review.By,
		decidedUs: s.ReceivedAtUs, rulings: rulings,
	}
	m.edges.hold(r)
	m.edges.changedReviews[r.id] = true
	m.link(r.pairs(), c)
	return r
}

// lift takes a review back.
func (m *Machine) lift(r *review, c *change) {
	m.edges.withdraw(r)
	m.edges.changedReviews[r.id] = true
	m.link(r.pairs(), c)
}

// accept makes one contact of two. What earlier reviews said against it holds no more.
func (m *Machine) accept(s *schemas.Submission, d *schemas.Decision, c *change) {
	left, right, ok := m.sides(s.Review, d)
	if !ok {
		return
	}
	one := m.records.list[left].contact == m.records.list[right].contact
	lefts, rights := m.index.Members(left), m.index.Members(right)
	if n := len(lefts) + len(rights); !one && n > maxRecords {
		d.Reason = fmt.Sprintf("the two cannot be one: they have %d records, and a contact has at "+
			"most %d", n, maxRecords)
		return
	}
	rulings := []ruled{{pairOf(left, right), schemas.EdgeVerdict_EDGE_VERDICT_ACCEPTED}}
	for _, i := range lefts {
		for _, j := range rights {
			p := pairOf(i, j)
			if e := m.edges.byPair[p]; i != j && p != rulings[0].pair && e != nil && e.rejected() {
				rulings = append(rulings, ruled{p, schemas.EdgeVerdict_EDGE_VERDICT_UNSPECIFIED})
			}
		}
	}
	r := m.impose(s, rulings, c)
	if !m.together(left, lefts, rights) {
		// All of both is meant, also what the model would let go of in the greater contact.
		m.lift(r, c)
		rulings = bonds(rulings, left, lefts)
		if !one {
			rulings = bonds(rulings, right, rights)
		}
		r = m.impose(s, rulings, c)
	}
	if m.index.Members(left)[0] != m.index.Members(right)[0] {
		why := m.refusal(left, right)
		m.lift(r, c)
		d.Reason = "the two cannot be one: " + why
		return
	}
	d.Outcome = schemas.Outcome_OUTCOME_ACCEPTED
	d.Reason = "a person said that the two are one"
	if one {
		d.Reason += "; they were already, and are from now on whatever the model says"
	}
}

// together reports whether records are one with one of them.
func (m *Machine) together(record uint32, of ...[]uint32) bool {
	least := m.index.Members(record)[0]
	for _, members := range of {
		for _, i := range members {
			if m.index.Members(i)[0] != least {
				return false
			}
		}
	}
	return true
}

// bonds add to rulings that the records of a contact are one with one of them.
func bonds(rulings []ruled, record uint32, members []uint32) []ruled {
	for _, i := range members {
		if p := pairOf(record, i); i != record && p != rulings[0].pair {
			rulings = append(rulings, ruled{p, schemas.EdgeVerdict_EDGE_VERDICT_ACCEPTED})
		}
	}
	return rulings
}

// refuse keeps two contacts apart, or takes two records of one contact apart.
func (m *Machine) refuse(s *schemas.Submission, d *schemas.Decision, c *change) {
	left, right, ok := m.sides(s.Review, d)
	if !ok {
		return
	}
	rulings := []ruled{{pairOf(left, right), schemas.EdgeVerdict_EDGE_VERDICT_REJECTED}}
	one := m.records.list[left].contact == m.records.list[right].contact
	if one {
		m.spellOut(m.index.Members(left), c)
	} else {
		rulings = across(m.index.Members(left), m.index.Members(right))
	}
	m.impose(s, rulings, c)
	d.Outcome = schemas.Outcome_OUTCOME_REJECTED
	d.Reason = "a person said that the two are not one: they stay apart, whatever speaks for one"
	if one {
		d.Reason += "; they were one until now"
	}
}

// spellOut makes edges of what the strategies say of all records of a contact that is to come
// apart. As it grew, each record was joined to one that it agrees with; without that one it must
// still be joined to the others.
func (m *Machine) spellOut(members []uint32, c *change) {
	used := map[string]bool{}
	eachPair(members, func(p pair) {
		if e := m.edges.byPair[p]; e.exactly() {
			used[e.exact.Evidence] = true
		}
	})
	var spelt []pair
	for at, s := range m.cfg.Strategies {
		if !used[s.Name] {
			continue
		}
		eachPair(members, func(p pair) {
			if m.edges.byPair[p].exactly() || !m.records.agree(at, p) {
				return
			}
			m.edges.of(p).exact = &schemas.Edge{
				Verdict: schemas.EdgeVerdict_EDGE_VERDICT_EXACT, Evidence: s.Name,
				DecidedAtUs: c.us, SubmissionId: c.submission,
			}
			spelt = append(spelt, p)
		})
	}
	m.link(spelt, c)
}

func eachPair(numbers []uint32, do func(pair)) {
	for at, i := range numbers {
		for _, j := range numbers[at+1:] {
			do(pairOf(i, j))
		}
	}
}

// across rules that every record of one side is another's than every record of the other side.
func across(left, right []uint32) (rulings []ruled) {
	for _, i := range left {
		for _, j := range right {
			rulings = append(rulings, ruled{
				pairOf(i, j), schemas.EdgeVerdict_EDGE_VERDICT_REJECTED,
			})
		}
	}
	return rulings
}

// split takes records out of a contact. They stay together as far as something joins them.
func (m *Machine) split(s *schemas.Submission, d *schemas.Decision, c *change) {
	left, ok := m.side(s.Review.Left, "left", d)
	if !ok {
		return
	}
	d.RecordId = s.Review.Left
	members := m.index.Members(left)
	var leaving, staying []uint32
	for at, id := range s.Review.Records {
		i, known := m.records.number(id)
		if !known || !slices.Contains(members, i) {
			d.Reason = fmt.Sprintf("record %d of those that are to leave is not one of the contact's",
				at+1)
			return
		}
		if !slices.Contains(leaving, i) {
			leaving = append(leaving, i)
		}
	}
	for _, i := range members {
		if !slices.Contains(leaving, i) {
			staying = append(staying, i)
		}
	}
	switch {
	case len(leaving) == 0:
		d.Reason = "it names no record that is to leave"
		return
	case len(staying) == 0:
		d.Reason = "nothing would be left of the contact"
		return
	}
	slices.Sort(leaving)
	m.spellOut(members, c)
	m.impose(s, across(leaving, staying), c)
	d.Outcome = schemas.Outcome_OUTCOME_SPLIT
	d.RecordId = m.id(staying[0])
	d.Reason = fmt.Sprintf("a person said that %d of the contact's %d records are another's",
		len(leaving), len(members))
}

// withdraw takes an earlier review back.
func (m *Machine) withdraw(s *schemas.Submission, d *schemas.Decision, c *change) {
	r := m.edges.reviews[s.Review.Withdraws]
	if r == nil {
		d.Reason = "no review of this id holds"
		return
	}
	m.lift(r, c)
	d.Outcome = schemas.Outcome_OUTCOME_WITHDRAWN
	d.RecordId = m.id(r.rulings[0].left)
	d.Reason = "an earlier review holds no more"
}
