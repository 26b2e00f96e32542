package resolve

import (
	"fmt"
	"slices"
	"strings"

	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// mostRunnersUp bounds how many contacts a decision names that were not taken.
const mostRunnersUp = 5

// DefaultPrior is the share of all pairs of records that are of one person, where the model does
// not say: records that come in one by one give nothing to estimate it from.
const DefaultPrior = 1e-5

// model is what records are compared by.
func (c Config) model() match.Model {
	m := c.Model
	if m.Prior == 0 {
		m.Prior = DefaultPrior
	}
	return m
}

// Untrained lists the attributes of which the model says nothing, neither by their names nor by
// what they are: the shipped weights hold for them.
func (c Config) Untrained() (list []Attribute) {
	for _, a := range Attributes() {
		_, named := c.Model.Comparisons[string(a)]
		if _, kind := c.Model.Comparisons[string(a.kind())]; !named && !kind {
			list = append(list, a)
		}
	}
	return list
}

// compared names what decides which edges the model makes.
func (c Config) compared() string {
	if !c.Probabilistic {
		return ""
	}
	return fmt.Sprintf("%s from %v", c.model().Version(), c.Review)
}

// newIndex makes what compares records by the model and holds the clusters. An error means that the
// model does not fit what a record says.
func newIndex(cfg Config) (*match.Index, error) {
	columns := []match.Column{
		{Name: string(AttributeEmail), Kind: match.EmailKind},
		{Name: string(AttributeFirstName), Kind: match.GivenName},
		{Name: string(AttributeLastName), Kind: match.FamilyName},
		{Name: string(AttributePhone), Kind: match.Phone},
		{Name: string(AttributeCompany), Kind: match.Company},
	}
	o := match.Options{Model: cfg.model(), Threshold: cfg.Threshold, Review: cfg.Review}
	if !cfg.Probabilistic { // nothing is compared: it holds the links alone
		o.Model = match.DefaultModel()
		o.Model.Prior, o.Threshold, o.Review = 0.5, 1, 1
	}
	return match.NewIndex(columns, o)
}

// mustIndex is newIndex of a valid configuration, whose model fits.
func mustIndex(cfg Config) *match.Index {
	x, err := newIndex(cfg)
	if err != nil {
		panic("resolve: " + err.Error())
	}
	return x
}

// Explain says how the model compares what two records say.
func (c Config) Explain(left, right *schemas.Record) match.Explanation {
	x, read := mustIndex(c), newReader(c).read
	for _, r := range []*schemas.Record{left, right} {
		a := read(submissionOf(r))
		x.Restore(wordsOf(&a).texts())
	}
	return x.Explain(0, 1)
}

// agree puts a submission into the contact that strategies found, and returns its record: the one
// that says the same, or a new one, which is one with the record that it agrees with.
func (m *Machine) agree(
	s *schemas.Submission, a *attributes, f *finding, c *change,
) (record uint32) {
	said := wordsOf(a)
	// A click says no more of a contact than which browser is theirs.
	if s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK || said == (words{}) {
		return f.record
	}
	members := m.index.Members(f.record)
	for _, i := range members {
		if m.records.list[i].words == said {
			m.repeat(i, s, a, c)
			return i
		}
	}
	if len(members) >= maxRecords {
		f.why += "; what else it says is not kept, as the contact has enough records"
		m.records.list[f.record].count(s, m.counts.Submissions)
		c.records = append(c.records, f.record)
		return f.record
	}
	record, _ = m.enter(s, a, c)
	p := pairOf(f.record, record)
	m.edges.of(p).exact = &schemas.Edge{
		Verdict: schemas.EdgeVerdict_EDGE_VERDICT_EXACT, Evidence: f.strategy,
		DecidedAtUs: s.ReceivedAtUs, SubmissionId: s.SubmissionId,
	}
	m.link([]pair{p}, c)
	return record
}

// repeat puts a submission into a record that says the same.
func (m *Machine) repeat(i uint32, s *schemas.Submission, a *attributes, c *change) {
	m.records.list[i].say(s, a, m.counts.Submissions)
	c.records = append(c.records, i)
}

// enter makes a record of a submission and returns what the model says of it, the likeliest pair
// first. Its id follows from the submission, so that a replay gives the same; should that id be
// taken (the submission is older than what recent remembers), the next is.
func (m *Machine) enter(
	s *schemas.Submission, a *attributes, c *change,
) (number uint32, likely []match.Edge) {
	key := name(s)
	id := m.contactIDs.ID(key)
	for {
		if _, taken := m.records.byID[id]; !taken {
			break
		}
		key = append(key, 0)
		id = m.contactIDs.ID(key)
	}
	r := &record{said: &schemas.Record{RecordId: id}, contact: uint32(len(m.records.list))}
	r.say(s, a, m.counts.Submissions)
	number = m.records.add(r)
	c.records = append(c.records, number)
	if !m.cfg.Probabilistic {
		m.index.Restore(nil)
		return number, nil
	}
	found, pairs := m.compare(r)
	c.pairs, c.moved = append(c.pairs, pairs...), append(c.moved, found.Moved...)
	return number, found.Edges
}

// compare has the model compare a new record with those before it, and returns the pairs that are
// likely, too.
func (m *Machine) compare(r *record) (found match.Found, pairs []pair) {
	found = m.index.Add(r.words.texts())
	m.hotKeys += len(found.Hot)
	for _, e := range found.Edges {
		p := pairOf(e.I, e.J)
		m.edges.of(p).likely = m.likelihood(&e, r.said.FirstAtUs, r.said.FirstSubmissionId)
		pairs = append(pairs, p)
	}
	return found, pairs
}

// likelihood is what the model says of a pair since a submission.
func (m *Machine) likelihood(e *match.Edge, us int64, submission string) *schemas.Edge {
	return &schemas.Edge{
		Verdict: schemas.EdgeVerdict_EDGE_VERDICT_LIKELY, Weight: e.Weight,
		Probability: e.Probability, Evidence: e.Rule, Model: m.model, DecidedAtUs: us,
		SubmissionId: submission, Refused: e.Refused,
	}
}

// consider has the model say who a submission is that strategies find nobody for, and returns its
// record and why.
func (m *Machine) consider(
	s *schemas.Submission, a *attributes, f *finding, d *schemas.Decision, c *change,
) (record uint32, why string) {
	if i, ok := m.records.saying(wordsOf(a)); ok && !f.review && m.cfg.Probabilistic {
		if a.email.Address != "" && !a.email.Role { // however many have given it
			why = "the very same was given before"
		} else if e := m.index.Explain(i, i); e.Probability >= m.cfg.Threshold {
			why = m.because(e, d)
		}
		if why != "" {
			m.repeat(i, s, a, c)
			d.Outcome = schemas.Outcome_OUTCOME_MATCHED
			return i, f.why + "; " + why
		}
	}
	record, edges := m.enter(s, a, c)
	contact := m.index.Members(record)[0]
	for _, e := range edges {
		if other := e.I + e.J - record; contact != record && m.index.Members(other)[0] == contact {
			d.Outcome = schemas.Outcome_OUTCOME_MATCHED
			return record, f.why + "; " + m.because(m.index.Explain(other, record), d)
		}
	}
	d.Outcome = schemas.Outcome_OUTCOME_CREATED
	const until = "; until a person says so, it is a new contact"
	switch {
	case f.review:
		d.Outcome = schemas.Outcome_OUTCOME_REVIEW
		return record, f.why + until
	case len(edges) > 0:
		d.Outcome = schemas.Outcome_OUTCOME_REVIEW
		e := edges[0]
		return record, f.why + "; " + m.because(m.index.Explain(e.I+e.J-record, record), d) + until
	}
	return record, f.why
}

// likely lists what the model says of a record, the likeliest pair first.
func (m *Machine) likely(record uint32) []match.Edge {
	if !m.cfg.Probabilistic {
		return nil
	}
	return m.index.Edges(record)
}

// because puts how a pair's probability comes about into a decision, and says it.
func (m *Machine) because(e match.Explanation, d *schemas.Decision) string {
	d.Strategy, d.Model = ByModel, m.model
	d.Weight, d.Probability = e.Weight, e.Probability
	for _, l := range e.Lines {
		d.Evidence = append(d.Evidence, &schemas.Evidence{
			Attribute: l.Column.Name, Level: l.Level, Weight: l.Weight, Rarity: l.Rarity, Note: l.Note,
		})
	}
	sentence := strings.TrimSuffix(e.Sentence(), ".")
	return strings.ToLower(sentence[:1]) + sentence[1:]
}

// runnersUp names the contacts that a submission could have been of: those that agree with it
// under its strategy, then those that are likely.
func (m *Machine) runnersUp(d *schemas.Decision, record uint32, f *finding) {
	taken := map[uint32]bool{m.records.list[record].contact: true}
	likely := m.likely(record)
	candidate := func(i uint32, weight, probability float64, reason string) {
		contact := m.records.list[i].contact
		if taken[contact] || len(d.RunnersUp) == mostRunnersUp {
			return
		}
		taken[contact] = true
		d.RunnersUp = append(d.RunnersUp, &schemas.Candidate{
			ContactId: m.id(contact), RecordId: m.id(i), Weight: weight, Probability: probability,
			Reason: reason,
		})
	}
	for _, i := range f.others {
		if len(d.RunnersUp) == mostRunnersUp {
			break // thousands may agree
		}
		reason := "it agrees, too"
		if why := m.refusal(i, record); why != "" {
			reason = why
		}
		var weight, probability float64
		at := slices.IndexFunc(likely, func(e match.Edge) bool { return e.I+e.J-record == i })
		if at >= 0 {
			weight, probability = likely[at].Weight, likely[at].Probability
		}
		candidate(i, weight, probability, reason)
	}
	for _, e := range likely {
		i := e.I + e.J - record
		candidate(i, e.Weight, e.Probability, m.against(pairOf(i, record), e))
	}
}

// refusal says why two records are not one although a strategy or a person says so.
func (m *Machine) refusal(i, j uint32) string { return m.index.Explain(i, j).Refusal }

// against says why a likely pair is not one.
func (m *Machine) against(p pair, e match.Edge) string {
	switch {
	case m.edges.of(p).link() == match.Apart:
		return "a person said that they are two"
	case e.Refused != "":
		return e.Refused
	}
	return "it is not likely enough to be taken for one without a person's word"
}
