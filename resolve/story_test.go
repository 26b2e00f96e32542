package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// TestStories runs scripts. Commands:
//
//	config [keep_tags] [likely] [strategy=(name,condition,...)]... [form=(site,form,strategy,...)]...
//	       [region=(site,region)]... [deny=(attribute,value,...)]... [same=(domain,domain)]:
//	       a strategy's conditions have _ for spaces; any:, also: and unless: begin other parts,
//	       | is or, and many:rule says what happens with several; likely: the model has its say;
//	       shared=2: how many people may have given what a strategy compares
//	submit: one submission a line, its id first, then key=value: site, visitor, consent, email,
//	        first, last, phone, company, form, kind, at (clock of 2026-01-01), occurred, until (when
//	        it must be confirmed by), spam (a rule), recipient
//	        (a contact by its short name)
//	confirm: one confirmation a line: the id of what it confirms, then at, and email or visitor
//	        where the link was for another's
//	restart: a checkpoint, and a new machine that is restored from all checkpoints so far
//	review: one review a line, its id first, then accept, reject, split or withdraw, then left,
//	        right, records (short names with commas), withdraws (the id of a review), by, at
//	erase: one request a line, its id first, then email, contact (a short name), browser, at
//	contacts, records, edges, pairs, counts: what there is
//
// site is acme, visitor v1 and consent identified where nothing is said. Records, and so the
// contacts that have their ids, are printed as c1, c2, ... in the order in which they are made.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := newStory(exact())
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "config":
				s = newStory(scriptedConfig(t, d))
				return ""
			case "submit":
				return s.submit(t, d.Input)
			case "confirm":
				return s.confirm(t, d.Input)
			case "restart":
				s.restart(t)
				return ""
			case "contacts":
				return s.contacts()
			case "review":
				return s.review(t, d.Input)
			case "erase":
				return s.erase(t, d.Input)
			case "edges":
				return s.edges()
			case "records":
				return s.records()
			case "pairs":
				return s.pairs()
			case "counts":
				return fmt.Sprintf("%+v\n", s.machine.Counts())
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func scriptedConfig(t *testing.T, d *datadriven.TestData) Config {
	cfg := exact()
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "shared":
			if _, err := fmt.Sscan(arg.Vals[0], &cfg.SharedBy); err != nil {
				t.Fatal(err)
			}
		case "keep_tags":
			cfg.KeepTags = true
		case "likely":
			cfg = likely(cfg)
		case "strategy":
			cfg.Strategies = append(cfg.Strategies, scriptedStrategy(t, arg.Vals))
		case "form":
			cfg.Forms = append(cfg.Forms, FormStrategies{arg.Vals[0], arg.Vals[1], arg.Vals[2:]})
		case "region":
			cfg.Regions = map[string]string{arg.Vals[0]: arg.Vals[1]}
		case "same":
			cfg.MailDomains = map[string]string{arg.Vals[0]: arg.Vals[1]}
		case "deny":
			*map[string]*[]string{
				"email": &cfg.Deny.Emails, "phone": &cfg.Deny.Phones, "name": &cfg.Deny.Names,
				"company": &cfg.Deny.Companies, "visitor": &cfg.Deny.Visitors,
			}[arg.Vals[0]] = arg.Vals[1:]
		default:
			t.Fatalf("unknown argument %s", arg.Key)
		}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func scriptedStrategy(t *testing.T, words []string) Strategy {
	s := Strategy{Name: words[0]}
	for _, word := range words[1:] {
		part, rest, found := strings.Cut(word, ":")
		if !found {
			part, rest = "all", word
		}
		var group []Condition
		for one := range strings.SplitSeq(strings.ReplaceAll(rest, "_", " "), "|") {
			for _, name := range []string{"first name", "last name"} {
				one = strings.Replace(one, name, strings.ReplaceAll(name, " ", "_"), 1)
			}
			c, err := ParseCondition(one)
			if err != nil && part != "many" {
				t.Fatal(err)
			}
			group = append(group, c)
		}
		switch part {
		case "all":
			s.All = append(s.All, group...)
		case "any":
			s.Any = append(s.Any, group...)
		case "also":
			s.Also = append(s.Also, group)
		case "unless":
			s.Unless = append(s.Unless, group...)
		case "many":
			s.OnMany = OnMany(rest)
		default:
			t.Fatalf("what is %s?", word)
		}
	}
	return s
}

// likely has a model of shipped weights compare what comes in.
func likely(cfg Config) Config {
	cfg.Model = match.DefaultModel()
	cfg.Model.Name, cfg.Model.Prior = "test", 0.0001
	cfg.Probabilistic, cfg.Threshold, cfg.Review = true, 0.95, 0.5
	return cfg
}

// exact leaves the model out.
func exact() Config {
	cfg := DefaultConfig()
	cfg.Probabilistic = false
	return cfg
}

type story struct {
	cfg     Config
	machine *Machine
	state   map[string][]byte
	offset  int64
	ids     []string                       // contacts in the order in which they were made
	sent    map[string]*schemas.Submission // by id
}

func newStory(cfg Config) *story {
	return &story{
		cfg: cfg, machine: New(cfg), state: map[string][]byte{},
		sent: map[string]*schemas.Submission{},
	}
}

func (s *story) submit(t *testing.T, input string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		sub := scriptedSubmission(t, line)
		sub.Recipient = s.id(sub.Recipient)
		s.sent[sub.SubmissionId] = sub
		b.WriteString(s.apply(t, sub))
	}
	return b.String()
}

// id is what a short name stands for; any other text stands for itself.
func (s *story) id(name string) string {
	if at := 0; strings.HasPrefix(name, "c") {
		if _, err := fmt.Sscanf(name, "c%d", &at); err == nil && at <= len(s.ids) {
			return s.ids[at-1]
		}
	}
	return name
}

func (s *story) review(t *testing.T, input string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		words := strings.Fields(line)
		r := &schemas.Review{
			Verdict: schemas.Verdict(schemas.Verdict_value["VERDICT_"+strings.ToUpper(words[1])]),
		}
		sub := &schemas.Submission{
			SubmissionId: words[0], Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW, Review: r,
			ReceivedAtUs: clock(t, "12:00"),
		}
		for _, word := range words[2:] {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "left":
				r.Left = s.id(value)
			case "right":
				r.Right = s.id(value)
			case "records":
				for one := range strings.SplitSeq(value, ",") {
					r.Records = append(r.Records, s.id(one))
				}
			case "withdraws":
				r.Withdraws = value
			case "by":
				r.By = value
			case "at":
				sub.ReceivedAtUs = clock(t, value)
			default:
				t.Fatalf("%q: what is %q?", line, word)
			}
		}
		s.sent[sub.SubmissionId] = sub
		b.WriteString(s.apply(t, sub))
	}
	return b.String()
}

func (s *story) confirm(t *testing.T, input string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		said := scriptedSubmission(t, line)
		sent := s.sent[said.SubmissionId]
		of := &schemas.Submission{
			SubmissionId: sent.SubmissionId, Site: sent.Site, VisitorId: sent.VisitorId,
			Email: cmp.Or(said.Email, sent.Email),
		}
		if said.VisitorId != "v1" {
			of.VisitorId = said.VisitorId
		}
		b.WriteString(s.apply(t, &schemas.Submission{
			SubmissionId: schemas.ConfirmationID(of), Confirms: said.SubmissionId, Site: of.Site,
			Kind:         schemas.SubmissionKind_SUBMISSION_KIND_CONFIRMATION,
			ReceivedAtUs: said.ReceivedAtUs, OccurredAtUs: said.ReceivedAtUs,
		}))
	}
	return b.String()
}

// apply returns what comes of one submission.
func (s *story) apply(t *testing.T, sub *schemas.Submission) string {
	var b strings.Builder
	var out stage.Output
	s.machine.Apply([]stage.Record{s.record(t, sub)}, &out)
	if len(out.Messages()) == 0 {
		fmt.Fprintf(&b, "%s: nothing\n", s.named(sub.SubmissionId))
	}
	for _, m := range out.Messages() {
		switch schemas.Topic(m.Topic) {
		case schemas.Records:
			s.seen(string(m.Key))
		case schemas.Decisions:
			d := decoded(t, m.Value, &schemas.Decision{})
			outcome := d.Outcome.Name()
			if d.Resolution != 0 {
				outcome += " " + d.Resolution.Name()
			}
			fmt.Fprintf(&b, "%s: %s %s by %s: %s\n", s.named(d.SubmissionId), outcome,
				s.alias(d.ContactId), cmp.Or(d.Strategy, "none"), s.aliased(d.Reason))
			if d.Mail {
				fmt.Fprintf(&b, "%s: mail\n", d.SubmissionId)
			}
			b.WriteString(s.more(d))
		case schemas.BadBeacons:
			bad := decoded(t, m.Value, &schemas.BadBeacon{})
			fmt.Fprintf(&b, "bad: %s %s %s\n", bad.Reason, bad.Detail, bad.Path)
		}
	}
	return b.String()
}

// more is what a decision says beside its reason.
func (s *story) more(d *schemas.Decision) string {
	var b strings.Builder
	for _, c := range d.RunnersUp {
		fmt.Fprintf(&b, "  or %s, probability %.3f: %s\n", s.alias(c.ContactId), c.Probability, c.Reason)
	}
	for _, e := range d.Evidence {
		fmt.Fprintf(&b, "  %s %s: %+.1f %+.1f\n", e.Attribute, e.Level, e.Weight, e.Rarity)
	}
	for _, id := range d.Merged {
		fmt.Fprintf(&b, "  %s takes over %s\n", s.alias(d.ContactId), s.alias(id))
	}
	for _, id := range d.Parted {
		fmt.Fprintf(&b, "  %s stands for itself\n", s.alias(id))
	}
	return b.String()
}

// named is the name of a confirmation, whose id is a hash.
func (s *story) named(id string) string {
	if s.sent[id] == nil {
		return "confirmation"
	}
	return id
}

func (s *story) record(t *testing.T, sub *schemas.Submission) stage.Record {
	value, err := sub.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	s.offset++
	return stage.Record{
		Offset: s.offset, Timestamp: sub.ReceivedAtUs / 1000, Key: []byte(sub.Site), Value: value,
	}
}

func scriptedSubmission(t *testing.T, line string) *schemas.Submission {
	sub := &schemas.Submission{
		Site: "acme", VisitorId: "v1", Consent: schemas.Consent_CONSENT_IDENTIFIED,
		Kind: schemas.SubmissionKind_SUBMISSION_KIND_FORM,
	}
	at, occurred, until := "12:00", "", ""
	text := map[string]*string{
		"site": &sub.Site, "visitor": &sub.VisitorId, "email": &sub.Email, "first": &sub.FirstName,
		"last": &sub.LastName, "phone": &sub.Phone, "company": &sub.Company, "form": &sub.Form,
		"at": &at, "occurred": &occurred, "until": &until, "spam": &sub.SpamRule,
		"recipient": &sub.Recipient,
	}
	for i, word := range strings.Fields(line) {
		key, value, given := strings.Cut(word, "=")
		switch {
		case i == 0:
			sub.SubmissionId = strings.Trim(word, "-")
		case key == "consent":
			sub.Consent, _ = schemas.ParseConsent(value)
		case key == "kind":
			number := schemas.SubmissionKind_value["SUBMISSION_KIND_"+strings.ToUpper(value)]
			sub.Kind = schemas.SubmissionKind(number)
		case !given || text[key] == nil:
			t.Fatalf("%q: what is %q?", line, word)
		default:
			*text[key] = strings.ReplaceAll(value, "_", " ")
		}
	}
	sub.ReceivedAtUs = clock(t, at)
	sub.OccurredAtUs = sub.ReceivedAtUs
	if occurred != "" {
		sub.OccurredAtUs = clock(t, occurred)
	}
	if until != "" {
		sub.ConfirmUntilUs = clock(t, until)
	}
	return sub
}

func clock(t *testing.T, text string) int64 {
	at, err := time.Parse("2006-01-02 15:04", "2026-01-01 "+text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMicro()
}

func decoded[M interface{ UnmarshalVT([]byte) error }](t *testing.T, value []byte, into M) M {
	if err := into.UnmarshalVT(value); err != nil {
		t.Fatal(err)
	}
	return into
}

func (s *story) restart(t *testing.T) {
	s.machine.Checkpoint(func(key, value []byte) {
		if value == nil {
			delete(s.state, string(key))
			return
		}
		s.state[string(key)] = value
	})
	s.machine = New(s.cfg)
	for key, value := range s.state {
		if err := s.machine.Restore([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *story) seen(id string) {
	if !slices.Contains(s.ids, id) {
		s.ids = append(s.ids, id)
	}
}

func (s *story) alias(id string) string {
	if at := slices.Index(s.ids, id); at >= 0 {
		return fmt.Sprintf("c%d", at+1)
	}
	return "nobody"
}

func (s *story) aliased(text string) string {
	for _, id := range s.ids {
		text = strings.ReplaceAll(text, id, s.alias(id))
	}
	return text
}

// contacts lists those that stand for themselves, by their records.
func (s *story) contacts() string {
	var b strings.Builder
	m := s.machine
	m.settle()
	for _, id := range s.ids {
		i, known := m.records.byID[id]
		if !known || m.records.list[i].contact != i {
			continue
		}
		g := m.golden(m.index.Members(i))
		fmt.Fprintf(&b, "%s v%d: %s|%s|%s|%s|%s from %d, last %s, %s to %s\n", s.alias(id),
			m.records.list[i].version, g.Email, g.FirstName, g.LastName, g.Phone, g.Company, g.Submissions,
			g.SubmissionId, hour(g.CreatedAtUs), hour(m.records.list[i].updatedUs))
	}
	return b.String()
}

// records lists what was said, and whose it is.
func (s *story) records() string {
	var b strings.Builder
	m := s.machine
	m.settle()
	for i, r := range m.records.list {
		if r.erased {
			b.WriteString("erased\n")
			continue
		}
		fmt.Fprintf(&b, "%s of %s: %s|%s|%s|%s|%s from %d, %s to %s\n", s.alias(r.said.RecordId),
			s.alias(m.contact(uint32(i))), r.said.Email, r.said.FirstName, r.said.LastName, r.said.Phone,
			r.said.Company, r.said.Submissions, r.said.FirstSubmissionId, r.said.LastSubmissionId)
	}
	return b.String()
}

// pairs lists what is known of two records.
func (s *story) pairs() string {
	var b strings.Builder
	m := s.machine
	m.settle()
	for _, p := range slices.SortedFunc(maps.Keys(m.edges.byPair), comparePairs) {
		e := m.edges.byPair[p].message(m.id(p.left), m.id(p.right), &change{})
		fmt.Fprintf(&b, "%s %s %s by %s since %s, probability %.3f\n", s.alias(e.Left),
			s.alias(e.Right), strings.ToLower(strings.TrimPrefix(e.Verdict.String(), "EDGE_VERDICT_")),
			cmp.Or(e.Evidence, "nobody"), cmp.Or(e.SubmissionId, "then"), e.Probability)
	}
	return b.String()
}

func hour(us int64) string {
	if us == 0 {
		return "always"
	}
	return time.UnixMicro(us).UTC().Format("15:04:05.999999")
}

func (s *story) edges() string {
	var lines []string
	s.machine.settle()
	for _, edges := range s.machine.identities.byVisitor {
		for _, e := range edges.Edges {
			who := "nobody"
			if i, known := s.machine.records.number(e.RecordId); known {
				who = s.alias(s.machine.contact(i))
			}
			lines = append(lines, fmt.Sprintf("%s %s is %s from %s, linked %s by %s %s\n", e.Site,
				e.VisitorId, who, hour(e.ValidFromUs), hour(e.LinkedAtUs), e.Evidence,
				e.SubmissionId))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
