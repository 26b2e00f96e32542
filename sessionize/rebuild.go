package sessionize

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"crumbtrail/schemas"
)

// Span is a time with its first and its last moment, in microseconds since the epoch.
type Span struct{ FirstUS, LastUS int64 }

// Always is a span that everything is in.
func Always() Span { return Span{math.MinInt64 / 4, math.MaxInt64 / 4} }

func (s Span) has(us int64) bool { return s.FirstUS <= us && us <= s.LastUS }

// near says whether two spans leave no gap longer than gapUS between them.
func (s Span) near(other Span, gapUS int64) bool {
	return other.FirstUS <= s.LastUS+gapUS && s.FirstUS <= other.LastUS+gapUS
}

// Join makes the span as long as it takes to hold another one.
func (s Span) Join(other Span) Span {
	return Span{min(s.FirstUS, other.FirstUS), max(s.LastUS, other.LastUS)}
}

// ErrReach means that a visit reaches out of what was given of its visitor's beacons.
var ErrReach = errors.New("a visit reaches beyond the beacons at hand")

// Rebuilder makes visits again of beacons that are all there. They come out as Machine would have
// put them out, had every beacon come when it happened: it is the same code, whose clock says when
// the beacon at hand happened. Nothing is late then, and max_beacons counts in order of time.
//
// For each visitor: Begin, Add for each beacon in order of (occurred_at, event id), End.
type Rebuilder struct {
	// days is what is rebuilt, known the time of which every beacon is given.
	days, known Span
	sessions    *sessions
	reads       beacon

	// Of the visitor.
	rules *rules
	open  *Span
	old   []*schemas.Visit // those whose stretch is not known yet
	// missing holds the events that visits begin or end with and that were not given so far.
	missing   map[string]bool
	stretches []Stretch
	fresh     []*schemas.Visit
}

// NewRebuilder rebuilds visits of one partition that have a beacon in days.
func NewRebuilder(cfg Config, partition int32, days, known Span) *Rebuilder {
	r := &Rebuilder{days: days, known: known, missing: map[string]bool{}}
	r.sessions = newSessions(cfg, partition, func(_, value []byte) {
		v := &schemas.Visit{}
		mustRead(v.UnmarshalVT(value))
		r.fresh = append(r.fresh, v)
	})
	return r
}

// Fate says what became of a stretch.
type Fate int

const (
	// Rebuilt: New is what its beacons make.
	Rebuilt Fate = iota
	// StillOpen: a visit of it has not come out yet, so it stays as it is.
	StillOpen
	// Incomplete: beacons that its visits begin or end with are not there, so it stays as it is.
	Incomplete
)

// Stretch is what hangs together of one visitor's beacons and visits, with a longer gap than the
// site's before and after it. Visits of one stretch have no beacon in another one.
type Stretch struct {
	Span
	Fate Fate
	// Old are the visits as they stand, New as they should, both in order.
	Old, New []*schemas.Visit
	// inDays is true where one of its beacons or visits is in the days that are rebuilt.
	inDays bool
}

// Begin begins a visitor, of whom visits stand, in order of start and without a rebuild's id. open
// holds the beacons of those that have not come out yet, nil where there are none.
func (r *Rebuilder) Begin(
	site schemas.Site, visitor schemas.VisitorID, old []*schemas.Visit, open *Span,
) {
	r.rules = r.sessions.rulesOf([]byte(site))
	r.reads.site, r.reads.visitor = []byte(site), []byte(visitor)
	r.old, r.open = old, open
	r.stretches, r.fresh = nil, nil
	clear(r.missing)
	for _, v := range old {
		r.missing[v.FirstEventId], r.missing[v.LastEventId] = true, true
	}
	r.sessions.clock.nowUS = 0
}

// Add takes the visitor's next beacon. Where the sessionizer would have refused it, it is in no
// visit.
func (r *Rebuilder) Add(b *schemas.Beacon, offset int64) error {
	if err := r.read(b, offset); err != nil {
		return err
	}
	if r.reads.check().reason != "" {
		return nil
	}
	delete(r.missing, b.EventId)
	r.place(b.OccurredAtUs)
	in := r.extend(Span{b.OccurredAtUs, b.OccurredAtUs})
	in.inDays = in.inDays || r.days.has(b.OccurredAtUs)
	r.moveTo(b.OccurredAtUs)
	r.sessions.add(&r.reads)
	return nil
}

func (r *Rebuilder) read(b *schemas.Beacon, offset int64) (err error) {
	r.reads.receivedUS = b.OccurredAtUs
	r.reads.entry = entry{
		eventID: []byte(b.EventId), kind: b.Type, consent: b.Consent, occurredUS: b.OccurredAtUs,
		engagedMS: b.EngagedMs, offset: offset,
	}
	text := &r.reads.text
	text[textURL], text[textReferrer] = []byte(b.Url), []byte(b.Referrer)
	text[textChannel] = []byte(b.Channel)
	if b.Campaign != nil {
		text[textCampaign], err = b.Campaign.MarshalVT()
	}
	if b.Agent != nil && err == nil {
		text[textAgent], err = b.Agent.MarshalVT()
	}
	if err != nil {
		return fmt.Errorf("beacon %q: %w", b.EventId, err)
	}
	return nil
}

// moveTo has the sessionizer's clock say a time, which closes the visits that are over by then.
func (r *Rebuilder) moveTo(us int64) {
	r.sessions.clock.nowUS = us
	r.sessions.advance()
}

// place puts the visits that began by a time into their stretches.
func (r *Rebuilder) place(us int64) {
	for len(r.old) > 0 && r.old[0].StartedAtUs <= us {
		v := r.old[0]
		r.old = r.old[1:]
		in := r.extend(Span{v.StartedAtUs, v.EndedAtUs})
		in.Old = append(in.Old, v)
		in.inDays = in.inDays || r.days.has(v.StartedAtUs)
	}
}

// extend returns the stretch that a span belongs to. Spans come in order of their first moment.
func (r *Rebuilder) extend(s Span) *Stretch {
	if n := len(r.stretches); n == 0 || !r.stretches[n-1].near(s, r.rules.gapUS) {
		r.stretches = append(r.stretches, Stretch{Span: s})
	}
	last := &r.stretches[len(r.stretches)-1]
	last.Span = last.Join(s)
	return last
}

// End returns the visitor's stretches that are in the days. It is ErrReach where one of them may go
// on outside of what is known.
func (r *Rebuilder) End() ([]Stretch, error) {
	last := Always().LastUS
	r.place(last)
	r.moveTo(last)
	// One that is full closes before one that began earlier and still waits for its grace.
	slices.SortStableFunc(r.fresh, func(a, b *schemas.Visit) int {
		return cmp.Compare(a.StartedAtUs, b.StartedAtUs)
	})
	at := 0
	for _, v := range r.fresh {
		for !r.stretches[at].has(v.StartedAtUs) {
			at++
		}
		r.stretches[at].New = append(r.stretches[at].New, v)
	}
	r.stretches = slices.DeleteFunc(r.stretches, func(s Stretch) bool { return !s.inDays })
	for i := range r.stretches {
		s := &r.stretches[i]
		switch {
		case r.open != nil && s.near(*r.open, r.rules.gapUS):
			s.Fate = StillOpen
		case r.reachesOut(s):
			return nil, ErrReach
		case slices.ContainsFunc(s.Old, func(v *schemas.Visit) bool {
			return r.missing[v.FirstEventId] || r.missing[v.LastEventId]
		}):
			s.Fate = Incomplete
		default:
			s.countDuplicates()
			continue
		}
		s.New = s.Old
	}
	return r.stretches, nil
}

// reachesOut says whether a stretch may go on outside of what is known. Why its first visit began
// depends also on whether one that ended before is remembered.
func (r *Rebuilder) reachesOut(s *Stretch) bool {
	remembered := r.rules.gapUS + r.rules.graceUS + r.sessions.windowUS
	return s.FirstUS-remembered < r.known.FirstUS || s.LastUS+r.rules.gapUS > r.known.LastUS
}

// countDuplicates moves what is known of beacons that came again to the new visits. The beacons at
// hand are there once each: what the old visits counted stays with the visit that has their first
// beacon, and a late visit that was nothing but copies turns into duplicates.
func (s *Stretch) countDuplicates() {
	if len(s.New) == 0 {
		return
	}
	beacons, again := int64(0), int64(0)
	for _, v := range s.New {
		beacons += v.Beacons
		again += v.Duplicates
		v.Duplicates = 0
	}
	copies := s.New[0]
	for _, v := range s.Old {
		in := s.uncut(v.StartedAtUs)
		in.Duplicates += v.Duplicates
		again -= v.Duplicates
		beacons -= v.Beacons
		if v.Late {
			copies = in
		}
	}
	copies.Duplicates += max(0, -beacons, again)
}

// uncut returns the new visit that the duplicates of one that began at a time stand on: of a visit
// that was cut, they stand on the first piece.
func (s *Stretch) uncut(us int64) *schemas.Visit {
	at := 0
	for at+1 < len(s.New) && s.New[at+1].StartedAtUs <= us {
		at++
	}
	for ; at > 0; at-- {
		switch s.New[at].StartReason {
		case reasonMaxVisit, reasonCampaign, reasonMidnight:
			continue
		}
		break
	}
	return s.New[at]
}

// Change is a visit before and after: nil before where it is new, nil after where it is gone.
type Change struct{ Old, New *schemas.Visit }

// Changes lists the visits that are others now, those that are gone first.
func (s *Stretch) Changes() (changes []Change) {
	old := map[string]*schemas.Visit{}
	for _, v := range s.Old {
		old[v.VisitId] = v
	}
	for _, v := range s.New {
		before := old[v.VisitId]
		delete(old, v.VisitId)
		if before == nil || !same(before, v) {
			changes = append(changes, Change{Old: before, New: v})
		}
	}
	var gone []Change
	for _, v := range s.Old {
		if old[v.VisitId] != nil {
			gone = append(gone, Change{Old: v})
		}
	}
	return append(gone, changes...)
}

// same says whether two versions of a visit say the same.
func same(a, b *schemas.Visit) bool {
	x, err := a.MarshalVT()
	mustWrite(err)
	y, err := b.MarshalVT()
	mustWrite(err)
	return bytes.Equal(x, y)
}

// OpenSpan reads what the checkpoints hold of one visitor: the span of the beacons in open visits,
// nil where there are none. Under the empty key they hold their format, which it looks at.
func OpenSpan(key, value []byte) (open *Span, err error) {
	if len(key) == 0 {
		var state schemas.PartitionState
		if err := state.UnmarshalVT(value); err != nil {
			return nil, err
		}
		return nil, checkVersion(state.Version)
	}
	state := scan{rest: value}
	for state.next() {
		if state.number != stateOpen {
			continue
		}
		inner := state.inner()
		for inner.next() {
			if inner.number != openBeacons {
				continue
			}
			var packed []byte
			inner.bytes(&packed)
			beacons, err := unpack(nil, packed)
			if err != nil {
				return nil, err
			}
			for i := range beacons {
				at := Span{beacons[i].occurredUS, beacons[i].occurredUS}
				if open != nil {
					at = at.Join(*open)
				}
				open = &at
			}
		}
		if inner.err != nil {
			return nil, inner.err
		}
	}
	return open, state.err
}
