package resolve

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"crumbtrail/schemas"
)

// The keys of the changelog begin with what they are of. The empty key holds the version and the
// counts.
const (
	contactPrefix = 'c' // contact_id: Contact
	visitorPrefix = 'v' // site, visitor: VisitorEdges
	recentPrefix  = 's' // segment number, big endian: 64-bit ids, little endian
	pendingPrefix = 'p' // confirmation_id: Submission
)

// stateVersion is the version of everything in the changelog. Version 1 has no pending submissions
// and the first countsOfOne counts.
const (
	stateVersion = 2
	countsOfOne  = 7
)

// About what one of each takes in memory, its keys in all maps included.
const (
	contactBytes = 1500
	visitorBytes = 500
	recentBytes  = 48
	pendingBytes = 1000
)

// Size implements stage.Machine.
func (m *Machine) Size() int64 {
	return contactBytes*int64(len(m.contacts.byID)) +
		visitorBytes*int64(len(m.identities.byVisitor)) + recentBytes*int64(len(m.recent.ids)) +
		pendingBytes*int64(len(m.pending.byID))
}

// Checkpoint implements stage.Machine.
func (m *Machine) Checkpoint(put func(key, value []byte)) {
	for _, id := range slices.Sorted(maps.Keys(m.contacts.changed)) {
		put(append([]byte{contactPrefix}, id...), mustEncode(m.contacts.byID[id].record))
	}
	for _, visitor := range slices.Sorted(maps.Keys(m.identities.changed)) {
		put(append([]byte{visitorPrefix}, visitor...), mustEncode(m.identities.byVisitor[visitor]))
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
	clear(m.contacts.changed)
	clear(m.identities.changed)
	clear(m.recent.changed)
	clear(m.pending.changed)
	value := []byte{stateVersion}
	for _, n := range m.counts.all() {
		value = binary.AppendVarint(value, *n)
	}
	put([]byte{}, value)
}

// Restore implements stage.Machine. The keys may come in any order.
func (m *Machine) Restore(key, value []byte) error {
	if len(key) == 0 {
		return m.restoreCounts(value)
	}
	rest := string(key[1:])
	switch key[0] {
	case contactPrefix:
		c := &contact{record: &schemas.Contact{}}
		if err := c.record.UnmarshalVT(value); err != nil {
			return fmt.Errorf("contact %s: %w", rest, err)
		}
		if c.record.ContactId != rest {
			return fmt.Errorf("contact %s: its state is that of %q", rest, c.record.ContactId)
		}
		m.contacts.put(c)
	case visitorPrefix:
		edges := &schemas.VisitorEdges{}
		if err := edges.UnmarshalVT(value); err != nil {
			return fmt.Errorf("edges of visitor %q: %w", rest, err)
		}
		m.identities.byVisitor[rest] = edges
	case recentPrefix:
		if len(rest) != 8 {
			return fmt.Errorf("key %q of decided submissions: want 8 bytes", rest)
		}
		return m.recent.decode(binary.BigEndian.Uint64(key[1:]), value)
	case pendingPrefix:
		s := &schemas.Submission{}
		if err := s.UnmarshalVT(value); err != nil {
			return fmt.Errorf("pending submission %s: %w", rest, err)
		}
		address := m.contacts.reader.read(s).email.Address
		m.pending.put(&waiting{id: rest, submission: s, address: address})
	default:
		return fmt.Errorf("state under the key %q is of a newer release: run the release that wrote it",
			key)
	}
	return nil
}

func (m *Machine) restoreCounts(value []byte) error {
	counts := m.counts.all()
	switch {
	case len(value) > 0 && value[0] == stateVersion:
	case len(value) > 0 && value[0] == stateVersion-1:
		counts = counts[:countsOfOne]
	default:
		return fmt.Errorf("the resolver's state has version %d, this binary reads %d: run the "+
			"release that wrote it", value[:min(1, len(value))], stateVersion)
	}
	value = value[1:]
	for _, n := range counts {
		v, size := binary.Varint(value)
		if size <= 0 {
			return fmt.Errorf("the resolver's counts are cut off")
		}
		*n, value = v, value[size:]
	}
	return nil
}

// all lists the counts in the order of the state.
func (c *Counts) all() []*int64 {
	return []*int64{
		&c.Submissions, &c.Matched, &c.Created, &c.Unresolved, &c.Duplicates, &c.Linked, &c.Bad,
		&c.Pending, &c.Confirmed, &c.Expired, &c.Spam,
	}
}
