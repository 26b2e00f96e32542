package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// beacon is one as it stands in the log.
type beacon struct {
	id, site, visitor string
	occurredUS        int64
}

// visit is one as it stands on the topic, in what the verifier can compute for itself.
type visit struct {
	site, visitor       string
	startedUS, endedUS  int64
	beacons, duplicates int64
}

// place is where a record stands.
type place struct {
	partition int32
	offset    int64
}

// read is a visit that a reader has been shown.
type read struct {
	id    string
	input int32 // the partition of its beacons
	visit
}

// evidence is all that the verifier knows: what the load sent and saw acknowledged, what stands in
// the log, and what read_committed readers were shown, one during the faults and one afterwards.
type evidence struct {
	sent, acknowledged map[string]bool
	log                []beacon
	live, final        map[place]read
}

// verdict counts what must not be. Each of it is a beacon or a visit.
type verdict struct {
	lost     int // acknowledged and not in the log, or not in a visit
	twice    int // on the topic more than once
	vanished int // shown to the first reader, and gone or another one for the second
	invented int // in the log and not sent, or a visit that the log does not make
	visits   int // that there should be
	examples []string
}

func (v *verdict) clean() bool { return v.lost+v.twice+v.vanished+v.invented == 0 }

func (v *verdict) String() string {
	return fmt.Sprintf("%d visits, %d lost, %d twice, %d vanished, %d invented", v.visits, v.lost,
		v.twice, v.vanished, v.invented)
}

// example keeps a few words on what went wrong.
func (v *verdict) example(format string, args ...any) {
	const most = 12
	if len(v.examples) < most {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// gapUS is the longest silence within a visit, in microseconds.
const gapUS = 30 * 60 * 1_000_000

// verify judges the evidence.
func verify(e evidence) *verdict {
	v := &verdict{}
	inLog := map[string]bool{}
	for _, b := range e.log {
		if !inLog[b.id] && !e.sent[b.id] {
			v.invented++
			v.example("beacon %s is in the log, and nobody sent it", b.id)
		}
		inLog[b.id] = true
	}
	for id := range e.acknowledged {
		if !inLog[id] {
			v.lost++
			v.example("beacon %s was acknowledged and is not in the log", id)
		}
	}
	expected := batchVisits(e.log)
	v.visits = len(expected)
	v.compare(expected, e.final)
	v.shownTwice("the first reader", e.live)
	v.shownTwice("the second reader", e.final)
	for at, first := range e.live {
		if second, ok := e.final[at]; !ok || second != first {
			v.vanished++
			v.example("%+v at %+v was shown first, later %+v", first, at, second)
		}
	}
	return v
}

// compare holds the visits on the topic against those that the log makes.
func (v *verdict) compare(expected []visit, final map[place]read) {
	missing := map[visit]int{}
	for _, e := range expected {
		missing[e]++
	}
	for at, r := range final {
		if _, known := missing[r.visit]; known {
			missing[r.visit]-- // below nothing, shownTwice has it
			continue
		}
		v.invented++
		v.example("visit %+v at %+v does not follow from the log", r, at)
	}
	for e, n := range missing {
		if n > 0 {
			v.lost += n
			v.example("visit %+v is missing", e)
		}
	}
}

// shownTwice counts visits that stand in more than one place: by their id, and by what they say.
func (v *verdict) shownTwice(reader string, shown map[place]read) {
	ids, visits := map[string]place{}, map[visit]place{}
	for at, r := range shown {
		other, known := ids[r.id]
		if !known {
			other, known = visits[r.visit]
		}
		if known {
			v.twice++
			v.example("%s was shown visit %+v at %+v and at %+v", reader, r, other, at)
		}
		ids[r.id], visits[r.visit] = at, at
	}
}

// batchVisits computes visits as one would with the whole log at hand: each visitor's beacons in
// order of when they happened, each id once, cut where more than the gap lies between two.
func batchVisits(log []beacon) []visit {
	type person struct{ site, visitor string }
	byPerson := map[person][]beacon{}
	times := map[string]int64{}
	for _, b := range log {
		if times[b.id]++; times[b.id] == 1 {
			p := person{b.site, b.visitor}
			byPerson[p] = append(byPerson[p], b)
		}
	}
	var visits []visit
	for p, beacons := range byPerson {
		slices.SortFunc(beacons, func(a, b beacon) int {
			return cmp.Or(cmp.Compare(a.occurredUS, b.occurredUS), strings.Compare(a.id, b.id))
		})
		for i, b := range beacons {
			if i == 0 || b.occurredUS-beacons[i-1].occurredUS > gapUS {
				visits = append(visits, visit{
					site: p.site, visitor: p.visitor, startedUS: b.occurredUS,
				})
			}
			last := &visits[len(visits)-1]
			last.endedUS = b.occurredUS
			last.beacons++
			last.duplicates += times[b.id] - 1
		}
	}
	return visits
}

// goodEvidence is that of a run without faults: three visits, one of them with a duplicate.
func goodEvidence() evidence {
	e := evidence{
		sent: map[string]bool{}, acknowledged: map[string]bool{},
		live: map[place]read{}, final: map[place]read{},
	}
	for i, at := range []int64{0, 60, 120, 120 + 1801, 60} {
		b := beacon{fmt.Sprintf("n%d", i%4), "default", "v", at * 1_000_000}
		if i == 4 {
			b.id = "n1" // again
		}
		e.log = append(e.log, b)
	}
	e.log = append(e.log, beacon{"n5", "default", "w", 5})
	for _, b := range e.log {
		e.sent[b.id], e.acknowledged[b.id] = true, true
	}
	for i, v := range []visit{
		{"default", "v", 0, 120e6, 3, 1},
		{"default", "v", 1921e6, 1921e6, 1, 0},
		{"default", "w", 5, 5, 1, 0},
	} {
		at := place{int32(i % 2), int64(10 * i)}
		e.live[at] = read{fmt.Sprint("id", i), 0, v}
		e.final[at] = e.live[at]
	}
	return e
}

// The verifier is worth something only if it sees what is wrong.
func TestVerifierSeesWhatIsWrong(t *testing.T) {
	first, new := place{0, 0}, place{1, 99}
	for _, c := range []struct {
		name   string
		tamper func(e *evidence)
		want   verdict
	}{
		{"nothing", func(*evidence) {}, verdict{}},
		{"an acknowledged beacon is not in the log", func(e *evidence) {
			e.acknowledged["n6"], e.sent["n6"] = true, true
		}, verdict{lost: 1}},
		{"a beacon is only sent", func(e *evidence) { e.sent["n6"] = true }, verdict{}},
		{"a beacon that nobody sent", func(e *evidence) {
			e.log = append(e.log, beacon{"x", "default", "w", 6})
			for at, r := range e.final {
				if r.visitor == "w" {
					r.beacons, r.endedUS = 2, 6
					e.final[at], e.live[at] = r, r
				}
			}
		}, verdict{invented: 1}},
		{"a visit is lost", func(e *evidence) {
			delete(e.final, first)
			delete(e.live, first)
		}, verdict{lost: 1}},
		{"a visit is there twice", func(e *evidence) {
			e.final[new], e.live[new] = e.final[first], e.live[first]
		}, verdict{twice: 2}},
		{"a visit is there twice under two ids", func(e *evidence) {
			e.final[new] = read{"id9", 0, e.final[first].visit}
		}, verdict{twice: 1}},
		{"two visits have one id", func(e *evidence) {
			e.final[place{0, 20}] = read{"id0", 0, e.final[place{0, 20}].visit}
			e.live[place{0, 20}] = e.final[place{0, 20}]
		}, verdict{twice: 2}},
		{"a visit vanishes", func(e *evidence) {
			e.live[new] = read{"id9", 0, visit{"default", "y", 1, 1, 1, 0}}
		}, verdict{vanished: 1}},
		{"a visit moves", func(e *evidence) {
			e.final[new] = e.final[first]
			delete(e.final, first)
		}, verdict{vanished: 1}},
		{"a beacon is missing from its visit", func(e *evidence) {
			r := e.final[first]
			r.beacons--
			e.final[first], e.live[first] = r, r
		}, verdict{lost: 1, invented: 1}},
		{"a beacon is counted twice", func(e *evidence) {
			r := e.final[first]
			r.beacons, r.duplicates = r.beacons+1, 0
			e.final[first], e.live[first] = r, r
		}, verdict{lost: 1, invented: 1}},
	} {
		e := goodEvidence()
		c.tamper(&e)
		got := verify(e)
		if got.lost != c.want.lost || got.twice != c.want.twice ||
			got.vanished != c.want.vanished || got.invented != c.want.invented {
			t.Errorf("%s: %v\n%s", c.name, got, strings.Join(got.examples, "\n"))
		}
	}
	if n := len(batchVisits(slices.Concat(goodEvidence().log, goodEvidence().log))); n != 3 {
		t.Errorf("a log that stands twice makes %d visits, want 3", n)
	}
}
