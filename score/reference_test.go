package score

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// world is what a lake knows: a second way to scores, step by step as the package's comment lists
// them, without SQL.
type world struct {
	events   []event
	versions []version
	// conditions are those of the rules, by id.
	conditions map[string]evaluable
}

// event is a row of beacons; place is where it stands in the topic: odd ones are in partition 1.
type event struct {
	ts                         int64
	id, visitor, contact, kind string
	consent                    string
	place                      int
	row                        row
}

// version is a row of contacts; merged is the contact that had taken it over.
type version struct {
	contact          string
	number           int
	created, updated int64
	merged           string
	row              row
}

// facts are a world as a model sees it at an instant: who there is and which events are whose.
type facts struct {
	m          *Model
	at         int64
	conditions map[string]evaluable
	// events are each subject's, one of each event id, in order of time and id.
	events map[string][]event
	// people are the versions of a subject; each ends where the next of its contact begins.
	people map[string][]span
	// created is when a subject began; who has done something before has none.
	created map[string]int64
}

// span is a version and when it ended.
type span struct {
	version
	until int64
}

func (s span) holds(at int64) bool { return s.updated <= at && at < s.until }

func (w world) facts(m *Model, at int64) facts {
	f := facts{
		m, at, w.conditions, map[string][]event{}, map[string][]span{}, map[string]int64{},
	}
	owner := map[string]string{}
	for _, v := range w.standing() {
		name := v.contact
		if company, _ := v.row["company"].(string); m.Subject == Account {
			name = strings.ToLower(strings.Trim(company, " "))
		}
		if name == "" || m.Subject == Visitor {
			continue
		}
		f.people[name] = append(f.people[name], v)
		if v.holds(at) {
			owner[v.contact] = name
			if created, ok := f.created[name]; !ok || v.created < created {
				f.created[name] = v.created
			}
		}
		if m.Subject == Contact {
			owner[v.contact] = name
		}
	}
	for _, e := range w.events {
		name := owner[e.contact]
		if m.Subject == Visitor {
			name = e.visitor
		}
		if name != "" && e.consent == "identified" && e.ts <= at {
			f.add(name, e)
		}
	}
	for name, events := range f.events {
		slices.SortFunc(events, func(a, b event) int {
			return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.id, b.id))
		})
		if m.Subject == Visitor {
			f.created[name] = events[0].ts
		}
	}
	return f
}

// before is the order of the topic, by partition and offset.
func (e event) before(other event) bool {
	if a, b := e.place%2, other.place%2; a != b {
		return a < b
	}
	return e.place < other.place
}

// add keeps of the events with one id the first by time and place.
func (f facts) add(name string, e event) {
	for i, other := range f.events[name] {
		if other.id == e.id {
			if e.ts < other.ts || e.ts == other.ts && e.before(other) {
				f.events[name][i] = e
			}
			return
		}
	}
	f.events[name] = append(f.events[name], e)
}

// standing are the versions in which contacts stood for themselves, of those that still do.
func (w world) standing() []span {
	var all []span
	for i, v := range w.versions {
		until, last := int64(math.MaxInt64), v
		for _, other := range w.versions[i+1:] {
			if other.contact != v.contact {
				continue
			}
			if last = other; other.merged == "" {
				until = min(until, other.updated)
			}
		}
		if v.merged == "" && last.merged == "" {
			all = append(all, span{v, until})
		}
	}
	return all
}

// print writes the scores of all subjects as a lake does.
func (f facts) print() string {
	names := map[string]bool{}
	for name := range f.created {
		names[name] = true
	}
	for name := range f.events {
		names[name] = true
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		score, lines := f.score(name, f.at)
		if _, made := f.created[name]; !made && !slices.ContainsFunc(lines, line.isOfEvent) {
			continue // it is not made yet, and nothing that it has done counts
		}
		fmt.Fprintf(&b, "%s %.2f", name, float64(score)/100)
		if grade := f.grade(score); grade != "" {
			b.WriteString(" " + grade)
		}
		if f.ready(name) {
			b.WriteString(" ready")
		}
		b.WriteByte('\n')
		for _, l := range lines {
			fmt.Fprintf(&b, "  %s %s\n", strings.TrimRight(l.rule+" "+l.eventID, " "), Points(l.points))
		}
	}
	return b.String()
}

func (l line) isOfEvent() bool { return l.eventID != "" }

func (f facts) grade(score int64) string {
	name := ""
	for _, g := range f.m.Grades {
		if g.From.hundredths() <= score {
			name = g.Name
		}
	}
	return name
}

// ready folds over the grid.
func (f facts) ready(name string) bool {
	s := f.m.SalesReady
	if s == nil {
		return false
	}
	ready := false
	step := func(at int64) {
		score, _ := f.score(name, at)
		ready = score >= s.At.hundredths() || ready && score >= s.RearmBelow.hundredths()
	}
	if created, made := f.created[name]; made {
		for at := created; at < f.at; at += int64(s.Every) {
			step(at)
		}
	}
	step(f.at)
	return ready
}

// score is a subject's score at an instant, in hundredths, and its explanation.
func (f facts) score(name string, at int64) (score int64, lines []line) {
	sums := map[string]Points{}
	var clips, groupClips []line
	for i := range f.m.Rules {
		r := &f.m.Rules[i]
		total := Points(0)
		for _, l := range f.contributions(r, name, at) {
			if l.points != 0 {
				l.rule = r.ID
				lines = append(lines, l)
				total += Points(l.points)
			}
		}
		if r.Cap != nil {
			clips = appendClip(clips, clipRule+r.ID, &total, max(-*r.Cap, min(*r.Cap, total)))
		}
		sums[r.Group] += total
	}
	whole := Points(0)
	for _, g := range f.m.Groups {
		total := sums[g.Name]
		clipped := total
		if g.Min != nil {
			clipped = max(clipped, *g.Min)
		}
		if g.Max != nil {
			clipped = min(clipped, *g.Max)
		}
		groupClips = appendClip(groupClips, clipGroup+g.Name, &total, clipped)
		whole += total
	}
	lines = append(append(lines, clips...), groupClips...)
	lines = appendClip(lines, clipScore, &whole, max(f.m.Score.Min, min(f.m.Score.Max, whole)))
	rounded := Points(math.Round(float64(whole)/float64(hundredth))) * hundredth
	lines = appendClip(lines, roundLine, &whole, rounded)
	return rounded.hundredths(), lines
}

func appendClip(lines []line, rule string, total *Points, to Points) []line {
	if *total != to {
		lines = append(lines, line{rule: rule, points: int64(to - *total)})
		*total = to
	}
	return lines
}

func (f facts) contributions(r *Rule, name string, at int64) []line {
	events := f.events[name]
	for len(events) > 0 && events[len(events)-1].ts > at {
		events = events[:len(events)-1]
	}
	switch {
	case r.isBehaviour():
		return f.behaviour(r, events, at)
	case r.isInactive():
		last, known := f.created[name]
		if len(events) > 0 {
			last, known = events[len(events)-1].ts, true
		}
		if !known || last > at {
			return nil
		}
		return []line{{points: (at - last) / int64(r.Inactive) * int64(r.Points)}}
	}
	for _, v := range f.people[name] {
		if v.holds(at) && f.meets(r, v.row) {
			return []line{{points: int64(r.Points)}}
		}
	}
	return nil
}

func (f facts) meets(r *Rule, row row) bool {
	c := f.conditions[r.ID]
	return c == nil || c.eval(row) == yes
}

func (f facts) behaviour(r *Rule, events []event, at int64) (lines []line) {
	var met []event
	for _, e := range events {
		if e.ts > at-int64(r.Window) && slices.Contains(r.On, e.kind) && f.meets(r, e.row) {
			met = append(met, e)
		}
	}
	if int64(len(met)) < r.AtLeast {
		return nil
	}
	if r.Once && len(met) > 0 {
		met = met[len(met)-1:]
	}
	in, err := time.LoadLocation(f.m.TimeZone)
	if err != nil {
		panic(err)
	}
	granted := map[string]Points{}
	for i, e := range met {
		if int64(i+1)%r.Every != 0 {
			continue
		}
		grant := max(r.Points, -r.Points)
		if day := time.UnixMicro(e.ts).In(in).Format(time.DateOnly); r.CapPerDay != nil {
			grant = max(0, min(grant, *r.CapPerDay-granted[day]))
			granted[day] += grant
		}
		left := decayed(r.Decay, grant, at-e.ts)
		if r.Points < 0 {
			left = -left
		}
		lines = append(lines, line{eventID: e.id, points: left})
	}
	return lines
}

// decayed is what age leaves of points, in millionths.
func decayed(d *Decay, p Points, age int64) int64 {
	if d == nil {
		return int64(p)
	}
	ages := float64(age) / float64(d.Span)
	left := map[DecayKind]float64{
		HalfLife: math.Pow(2, -ages),
		Linear:   max(0, 1-ages),
		Step:     math.Pow(float64(d.Keep)/1e6, math.Floor(ages)),
	}[d.Kind]
	return int64(math.Round(float64(p) / 1e6 * left * 1e6))
}
