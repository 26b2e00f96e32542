package sessionize

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"crumbtrail/schemas"
)

// Why a visit began and why it ended.
const (
	reasonFirstBeacon = "first_beacon" // no earlier visit of the visitor is remembered
	reasonGap         = "gap"
	reasonMaxVisit    = "max_visit"
	reasonMaxBeacons  = "max_beacons"
	reasonCampaign    = "campaign"
	reasonMidnight    = "midnight"
	reasonLate        = "late"
	reasonFlush       = "flush"
	reasonLinger      = "linger"
)

// reasonOf is the reason with these letters.
func reasonOf(letters []byte) string {
	switch string(letters) {
	case reasonGap:
		return reasonGap
	case reasonMaxBeacons:
		return reasonMaxBeacons
	}
	return string(letters)
}

const (
	// maxVisitorBytes bounds the open visits of one visitor, as max_beacons does, so that a
	// checkpoint of it fits the broker's usual 1 MiB for a record. A full visit of 10,000 beacons
	// takes about 600 kB.
	maxVisitorBytes = 768 << 10
	// maxClosedIDs bounds for the same reason what is remembered of a visitor's closed visits; the
	// oldest visits go first.
	maxClosedIDs = 24 << 10
	// maxVisits bounds the open visits of one visitor, and those that are remembered, so that it
	// takes microseconds to find a beacon's place among them. Only a flood of late beacons that lie
	// far apart comes near it.
	maxVisits = 256
)

// rules are a site's Rules in microseconds.
type rules struct {
	gapUS, graceUS, maxVisitUS int64
	maxBeacons                 int
	cutCampaign, cutMidnight   bool
	zone                       *time.Location
}

func newRules(r Rules) *rules {
	return &rules{
		gapUS: r.Gap.Microseconds(), graceUS: r.Grace.Microseconds(),
		maxVisitUS: r.MaxVisit.Microseconds(), maxBeacons: r.MaxBeacons,
		cutCampaign: r.CutCampaign, cutMidnight: r.CutMidnight, zone: r.zone(),
	}
}

// sessions are the visits of one partition, in terms of the domain: it is told the time, given
// beacons, and emits visits as they close. machine.go puts it behind a topic.
type sessions struct {
	defaults *rules
	sites    map[string]*rules
	windowUS int64
	lingerUS int64
	// partition is the one of the input.
	partition int32
	// emit takes each visit that closes, encoded, in order of (due, site and visitor, first beacon).
	emit func(key, value []byte)

	clock    clock
	visitors visitors
	// deadlines holds every open visit once, at a time that may lie before its true one: most
	// beacons move the deadline of a visit, and only few visits come to it.
	deadlines queue[*visit]
	// expiries holds every visitor once for each visit that closed, and maybe some that have been
	// forgotten since.
	expiries queue[*visitor]
	dirty    []*visitor
	counts   Counts
	ids      *schemas.VisitIDs
	memory   memory
	// out is where visits are written.
	out arena

	// Buffers that are reused.
	key     []byte
	closing []*visit
	fits    []*visit
	beacons []kept
	places  []place
}

func newSessions(cfg Config, partition int32, emit func(key, value []byte)) *sessions {
	s := &sessions{
		defaults: newRules(cfg.Default), sites: make(map[string]*rules, len(cfg.Sites)),
		windowUS: cfg.DedupeWindow.Microseconds(), lingerUS: cfg.LateLinger.Microseconds(),
		partition: partition, emit: emit, ids: schemas.NewVisitIDs(),
		visitors: newVisitors(0), memory: newMemory(),
	}
	for site, r := range cfg.Sites {
		s.sites[string(site)] = newRules(r)
	}
	return s
}

// hear takes in what a collector says and closes what must close by then.
func (s *sessions) hear(collector []byte, saidUS, appendMS int64) {
	before := s.clock.nowUS
	s.clock.hear(collector, saidUS, appendMS)
	if s.clock.nowUS != before {
		s.advance()
	}
}

// advance closes the visits that are due before the clock and forgets the ids whose time is up.
func (s *sessions) advance() {
	now := s.clock.nowUS
	for s.deadlines.dueBefore(now) {
		v := s.deadlines.pop()
		switch {
		case v.gone:
			s.memory.freeVisit(v)
		case v.dueUS >= now:
			s.deadlines.push(v.dueUS, v)
		default:
			s.closing = append(s.closing, v)
		}
	}
	s.closeAll(reasonGap)
	for s.expiries.dueBefore(now + 1) {
		s.expire(s.expiries.pop())
	}
}

// flush closes everything that is open and leaves the clock where it is.
func (s *sessions) flush() {
	for len(s.deadlines) > 0 {
		if v := s.deadlines.pop(); v.gone {
			s.memory.freeVisit(v)
		} else {
			s.closing = append(s.closing, v)
		}
	}
	s.closeAll(reasonFlush)
}

// closeAll closes the visits in closing, in an order that depends on nothing but them.
func (s *sessions) closeAll(end string) {
	if len(s.closing) == 0 {
		return
	}
	slices.SortFunc(s.closing, func(a, b *visit) int {
		return cmp.Or(
			cmp.Compare(a.dueUS, b.dueUS),
			strings.Compare(a.visitor.key, b.visitor.key),
			cmp.Compare(a.firstUS, b.firstUS),
			compareBools(a.late, b.late),
		)
	})
	for _, v := range s.closing {
		if v.late && end == reasonGap {
			s.close(v, reasonLinger, v.dueUS)
		} else {
			s.close(v, end, v.dueUS)
		}
		s.memory.freeVisit(v)
	}
	clear(s.closing)
	s.closing = s.closing[:0]
}

// add puts a beacon, whose collector has been heard already, where it belongs.
func (s *sessions) add(b *beacon) {
	s.counts.Beacons++
	if b.consent <= schemas.Consent_CONSENT_NONE || len(b.visitor) == 0 {
		s.counts.Counted++
		return
	}
	s.key = append(append(append(s.key[:0], b.site...), 0), b.visitor...)
	v, known := s.visitors.of[string(s.key)]
	if !known {
		v = s.memory.newVisitor(string(s.key), s.rulesOf(b.site))
		s.visitors.add(v)
	}
	id := idOf(b.eventID)
	if in, known := v.duplicate(id); known {
		s.counts.Duplicates++
		if in != nil {
			in.duplicates++
			s.touch(v)
		}
		return
	}
	s.touch(v)
	s.fit(v, b.occurredUS, false)
	late := len(s.fits) == 0 && b.occurredUS+v.rules.gapUS < s.clock.nowUS-v.rules.graceUS
	if late {
		s.counts.Late++
		s.fit(v, b.occurredUS, true)
	}
	start := s.makeRoom(v, &b.entry)
	in := s.join(v, late)
	if start != "" {
		in.start = start
	}
	s.memory.add(in, &b.entry, id)
	if in.beacons == 1 {
		s.deadlines.push(in.dueUS, in)
	}
}

func (s *sessions) rulesOf(site []byte) *rules {
	if r, ok := s.sites[string(site)]; ok {
		return r
	}
	return s.defaults
}

// touch has the visitor written at the next checkpoint.
func (s *sessions) touch(v *visitor) {
	if v.dirtyAt == 0 {
		s.dirty = append(s.dirty, v)
		v.dirtyAt = len(s.dirty)
	}
}

// forget drops a visitor of whom nothing is left and whom the checkpoints do not hold.
func (s *sessions) forget(v *visitor) {
	if len(v.open) > 0 || len(v.closed) > 0 || v.stored {
		return
	}
	if v.dirtyAt > 0 {
		last := s.dirty[len(s.dirty)-1]
		s.dirty[v.dirtyAt-1], last.dirtyAt = last, v.dirtyAt
		s.dirty[len(s.dirty)-1] = nil
		s.dirty = s.dirty[:len(s.dirty)-1]
	}
	s.visitors.remove(v)
	s.memory.freeVisitor(v)
}

// fit collects the open visits, late ones or others, that take a beacon at us, first due first.
// There are at most two, except where the gap has grown since they were opened.
func (s *sessions) fit(v *visitor, us int64, late bool) {
	s.fits = s.fits[:0]
	for _, open := range v.open {
		if open.late == late && open.takes(us) {
			s.fits = append(s.fits, open)
		}
	}
	if len(s.fits) > 1 {
		slices.SortFunc(s.fits, byDue)
	}
}

// byDue orders the open visits of one visitor. Those that are not late follow each other in time
// too, since they are due after their last beacon.
func byDue(a, b *visit) int {
	return cmp.Or(cmp.Compare(a.dueUS, b.dueUS), cmp.Compare(a.firstUS, b.firstUS))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// makeRoom closes, first due first, the visits that one beacon more would make too large, and says
// why the visit that takes the beacon begins, if that is why.
func (s *sessions) makeRoom(v *visitor, e *entry) (start string) {
	for len(s.fits) > 0 {
		beacons := 1
		for _, fit := range s.fits {
			beacons += fit.beacons
		}
		if beacons <= v.rules.maxBeacons {
			break
		}
		s.close(s.fits[0], reasonMaxBeacons, s.clock.nowUS)
		s.fits = slices.Delete(s.fits, 0, 1)
		start = reasonMaxBeacons
	}
	for len(v.open) > 0 && (v.packedBytes()+e.size() > maxVisitorBytes ||
		len(s.fits) == 0 && len(v.open) >= maxVisits) {
		first := slices.MinFunc(v.open, byDue)
		if at := slices.Index(s.fits, first); at >= 0 {
			s.fits = slices.Delete(s.fits, at, at+1)
			start = reasonMaxBeacons
		}
		s.close(first, reasonMaxBeacons, s.clock.nowUS)
	}
	return start
}

// join returns the visit that takes a beacon: the one that fits, all that fit made one, or a new
// one.
func (s *sessions) join(v *visitor, late bool) *visit {
	if len(s.fits) == 0 {
		return s.open(v, late)
	}
	into := s.fits[0]
	for _, other := range s.fits[1:] {
		s.merge(into, other)
	}
	return into
}

// open begins a visit.
func (s *sessions) open(v *visitor, late bool) *visit {
	in := s.memory.newVisit(v, late)
	if late {
		in.dueUS = s.clock.nowUS + s.lingerUS
	} else if len(v.closed) > 0 {
		in.start = reasonGap
	}
	s.counts.Open++
	return in
}

// merge moves the beacons of a visit into one that is due no later. A late visit stays due when it
// was, so that it waits no longer than from the creation of the first of the two.
func (s *sessions) merge(into, other *visit) {
	beacons, err := unpack(s.beacons[:0], other.packed)
	mustRead(err)
	s.beacons = beacons
	for i := range beacons {
		e := beacons[i].entry(other.packed)
		s.memory.add(into, &e, idOf(e.eventID))
	}
	into.duplicates += other.duplicates
	s.drop(other)
}

// drop takes a visit out of its visitor's open ones.
func (s *sessions) drop(v *visit) {
	open := v.visitor.open
	v.visitor.open = slices.Delete(open, slices.Index(open, v), slices.Index(open, v)+1)
	v.gone = true
	s.memory.empty(v)
	s.counts.Open--
}

// close puts out an open visit, cut into pieces, and remembers its ids.
func (s *sessions) close(v *visit, end string, closedUS int64) {
	s.putOut(v, end)
	for _, open := range v.visitor.open {
		if open.start == "" && !open.late && open.firstUS > v.lastUS {
			open.start = reasonGap
		}
	}
	s.remember(v.visitor, closedVisit{ids: s.memory.takeIDs(v), closedUS: closedUS})
	s.drop(v)
	s.touch(v.visitor)
}

// remember keeps the ids of a closed visit for the dedupe window, within the bounds.
func (s *sessions) remember(v *visitor, closed closedVisit) {
	s.memory.addClosed(v, closed)
	s.expiries.push(closed.closedUS+s.windowUS, v)
	ids := 0
	for i := range v.closed {
		ids += len(v.closed[i].ids)
	}
	for len(v.closed) > 1 && (ids > maxClosedIDs || len(v.closed) > maxVisits) {
		ids -= len(v.closed[0].ids)
		s.memory.freeIDs(v.closed[0].ids)
		v.closed = slices.Delete(v.closed, 0, 1)
	}
}

// expire forgets the closed visits whose window is over.
func (s *sessions) expire(v *visitor) {
	before := len(v.closed)
	v.closed = slices.DeleteFunc(v.closed, func(c closedVisit) bool {
		over := c.closedUS+s.windowUS <= s.clock.nowUS
		if over {
			s.memory.freeIDs(c.ids)
		}
		return over
	})
	if len(v.closed) != before {
		s.touch(v)
		s.forget(v)
	}
}
