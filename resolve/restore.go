package resolve

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// restored is what checkpoints hold of records and of what is known of them, as far as it is not in
// the machine yet. Its keys come in any order, and some more than once; only when all of a
// checkpoint are there do they fit together. Nil is what is no more.
type restored struct {
	records  map[uint32]*schemas.RecordState
	edges    map[pair]*schemas.PairState
	reviews  map[string]*schemas.ReviewState
	contacts map[string]*schemas.Contact // of version 2
}

func newRestored() restored {
	return restored{
		records: map[uint32]*schemas.RecordState{}, edges: map[pair]*schemas.PairState{},
		reviews: map[string]*schemas.ReviewState{}, contacts: map[string]*schemas.Contact{},
	}
}

// take reads one key, the prefix apart.
func (r *restored) take(prefix byte, key, value []byte) error {
	switch prefix {
	case recordPrefix:
		if len(key) != 4 {
			return fmt.Errorf("key %q of a record: want 4 bytes", key)
		}
		return set(r.records, binary.BigEndian.Uint32(key), value, &schemas.RecordState{})
	case edgePrefix:
		if len(key) != 8 {
			return fmt.Errorf("key %q of two records: want 8 bytes", key)
		}
		p := pair{binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(key[4:])}
		return set(r.edges, p, value, &schemas.PairState{})
	case reviewPrefix:
		return set(r.reviews, string(key), value, &schemas.ReviewState{})
	}
	c := &schemas.Contact{}
	if err := set(r.contacts, string(key), value, c); err != nil {
		return err
	}
	if value != nil && c.ContactId != string(key) {
		return fmt.Errorf("contact %s: its state is that of %q", key, c.ContactId)
	}
	return nil
}

func set[K comparable, V any, M interface {
	*V
	UnmarshalVT([]byte) error
}](to map[K]M, key K, value []byte, into M) error {
	if value == nil {
		to[key] = nil
		return nil
	}
	if err := into.UnmarshalVT(value); err != nil {
		return fmt.Errorf("state of %v: %w", key, err)
	}
	to[key] = into
	return nil
}

// within is a text as a part of another where it is one, so that what a checkpoint says twice is in
// memory once.
func within(whole, text string) string {
	if at := strings.Index(whole, text); at >= 0 {
		return whole[at : at+len(text)]
	}
	return text
}

// Restored says that a checkpoint was restored as a whole. Another may follow, of what has changed
// since, before the first record.
func (m *Machine) Restored() error {
	anew := m.compared != "" && m.comparedBy != m.compared
	m.settleRecords(anew)
	m.settleEdges(anew)
	m.restored = newRestored()
	m.settled = false
	return nil
}

// settle makes the clusters of what was restored, before the first record after it. What does not
// fit together, as only damage makes it, is left out.
func (m *Machine) settle() {
	m.recent.settle()
	if m.restored.any() {
		_ = m.Restored()
	}
	if m.settled {
		return
	}
	m.settled = true
	m.index.Settle()
	m.hotKeys = len(m.index.Hot())
	for i, r := range m.records.list {
		if int(r.contact) >= len(m.records.list) {
			r.contact = uint32(i)
		}
		if now := m.index.Members(uint32(i))[0]; now != r.contact {
			m.unsettled = append(m.unsettled, uint32(i))
		}
	}
}

func (r *restored) any() bool {
	return len(r.records)+len(r.edges)+len(r.reviews)+len(r.contacts) > 0
}

// catchUp puts out what other rules than before make of the records: contacts that are one by them,
// or are no more. Records that another model has compared were all compared anew.
func (m *Machine) catchUp(us int64, out *stage.Output) {
	m.comparedBy = m.compared
	if len(m.unsettled)+len(m.unsettledPairs) == 0 {
		return
	}
	c := &change{
		us: us, moved: m.unsettled,
		pairs: slices.SortedFunc(maps.Keys(m.unsettledPairs), comparePairs),
	}
	m.unsettled = nil
	clear(m.unsettledPairs)
	m.publish(c, out)
}

func (m *Machine) settleRecords(anew bool) {
	r := &m.restored
	most := uint32(2*len(r.records) + len(m.records.list))
	for _, i := range slices.Sorted(maps.Keys(r.records)) {
		s := r.records[i]
		delete(r.records, i) // what the machine does not keep of it makes room
		if s.GetRecord().GetRecordId() == "" && !s.GetErased() || i > most {
			continue
		}
		if n := uint32(len(m.records.list)); i < n {
			m.restoreOver(i, s)
			delete(m.records.changed, i)
			continue
		}
		delete(m.records.changed, i)
		for uint32(len(m.records.list)) < i {
			m.restoreRecord(&schemas.RecordState{Record: &schemas.Record{}}, false)
		}
		m.restoreRecord(s, anew)
	}
	var old []*schemas.Contact
	for _, c := range r.contacts {
		if c != nil {
			old = append(old, c)
		}
	}
	slices.SortFunc(old, func(a, b *schemas.Contact) int {
		return cmp.Or(cmp.Compare(a.CreatedAtUs, b.CreatedAtUs), cmp.Compare(a.ContactId, b.ContactId))
	})
	for _, c := range old {
		number := uint32(len(m.records.list))
		m.restoreRecord(recordOf(c, number), anew)
		m.records.changed[number] = true
		m.records.gone = append(m.records.gone, c.ContactId)
	}
}

// restoreOver puts what a checkpoint says of a record in the place of what an earlier one said.
func (m *Machine) restoreOver(i uint32, s *schemas.RecordState) {
	of := m.records.list[i]
	switch {
	case of.erased:
	case s.Erased:
		for _, p := range m.edges.with([]uint32{i}) {
			m.edges.forget([]pair{p})
			delete(m.edges.changed, p)
		}
		m.forget(i)
	default:
		of.take(s)
	}
}

// take puts what a checkpoint says in the place of what an earlier one said of the record.
func (r *record) take(s *schemas.RecordState) {
	r.said, r.last, r.contact = s.Record, s.LastSubmission, uint32(s.ContactNumber)
	r.version, r.updatedUs = s.ContactVersion, s.ContactUpdatedAtUs
	r.said.LastSubmissionId = within(r.said.FirstSubmissionId, r.said.LastSubmissionId)
}

// recordOf makes a record of a contact of version 2.
func recordOf(c *schemas.Contact, number uint32) *schemas.RecordState {
	return &schemas.RecordState{
		Record: &schemas.Record{
			RecordId: c.ContactId, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName,
			Phone: c.Phone, Company: c.Company, Submissions: c.Submissions,
			LastSubmissionId: c.SubmissionId, FirstAtUs: c.CreatedAtUs, LastAtUs: c.UpdatedAtUs,
		},
		ContactNumber: int64(number), ContactVersion: c.Version, ContactUpdatedAtUs: c.UpdatedAtUs,
	}
}

// restoreRecord adds a record, and where it is told compares it anew; one without an id only takes
// its number.
func (m *Machine) restoreRecord(s *schemas.RecordState, anew bool) {
	if s.Erased {
		s.Record = &schemas.Record{}
	}
	r := &record{erased: s.Erased}
	r.take(s)
	if s.Record.RecordId == "" {
		r.contact = uint32(len(m.records.list))
		m.records.list = append(m.records.list, r)
		m.index.Restore(nil)
		return
	}
	said := s.Record
	r.words = words{
		within(said.Email, s.Email), within(said.FirstName, s.FirstName),
		within(said.LastName, s.LastName), within(said.Phone, s.Phone),
		within(said.Company, s.Company),
	}
	r.role = s.EmailRole
	if s.Rules != m.reading {
		a := m.reader.read(submissionOf(s.Record))
		r.words, r.role = wordsOf(&a), a.email.Role
	}
	m.records.add(r)
	switch {
	case anew:
		_, pairs := m.compare(r)
		for _, p := range pairs {
			m.unsettledPairs[p] = true
		}
	case m.cfg.Probabilistic:
		m.index.Restore(r.words.texts())
	default:
		m.index.Restore(nil)
	}
}

func (m *Machine) settleEdges(anew bool) {
	r, n := &m.restored, uint32(len(m.records.list))
	linked := map[pair]bool{}
	for p, s := range r.edges {
		if s == nil || p.left >= p.right || p.right >= n {
			continue
		}
		e := m.edges.of(p)
		switch {
		case anew:
			m.unsettledPairs[p] = true
		case s.Likely != nil && m.cfg.Probabilistic:
			m.index.RestoreEdge(p.left, p.right, s.Likely.Weight)
			fallthrough
		default:
			e.likely = s.Likely
		}
		e.exact, e.put = s.Exact, true
		linked[p] = true
	}
	for id, s := range r.reviews {
		if before := m.edges.reviews[id]; before != nil {
			m.edges.withdraw(before)
			for _, one := range before.rulings {
				linked[one.pair] = true
			}
		}
		one := &review{id: id, ordinal: s.GetOrdinal(), by: s.GetBy(), decidedUs: s.GetDecidedAtUs()}
		for _, ruling := range s.GetRulings() {
			if p := (pair{ruling.Left, ruling.Right}); p.left < p.right && p.right < n {
				one.rulings = append(one.rulings, ruled{p, ruling.Verdict})
				linked[p] = true
			}
		}
		if len(one.rulings) > 0 {
			m.edges.hold(one)
		}
	}
	for p := range linked {
		m.index.RestoreLink(p.left, p.right, m.edges.of(p).link())
	}
}
