package resolve

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// applyAndCheckpoint applies one record, and holds that it comes out decided or bad.
func applyAndCheckpoint(t *testing.T, m *Machine, record []byte) {
	var out stage.Output
	before := m.Counts()
	m.Apply([]stage.Record{{Offset: 1, Timestamp: 1, Key: []byte("acme"), Value: record}}, &out)
	after := m.Counts()
	sum := func(c Counts) int64 {
		return c.Matched + c.Created + c.Review + c.Unresolved + c.Duplicates + c.Pending + c.Spam +
			c.Accepted + c.Rejected + c.Split + c.Withdrawn + c.Refused + c.Bad
	}
	if sum(after)-sum(before) != 1 {
		t.Errorf("counts before %+v, after %+v", before, after)
	}
	m.Checkpoint(func(_, _ []byte) {})
}

func submission(t testing.TB, offset int64, s *schemas.Submission) stage.Record {
	value, err := s.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Offset: offset, Timestamp: s.ReceivedAtUs / 1000, Value: value}
}

// Two identical submissions at the same instant, from two browsers, give one contact.
func TestTwoIdenticalSubmissionsGiveOneContact(t *testing.T) {
	m := New(DefaultConfig())
	var batch []stage.Record
	for i := range 2 {
		batch = append(batch, submission(t, int64(i), &schemas.Submission{
			SubmissionId: fmt.Sprintf("s%d", i), Site: "acme", VisitorId: fmt.Sprintf("v%d", i),
			Email: "ada@acme.example", ReceivedAtUs: 1_000_000,
			Consent: schemas.Consent_CONSENT_IDENTIFIED,
		}))
	}
	var out stage.Output
	m.Apply(batch, &out)
	want := Counts{Submissions: 2, Matched: 1, Created: 1, Linked: 2}
	if got := m.Counts(); got != want || len(m.records.list) != 1 {
		t.Errorf("counts %+v, want %+v; %d contacts", got, want, len(m.records.list))
	}
}

// The ids of two senders may be equal: "1" of another visitor is another submission, and of a
// submission older than the window another contact.
func TestIDsOfTwoSenders(t *testing.T) {
	m := New(DefaultConfig())
	m.recent = newRecent(1, 1)
	var out stage.Output
	for i, s := range []*schemas.Submission{
		{SubmissionId: "1", Site: "acme", VisitorId: "v1", Email: "ada@acme.example"},
		{SubmissionId: "1", Site: "acme", VisitorId: "v2", Email: "bob@acme.example"},
		{SubmissionId: "1", Site: "acme", VisitorId: "v1", Email: "cid@acme.example"},
	} {
		m.Apply([]stage.Record{submission(t, int64(i), s)}, &out)
	}
	if len(m.records.list) != 3 || m.Counts().Created != 3 {
		t.Errorf("%d contacts, counts %+v, want 3", len(m.records.list), m.Counts())
	}
}

func TestACheckpointHoldsOnlyWhatChanged(t *testing.T) {
	m := New(DefaultConfig())
	var out stage.Output
	count := func() (keys int) {
		m.Checkpoint(func(_, _ []byte) { keys++ })
		return keys
	}
	m.Apply([]stage.Record{submission(t, 0, &schemas.Submission{
		SubmissionId: "s1", Site: "acme", VisitorId: "v1", Email: "ada@acme.example",
		Consent: schemas.Consent_CONSENT_IDENTIFIED,
	})}, &out)
	if keys := count(); keys != 4 { // contact, visitor, segment, counts
		t.Errorf("first checkpoint has %d keys, want 4", keys)
	}
	if keys := count(); keys != 1 {
		t.Errorf("second checkpoint has %d keys, want the counts alone", keys)
	}
}

func TestStateOfANewerReleaseIsRefused(t *testing.T) {
	for _, state := range []struct{ key, value string }{
		{"", "\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"", ""},
		{"", "\x01\x00\x00\x00\x00\x00\x00\x00"},
		{"", "\x02\x00"},
		{"", "\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"z", "x"},
		{"cx", "\xff"},
		{"cx", "\n\x01y"},
		{"vx", "\xff"},
		{"px", "\xff"},
		{"wx", "\xff"},
		{"r1234", "\xff"},
		{"r1", ""},
		{"e12345678", "\xff"},
		{"e1234567", ""},
		{"s1", "12345678"},
		{"s12345678", "1234567"},
	} {
		if err := New(DefaultConfig()).Restore([]byte(state.key), []byte(state.value)); err == nil {
			t.Errorf("restore of %q = %q: no error", state.key, state.value)
		}
	}
}

// Each contact of version 2 becomes a record, the oldest first, and is written so.
func TestStateOfTheReleaseBeforeIsRead(t *testing.T) {
	m := New(DefaultConfig())
	state := map[string][]byte{
		"": []byte("\x02\x02\x04\x06\x08\x0a\x0c\x0e\x10\x12\x14\x16"),
		"cb": mustEncode(&schemas.Contact{
			ContactId: "b", Version: 7, CreatedAtUs: 1, UpdatedAtUs: 5, Email: "ada@acme.example",
			FirstName: "Ada", Submissions: 7, SubmissionId: "s7",
		}),
		"ca": mustEncode(&schemas.Contact{
			ContactId: "a", Version: 1, CreatedAtUs: 2, Email: "bob@acme.example", Submissions: 1,
		}),
		"vacme\x00v1": mustEncode(&schemas.VisitorEdges{Edges: []*schemas.Identity{
			{Site: "acme", VisitorId: "v1", ContactId: "b"},
		}}),
	}
	for key, value := range state {
		if err := m.Restore([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
	want := Counts{
		Submissions: 1, Matched: 2, Created: 3, Unresolved: 4, Duplicates: 5, Linked: 6, Bad: 7,
		Pending: 8, Confirmed: 9, Expired: 10, Spam: 11,
	}
	if m.Counts() != want {
		t.Errorf("counts %+v, want %+v", m.Counts(), want)
	}
	var out stage.Output
	m.Apply([]stage.Record{submission(t, 0, &schemas.Submission{
		SubmissionId: "s8", Site: "acme", VisitorId: "v1", Email: "ADA@acme.example", LastName: "King",
		Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: 9,
	})}, &out)
	var got []string
	for _, message := range out.Messages() {
		got = append(got, message.Topic)
		if message.Topic != string(schemas.Contacts) {
			continue
		}
		c := decoded(t, message.Value, &schemas.Contact{})
		if c.ContactId != "b" || c.Version != 8 || c.FirstName != "Ada" || c.LastName != "King" ||
			c.Submissions != 8 || c.Records != 2 || c.CreatedAtUs != 1 || c.UpdatedAtUs != 9 {
			t.Errorf("contact %v", c)
		}
	}
	topics := []string{"records", "edges", "aliases", "contacts", "identities", "decisions"}
	if !slices.Equal(got, topics) {
		t.Errorf("messages on %v, want %v", got, topics)
	}
	m.Checkpoint(func(key, value []byte) {
		if delete(state, string(key)); value != nil {
			state[string(key)] = value
		}
	})
	kinds := map[byte]int{}
	for key := range state {
		if key != "" {
			kinds[key[0]]++
		}
	}
	if len(kinds) != 4 || kinds[recordPrefix] != 3 || kinds[edgePrefix] != 1 ||
		kinds[visitorPrefix] != 1 || kinds[recentPrefix] != 1 {
		t.Errorf("keys by kind %v", kinds)
	}
}

func TestOutputKeysAndTimes(t *testing.T) {
	m := New(DefaultConfig())
	var out stage.Output
	m.Apply([]stage.Record{submission(t, 0, &schemas.Submission{
		SubmissionId: "s1", Site: "acme", VisitorId: "v1", Email: "ada@acme.example",
		Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: 5_000_000,
	})}, &out)
	messages := out.Messages()
	if len(messages) != 4 {
		t.Fatalf("%d messages, want a record, a contact, an identity and a decision", len(messages))
	}
	c := decoded(t, messages[1].Value, &schemas.Contact{})
	for i, want := range []struct {
		topic schemas.Topic
		key   string
	}{
		{schemas.Records, c.ContactId},
		{schemas.Contacts, c.ContactId},
		{schemas.Identities, string(schemas.IdentityKey("acme", "v1", 0))},
		{schemas.Decisions, "s1"},
	} {
		got := messages[i]
		if got.Topic != string(want.topic) || !bytes.Equal(got.Key, []byte(want.key)) ||
			got.Timestamp != 5000 {
			t.Errorf("message %d: %s %q at %d, want %v at 5000", i, got.Topic, got.Key, got.Timestamp, want)
		}
	}
}

func TestValidate(t *testing.T) {
	bad := Config{
		Strategies: []Strategy{
			{Name: "a"},
			{Name: "a", All: []Condition{{Attribute: "shoe_size"}}},
			{Name: "signed_link", All: []Condition{{Attribute: AttributeEmail, Degree: match.Close}}},
			{
				Name: "d", Any: []Condition{{Attribute: AttributePhone, First: 1, Last: 1}},
				Also: [][]Condition{{}}, Unless: []Condition{{Attribute: AttributeEmail, Degree: "vague"}},
				OnMany: "any",
			},
		},
		Forms:   []FormStrategies{{"", "f", []string{"b"}}, {"", "f", []string{"a"}}, {"", "g", nil}},
		Regions: map[string]string{"": "XX"}, Threshold: 0.5, Review: 0.6, Model: match.Model{Prior: 2},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"nothing has to be the same", "is there twice: rename", "shoe_size", "no strategy is called",
		"keep one", `"signed_link" is built in`, "email close finds nobody", "a group of also is empty",
		"of phone compare the first or the last", `no degree "vague"`, `on_many cannot be "any"`,
		`form "g" has no strategy`, "a form without its own has no strategy", `no region is called "XX"`,
		"review is not above threshold", "model: prior 2",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if err := propertyConfig().Validate(); err != nil {
		t.Error(err)
	}
	other := DefaultConfig()
	if none := other.Untrained(); len(none) > 0 {
		t.Errorf("the shipped model says nothing of %v", none)
	}
	delete(other.Model.Comparisons, string(match.FamilyName))
	if got := other.Untrained(); len(got) != 1 || got[0] != AttributeLastName {
		t.Errorf("without family names the model says nothing of %v", got)
	}
	other.Model.Comparisons[string(match.EmailKind)] = []match.Level{{Name: "exact", M: 1, U: 0.1}}
	if err := other.Validate(); err == nil || !strings.Contains(err.Error(), "want its") {
		t.Errorf("a model that does not fit is %v", err)
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("a configuration without a strategy is valid")
	}
}

// The bytes change with everything that decisions depend on, and with nothing else.
func TestEncode(t *testing.T) {
	same := propertyConfig()
	same.Forms[0], same.Forms[2] = same.Forms[2], same.Forms[0]
	if !bytes.Equal(same.Encode(), propertyConfig().Encode()) {
		t.Error("the order of forms changes the bytes")
	}
	seen := map[string]bool{string(propertyConfig().Encode()): true}
	for i, change := range []func(*Config){
		func(c *Config) { c.KeepTags = true },
		func(c *Config) { c.Strategies[1].Name = "other" },
		func(c *Config) { c.Strategies[1].All = c.Strategies[1].All[:1] },
		func(c *Config) { c.Forms = c.Forms[:2] },
		func(c *Config) { c.Forms[0].Form = "d" },
		func(c *Config) { c.Forms[0].Strategies = []string{"name", "email"} },
		func(c *Config) { c.Default = []string{"name"} },
		func(c *Config) { c.Strategies[1].Unless = []Condition{{Attribute: AttributeEmail}} },
		func(c *Config) { c.Strategies[1].Also = [][]Condition{{{Attribute: AttributeEmail}}} },
		func(c *Config) { c.Strategies[1].OnMany = Newest },
		func(c *Config) { c.Strategies[1].All[0].First = 4 },
		func(c *Config) { c.MailDomains = map[string]string{"a.example": "b.example"} },
		func(c *Config) { c.Regions = map[string]string{"acme": "GB"} },
		func(c *Config) { c.Deny.Emails = []string{"kiosk@"} },
		func(c *Config) { c.Deny.Visitors = []string{"kiosk"} },
		func(c *Config) { c.SharedBy = 3 },
		func(c *Config) { c.Probabilistic = true },
		func(c *Config) { c.Model = match.DefaultModel() },
		func(c *Config) { c.Threshold = 0.9 },
		func(c *Config) { c.Threshold, c.Review = 0.9, 0.8 },
	} {
		c := propertyConfig()
		change(&c)
		if seen[string(c.Encode())] {
			t.Errorf("change %d does not change the bytes", i)
		}
		seen[string(c.Encode())] = true
	}
	back, err := DecodeConfig(same.Encode())
	if err != nil || !bytes.Equal(back.Encode(), same.Encode()) {
		t.Errorf("comes back as %+v, %v", back, err)
	}
	newer := `{"version":3,"strategies":[],"by":"a newer rule"}`
	if _, err := DecodeConfig([]byte(newer)); err == nil {
		t.Error("a rule that this binary does not know is taken")
	}
}

// BenchmarkApply measures submissions of 100,000 people, a third of them known.
func BenchmarkApply(b *testing.B) {
	batch := make([]stage.Record, 150_000)
	for i := range batch {
		batch[i] = submission(b, int64(i), &schemas.Submission{
			SubmissionId: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", i), Site: "acme",
			VisitorId: fmt.Sprintf("01890a5d-ac96-774b-0000-%012x", i%100_000),
			Email:     fmt.Sprintf("Person.%d@acme.example", i%100_000), FirstName: "Ada",
			LastName: fmt.Sprintf("King %d", i%1000), ReceivedAtUs: int64(i),
			Consent: schemas.Consent_CONSENT_IDENTIFIED,
		})
	}
	b.ReportAllocs()
	var m *Machine
	var out stage.Output
	done := 0
	for b.Loop() {
		at := done % len(batch)
		if at == 0 {
			m = New(DefaultConfig())
		}
		m.Apply(batch[at:at+1], &out)
		if len(out.Messages()) > 1000 {
			out.Reset()
		}
		done++
	}
}

// FuzzApply holds that no record, and no state, panics.
func FuzzApply(f *testing.F) {
	f.Add([]byte("\n\x02s1\x1a\x04acme"), []byte("cx"), []byte("\n\x01x"))
	f.Add([]byte{0xff}, []byte{}, []byte{1, 2, 4})
	edges := mustEncode(&schemas.VisitorEdges{Edges: []*schemas.Identity{{RecordId: "x"}}})
	f.Add(mustEncode(&schemas.Submission{
		SubmissionId: "s1", Site: "acme", VisitorId: "v1", Email: "info@acme.example",
		Consent: schemas.Consent_CONSENT_IDENTIFIED,
	}), []byte("vacme\x00v1"), edges)
	f.Add(mustEncode(&schemas.Submission{
		SubmissionId: "r1", Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW,
		Review: &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_SPLIT, Left: "x", Records: []string{"x"},
		},
	}), []byte("r\x00\x00\x00\x01"), mustEncode(&schemas.RecordState{
		Record: &schemas.Record{RecordId: "x"}, ContactNumber: 7,
	}))
	f.Add([]byte{}, []byte("s12345678"), []byte("12345678"))
	f.Fuzz(func(t *testing.T, record, key, value []byte) {
		m := New(propertyConfig())
		_ = m.Restore(key, value)
		applyAndCheckpoint(t, m, record)
	})
}

// FuzzSubmission holds that nothing that a submission or a review says of two known people panics,
// before a restart and after it.
func FuzzSubmission(f *testing.F) {
	known := []*schemas.Submission{
		{SubmissionId: "s1", Site: "acme", Email: "ada@acme.example", FirstName: "Ada", LastName: "King"},
		{SubmissionId: "s2", Site: "acme", Email: "bob@acme.example", Phone: "+442079460958"},
	}
	id := func(s string) string { return schemas.NewNames("contact").ID([]byte("acme\x00\x00" + s)) }
	review := int32(schemas.SubmissionKind_SUBMISSION_KIND_REVIEW)
	for verdict := range int32(len(schemas.Verdict_name)) {
		f.Add(review, verdict, id("s1"), id("s2"), id("s2"), "x2", "", "", "")
		f.Add(review, verdict, id("s1"), id("s1"), id("s1"), "x0", "", "", "")
	}
	f.Add(int32(0), int32(0), "", "", "", "", "ada@acme.example", "Bob Ng", "020 7946 0958")
	f.Add(int32(0), int32(0), "", "", "", "", "a\xff@\x00", "\x00 \xff", "+")
	f.Fuzz(func(
		t *testing.T, kind, verdict int32, left, right, record, withdraws, email, name, phone string,
	) {
		cfg := likely(DefaultConfig())
		cfg.Strategies = append(cfg.Strategies, Strategy{
			Name: "line", OnMany: ForReview, Any: []Condition{
				{Attribute: AttributePhone, Last: 4}, {Attribute: AttributeLastName, First: 2},
			},
			Also: [][]Condition{{{Attribute: AttributeEmail, Degree: match.Alike}}},
		})
		cfg.Default = append(cfg.Default, "line")
		m, restarted := New(cfg), New(cfg)
		var out stage.Output
		first, last, _ := strings.Cut(name, " ")
		apply := func(to *Machine, prefix string) {
			for i := range int64(3) {
				said := &schemas.Submission{
					SubmissionId: fmt.Sprint(prefix, i), Site: "acme", Kind: schemas.SubmissionKind(kind),
					Email: email, FirstName: first, LastName: last, Company: name, Phone: phone,
					Recipient: withdraws,
					Review: &schemas.Review{
						Verdict: schemas.Verdict(verdict), Left: left, Right: right, Withdraws: withdraws,
						Records: []string{record},
					},
				}
				to.Apply([]stage.Record{submission(t, i, said)}, &out)
			}
		}
		for i, s := range known {
			m.Apply([]stage.Record{submission(t, int64(i), s)}, &out)
		}
		apply(m, "x")
		m.Checkpoint(func(key, value []byte) {
			if err := restarted.Restore(key, value); err != nil {
				t.Fatal(err)
			}
		})
		apply(restarted, "y")
		if n := restarted.Counts().Submissions; n != 8 {
			t.Errorf("%d submissions were read", n)
		}
	})
}
