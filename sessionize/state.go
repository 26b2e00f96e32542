package sessionize

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"crumbtrail/schemas"
)

// stateVersion is the version of VisitorState and PartitionState.
const stateVersion = 1

// The numbers of the fields of VisitorState, OpenVisit and ClosedVisit.
const (
	stateOpen   = 1
	stateClosed = 2

	openBeacons    = 1
	openDuplicates = 2
	openLate       = 3
	openLinger     = 4
	openStart      = 5

	closedIDs = 1
	closedAt  = 2
)

// checkpoint puts the state of each visitor that has changed, and that of the partition under the
// empty key. Nothing is left of a visitor without open visits and ids.
func (s *sessions) checkpoint(put func(key, value []byte)) error {
	var out arena
	for _, v := range s.dirty {
		v.dirtyAt = 0
		key := out.key(v.key)
		v.stored = len(v.open) > 0 || len(v.closed) > 0
		if !v.stored {
			put(key, nil)
			s.forget(v)
			continue
		}
		put(key, out.take(v.appendState(out.room(v.stateSize()))))
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	s.trim()
	value, err := s.state().MarshalVT()
	if err != nil {
		return fmt.Errorf("state of the partition: %w", err)
	}
	put([]byte{}, value)
	return nil
}

func (s *sessions) state() *schemas.PartitionState {
	state := &schemas.PartitionState{
		Version: stateVersion, ClockUs: s.clock.nowUS,
		Counts: &schemas.SessionizeCounts{
			Beacons: s.counts.Beacons, Counted: s.counts.Counted, Late: s.counts.Late,
			Duplicates: s.counts.Duplicates, Bad: s.counts.Bad, Visits: s.counts.Visits,
		},
	}
	for _, c := range s.clock.collectors {
		state.Collectors = append(state.Collectors, &schemas.CollectorClock{
			Collector: c.name, ClockUs: c.saidUS, HeardAtMs: c.heardAtMS,
		})
	}
	return state
}

// stateSize is the length of what appendState appends.
func (v *visitor) stateSize() (size int) {
	for _, open := range v.open {
		size += sizeMessage(stateOpen, open.stateSize())
	}
	for i := range v.closed {
		size += sizeMessage(stateClosed, v.closed[i].stateSize())
	}
	return size
}

// appendState appends a schemas.VisitorState.
func (v *visitor) appendState(to []byte) []byte {
	for _, open := range v.open {
		to = appendHead(to, stateOpen, open.stateSize())
		to = appendBytes(to, openBeacons, open.packed)
		to = appendVarint(to, openDuplicates, uint64(open.duplicates))
		to = appendBool(to, openLate, open.late)
		to = appendVarint(to, openLinger, open.lingerUS())
		to = appendText(to, openStart, open.start)
	}
	for _, closed := range v.closed {
		to = appendHead(to, stateClosed, closed.stateSize())
		if len(closed.ids) > 0 {
			to = appendHead(to, closedIDs, idBytes*len(closed.ids))
		}
		for _, id := range closed.ids {
			to = protowire.AppendFixed64(to, id)
		}
		to = appendVarint(to, closedAt, uint64(closed.closedUS))
	}
	return to
}

func (v *visit) stateSize() int {
	return sizeBytes(openBeacons, len(v.packed)) +
		sizeVarint(openDuplicates, uint64(v.duplicates)) +
		sizeVarint(openLate, protowire.EncodeBool(v.late)) +
		sizeVarint(openLinger, v.lingerUS()) + sizeBytes(openStart, len(v.start))
}

// lingerUS is until when a late visit waits. What another one waits for follows from its beacons.
func (v *visit) lingerUS() uint64 {
	if v.late {
		return uint64(v.dueUS)
	}
	return 0
}

func (c *closedVisit) stateSize() int {
	return sizeBytes(closedIDs, idBytes*len(c.ids)) + sizeVarint(closedAt, uint64(c.closedUS))
}

// restore loads one key of a checkpoint; the keys may come in any order, each once.
func (s *sessions) restore(key, value []byte) error {
	if len(key) == 0 {
		return s.restorePartition(value)
	}
	site, _, ok := bytes.Cut(key, []byte{0})
	if !ok {
		return errors.New("not a key of site and visitor")
	}
	v := s.memory.newVisitor(string(key), s.rulesOf(site))
	v.stored = true
	state := scan{rest: value}
	for state.next() {
		var err error
		switch state.number {
		case stateOpen:
			err = s.restoreOpen(v, state.inner())
		case stateClosed:
			err = s.restoreClosed(v, state.inner())
		}
		if err != nil {
			return err
		}
	}
	s.visitors.add(v)
	return state.err
}

func (s *sessions) restoreOpen(of *visitor, from scan) error {
	var packed, start []byte
	var duplicates, late, lingerUS int64
	for from.next() {
		switch from.number {
		case openBeacons:
			from.bytes(&packed)
		case openDuplicates:
			from.int64(&duplicates)
		case openLate:
			from.int64(&late)
		case openLinger:
			from.int64(&lingerUS)
		case openStart:
			from.bytes(&start)
		}
	}
	if from.err != nil {
		return from.err
	}
	v, err := s.restoreVisit(of, packed, late != 0)
	if err != nil {
		return err
	}
	v.duplicates, v.start = duplicates, reasonOf(start)
	if v.late {
		v.dueUS = lingerUS
	}
	s.deadlines.push(v.dueUS, v)
	s.counts.Open++
	return nil
}

// restoreVisit opens a visit with beacons that were packed before.
func (s *sessions) restoreVisit(of *visitor, packed []byte, late bool) (*visit, error) {
	beacons, err := unpack(s.beacons[:0], packed)
	if err != nil {
		return nil, fmt.Errorf("beacons of an open visit: %w", err)
	}
	if len(beacons) == 0 {
		return nil, errors.New("an open visit without beacons")
	}
	s.beacons = beacons
	v := s.memory.newVisit(of, late)
	s.memory.fill(v, packed, beacons)
	return v, nil
}

func (s *sessions) restoreClosed(of *visitor, from scan) error {
	var ids []byte
	var closedUS int64
	for from.next() {
		switch from.number {
		case closedIDs:
			from.bytes(&ids)
		case closedAt:
			from.int64(&closedUS)
		}
	}
	if from.err != nil {
		return from.err
	}
	s.memory.restoreClosed(of, ids, closedUS)
	s.expiries.push(closedUS+s.windowUS, of)
	return nil
}

func (s *sessions) restorePartition(value []byte) error {
	var state schemas.PartitionState
	if err := state.UnmarshalVT(value); err != nil {
		return err
	}
	if err := checkVersion(state.Version); err != nil {
		return err
	}
	s.clock.nowUS = state.ClockUs
	for _, c := range state.Collectors {
		s.clock.collectors = append(s.clock.collectors,
			collector{name: c.Collector, saidUS: c.ClockUs, heardAtMS: c.HeardAtMs})
	}
	counts := state.GetCounts()
	s.counts.Beacons, s.counts.Counted = counts.GetBeacons(), counts.GetCounted()
	s.counts.Duplicates, s.counts.Late = counts.GetDuplicates(), counts.GetLate()
	s.counts.Bad, s.counts.Visits = counts.GetBad(), counts.GetVisits()
	return nil
}

func checkVersion(version uint32) error {
	if version != stateVersion {
		return fmt.Errorf("it has format %d, this binary reads format %d: run the release that "+
			"wrote it", version, stateVersion)
	}
	return nil
}
