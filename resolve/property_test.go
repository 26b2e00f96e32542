package resolve

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
)

// propertyConfig has a strategy per form: a by e-mail, b by name, c by phone and company.
func propertyConfig() Config {
	return Config{
		Strategies: []Strategy{
			ByEmail(),
			{Name: "name", All: []Condition{{Attribute: AttributeFirstName}, {Attribute: AttributeLastName}}},
			{Name: "line", All: []Condition{{Attribute: AttributePhone}, {Attribute: AttributeCompany}}},
		},
		Default: []string{"email"},
		Forms: []FormStrategies{
			{"", "b", []string{"name"}}, {"", "c", []string{"line"}}, {"shop", "b", []string{"line"}},
		},
	}
}

// drawSubmissions draws from so few values that most submissions have to do with each other.
func drawSubmissions(t *rapid.T) []*schemas.Submission {
	of := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
	n := rapid.IntRange(1, 60).Draw(t, "submissions")
	list := make([]*schemas.Submission, n)
	for i := range list {
		at := int64(1_767_225_600_000_000 + 1_800_000_000*(i/3)) // some at the same moment
		if i > 0 && rapid.IntRange(0, 4).Draw(t, "confirms") == 0 {
			list[i] = confirmation(list[rapid.IntRange(0, i-1).Draw(t, "of")], at)
			continue
		}
		list[i] = &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", rapid.IntRange(0, n).Draw(t, "id")),
			Site:         of("site", "acme", "shop"), VisitorId: of("visitor", "v1", "v2", "v3", ""),
			Form: of("form", "a", "b", "c"), Email: of("email", "a@x.example", "A@x.example ",
				"b@x.example", "info@x.example", "null", ""),
			FirstName: of("first", "Ada", "ADA", "Bob", ""), LastName: of("last", "King", "Ross", ""),
			Phone:   of("phone", "020 7946 0958", "02079460958", "03079460958", ""),
			Company: of("company", "Acme", ""), ReceivedAtUs: at,
			OccurredAtUs: at - rapid.Int64Range(0, 5_000_000).Draw(t, "late"),
			Kind: schemas.SubmissionKind(rapid.SampledFrom([]int32{
				int32(schemas.SubmissionKind_SUBMISSION_KIND_FORM),
				int32(schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK),
			}).Draw(t, "kind")),
			Consent: schemas.Consent(rapid.SampledFrom([]int32{
				int32(schemas.Consent_CONSENT_STATISTICAL), int32(schemas.Consent_CONSENT_IDENTIFIED),
				int32(schemas.Consent_CONSENT_IDENTIFIED),
			}).Draw(t, "consent")),
			SpamRule: of("spam", "", "", "", "", "trap"),
		}
		if rapid.Bool().Draw(t, "double opt-in") {
			list[i].ConfirmUntilUs = at + rapid.Int64Range(0, 7_200_000_000).Draw(t, "until")
		}
	}
	return list
}

// confirmation is what a click on the link in the mail about a submission makes.
func confirmation(of *schemas.Submission, us int64) *schemas.Submission {
	return &schemas.Submission{
		SubmissionId: schemas.ConfirmationID(of), Confirms: of.SubmissionId, Site: of.Site,
		Kind: schemas.SubmissionKind_SUBMISSION_KIND_CONFIRMATION, ReceivedAtUs: us, OccurredAtUs: us,
	}
}

func recordsOf(t *rapid.T, list []*schemas.Submission) []stage.Record {
	out := make([]stage.Record, len(list))
	for i, s := range list {
		value, err := s.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		out[i] = stage.Record{Offset: int64(i), Timestamp: s.ReceivedAtUs / 1000, Value: value}
	}
	return out
}

// V3: whatever the batches, and wherever a machine is lost and restored from its last checkpoint
// with what came since applied again, the same comes out.
func TestBatchesAndRestartsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := propertyConfig()
		input := recordsOf(t, drawSubmissions(t))
		restartsChangeNothing(t, input, func() *Machine {
			m := New(cfg)
			m.recent = newRecent(3, 4)
			return m
		})
	})
}

// naive is the resolver without an index, without state to keep and without words: every contact
// is looked at in the order of its age.
type naive struct {
	cfg      Config
	done     map[string]bool
	contacts []*naiveContact
	edges    map[string][]naiveEdge // by visitor, in turn
	pending  map[string]*schemas.Submission
}

type naiveEdge struct {
	contact, record int
	linkedUs        int64
}

type naiveContact struct {
	id      string
	values  map[Attribute]string
	role    bool
	taken   int
	records []map[Attribute]string
}

// resolve returns what the last decision should be, 0 where there is none, and how many expired
// before it.
func (n *naive) resolve(s *schemas.Submission) (outcome schemas.Outcome, contact, expired int) {
	for id, p := range n.pending {
		if p.ConfirmUntilUs+3_600_000_000 < s.ReceivedAtUs {
			delete(n.pending, id)
			expired++
		}
	}
	if n.done[s.Site+"/"+s.VisitorId+"/"+s.SubmissionId] {
		return 0, -1, expired
	}
	n.done[s.Site+"/"+s.VisitorId+"/"+s.SubmissionId] = true
	switch p := n.pending[s.SubmissionId]; {
	case s.Confirms != "" && p == nil:
		return schemas.Outcome_OUTCOME_UNRESOLVED, -1, expired
	case s.Confirms != "" && p.ConfirmUntilUs < s.ReceivedAtUs:
		delete(n.pending, s.SubmissionId)
		return schemas.Outcome_OUTCOME_UNRESOLVED, -1, expired + 1
	case s.Confirms != "":
		delete(n.pending, s.SubmissionId)
		_, contact = n.decide(p, s.ReceivedAtUs)
		return schemas.Outcome_OUTCOME_CONFIRMED, contact, expired
	case s.SpamRule != "":
		return schemas.Outcome_OUTCOME_SPAM, -1, expired
	case s.ConfirmUntilUs != 0 && newReader(propertyConfig()).read(s).email.Fault != "":
		return schemas.Outcome_OUTCOME_UNRESOLVED, -1, expired
	case s.ConfirmUntilUs != 0:
		n.pending[schemas.ConfirmationID(s)] = s
		return schemas.Outcome_OUTCOME_PENDING, -1, expired
	}
	outcome, contact = n.decide(s, s.ReceivedAtUs)
	return outcome, contact, expired
}

// decide finds or makes the contact of a submission that counts from a moment on.
func (n *naive) decide(
	s *schemas.Submission, us int64,
) (outcome schemas.Outcome, contact int) {
	a := newReader(propertyConfig()).read(s)
	values := map[Attribute]string{}
	for _, of := range []Attribute{
		AttributeEmail, AttributeFirstName, AttributeLastName, AttributePhone, AttributeCompany,
	} {
		values[of] = a.value(of)
	}
	strategy := n.cfg.Strategies[0]
	switch {
	case s.Form == "c", s.Form == "b" && s.Site == "shop":
		strategy = n.cfg.Strategies[2]
	case s.Form == "b":
		strategy = n.cfg.Strategies[1]
	}
	visitor := ""
	if s.Consent == schemas.Consent_CONSENT_IDENTIFIED && s.VisitorId != "" {
		visitor = s.Site + "/" + s.VisitorId
	}
	at, record, complete := n.find(strategy, values, a.email.Role, visitor)
	switch {
	case at >= 0:
		outcome = schemas.Outcome_OUTCOME_MATCHED
	case complete || values[AttributeEmail] != "" ||
		a.email.Fault == attribute.Empty && values[AttributePhone] != "":
		outcome = schemas.Outcome_OUTCOME_CREATED
		at = len(n.contacts)
		n.contacts = append(n.contacts, &naiveContact{values: map[Attribute]string{}})
	default:
		return schemas.Outcome_OUTCOME_UNRESOLVED, -1
	}
	if outcome == schemas.Outcome_OUTCOME_CREATED ||
		s.Kind != schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK {
		record = n.contacts[at].take(values, a.email.Role)
	}
	edges := n.edges[visitor]
	if visitor == "" {
		return outcome, at
	}
	last := naiveEdge{-1, -1, 0}
	if len(edges) > 0 {
		last = edges[len(edges)-1]
	}
	passedOn := last.contact >= 0 && last.contact != at && us != s.ReceivedAtUs &&
		last.linkedUs > s.ReceivedAtUs
	if (last.contact != at || last.record != record) && !passedOn {
		n.edges[visitor] = append(edges, naiveEdge{at, record, us})
	}
	return outcome, at
}

// take returns the record that says the values.
func (c *naiveContact) take(values map[Attribute]string, role bool) (record int) {
	c.taken++
	for of, value := range values {
		switch {
		case value == "":
		case of != AttributeEmail:
			c.values[of] = value
		case !role || c.values[of] == "" || c.role:
			c.values[of], c.role = value, role
		}
	}
	record = slices.IndexFunc(c.records, func(r map[Attribute]string) bool {
		return maps.Equal(r, values)
	})
	if record < 0 {
		record = len(c.records)
		c.records = append(c.records, values)
	}
	return record
}

// find returns a contact and the record of it that agrees.
func (n *naive) find(
	strategy Strategy, values map[Attribute]string, role bool, visitor string,
) (at, record int, complete bool) {
	needed := strategy.All
	byRole := strategy.uses(AttributeEmail) && role
	if byRole {
		names := []Condition{{Attribute: AttributeFirstName}, {Attribute: AttributeLastName}}
		needed = append(names, needed...)
	}
	complete = true
	for _, c := range needed {
		complete = complete && values[c.Attribute] != ""
	}
	at, record = -1, -1
	very := false
	edges := n.edges[visitor]
	for i, c := range n.contacts {
		one := c.agreeing(values, needed)
		if one < 0 || !complete {
			continue
		}
		if equal := maps.Equal(c.records[one], values); at < 0 || equal && !very {
			at, record, very = i, one, equal
		}
		if len(edges) > 0 && edges[len(edges)-1].contact == i {
			return i, one, complete
		}
	}
	if at < 0 && byRole && !complete && len(edges) > 0 &&
		(values[AttributeFirstName] == "" || values[AttributeLastName] == "") {
		own := n.contacts[edges[len(edges)-1].contact]
		for i, r := range own.records {
			same := r[AttributeEmail] == values[AttributeEmail]
			for _, of := range []Attribute{AttributeFirstName, AttributeLastName} {
				same = same && (values[of] == "" || values[of] == r[of])
			}
			if same {
				return edges[len(edges)-1].contact, i, complete
			}
		}
	}
	return at, record, complete
}

// agreeing returns the record that says the very same, else the one with most in common; -1 where
// none agrees.
func (c *naiveContact) agreeing(values map[Attribute]string, needed []Condition) (record int) {
	record, most := -1, 0
	for i, r := range c.records {
		equal, common := true, 0
		for _, of := range needed {
			equal = equal && r[of.Attribute] == values[of.Attribute]
		}
		for of, value := range values {
			if value != "" && r[of] == value {
				common++
			}
		}
		if maps.Equal(r, values) {
			common = 100
		}
		if equal && common > most {
			record, most = i, common
		}
	}
	return record
}

// The index, the golden records and the edges are those of a resolver that looks at everything.
func TestAgreesWithLookingAtEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := propertyConfig()
		m := New(cfg)
		n := &naive{
			cfg: cfg, done: map[string]bool{}, edges: map[string][]naiveEdge{},
			pending: map[string]*schemas.Submission{},
		}
		list := drawSubmissions(t)
		for i, record := range recordsOf(t, list) {
			var out stage.Output
			m.Apply([]stage.Record{record}, &out)
			outcome, at, expired := n.resolve(list[i])
			if expiredIn(t, &out) != expired {
				t.Fatalf("submission %d: %d expired, want %d", i, expiredIn(t, &out), expired)
			}
			if outcome == 0 {
				if len(out.Messages()) > expired {
					t.Fatalf("submission %d again: %d messages", i, len(out.Messages()))
				}
				continue
			}
			last := out.Messages()[len(out.Messages())-1]
			d := &schemas.Decision{}
			if err := d.UnmarshalVT(last.Value); err != nil || last.Topic != string(schemas.Decisions) {
				t.Fatalf("the last message on %s: %v, want a decision", last.Topic, err)
			}
			if at >= 0 && n.contacts[at].id == "" {
				n.contacts[at].id = d.ContactId
			}
			if d.Outcome != outcome || at >= 0 && d.ContactId != n.contacts[at].id {
				t.Fatalf("submission %d: %v\ndecided %v, want %v %d", i, list[i], d, outcome, at)
			}
		}
		compareWithNaive(t, m, n)
	})
}

// expiredIn counts the decisions that something expired.
func expiredIn(t *rapid.T, out *stage.Output) (count int) {
	for _, m := range out.Messages() {
		d := &schemas.Decision{}
		if m.Topic != string(schemas.Decisions) {
			continue
		}
		if err := d.UnmarshalVT(m.Value); err != nil {
			t.Fatal(err)
		}
		if d.Outcome == schemas.Outcome_OUTCOME_EXPIRED {
			count++
		}
	}
	return count
}

func compareWithNaive(t *rapid.T, m *Machine, n *naive) {
	count := 0
	for _, want := range n.contacts {
		i := m.records.byID[want.id]
		members := m.index.Members(i)
		got := m.golden(members)
		a := m.reader.read(&schemas.Submission{
			Email: got.Email, FirstName: got.FirstName, LastName: got.LastName, Phone: got.Phone,
			Company: got.Company,
		})
		for of, value := range want.values {
			if a.value(of) != value {
				t.Fatalf("contact %v: %s is %q, want %q", got, of, a.value(of), value)
			}
		}
		if got.Submissions != int64(want.taken) || m.records.list[i].version != int64(want.taken) ||
			len(members) != len(want.records) || members[0] != i {
			t.Fatalf("contact %v of %d: want %d submissions, %d records", got, len(members), want.taken,
				len(want.records))
		}
		count += len(members)
	}
	if len(m.records.list) != count {
		t.Fatalf("%d records, want %d", len(m.records.list), count)
	}
	for _, edges := range m.identities.byVisitor {
		want := n.edges[edges.Edges[0].Site+"/"+edges.Edges[0].VisitorId]
		if len(want) != len(edges.Edges) {
			t.Fatalf("edges %v, want %d", edges, len(want))
		}
		for i, e := range edges.Edges {
			first := e.ValidFromUs == 0
			if e.ContactId != n.contacts[want[i].contact].id || first != (i == 0) ||
				i > 0 && e.ValidFromUs <= edges.Edges[i-1].ValidFromUs ||
				m.contact(m.records.byID[e.RecordId]) != e.ContactId {
				t.Fatalf("edge %d of %v", i, edges)
			}
		}
	}
	if len(m.identities.byVisitor) != len(n.edges) {
		t.Fatalf("%d visitors are somebody, want %d", len(m.identities.byVisitor), len(n.edges))
	}
}
