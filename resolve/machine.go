package resolve

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
)

// Machine resolves the topic submissions; see stage.Machine. Its state grows with the contacts and
// the visitors that are somebody, a few hundred bytes each.
type Machine struct {
	cfg        Config
	strategies strategies
	contacts   contacts
	identities identities
	pending    pending
	recent     recent
	counts     Counts
	contactIDs *schemas.Names
	badIDs     *schemas.Names
}

// Counts says what became of the submissions since the first one, across restarts. Submissions =
// Matched + Created + Unresolved + Duplicates + Pending + Spam, where a confirmation counts as what
// it confirmed.
type Counts struct {
	// Submissions are all that could be read.
	Submissions int64
	Matched     int64
	Created     int64
	Unresolved  int64
	// Duplicates had been decided before.
	Duplicates int64
	// Pending ones had to be confirmed first. Confirmed and Expired are those of them that were, and
	// that were not in time.
	Pending, Confirmed, Expired int64
	// Spam was kept without effect.
	Spam int64
	// Linked are the edges from a visitor to a contact.
	Linked int64
	// Bad records could not be used and went to bad-beacons.
	Bad int64
}

// New returns a machine before its first record. The configuration must be valid.
func New(cfg Config) *Machine {
	return &Machine{
		cfg: cfg, strategies: newStrategies(cfg), contacts: newContacts(cfg),
		identities: newIdentities(), pending: newPending(),
		recent:     newRecent(recentWindow, recentLength),
		contactIDs: schemas.NewNames("contact"), badIDs: schemas.NewNames("bad_beacon"),
	}
}

// Counts may be called wherever Apply may be.
func (m *Machine) Counts() Counts { return m.counts }

// Apply implements stage.Machine.
func (m *Machine) Apply(batch []stage.Record, out *stage.Output) {
	for i := range batch {
		out.Timestamp = batch[i].Timestamp
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
	for _, f := range []struct{ path, value string }{
		{"/submission_id", s.SubmissionId}, {"/site", s.Site}, {"/visitor_id", s.VisitorId},
	} {
		switch {
		case f.value == "" && f.path != "/visitor_id":
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
	a := m.contacts.reader.read(s)
	tried := m.strategies.of(s.Site, s.Form)
	d := decisionOn(s, schemas.Outcome_OUTCOME_UNSPECIFIED)
	visitor, linkable := m.visitor(s)
	var found *contact
	var why string
	var review bool
	if s.Recipient != "" {
		d.Strategy = BySignedLink
		found, why = m.recipient(s)
	} else {
		var strategy int
		found, strategy, review, why = m.match(tried, &a, visitor)
		d.Strategy = m.cfg.Strategies[strategy].Name
		if s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK {
			why = "the link was made for an e-mail address, and " + why
		}
	}
	switch {
	case found != nil:
		d.Outcome = schemas.Outcome_OUTCOME_MATCHED
		m.counts.Matched++
		// A click says no more of a contact than which browser is theirs.
		if s.Kind != schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK {
			m.contacts.update(found, func() { found.take(s, &a) })
			put(out, schemas.Contacts, []byte(found.record.ContactId), found.record)
		}
	case !m.names(tried, &a):
		d.Outcome = schemas.Outcome_OUTCOME_UNRESOLVED
		m.counts.Unresolved++
		d.Reason = why
		return d
	default:
		d.Outcome = schemas.Outcome_OUTCOME_CREATED
		if review {
			d.Outcome = schemas.Outcome_OUTCOME_REVIEW
		}
		m.counts.Created++
		found = m.create(s, &a, out)
		put(out, schemas.Contacts, []byte(found.record.ContactId), found.record)
	}
	d.ContactId = found.record.ContactId
	if sentUs < s.ReceivedAtUs && m.identities.passedOn(visitor, sentUs, d.ContactId) {
		visitor, linkable = nil, "no browser is linked, as another contact has used it since"
	}
	d.Reason = why + "; " + linkable
	if visitor == nil {
		return d
	}
	edge, handedOver := m.identities.link(visitor, s, d.ContactId)
	switch {
	case edge == nil:
		d.Reason = why + "; this browser was theirs already"
	case handedOver:
		d.Reason = why + "; this browser was another contact's, and is theirs from this submission on"
	}
	if edge != nil {
		m.counts.Linked++
		put(out, schemas.Identities, schemas.IdentityKey(schemas.Site(edge.Site),
			schemas.VisitorID(edge.VisitorId), edge.ValidFromUs), edge)
	}
	return d
}

// visitor returns the key of the browser that a submission may be linked to, nil where it may not,
// and what to say of it. Contact matching is profiling: it needs consent, whoever fills in a form.
func (m *Machine) visitor(s *schemas.Submission) (key []byte, why string) {
	fault := m.contacts.reader.normaliser.Visitor(s.VisitorId)
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

// match finds the contact of a submission, nil where there is none, and says by which strategy and
// why. The first strategy that finds exactly one decides, else the first that finds several; review
// is true where a person has to say which of them it is.
func (m *Machine) match(
	tried []int, a *attributes, visitor []byte,
) (of *contact, strategy int, review bool, reason string) {
	var several []*contact
	by, why := tried[0], ""
	for _, strategy := range tried {
		found, refused, complete := m.contacts.find(strategy, a)
		s := m.cfg.Strategies[strategy]
		switch {
		case len(found) == 1:
			return found[0], strategy, false, "one contact has " + s.sameWords(a, &found[0].attributes)
		case len(found) > 1 && several == nil:
			several, by = found, strategy
		case len(found) == 0 && why == "":
			why = m.nobody(s, a, refused, complete)
		}
		if own := m.ownMailbox(s, a, visitor); own != nil && !complete {
			return own, strategy, false, "this browser's contact gave the same role mailbox before"
		}
	}
	if several == nil {
		return nil, by, false, why
	}
	s := m.cfg.Strategies[by]
	if s.OnMany == ForReview {
		return nil, by, true, fmt.Sprintf("%d contacts have %s: a person has to say which of them it is",
			len(several), s.sameWords(a, nil))
	}
	taken, next, rule := m.choose(s.OnMany, visitor, several)
	return taken, by, false, fmt.Sprintf("%d contacts have %s: %s is taken, the next is %s",
		len(several), s.sameWords(a, &taken.attributes), rule, next)
}

// choose takes one of several contacts, oldest first, and says which is the next and by what rule.
func (m *Machine) choose(
	rule OnMany, visitor []byte, among []*contact,
) (taken *contact, next, words string) {
	switch rule {
	case Newest:
		newest := slices.MaxFunc(among, func(a, b *contact) int {
			return cmp.Or(cmp.Compare(a.record.UpdatedAtUs, b.record.UpdatedAtUs), older(b, a))
		})
		return newest, otherThan(newest, among), "the one that was updated last"
	case Oldest:
	default:
		if own, next, evidence := m.own(visitor, among); own != nil {
			return own, next, "this browser's own, by " + evidence + ","
		}
	}
	return among[0], among[1].record.ContactId, "the oldest"
}

// otherThan is the id of the oldest of several contacts that is not the one.
func otherThan(one *contact, among []*contact) string {
	if among[0] == one {
		return among[1].record.ContactId
	}
	return among[0].record.ContactId
}

// nobody says why a strategy finds nobody.
func (m *Machine) nobody(s Strategy, a *attributes, refused string, complete bool) string {
	switch {
	case refused != "":
		return refused
	case complete:
		return "no contact has " + s.sameWords(a, nil)
	case s.uses(AttributeEmail) && a.email.Role && !a.named():
		return "the e-mail address is a role mailbox, which without a name is nobody's own"
	}
	return s.lacking(a)
}

// ownMailbox is a browser's contact that gave the same role mailbox before, nil where there is
// none.
func (m *Machine) ownMailbox(s Strategy, a *attributes, visitor []byte) *contact {
	if !s.uses(AttributeEmail) || !a.email.Role || a.named() {
		return nil
	}
	own := m.contacts.byID[m.identities.current(visitor)]
	if own == nil || own.attributes.email.Address != a.email.Address || !agrees(own, a) {
		return nil
	}
	return own
}

// agrees reports that a submission's names, where it has any, are the contact's.
func agrees(c *contact, a *attributes) bool {
	first, last := a.firstName.Key(), a.lastName.Key()
	return (first == "" || first == c.attributes.firstName.Key()) &&
		(last == "" || last == c.attributes.lastName.Key())
}

// names reports whether a submission that matches nobody names somebody new: by everything that
// one of its strategies asks for, or by an address or number that they can be reached at. An
// address that was made up says that the number was too.
func (m *Machine) names(tried []int, a *attributes) bool {
	if slices.ContainsFunc(tried, func(i int) bool { return len(m.cfg.Strategies[i].keys(a)) > 0 }) {
		return true
	}
	reached := a.email.Fault == attribute.Empty || a.email.Fault == attribute.Denied
	return a.email.Address != "" || reached && a.phone.Number != ""
}

// create makes a contact of a submission. Its id follows from the submission, so that a replay
// gives the same; should that id be taken (the submission is older than what recent remembers),
// the next is.
func (m *Machine) create(
	s *schemas.Submission, a *attributes, out *stage.Output,
) *contact {
	key := name(s)
	id := m.contactIDs.ID(key)
	for m.contacts.byID[id] != nil {
		key = append(key, 0)
		id = m.contactIDs.ID(key)
	}
	c := &contact{record: &schemas.Contact{ContactId: id, CreatedAtUs: s.ReceivedAtUs}}
	c.take(s, a)
	put(out, schemas.Records, []byte(id), &schemas.Record{
		RecordId: id, Number: int64(len(m.contacts.byID)), Email: attribute.Clean(s.Email),
		FirstName: attribute.Clean(s.FirstName), LastName: attribute.Clean(s.LastName),
		Phone: attribute.Clean(s.Phone), Company: attribute.Clean(s.Company), Submissions: 1,
		FirstSubmissionId: s.SubmissionId, LastSubmissionId: s.SubmissionId,
		FirstAtUs: s.ReceivedAtUs, LastAtUs: s.ReceivedAtUs, Site: s.Site, Form: s.Form,
	})
	m.contacts.put(c)
	m.contacts.changed[id] = true
	return c
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
