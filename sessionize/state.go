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

// checkpoint puts the state of each visitor that has changed, and that of the partition under the
// empty key. Nothing is left of a visitor without open visits and ids.
func (s *sessions) checkpoint(put func(key, value []byte)) error {
	for _, v := range s.dirty {
		v.dirty = false
		if len(v.open) == 0 && len(v.closed) == 0 {
			delete(s.visitors, v.key)
			put([]byte(v.key), nil)
			continue
		}
		value, err := v.state().MarshalVT()
		if err != nil {
			return fmt.Errorf("state of visitor %q: %w", v.key, err)
		}
		put([]byte(v.key), value)
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	value, err := s.state().MarshalVT()
	if err != nil {
		return fmt.Errorf("state of the partition: %w", err)
	}
	put([]byte{}, value)
	return nil
}

func (v *visitor) state() *schemas.VisitorState {
	state := &schemas.VisitorState{}
	for _, open := range v.open {
		to := &schemas.OpenVisit{
			Beacons: open.packed, Duplicates: open.duplicates, Late: open.late,
			StartReason: open.start,
		}
		if open.late {
			to.LingerUntilUs = open.dueUS
		}
		state.Open = append(state.Open, to)
	}
	for _, closed := range v.closed {
		state.Closed = append(state.Closed,
			&schemas.ClosedVisit{Ids: closed.ids, ClosedAtUs: closed.closedUS})
	}
	return state
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

// restore loads one key of a checkpoint; the keys may come in any order.
func (s *sessions) restore(key, value []byte) error {
	if len(key) == 0 {
		return s.restorePartition(value)
	}
	site, _, ok := schemas.SplitVisitorKey(key)
	if !ok {
		return errors.New("not a key of site and visitor")
	}
	var state schemas.VisitorState
	if err := state.UnmarshalVT(value); err != nil {
		return err
	}
	v := &visitor{key: string(key), rules: s.rulesOf(string(site))}
	for _, from := range state.Open {
		open, err := s.restoreVisit(v, from)
		if err != nil {
			return err
		}
		v.open = append(v.open, open)
		s.deadlines.push(open.dueUS, open)
		s.counts.Open++
	}
	for _, from := range state.Closed {
		v.closed = append(v.closed, closedVisit{ids: from.Ids, closedUS: from.ClosedAtUs})
		s.expiries.push(from.ClosedAtUs+s.windowUS, v)
	}
	s.visitors[v.key] = v
	return nil
}

func (s *sessions) restorePartition(value []byte) error {
	var state schemas.PartitionState
	if err := state.UnmarshalVT(value); err != nil {
		return err
	}
	if state.Version != stateVersion {
		return fmt.Errorf("it has format %d, this binary reads format %d: run the release that "+
			"wrote it", state.Version, stateVersion)
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

func (s *sessions) restoreVisit(of *visitor, from *schemas.OpenVisit) (*visit, error) {
	v := &visit{
		visitor: of, packed: bytes.Clone(from.Beacons), duplicates: from.Duplicates,
		late: from.Late, start: from.StartReason,
	}
	entries, err := unpack(s.entries[:0], v.packed)
	if err != nil {
		return nil, fmt.Errorf("beacons of an open visit: %w", err)
	}
	if len(entries) == 0 {
		return nil, errors.New("an open visit without beacons")
	}
	s.entries = entries
	for i := range entries {
		v.grow(&entries[i], idOf(entries[i].eventID))
	}
	for at := 0; at < len(v.packed); {
		message, size := protowire.ConsumeBytes(v.packed[at:])
		at += size
		v.locate(message, at-len(message), sameOf(message))
	}
	if v.late {
		v.dueUS = from.LingerUntilUs
	}
	return v, nil
}
