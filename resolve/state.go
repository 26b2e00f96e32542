package resolve

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"crumbtrail/schemas"
)

// The keys of the changelog begin with what they are of. The empty key holds the version, the
// counts, and what the records were compared by.
const (
	recordPrefix  = 'r' // number, big endian: RecordState
	edgePrefix    = 'e' // both numbers, big endian: PairState
	reviewPrefix  = 'w' // submission_id: ReviewState
	visitorPrefix = 'v' // site, visitor: VisitorEdges
	recentPrefix  = 's' // segment number, big endian: 64-bit ids, little endian
	pendingPrefix = 'p' // confirmation_id: Submission
	contactPrefix = 'c' // contact_id: Contact, in version 2
)

// stateVersion is the version of everything in the changelog. Version 3 knows no erased records and
// counts none; version 2 has contacts in the place of records.
const (
	stateVersion  = 4
	oldestVersion = 2
)

// countsOf is how many counts an older version has.
var countsOf = map[byte]int{2: 11, 3: 19}

// About what one of each takes in memory, its keys in all maps included.
const (
	recordBytes  = 1350
	edgeBytes    = 500
	visitorBytes = 550
	recentBytes  = 48
	pendingBytes = 1000
)

// Size implements stage.Machine.
func (m *Machine) Size() int64 {
	records, edges := len(m.records.list), len(m.edges.byPair)
	records += len(m.restored.records) + len(m.restored.contacts)
	edges += len(m.restored.edges)
	recent := len(m.recent.segments) * m.recent.length
	return recordBytes*int64(records) + edgeBytes*int64(edges) +
		visitorBytes*int64(len(m.identities.byVisitor)) + recentBytes*int64(recent) +
		pendingBytes*int64(len(m.pending.byID))
}

// Checkpoint implements stage.Machine.
func (m *Machine) Checkpoint(put func(key, value []byte)) {
	m.settle()
	for _, i := range slices.Sorted(maps.Keys(m.records.changed)) {
		put(recordKey(i), mustEncode(m.recordState(i)))
	}
	for _, p := range slices.SortedFunc(maps.Keys(m.edges.changed), comparePairs) {
		var value []byte
		if e := m.edges.byPair[p]; e != nil { // also one that says nothing any more
			value = mustEncode(&schemas.PairState{Likely: e.likely, Exact: e.exact})
		}
		put(edgeKey(p), value)
	}
	for _, id := range slices.Sorted(maps.Keys(m.edges.changedReviews)) {
		var value []byte
		if r := m.edges.reviews[id]; r != nil {
			value = mustEncode(r.state())
		}
		put(append([]byte{reviewPrefix}, id...), value)
	}
	for _, id := range m.records.gone {
		put(append([]byte{contactPrefix}, id...), nil)
	}
	m.records.gone = nil
	for _, visitor := range slices.Sorted(maps.Keys(m.identities.changed)) {
		var value []byte
		if edges := m.identities.byVisitor[visitor]; edges != nil {
			value = mustEncode(edges)
		}
		put(append([]byte{visitorPrefix}, visitor...), value)
	}
	for _, segment := range slices.Sorted(maps.Keys(m.recent.changed)) {
		put(binary.BigEndian.AppendUint64([]byte{recentPrefix}, segment), m.recent.encode(segment))
	}
	for _, id := range slices.Sorted(maps.Keys(m.pending.changed)) {
		var value []byte
		if w := m.pending.byID[id]; w != nil {
			value = mustEncode(w.submission)
		}
		put(append([]byte{pendingPrefix}, id...), value)
	}
	clear(m.records.changed)
	clear(m.edges.changed)
	clear(m.edges.changedReviews)
	clear(m.identities.changed)
	clear(m.recent.changed)
	clear(m.pending.changed)
	value := []byte{stateVersion}
	for _, n := range m.counts.all() {
		value = binary.AppendVarint(value, *n)
	}
	put([]byte{}, append(value, m.comparedBy...))
}

func comparePairs(a, b pair) int {
	return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
}

func recordKey(i uint32) []byte { return binary.BigEndian.AppendUint32([]byte{recordPrefix}, i) }

func edgeKey(p pair) []byte {
	key := binary.BigEndian.AppendUint32([]byte{edgePrefix}, p.left)
	return binary.BigEndian.AppendUint32(key, p.right)
}

func (m *Machine) recordState(i uint32) *schemas.RecordState {
	r := m.records.list[i]
	w := &r.words
	return &schemas.RecordState{
		Record: r.said, Email: w.email, EmailRole: r.role, FirstName: w.firstName,
		LastName: w.lastName, Phone: w.phone, Company: w.company, Rules: m.reading,
		LastSubmission: r.last, ContactNumber: int64(r.contact), ContactVersion: r.version,
		ContactUpdatedAtUs: r.updatedUs, Erased: r.erased,
	}
}

func (r *review) state() *schemas.ReviewState {
	s := &schemas.ReviewState{
		SubmissionId: r.id, Ordinal: r.ordinal, By: r.by, DecidedAtUs: r.decidedUs,
	}
	for _, one := range r.rulings {
		s.Rulings = append(s.Rulings, &schemas.Ruling{
			Left: one.left, Right: one.right, Verdict: one.verdict,
		})
	}
	return s
}

// Restore implements stage.Machine. The keys may come in any order; of one that comes again the
// last value counts, and nil is what is no more.
func (m *Machine) Restore(key, value []byte) error {
	if len(key) == 0 {
		return m.restoreCounts(value)
	}
	rest := string(key[1:])
	switch key[0] {
	case recordPrefix, edgePrefix, reviewPrefix, contactPrefix:
		return m.restored.take(key[0], key[1:], value)
	case visitorPrefix:
		if value == nil {
			delete(m.identities.byVisitor, rest)
			return nil
		}
		edges := &schemas.VisitorEdges{}
		if err := edges.UnmarshalVT(value); err != nil {
			return fmt.Errorf("edges of visitor %q: %w", rest, err)
		}
		for _, e := range edges.Edges {
			e.RecordId = cmp.Or(e.RecordId, e.ContactId) // version 2: the record is the contact
			e.ContactId = within(e.RecordId, e.ContactId)
			e.Site, e.VisitorId = within(rest, e.Site), within(rest, e.VisitorId)
		}
		m.identities.byVisitor[rest] = edges
	case recentPrefix:
		if len(rest) != 8 {
			return fmt.Errorf("key %q of decided submissions: want 8 bytes", rest)
		}
		return m.recent.decode(binary.BigEndian.Uint64(key[1:]), bytes.Clone(value))
	case pendingPrefix:
		return m.restorePending(rest, value)
	default:
		return fmt.Errorf("state under the key %q is of a newer release: run the release that wrote it",
			key)
	}
	return nil
}

func (m *Machine) restorePending(id string, value []byte) error {
	m.pending.take(id)
	delete(m.pending.changed, id)
	if value == nil {
		return nil
	}
	s := &schemas.Submission{}
	if err := s.UnmarshalVT(value); err != nil {
		return fmt.Errorf("pending submission %s: %w", id, err)
	}
	address := m.reader.read(s).email.Address
	m.pending.put(&waiting{id: id, submission: s, address: address})
	return nil
}

func (m *Machine) restoreCounts(value []byte) error {
	counts := m.counts.all()
	switch {
	case len(value) == 0, value[0] < oldestVersion, value[0] > stateVersion:
		return fmt.Errorf("the resolver's state has version %d, this binary reads %d to %d: run the "+
			"release that wrote it", value[:min(1, len(value))], oldestVersion, stateVersion)
	case value[0] < stateVersion:
		counts = counts[:countsOf[value[0]]]
	}
	value = value[1:]
	for _, n := range counts {
		v, size := binary.Varint(value)
		if size <= 0 {
			return fmt.Errorf("the resolver's counts are cut off")
		}
		*n, value = v, value[size:]
	}
	m.comparedBy = string(value)
	return nil
}
