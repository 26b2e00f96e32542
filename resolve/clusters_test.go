package resolve

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// drawLikely draws submissions of few people, with slips, households that share an address and a
// mailbox, and what people decided about contacts.
func drawLikely(t *rapid.T, reviews bool) []*schemas.Submission {
	of := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
	n := rapid.IntRange(2, 40).Draw(t, "submissions")
	var list []*schemas.Submission
	said := []string{"none"} // reviews so far
	id := func(name string) string {
		if rapid.IntRange(0, 19).Draw(t, name+" unknown") == 0 {
			return of(name, "", "nobody")
		}
		s := list[rapid.IntRange(0, len(list)-1).Draw(t, name)]
		return schemas.NewNames("contact").ID(nameOf(s))
	}
	for i := range n {
		at := int64(1_767_225_600_000_000 + 60_000_000*(i/2)) // some at the same moment
		if reviews && i > 1 && rapid.IntRange(0, 2).Draw(t, "review") == 0 {
			list = append(list, &schemas.Submission{
				SubmissionId: fmt.Sprintf("r%d", i), ReceivedAtUs: at,
				Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW,
				Review: &schemas.Review{
					Verdict: schemas.Verdict(rapid.IntRange(0, 4).Draw(t, "verdict")), Left: id("left"),
					Right: id("right"), Records: []string{id("record"), id("record")},
					Withdraws: of("withdraws", said...), By: "eve",
				},
			})
			said = append(said, list[i].SubmissionId)
			continue
		}
		if reviews && i > 1 && rapid.IntRange(0, 9).Draw(t, "erasure") == 0 {
			list = append(list, &schemas.Submission{
				SubmissionId: fmt.Sprintf("e%d", i), ReceivedAtUs: at,
				Kind:    schemas.SubmissionKind_SUBMISSION_KIND_ERASURE,
				Erasure: &schemas.ErasureRequest{Contacts: []string{id("erased")}},
			})
			continue
		}
		first, last := of("first", "Ada", "Bob", "Robert", ""), of("last", "Kingsley", "Rosenberg")
		email := strings.ToLower(first + "." + last + "@acme.example")
		switch rapid.IntRange(0, 5).Draw(t, "slip") {
		case 0:
			last = last[:3] + last[4:]
		case 1:
			email = strings.Replace(email, "acme", "home", 1)
		case 2:
			email = "family@" + strings.ToLower(last) + ".example"
		case 3:
			email = of("other address", "info@acme.example", "", "x"+email)
		}
		list = append(list, &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", VisitorId: of("visitor", "v1", "v2", "v3"),
			Email: email, FirstName: first, LastName: last,
			Phone:   of("phone", "+442079460958", "+442079460999", "", ""),
			Company: of("company", "Acme", "Big Data", ""), ReceivedAtUs: at, OccurredAtUs: at,
			Consent: schemas.Consent_CONSENT_IDENTIFIED,
		})
	}
	return list
}

func nameOf(s *schemas.Submission) []byte { return name(s) }

// follower holds what a reader of the topics knows.
type follower struct {
	contacts map[string]*schemas.Contact
	aliases  map[string]string
	records  map[string]*schemas.Record
	edges    map[string]*schemas.Edge
	outcomes map[string]*schemas.Decision
}

func newFollower() *follower {
	return &follower{
		map[string]*schemas.Contact{},
		map[string]string{},
		map[string]*schemas.Record{},
		map[string]*schemas.Edge{},
		map[string]*schemas.Decision{},
	}
}

func (f *follower) read(t *rapid.T, out *stage.Output) {
	for _, m := range out.Messages() {
		if m.Value == nil {
			f.forget(schemas.Topic(m.Topic), string(m.Key))
			continue
		}
		switch schemas.Topic(m.Topic) {
		case schemas.Contacts:
			c := understood(t, m.Value, &schemas.Contact{})
			if before := f.contacts[c.ContactId]; c.Version != before.GetVersion()+1 ||
				c.UpdatedAtUs < before.GetUpdatedAtUs() {
				t.Fatalf("contact %v after %v", c, before)
			}
			f.contacts[c.ContactId] = c
		case schemas.Aliases:
			a := understood(t, m.Value, &schemas.Alias{})
			f.aliases[a.ContactId] = a.CurrentContactId
		case schemas.Records:
			r := understood(t, m.Value, &schemas.Record{})
			f.records[r.RecordId] = r
		case schemas.Edges:
			e := understood(t, m.Value, &schemas.Edge{})
			f.edges[string(m.Key)] = e
		case schemas.Decisions:
			d := understood(t, m.Value, &schemas.Decision{})
			f.outcomes[d.SubmissionId] = d
		}
	}
}

// forget is what compaction does with a tombstone.
func (f *follower) forget(topic schemas.Topic, key string) {
	switch topic {
	case schemas.Contacts:
		delete(f.contacts, key)
	case schemas.Aliases:
		delete(f.aliases, key)
	case schemas.Records:
		delete(f.records, key)
	case schemas.Edges:
		delete(f.edges, key)
	}
}

func understood[M interface{ UnmarshalVT([]byte) error }](t *rapid.T, value []byte, into M) M {
	if err := into.UnmarshalVT(value); err != nil {
		t.Fatal(err)
	}
	return into
}

// current is the contact that an id stands for.
func (f *follower) current(id string) string {
	if to, ok := f.aliases[id]; ok {
		return to
	}
	return id
}

// check holds that the topics say what the machine holds: each record's alias leads to a contact
// that stands for itself, made of its records, and nobody else does.
func (f *follower) check(t *rapid.T, m *Machine) {
	if len(f.records) != len(m.records.byID) {
		t.Fatalf("%d records on the topic, %d in the state", len(f.records), len(m.records.byID))
	}
	for i, r := range m.records.list {
		if r.erased {
			continue
		}
		members := m.index.Members(uint32(i))
		id, contact := r.said.RecordId, m.id(members[0])
		if f.current(id) != contact {
			t.Fatalf("record %s leads to %s, its contact is %s", id, f.current(id), contact)
		}
		c := f.contacts[id]
		switch {
		case contact == id:
			want := m.golden(members)
			want.Version, want.UpdatedAtUs = c.GetVersion(), c.GetUpdatedAtUs()
			if diff := cmp.Diff(want.String(), c.String()); diff != "" {
				t.Fatalf("contact (-want +got):\n%s", diff)
			}
		case c != nil && c.MergedInto != contact:
			t.Fatalf("contact %s is part of %q, want %s", id, c.MergedInto, contact)
		}
	}
	for p, e := range m.edges.byPair {
		together := m.records.list[p.left].contact == m.records.list[p.right].contact
		if together && e.rejected() {
			t.Fatalf("%v are of one contact, and a person said that they are not", p)
		}
		left, right := m.id(p.left), m.id(p.right)
		want, got := e.message(left, right, &change{}), f.edges[string(schemas.EdgeKey(left, right))]
		if got.GetVerdict() != want.Verdict || got.GetProbability() != want.Probability ||
			got.GetEvidence() != want.Evidence || got.GetModel() != want.Model {
			t.Fatalf("edge %v on the topic, want %v", got, want)
		}
	}
}

// The topics say at any time what the state is, whatever people decide, and the counts add up.
func TestTopicsSayWhoIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, f := New(likely(propertyConfig())), newFollower()
		list := drawLikely(t, true)
		for _, record := range recordsOf(t, list) {
			var out stage.Output
			m.Apply([]stage.Record{record}, &out)
			f.read(t, &out)
			f.check(t, m)
		}
		compareWithAnew(t, m)
		c := m.Counts()
		if c.Submissions != int64(len(list)) || c.Submissions != c.Matched+c.Created+c.Review+
			c.Unresolved+c.Duplicates+c.Pending+c.Spam+c.Accepted+c.Rejected+c.Split+c.Withdrawn+c.Refused+
			c.Erased {
			t.Fatalf("counts of %d: %+v", len(list), c)
		}
	})
}

// With one strategy and no review, who is one does not depend on the order in which people come,
// but for a role mailbox without a name, which is whoever's browser it comes from.
func TestOrderMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawLikely(t, false)
		for _, s := range list {
			s.VisitorId = ""
		}
		want := partition(t, list)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		shuffled := slices.Clone(list)
		random.Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		if diff := cmp.Diff(want, partition(t, shuffled)); diff != "" {
			t.Fatalf("in another order (-want +got):\n%s", diff)
		}
	})
}

// partition returns the ids of the submissions by contact, in an order of their own.
func partition(t *rapid.T, list []*schemas.Submission) (out []string) {
	cfg := likely(DefaultConfig())
	m, f := New(cfg), newFollower()
	var all stage.Output
	m.Apply(recordsOf(t, list), &all)
	f.read(t, &all)
	byContact := map[string][]string{}
	for id, d := range f.outcomes {
		contact := ""
		if d.RecordId != "" {
			contact = f.current(d.RecordId)
		}
		byContact[contact] = append(byContact[contact], id)
	}
	for ids := range maps.Values(byContact) {
		slices.Sort(ids)
		out = append(out, strings.Join(ids, " "))
	}
	slices.Sort(out)
	return out
}

// What a person did and took back is as if it had not been, but for the versions.
func TestWithdrawalRestores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(likely(propertyConfig()))
		list := drawLikely(t, true)
		var out stage.Output
		m.Apply(recordsOf(t, list), &out)
		before := standing(m)
		last := list[len(list)-1].ReceivedAtUs
		verdict := rapid.IntRange(1, 3).Draw(t, "verdict")
		id := func(name string) string {
			if len(m.records.list) == 0 {
				return ""
			}
			return m.id(uint32(rapid.IntRange(0, len(m.records.list)-1).Draw(t, name)))
		}
		m.Apply(recordsOf(t, []*schemas.Submission{{
			SubmissionId: "do", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, ReceivedAtUs: last,
			Review: &schemas.Review{
				Verdict: schemas.Verdict(verdict), Left: id("left"), Right: id("right"),
				Records: []string{id("leaves")},
			},
		}, {
			SubmissionId: "undo", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, ReceivedAtUs: last,
			Review: &schemas.Review{Verdict: schemas.Verdict_VERDICT_WITHDRAW, Withdraws: "do"},
		}}), &out)
		if diff := cmp.Diff(before, standing(m)); diff != "" {
			t.Fatalf("(-before +after):\n%s", diff)
		}
	})
}

// standing are the golden records of all contacts, and their records.
func standing(m *Machine) (out []string) {
	for i := range m.records.list {
		if members := m.index.Members(uint32(i)); members[0] == uint32(i) {
			out = append(out, fmt.Sprint(members, m.golden(members)))
		}
	}
	return out
}

// Another model, other thresholds, or none: the first record afterwards brings the topics in line.
func TestOtherRulesHoldForAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := func(name string) Config {
			cfg := likely(exact())
			cfg.Model.Prior = rapid.SampledFrom([]float64{1e-2, 1e-4, 1e-6}).Draw(t, name+" prior")
			cfg.Review = rapid.SampledFrom([]float64{0.2, 0.9}).Draw(t, name+" review")
			cfg.Probabilistic = rapid.IntRange(0, 3).Draw(t, name+" without") > 0
			return cfg
		}
		list := recordsOf(t, drawLikely(t, true))
		before, after := rules("before"), rules("after")
		m, f := New(before), newFollower()
		var out stage.Output
		m.Apply(list[:len(list)-1], &out)
		var checkpoints []map[string][]byte
		for range rapid.IntRange(1, 2).Draw(t, "starts") { // one may have no record
			one := map[string][]byte{}
			m.Checkpoint(func(key, value []byte) { one[string(key)] = bytes.Clone(value) })
			checkpoints = append(checkpoints, one)
			m = New(after)
			restoreLast(t, m, checkpoints)
		}
		m.Apply(list[len(list)-1:], &out)
		f.read(t, &out)
		f.check(t, m)
		compareWithAnew(t, m)
	})
}

// compareWithAnew holds the clusters and the likely edges against those of an index that has had
// all records from the start.
func compareWithAnew(t *rapid.T, m *Machine) {
	x, likely := mustIndex(m.cfg), map[pair]float64{}
	for _, r := range m.records.list {
		if !m.cfg.Probabilistic || r.erased {
			x.Restore(nil)
			continue
		}
		for _, e := range x.Add(r.words.texts()).Edges {
			likely[pairOf(e.I, e.J)] = e.Probability
		}
	}
	for p, e := range m.edges.byPair {
		x.Link(p.left, p.right, e.link())
		if m.cfg.Probabilistic && e.likely.GetProbability() != likely[p] {
			t.Fatalf("edge %v: %v, anew %v", p, e.likely, likely[p])
		}
	}
	for i := range m.records.list {
		if got, want := m.index.Members(uint32(i)), x.Members(uint32(i)); !slices.Equal(got, want) {
			t.Fatalf("record %d is one with %v, anew with %v", i, got, want)
		}
	}
}

// V3 with the model and with reviews.
func TestBatchesAndRestartsChangeNoCluster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := likely(propertyConfig())
		input := recordsOf(t, drawLikely(t, true))
		restartsChangeNothing(t, input, func() *Machine { return New(cfg) })
	})
}

// restartsChangeNothing holds that whatever the batches, and wherever a machine is lost, the same
// comes out of one that is restored, from its last checkpoint alone or from each in turn, and to
// which what came since is applied again.
func restartsChangeNothing(t *rapid.T, input []stage.Record, machine func() *Machine) {
	var want, got stage.Output
	plain := machine()
	plain.Apply(input, &want)
	var checkpoints []map[string][]byte
	reached := 0
	m := machine()
	for at := 0; at < len(input); {
		next := min(len(input), at+rapid.IntRange(1, 8).Draw(t, "batch"))
		m.Apply(input[at:next], &got)
		at = next
		if rapid.Bool().Draw(t, "checkpoint") {
			one := map[string][]byte{}
			m.Checkpoint(func(key, value []byte) { one[string(key)] = bytes.Clone(value) })
			checkpoints = append(checkpoints, one)
			reached = at
		}
		if rapid.Bool().Draw(t, "lost") {
			m = machine()
			if rapid.Bool().Draw(t, "followed") {
				follow(t, m, checkpoints)
			} else {
				restoreLast(t, m, checkpoints)
			}
			m.Apply(input[reached:at], &stage.Output{})
		}
	}
	if diff := cmp.Diff(want.Messages(), got.Messages()); diff != "" {
		t.Fatalf("in one piece (-), in pieces and restarts (+):\n%s", diff)
	}
	if plain.Counts() != m.Counts() {
		t.Fatalf("counts %+v, in pieces %+v", plain.Counts(), m.Counts())
	}
}

// follow restores checkpoints as a standby does, each as it is written.
func follow(t *rapid.T, m *Machine, checkpoints []map[string][]byte) {
	for _, one := range checkpoints {
		for key, value := range one { // in any order
			if err := m.Restore([]byte(key), value); err != nil {
				t.Fatal(err)
			}
		}
		if rapid.Bool().Draw(t, "restored") {
			if err := m.Restored(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// restoreLast restores the last value of each key.
func restoreLast(t *rapid.T, m *Machine, checkpoints []map[string][]byte) {
	state := map[string][]byte{}
	for _, one := range checkpoints {
		maps.Copy(state, one)
	}
	maps.DeleteFunc(state, func(_ string, value []byte) bool { return value == nil })
	follow(t, m, []map[string][]byte{state})
}

// Who accepts two contacts as one gets all of both, and all of both back by withdrawing it.
func TestAcceptTakesAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, f := New(likely(propertyConfig())), newFollower()
		var out stage.Output
		m.Apply(recordsOf(t, drawLikely(t, false)), &out)
		if len(m.records.list) < 2 {
			return
		}
		draw := func(name string) uint32 {
			return uint32(rapid.IntRange(0, len(m.records.list)-1).Draw(t, name))
		}
		left, right := draw("left"), draw("right")
		of := append(slices.Clone(m.index.Members(left)), m.index.Members(right)...)
		m.Apply(recordsOf(t, []*schemas.Submission{{
			SubmissionId: "do", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW,
			Review: &schemas.Review{
				Verdict: schemas.Verdict_VERDICT_ACCEPT, Left: m.id(left), Right: m.id(right),
			},
		}}), &out)
		f.read(t, &out)
		f.check(t, m)
		if f.outcomes["do"].Outcome != schemas.Outcome_OUTCOME_ACCEPTED {
			return
		}
		for _, i := range of {
			if m.index.Members(i)[0] != m.index.Members(left)[0] {
				t.Fatalf("record %d of %v is left out of %v", i, of, m.index.Members(left))
			}
		}
	})
}
