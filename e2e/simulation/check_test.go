package simulation

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

// expected is what should come out, computed from the log at once and without the stages' code.
type expected struct {
	ids        map[string]bool // of all beacons
	beacons    int
	counted    int
	duplicates int
	// late has the visitors with a beacon that came behind the watermark, as one may whose request the
	// collector had given up: whether it joins a visit depends on whether that has closed.
	late      map[string]bool
	visits    []string
	byVisitor map[string]int // beacons without duplicates
	decisions []string
	emails    map[string]bool
}

// inVisits is how many beacons are in visits.
func (e *expected) inVisits() int { return e.beacons - e.counted - e.duplicates }

// expect computes what should come of what is in the log.
func (w *world) expect(client *kafka.Client) *expected {
	want := &expected{
		ids: map[string]bool{}, late: map[string]bool{}, byVisitor: map[string]int{},
		emails: map[string]bool{},
	}
	visitors := map[string][]*schemas.Beacon{}
	seen := map[string]bool{}
	var clock int64
	last := int32(-1)
	gap, grace := rules().Default.Gap.Microseconds(), rules().Default.Grace.Microseconds()
	for p, r := range each(w.read(client, schemas.Beacons)) {
		if p != last {
			clock, last = 0, p
		}
		var record schemas.BeaconRecord
		if err := record.UnmarshalVT(r.Value); err != nil {
			w.problem("beacons partition %d offset %d: %v", p, r.Offset, err)
			continue
		}
		if tick := record.GetTick(); tick != nil {
			clock = max(clock, min(tick.LowUs, r.Timestamp*1000+30_000_000))
			continue
		}
		b := record.GetBeacon()
		want.beacons++
		want.ids[b.EventId] = true
		clock = max(clock, min(b.ClockUs, r.Timestamp*1000+30_000_000))
		if b.VisitorId == "" {
			want.counted++
			continue
		}
		if seen[b.VisitorId+" "+b.EventId] {
			want.duplicates++
			continue
		}
		seen[b.VisitorId+" "+b.EventId] = true
		if b.OccurredAtUs < clock-grace {
			want.late[b.VisitorId] = true
		}
		visitors[b.VisitorId] = append(visitors[b.VisitorId], b)
		want.byVisitor[b.VisitorId]++
	}
	for _, own := range visitors {
		slices.SortFunc(own, func(a, b *schemas.Beacon) int {
			return cmp.Or(cmp.Compare(a.OccurredAtUs, b.OccurredAtUs), cmp.Compare(a.EventId, b.EventId))
		})
		from := 0
		for i := 1; i <= len(own); i++ {
			if i == len(own) || own[i].OccurredAtUs-own[i-1].OccurredAtUs > gap {
				want.visits = append(want.visits, visit(own[0].VisitorId, own[from].OccurredAtUs,
					own[i-1].OccurredAtUs, i-from, own[from].EventId, own[i-1].EventId))
				from = i
			}
		}
	}
	w.expectDecisions(client, want)
	return want
}

func (w *world) expectDecisions(client *kafka.Client, want *expected) {
	seen := map[string]bool{}
	for _, r := range each(w.read(client, schemas.Submissions)) {
		var s schemas.Submission
		if err := s.UnmarshalVT(r.Value); err != nil {
			w.problem("submissions offset %d: %v", r.Offset, err)
			continue
		}
		id := s.VisitorId + " " + s.SubmissionId
		if !seen[id] {
			seen[id] = true
			want.decisions = append(want.decisions, id)
			want.emails[s.Email] = true
		}
	}
}

// visit is a visit as a line that can be compared.
func visit(visitor string, from, to int64, beacons int, first, last string) string {
	return fmt.Sprintf("%s %d-%d %d %s %s", visitor, from, to, beacons, first, last)
}

// check compares what came out with what should have. All instances have stopped.
func (w *world) check(client *kafka.Client, seen *watch, e *edge, r *result) {
	want := w.expect(client)
	r.beacons, r.visits, r.decided = want.beacons, len(want.visits), len(want.decisions)
	r.late = len(want.late)
	for id := range e.acked {
		if !want.ids[id] {
			w.problem("beacon %s was acknowledged and is not in the log", id)
		}
	}
	for id := range want.ids {
		if !e.sent[id] {
			w.problem("beacon %s is in the log and nobody sent it", id)
		}
	}
	for _, topic := range watched() {
		w.checkSeen(topic, seen.seen[string(topic)], w.read(client, topic))
	}
	w.checkVisits(want, seen.seen[string(schemas.Visits)])
	w.checkDecisions(want, seen)
	w.checkState(client, want)
}

// checkSeen finds what a reader saw during the run and is not there any more, or the reverse.
func (w *world) checkSeen(topic schemas.Topic, seen, now map[int32][]kafka.Record) {
	for p, records := range now {
		same := slices.EqualFunc(records, seen[p], func(a, b kafka.Record) bool {
			return a.Offset == b.Offset && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
		})
		if !same {
			w.problem("%s partition %d: a reader saw %d records during the run, there are %d now",
				topic, p, len(seen[p]), len(records))
		}
	}
}

// checkVisits holds the visits against those of the log. Of visitors with late beacons only the
// number of beacons is known.
func (w *world) checkVisits(want *expected, seen map[int32][]kafka.Record) {
	var got []string
	ids := map[string]bool{}
	sums := map[string]int{}
	for _, r := range each(seen) {
		var v schemas.Visit
		if err := v.UnmarshalVT(r.Value); err != nil {
			w.problem("visit at offset %d: %v", r.Offset, err)
			continue
		}
		if ids[v.VisitId] {
			w.problem("visit %s of %s is there twice", v.VisitId, v.VisitorId)
		}
		ids[v.VisitId] = true
		sums[v.VisitorId] += int(v.Beacons)
		got = append(got, visit(v.VisitorId, v.StartedAtUs, v.EndedAtUs, int(v.Beacons), v.FirstEventId,
			v.LastEventId))
	}
	late := func(line string) bool { return want.late[line[:bytes.IndexByte([]byte(line), ' ')]] }
	w.compare("visit", slices.DeleteFunc(want.visits, late), slices.DeleteFunc(got, late))
	for visitor, n := range want.byVisitor {
		if sums[visitor] != n {
			w.problem("visitor %s has %d beacons in visits, and %d in the log", visitor, sums[visitor], n)
		}
	}
}

func (w *world) checkDecisions(want *expected, seen *watch) {
	var got []string
	contacts := map[string]bool{}
	for _, r := range each(seen.seen[string(schemas.Decisions)]) {
		var d schemas.Decision
		if err := d.UnmarshalVT(r.Value); err != nil {
			w.problem("decision at offset %d: %v", r.Offset, err)
			continue
		}
		got = append(got, d.VisitorId+" "+d.SubmissionId)
		contacts[d.ContactId] = true
	}
	w.compare("decision", want.decisions, got)
	if len(contacts) != len(want.emails) {
		w.problem("%d contacts, and %d people", len(contacts), len(want.emails))
	}
	versions := map[string]int64{}
	for _, r := range each(seen.seen[string(schemas.Contacts)]) {
		var c schemas.Contact
		if err := c.UnmarshalVT(r.Value); err != nil {
			w.problem("contact at offset %d: %v", r.Offset, err)
			continue
		}
		if c.Version != versions[c.ContactId]+1 {
			w.problem("contact %s: version %d after version %d", c.ContactId, c.Version,
				versions[c.ContactId])
		}
		versions[c.ContactId] = c.Version
	}
}

// checkState reads the sessionizers' state back, as their next lives would.
func (w *world) checkState(client *kafka.Client, want *expected) {
	var sum sessionize.Counts
	for p, records := range w.read(client, schemas.SessionizeChangelog) {
		state := map[string][]byte{}
		for i := range records {
			state[string(records[i].Key)] = records[i].Value
		}
		m := sessionize.New(rules(), p)
		var _ stage.Machine = m
		for key, value := range state {
			if len(key) > 0 && key[0] == 0 || value == nil {
				continue
			}
			if err := m.Restore([]byte(key), value); err != nil {
				w.problem("state of %q: %v", key, err)
			}
		}
		c := m.Counts()
		sum.Beacons += c.Beacons
		sum.Counted += c.Counted
		sum.Duplicates += c.Duplicates
		sum.Open += c.Open
		sum.Bad += c.Bad
	}
	expect := sessionize.Counts{
		Beacons: int64(want.beacons), Counted: int64(want.counted), Duplicates: int64(want.duplicates),
	}
	if sum != expect {
		w.problem("the state has counted %+v, the log has %+v", sum, expect)
	}
}

// compare finds lines that are missing, and those that are too many.
func (w *world) compare(what string, want, got []string) {
	slices.Sort(want)
	slices.Sort(got)
	const most = 3
	told := 0
	tell := func(format string, args ...any) {
		if told++; told <= most {
			w.problem(format, args...)
		}
	}
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			tell("%s missing: %s", what, want[0])
			want = want[1:]
		case len(want) == 0 || got[0] < want[0]:
			tell("%s too many: %s", what, got[0])
			got = got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	if told > most {
		w.problem("%d more %ss missing or too many", told-most, what)
	}
}
