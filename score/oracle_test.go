package score

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/schemas"
)

// fact is an event of a test, with its place among the rows.
type fact struct {
	subject, event, kind, path string
	ts                         int64
	offset                     int
}

// world is a random lake; subjects are made at the times of created.
type world struct {
	created map[string]int64
	facts   []fact
	at      int64
}

const origin = 1_767_225_600_000_000 // 2026-01-01, UTC

// drawWorld makes a few subjects and events at multiples of half a day, so that they often fall
// on each other, on the edges of windows and on the instant. No event is older than margin, so that
// each is seen to be the repetition of another.
func drawWorld(t *rapid.T) world {
	w := world{created: map[string]int64{}, at: origin + int64(20*day)}
	halves := rapid.Int64Range(0, 44)
	for i := range rapid.IntRange(1, 3).Draw(t, "subjects") {
		w.created[fmt.Sprint("c", i)] = origin + halves.Draw(t, "created")*int64(day/2)
	}
	subject := rapid.SampledFrom([]string{"c0", "c1", "c2"})
	kind := rapid.SampledFrom([]string{"page_view", "page_view", "form_submit", "ping"})
	for i := range rapid.IntRange(0, 25).Draw(t, "events") {
		w.facts = append(w.facts, fact{
			subject: subject.Draw(t, "subject"),
			event:   fmt.Sprint("e", rapid.IntRange(0, 30).Draw(t, "event")),
			kind:    kind.Draw(t, "type"),
			path:    rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "path"),
			ts:      origin + rapid.Int64Range(26, 44).Draw(t, "ts")*int64(day/2),
			offset:  i,
		})
	}
	return w
}

// drawModel writes a model of a few random rules.
func drawModel(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("model: m\nversion: 1\nsubject: contact\n")
	fmt.Fprintf(&b, "score: {min: %d, max: %d}\n", rapid.IntRange(-40, 0).Draw(t, "min"),
		rapid.IntRange(20, 200).Draw(t, "max"))
	fmt.Fprintf(&b, "groups: {g: {max: %d}, h: {min: %d, max: 30}}\nrules:\n",
		rapid.IntRange(5, 60).Draw(t, "group"), rapid.IntRange(-30, 5).Draw(t, "other"))
	option := func(name string, make func() string) {
		if rapid.Bool().Draw(t, name) {
			b.WriteString(", " + make())
		}
	}
	number := func(name string, low, high int) string {
		return fmt.Sprintf("%s: %d", name, rapid.IntRange(low, high).Draw(t, name))
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		fmt.Fprintf(&b, "  - {id: r%d, points: %d.%02d", i, rapid.IntRange(-12, 12).Draw(t, "points"),
			rapid.IntRange(0, 99).Draw(t, "cents"))
		option("group", func() string {
			return "group: " + rapid.SampledFrom([]string{"g", "h"}).Draw(t, "which")
		})
		option("cap", func() string { return number("cap", 0, 30) })
		if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
			fmt.Fprintf(&b, ", inactive: %dd}\n", rapid.IntRange(1, 4).Draw(t, "inactive"))
			continue
		}
		fmt.Fprintf(&b, ", on: [page_view, form_submit], window: %dd",
			rapid.IntRange(1, 6).Draw(t, "window"))
		option("where", func() string { return `where: "url_path = '/a'"` })
		option("every", func() string { return number("every", 1, 3) })
		option("at_least", func() string { return number("at_least", 1, 4) })
		option("once", func() string { return "once: true" })
		option("cap_per_day", func() string { return number("cap_per_day", 0, 20) })
		option("decay", func() string {
			return "decay: " + rapid.SampledFrom([]string{
				"{half_life: 3d}", "{linear: 6d}", "{step: 36h, keep: 0.7}",
			}).Draw(t, "decay kind")
		})
		b.WriteString("}\n")
	}
	low := rapid.IntRange(0, 15).Draw(t, "rearm")
	fmt.Fprintf(&b, "sales_ready: {at: %d, rearm_below: %d, every: %dh}\n",
		low+rapid.IntRange(0, 15).Draw(t, "above"), low, rapid.SampledFrom([]int{12, 24, 40}).
			Draw(t, "grid"))
	return b.String()
}

// score is what a subject has at an instant, step by step as the semantics are listed: a second
// way to the numbers, without SQL.
func (w world) score(m *Model, subject string, at int64) (score int64, lines []string) {
	var facts []fact
	earliest := map[string]fact{}
	for _, f := range w.facts {
		seen, ok := earliest[f.event]
		if f.subject == subject && f.ts <= at && (!ok || f.ts < seen.ts ||
			f.ts == seen.ts && f.offset < seen.offset) {
			earliest[f.event] = f
		}
	}
	last := w.created[subject]
	for _, f := range earliest {
		facts = append(facts, f)
	}
	slices.SortFunc(facts, func(a, b fact) int {
		return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.event, b.event))
	})
	if len(facts) > 0 {
		last = facts[len(facts)-1].ts
	}
	groups := map[string]int64{}
	for i := range m.Rules {
		r := &m.Rules[i]
		sum := int64(0)
		add := func(event string, points int64) {
			if sum += points; points != 0 {
				lines = append(lines, fmt.Sprint(r.ID, " ", event, " ", points))
			}
		}
		if r.isInactive() {
			add("", (at-last)/int64(r.Inactive)*int64(r.Points))
		} else {
			contribute(r, facts, at, add)
		}
		if r.Cap != nil {
			sum = max(-int64(*r.Cap), min(int64(*r.Cap), sum))
		}
		groups[r.Group] += sum
	}
	total := int64(0)
	for _, g := range m.Groups {
		sum := groups[g.Name]
		if g.Max != nil {
			sum = min(sum, int64(*g.Max))
		}
		if g.Min != nil {
			sum = max(sum, int64(*g.Min))
		}
		total += sum
	}
	total = max(int64(m.Score.Min), min(int64(m.Score.Max), total))
	return int64(math.Round(float64(total) / float64(hundredth))), lines
}

func contribute(r *Rule, facts []fact, at int64, add func(string, int64)) {
	var met []fact
	for _, f := range facts {
		if f.ts > at-int64(r.Window) && slices.Contains(r.On, f.kind) &&
			(r.Where.root == nil || f.path == "/a") {
			met = append(met, f)
		}
	}
	if int64(len(met)) < r.AtLeast {
		return
	}
	if r.Once && len(met) > 0 {
		met = met[len(met)-1:]
	}
	granted := map[int64]int64{}
	for i, f := range met {
		if int64(i+1)%r.Every != 0 {
			continue
		}
		grant := max(int64(r.Points), -int64(r.Points))
		if d := f.ts / int64(day); r.CapPerDay != nil {
			grant = max(0, min(grant, int64(*r.CapPerDay)-granted[d]))
			granted[d] += grant
		}
		if r.Points < 0 {
			grant = -grant
		}
		if r.Decay == nil {
			add(f.event, grant)
			continue
		}
		age, span := float64(at-f.ts), float64(r.Decay.Span)
		left := map[DecayKind]float64{
			HalfLife: math.Pow(2, -age/span),
			Linear:   max(0, 1-age/span),
			Step:     math.Pow(float64(r.Decay.Keep)/1e6, math.Floor(age/span)),
		}[r.Decay.Kind]
		add(f.event, int64(math.Round(float64(grant)/1e6*left*1e6)))
	}
}

// ready folds over every instant of the grid.
func (w world) ready(m *Model, subject string) bool {
	ready := false
	step := func(at int64) {
		score, _ := w.score(m, subject, at)
		ready = score >= m.SalesReady.At.hundredths() ||
			ready && score >= m.SalesReady.RearmBelow.hundredths()
	}
	for at := w.created[subject]; at < w.at; at += int64(m.SalesReady.Every) {
		step(at)
	}
	step(w.at)
	return ready
}

// TestScoresAreWhatTheSemanticsSay compares the statement with the listed steps, over random
// models and lakes.
func TestScoresAreWhatTheSemanticsSay(t *testing.T) {
	l := newLake(t)
	rapid.Check(t, func(t *rapid.T) {
		w, file := drawWorld(t), drawModel(t)
		m, err := ParseModel("model.yaml", []byte(file))
		if err != nil {
			t.Fatalf("%s\n%v", file, err)
		}
		l.load(w.facts, w.created)
		want, got := map[string]string{}, map[string]string{}
		for subject, created := range w.created {
			if created <= w.at {
				score, lines := w.score(m, subject, w.at)
				slices.Sort(lines)
				want[subject] = fmt.Sprint(score, w.ready(m, subject), lines)
			}
		}
		r := &run{model: m, asOf: time.UnixMicro(w.at), q: l, emit: func(s *schemas.Score) error {
			if _, made := want[s.SubjectId]; !made {
				return nil // known by its events alone
			}
			var lines []string
			for _, c := range s.Contributions {
				if !strings.HasPrefix(c.Rule, "clip:") && c.Rule != roundLine {
					lines = append(lines, fmt.Sprint(c.Rule, " ", c.EventId, " ", c.PointsMicros))
				}
			}
			slices.Sort(lines)
			got[s.SubjectId] = fmt.Sprint(s.ScoreHundredths, s.SalesReady, lines)
			return nil
		}}
		err = r.all(l.t.Context(), rapid.SampledFrom([]int64{10, 1000}).Draw(t, "events a part"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", file, diff)
		}
	})
}
