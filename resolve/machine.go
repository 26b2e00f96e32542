package resolve

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/attribute"
	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// Machine resolves the topic submissions; see stage.Machine. Its state grows with what was said of
// whom and with the visitors that are somebody, some hundred bytes each.
type Machine struct {
	cfg        Config
	strategies strategies
	reader     reader
	records    records
	edges      edges
	index      *match.Index
	identities identities
	pending    pending
	recent     recent
	counts     Counts
	contactIDs *schemas.Names
	badIDs     *schemas.Names
	// restored is what checkpoints hold of records and edges that is in neither yet; settled is true
	// once the clusters are made of them.
	restored restored
	settled  bool
	// unsettled are records whose contact is another by the rules than it was put out as, and pairs of
	// which the model says something else.
	unsettled      []uint32
	unsettledPairs map[pair]bool
	// compared is what all records are to be compared by, comparedBy what they were put out by: a
	// model and from which probability on.
	compared, comparedBy string
	// model is the name and the version of what records are compared by.
	model string
	// hotKeys is how many keys too many records have to be compared by them.
	hotKeys int
	// reading is a hash of the rules that normalise.
	reading uint64
}

// New returns a machine before its first record. The configuration must be valid.
func New(cfg Config) *Machine {
	return &Machine{
		cfg: cfg, strategies: newStrategies(cfg), reader: newReader(cfg),
		records: newRecords(cfg.Strategies, cfg.SharedBy), edges: newEdges(), index: mustIndex(cfg),
		identities: newIdentities(), pending: newPending(),
		recent:     newRecent(recentWindow, recentLength),
		contactIDs: schemas.NewNames("contact"), badIDs: schemas.NewNames("bad_beacon"),
		model: cfg.model().Version(), reading: xxhash.Sum64(cfg.normalising()),
		restored: newRestored(), settled: true, unsettledPairs: map[pair]bool{},
		compared: cfg.compared(), comparedBy: cfg.compared(),
	}
}

// Apply implements stage.Machine.
func (m *Machine) Apply(batch []stage.Record, out *stage.Output) {
	m.settle()
	for i := range batch {
		out.Timestamp = batch[i].Timestamp
		m.catchUp(batch[i].Timestamp*1000, out)
		m.apply(&batch[i], out)
	}
}

func (m *Machine) apply(from *stage.Record, out *stage.Output) {
	s := &schemas.Submission{}
	if err := s.UnmarshalVT(from.Value); err != nil {
		m.reject(from, out, "undecodable_record", err.Error(), "")
		return
	}
	if reason, detail, path := fault(s); reason != "" {
		m.reject(from, out, reason, detail, path)
		return
	}
	m.expire(s.ReceivedAtUs, out)
	m.counts.Submissions++
	if !m.recent.add(xxhash.Sum64(name(s))) {
		m.counts.Duplicates++
		return
	}
	switch {
	case s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_REVIEW:
		m.judge(s, out)
	case s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_ERASURE:
		m.erase(s, out)
	case s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_CONFIRMATION:
		m.confirm(s, out)
	case s.SpamRule != "":
		m.counts.Spam++
		d := decisionOn(s, schemas.Outcome_OUTCOME_SPAM)
		d.Reason = "the rule " + s.SpamRule + " takes its sender for a bot: kept, without effect"
		m.tell(d, out)
	case s.ConfirmUntilUs != 0:
		m.wait(s, from.Offset, out)
	default:
		m.tell(m.decide(s, s.ReceivedAtUs, out), out)
	}
}

// tell puts out a decision.
func (m *Machine) tell(d *schemas.Decision, out *stage.Output) {
	put(out, schemas.Decisions, []byte(d.SubmissionId), d)
}

// decisionOn is a decision that has yet to say why.
func decisionOn(s *schemas.Submission, outcome schemas.Outcome) *schemas.Decision {
	return &schemas.Decision{
		SubmissionId: s.SubmissionId, Site: s.Site, VisitorId: s.VisitorId, Outcome: outcome,
		DecidedAtUs: s.ReceivedAtUs,
	}
}

// name is what makes a submission one: its id is its sender's text, and so are the others.
func name(s *schemas.Submission) []byte {
	key := append(schemas.VisitorKey(schemas.Site(s.Site), schemas.VisitorID(s.VisitorId)), 0)
	return append(key, s.SubmissionId...)
}

// fault says why a submission cannot be used, as a reason of a bad beacon.
func fault(s *schemas.Submission) (reason, detail, path string) {
	ofNoSite := s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_REVIEW ||
		s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_ERASURE
	for _, f := range []struct{ path, value string }{
		{"/submission_id", s.SubmissionId}, {"/site", s.Site}, {"/visitor_id", s.VisitorId},
	} {
		switch {
		case f.value == "" && f.path == "/site" && ofNoSite, f.value == "" && f.path == "/visitor_id":
		case f.value == "":
			return "missing_field", "a submission needs it", f.path
		case strings.IndexByte(f.value, 0) >= 0:
			return "zero_byte", "holds a zero byte", f.path
		case !utf8.ValidString(f.value):
			return "invalid_utf8", "is not UTF-8", f.path
		}
	}
	for _, f := range []struct {
		path string
		us   int64
	}{
		{"/received_at_us", s.ReceivedAtUs},
		{"/occurred_at_us", s.OccurredAtUs},
		{"/confirm_until_us", s.ConfirmUntilUs},
	} {
		const maxTimeUS = 253_402_300_799_999_999 // the end of the year 9999
		if f.us < 0 || f.us > maxTimeUS {
			return "time_out_of_range", fmt.Sprintf("%d is no time in microseconds", f.us), f.path
		}
	}
	return "", "", ""
}

// decide finds or makes the contact of a submission, links the visitor to it where it may, and
// says why. sentUs is when the submission came in, which a confirmation comes after.
func (m *Machine) decide(
	s *schemas.Submission, sentUs int64, out *stage.Output,
) *schemas.Decision {
	a := m.reader.read(s)
	visitor, linkable := m.visitor(s)
	f := m.find(s, &a, visitor)
	d := decisionOn(s, schemas.Outcome_OUTCOME_UNSPECIFIED)
	d.Strategy = f.strategy
	c := &change{us: s.ReceivedAtUs, submission: s.SubmissionId}
	if s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK && s.Recipient == "" {
		f.why = "the link was made for an e-mail address, and " + f.why
	}
	var record uint32
	var why string
	switch {
	case f.found:
		d.Outcome = schemas.Outcome_OUTCOME_MATCHED
		record = m.agree(s, &a, &f, c)
		if members := m.index.Members(record); !slices.Contains(members, f.record) {
			f.others = slices.Insert(f.others, 0, f.record)
			f.why += ", but they cannot be one: " + m.refusal(f.record, record)
			if len(members) == 1 {
				d.Outcome = schemas.Outcome_OUTCOME_CREATED
			}
		}
		why = f.why
	case !f.compared && !reachable(&a):
		d.Outcome = schemas.Outcome_OUTCOME_UNRESOLVED
		m.counts.Unresolved++
		d.Reason = f.why
		return d
	default:
		record, why = m.consider(s, &a, &f, d, c)
	}
	m.count(d.Outcome)
	m.publish(c, out)
	d.RecordId, d.ContactId = m.id(record), m.contact(record)
	d.Merged, d.Parted = c.merged, c.parted
	if n := len(c.merged); n > 0 {
		why += fmt.Sprintf("; with it, %d more contacts are known to be the same", n)
	}
	m.runnersUp(d, record, &f)
	d.Reason = why + "; " + m.hold(s, sentUs, visitor, linkable, d, out)
	return d
}

// reachable reports whether a submission names somebody new although it has not all that a strategy
// compares: by an address or number that they can be reached at. An address that was made up says
// that the number was too.
func reachable(a *attributes) bool {
	none := a.email.Fault == attribute.Empty || a.email.Fault == attribute.Denied
	return a.email.Address != "" || none && a.phone.Number != ""
}

func (m *Machine) count(outcome schemas.Outcome) {
	switch outcome {
	case schemas.Outcome_OUTCOME_MATCHED:
		m.counts.Matched++
	case schemas.Outcome_OUTCOME_CREATED:
		m.counts.Created++
	case schemas.Outcome_OUTCOME_REVIEW:
		m.counts.Review++
	}
}

// hold links the visitor to the record of a decision, where it may, and says so.
func (m *Machine) hold(
	s *schemas.Submission, sentUs int64, visitor []byte, linkable string, d *schemas.Decision,
	out *stage.Output,
) string {
	last := m.identities.last(visitor)
	current, known := m.whose(visitor)
	same := known && m.id(current) == d.ContactId
	if known && !same && sentUs < s.ReceivedAtUs && last.LinkedAtUs > sentUs {
		return "no browser is linked, as another contact has used it since"
	}
	if visitor == nil {
		return linkable
	}
	if edge := m.identities.link(visitor, s, d.RecordId, d.ContactId); edge != nil {
		m.counts.Linked++
		put(out, schemas.Identities, schemas.IdentityKey(schemas.Site(edge.Site),
			schemas.VisitorID(edge.VisitorId), edge.ValidFromUs), edge)
	}
	switch {
	case same:
		return "this browser was theirs already"
	case known:
		return "this browser was another contact's, and is theirs from this submission on"
	case last != nil: // of somebody who was erased
		return "this browser is theirs from this submission on"
	}
	return linkable
}

// visitor returns the key of the browser that a submission may be linked to, nil where it may not,
// and what to say of it. Contact matching is profiling: it needs consent, whoever fills in a form.
func (m *Machine) visitor(s *schemas.Submission) (key []byte, why string) {
	fault := m.reader.normaliser.Visitor(s.VisitorId)
	switch {
	case s.Consent != schemas.Consent_CONSENT_IDENTIFIED:
		return nil, "no browser is linked, as there is no consent to it"
	case fault == attribute.Empty:
		return nil, "no browser is linked, as it is not known"
	case schemas.VisitorID(s.VisitorId).OfOneDay():
		return nil, "no browser is linked, as it is known for a day alone"
	case fault == attribute.Placeholder:
		return nil, "no browser is linked, as its id is a placeholder that many may have"
	case fault == attribute.Denied:
		return nil, "no browser is linked, as its id is on the deny-list"
	}
	return schemas.VisitorKey(schemas.Site(s.Site), schemas.VisitorID(s.VisitorId)),
		"everything that this browser did before is theirs"
}

// badRawBytes is how much of a bad record is kept.
const badRawBytes = 64 << 10

// reject puts a record that cannot be used where it can be looked at. Its id follows from where
// it stands, so that a replay repeats it.
func (m *Machine) reject(from *stage.Record, out *stage.Output, reason, detail, path string) {
	m.counts.Bad++
	where := fmt.Sprintf("%s/0/%d", schemas.Submissions, from.Offset)
	site, _, _ := bytes.Cut(from.Key, []byte{0})
	put(out, schemas.BadBeacons, site, &schemas.BadBeacon{
		BadBeaconId: m.badIDs.ID([]byte(where)), Site: string(site),
		ReceivedAtUs: from.Timestamp * 1000, Protocol: "resolve", Reason: reason,
		Detail: where + ": " + detail, Path: path,
		Raw: from.Value[:min(len(from.Value), badRawBytes)], Truncated: len(from.Value) > badRawBytes,
	})
}

type message interface{ MarshalVT() ([]byte, error) }

func put(out *stage.Output, topic schemas.Topic, key []byte, m message) {
	out.Put(string(topic), key, mustEncode(m))
}

// mustEncode encodes a message of ours, which no input can prevent.
func mustEncode(m message) []byte {
	value, err := m.MarshalVT()
	if err != nil {
		panic("resolve: encode: " + err.Error())
	}
	return value
}
