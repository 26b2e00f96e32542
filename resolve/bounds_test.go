package resolve

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

func TestWhatIsRememberedIsBounded(t *testing.T) {
	m := New(DefaultConfig())
	m.recent = newRecent(2, 3)
	var out stage.Output
	state := map[string]int{}
	for i := range 200 {
		m.Apply([]stage.Record{submission(t, int64(i), &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", VisitorId: "kiosk",
			Email:   fmt.Sprintf("%c@acme.example", 'a'+i%2), // the device changes hands each time
			Consent: schemas.Consent_CONSENT_IDENTIFIED, FirstName: strings.Repeat("a", 5000),
		})}, &out)
		m.Checkpoint(func(key, value []byte) {
			if delete(state, string(key)); value != nil {
				state[string(key)] = len(value)
			}
		})
	}
	for key, size := range state {
		if size > 16<<10 {
			t.Errorf("state of %q has %d bytes", key, size)
		}
	}
	if len(state) != 2+1+2+1 || len(m.recent.ids) > 6 { // contacts, visitor, segments, counts
		t.Errorf("%d keys, %d ids", len(state), len(m.recent.ids))
	}
	if n := len(m.identities.byVisitor["acme\x00kiosk"].Edges); n != maxEdges {
		t.Errorf("%d edges of one visitor, want %d", n, maxEdges)
	}
}

// An address that many names have been given with is nobody's own without one, and whoever gives it
// alone again is no contact more.
func TestASharedAddressMakesOneContactMore(t *testing.T) {
	m := New(DefaultConfig())
	var out stage.Output
	for i := range 100 {
		s := &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", Email: "ada@acme.example",
		}
		if i < 20 {
			s.FirstName, s.LastName = fmt.Sprintf("%cda", 'a'+i), fmt.Sprintf("%cing", 'a'+i)
		}
		m.Apply([]stage.Record{submission(t, int64(i), s)}, &out)
	}
	if n := len(m.records.list); n != 21 {
		t.Errorf("%d records, want one for each name, and one without", n)
	}
}

// A review that comes again after everything else has been forgotten has no effect.
func TestAReviewIsDecidedOnce(t *testing.T) {
	m := New(exact())
	m.recent = newRecent(1, 1)
	id := func(s string) string { return m.contactIDs.ID([]byte("acme\x00\x00" + s)) }
	var out stage.Output
	for i, s := range []*schemas.Submission{
		{SubmissionId: "s1", Site: "acme", Email: "ada@acme.example"},
		{SubmissionId: "s2", Site: "acme", Email: "bob@acme.example"},
		{SubmissionId: "r1", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, Review: &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_ACCEPT, Left: id("s1"), Right: id("s2"),
		}},
		{SubmissionId: "r2", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, Review: &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_REJECT, Left: id("s1"), Right: id("s2"),
		}},
		{SubmissionId: "r1", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, Review: &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_ACCEPT, Left: id("s1"), Right: id("s2"),
		}},
	} {
		m.Apply([]stage.Record{submission(t, int64(i), s)}, &out)
	}
	c := m.Counts()
	if c.Accepted != 1 || c.Rejected != 1 || c.Refused != 1 || m.contact(1) != m.id(1) {
		t.Errorf("counts %+v, the second contact is %s", c, m.contact(1))
	}
}

// Two contacts that would have too many records together are not made one, and it is said why.
func TestTooManyRecordsAreNotOne(t *testing.T) {
	cfg := exact()
	cfg.SharedBy = 0
	m := New(cfg)
	var out stage.Output
	for i := range 120 {
		m.Apply([]stage.Record{submission(t, int64(i), &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", FirstName: fmt.Sprintf("N%d", i),
			Email: fmt.Sprintf("%c@acme.example", 'p'+i%2),
		})}, &out)
	}
	before := standing(m)
	out.Reset()
	m.Apply([]stage.Record{submission(t, 120, &schemas.Submission{
		SubmissionId: "r1", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, Review: &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_ACCEPT, Left: m.id(0), Right: m.id(1),
		},
	})}, &out)
	d := decoded(t, out.Messages()[0].Value, &schemas.Decision{})
	if len(out.Messages()) != 1 || d.Outcome != schemas.Outcome_OUTCOME_REFUSED ||
		!strings.Contains(d.Reason, "120 records") || len(before) != 2 ||
		!slices.Equal(before, standing(m)) {
		t.Errorf("%d messages, %v; contacts %v", len(out.Messages()), d, standing(m))
	}
}

// Whatever names come with one address, its contact has so many records at most, says so, and what
// it says is what it holds.
func TestAContactIsBounded(t *testing.T) {
	cfg := likely(DefaultConfig())
	cfg.SharedBy = 0
	m := New(cfg)
	var out stage.Output
	for i := range 150 {
		out.Reset()
		m.Apply([]stage.Record{submission(t, int64(i), &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", Email: "all@acme.example",
			FirstName: fmt.Sprintf("N%d", i), LastName: strings.Repeat("x", i%7), ReceivedAtUs: int64(i),
		})}, &out)
	}
	var d *schemas.Decision
	for _, message := range out.Messages() {
		if message.Topic == string(schemas.Decisions) {
			d = decoded(t, message.Value, &schemas.Decision{})
		}
	}
	if !strings.Contains(d.Reason, "is not kept") || d.Outcome != schemas.Outcome_OUTCOME_MATCHED {
		t.Errorf("last decision %v; %d records, members %v", d, len(m.records.list), m.index.Members(0))
	}
	members := m.index.Members(0)
	g := m.golden(members)
	if len(m.records.list) != maxRecords || len(members) != maxRecords || g.Submissions != 150 ||
		g.FirstName != m.records.list[m.records.byID[d.RecordId]].said.FirstName {
		t.Errorf("%d records, %d of the contact: %v", len(m.records.list), len(members), g)
	}
}

// What thousands have given is looked through for one person alone, who is found by the name.
func TestWhatManyGiveIsLookedUpByPerson(t *testing.T) {
	m := New(exact())
	var out stage.Output
	give := func(at int, first string) {
		m.Apply([]stage.Record{submission(t, int64(at), &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", at), Site: "acme", FirstName: first,
			Email: "info-desk@acme.example",
		})}, &out)
	}
	const people = 2000
	for i := range people {
		give(i, fmt.Sprintf("N%d", i))
	}
	give(people, "N1500")
	give(people+1, "")
	c := m.Counts()
	if c.Matched != DefaultSharedBy+1 || c.Created != people-DefaultSharedBy+1 {
		t.Errorf("%+v: only the name tells people of one address", c)
	}
	a := m.reader.read(&schemas.Submission{Email: "info-desk@acme.example", FirstName: "N1500"})
	numbers, _, _ := m.records.agreeing(0, &a)
	if !slices.Equal(numbers, []uint32{1500}) {
		t.Errorf("records %v agree", numbers)
	}
	allocated := testing.AllocsPerRun(10, func() { m.records.agreeing(0, &a) })
	if allocated > 100 {
		t.Errorf("%v allocations: all %d records are looked at", allocated, people)
	}
}

// Whatever a form is flooded with, so many submissions wait at most, and nothing is left of those
// that do not.
func TestWhatWaitsIsBounded(t *testing.T) {
	m := New(DefaultConfig())
	m.pending.most = 5
	state := map[string]bool{}
	var out stage.Output
	for i := range 100 {
		m.Apply([]stage.Record{submission(t, int64(i), &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", Email: fmt.Sprintf("p%d@acme.example", i),
			ReceivedAtUs: int64(i) * 1_000_000, ConfirmUntilUs: int64(i)*1_000_000 + 86_400_000_000,
		})}, &out)
		m.Checkpoint(func(key, value []byte) {
			if delete(state, string(key)); value != nil && bytes.HasPrefix(key, []byte{'p'}) {
				state[string(key)] = true
			}
		})
	}
	if n := len(m.pending.byID); n > 6 || len(m.pending.ends) != n || len(m.pending.addresses) != n ||
		len(state) != n {
		t.Errorf("%d wait, %d ends, %d addresses, %d in the changelog", n, len(m.pending.ends),
			len(m.pending.addresses), len(state))
	}
	if c := m.Counts(); c.Expired != 94 || c.Pending != 100 {
		t.Errorf("counts %+v, want 94 of 100 given up", c)
	}
	m.Apply([]stage.Record{submission(t, 200, &schemas.Submission{
		SubmissionId: "late", Site: "acme", ReceivedAtUs: 2 * 86_400_000_000,
	})}, &out)
	if n := len(m.pending.byID); n != 0 || m.Size() > 500_000 {
		t.Errorf("%d wait after their time, the state takes %d bytes", n, m.Size())
	}
}

// However sure the model has to be, whom it is sure of are one.
func TestWhoIsSureIsOne(t *testing.T) {
	cfg := likely(DefaultConfig())
	cfg.Threshold, cfg.Review = 0.9999, 0.9999
	m := New(cfg)
	var out stage.Output
	for i, email := range []string{"rob@treasure.example", "r.stevenson@tusitala.example"} {
		m.Apply([]stage.Record{submission(t, int64(i), &schemas.Submission{
			SubmissionId: email, Site: "acme", Email: email, FirstName: "Robert", LastName: "Stevenson",
			Phone: "+442079461234", Company: "Treasure Island Ltd",
		})}, &out)
	}
	if e := m.index.Edges(1); len(e) != 1 || e[0].Refused != "" || m.contact(1) != m.id(0) {
		t.Errorf("edges %+v, members %v", e, m.index.Members(0))
	}
}
