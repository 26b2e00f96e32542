package score

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/internal/duck"
)

const origin = 1_767_225_600_000_000 // 2026-01-01, UTC

// drawInstant draws a multiple of six hours within days of a start, often, or something near it, so
// that instants fall on each other and on the edges of windows, days and grids.
func drawInstant(t *rapid.T, start int64, days int64, name string) int64 {
	us := start + rapid.Int64Range(0, days*4).Draw(t, name)*int64(day/4)
	return us + rapid.SampledFrom([]int64{0, 0, 0, 0, 1, -1, 1_800_000_000, -3_600_000_000}).
		Draw(t, "beside")
}

// drawWorld makes a few contacts and events within 40 days of a start. Of two events with one id
// the earlier is less than margin older, so that it is seen.
func drawWorld(t *rapid.T, start int64) world {
	w := world{conditions: map[string]evaluable{}}
	for i := range rapid.IntRange(1, 4).Draw(t, "contacts") {
		v := version{contact: fmt.Sprint("c", i), updated: drawInstant(t, start, 30, "created")}
		v.created = v.updated
		for range rapid.IntRange(1, 3).Draw(t, "versions") {
			v.number++
			v.row = drawRow(t, contactKinds)
			v.row["company"] = rapid.SampledFrom([]string{"Acme", " ACME ", "Bolt", "", " "}).
				Draw(t, "company")
			v.merged = rapid.SampledFrom([]string{"", "", "", "c9"}).Draw(t, "merged")
			w.versions = append(w.versions, v)
			v.updated = drawInstant(t, v.updated+1, 10, "updated")
			v.updated = max(v.updated, w.versions[len(w.versions)-1].updated)
		}
	}
	kind := rapid.SampledFrom([]string{"page_view", "page_view", "form_submit", "ping"})
	consent := rapid.SampledFrom([]string{"identified", "identified", "identified", "statistical"})
	for i := range rapid.IntRange(0, 30).Draw(t, "events") {
		e := event{
			ts: drawInstant(t, start, 40, "ts"), id: fmt.Sprint("e", i), kind: kind.Draw(t, "type"),
			visitor: rapid.SampledFrom([]string{"v1", "v2", "v3", ""}).Draw(t, "visitor"),
			contact: rapid.SampledFrom([]string{"c0", "c0", "c1", "c2", "c3", ""}).Draw(t, "contact"),
			consent: consent.Draw(t, "consent"), place: i, row: drawRow(t, beaconKinds),
		}
		if e.visitor == "" { // a mail is opened, and by no robot
			e.row["is_bot"] = false
		}
		if n := len(w.events); n > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			first := w.events[rapid.IntRange(0, n-1).Draw(t, "which")]
			e.id, e.ts = first.id, drawInstant(t, first.ts, 2, "later")
		}
		w.events = append(w.events, e)
	}
	return w
}

// modelWriter writes a model of random rules, and keeps their conditions.
type modelWriter struct {
	strings.Builder
	t *rapid.T
	w world
}

func (b *modelWriter) option(format string, args ...any) {
	if rapid.IntRange(0, 2).Draw(b.t, format) == 0 {
		fmt.Fprintf(b, format, args...)
	}
}

func (b *modelWriter) number(name string, low, high int) int {
	return rapid.IntRange(low, high).Draw(b.t, name)
}

func (b *modelWriter) one(name string, of ...string) string {
	return rapid.SampledFrom(of).Draw(b.t, name)
}

// points is a number of up to six decimals.
func (b *modelWriter) points() string {
	return fmt.Sprintf("%d.%s", b.number("points", -12, 12), b.one("decimals", "0", "0", "5", "25",
		"005", "333333", "000001"))
}

func (b *modelWriter) condition(id string, kinds map[kind][]string) string {
	c := drawCondition(b.t, kinds, b.number("depth", 0, 2))
	b.w.conditions[id] = c
	quoted, err := json.Marshal(c.text())
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

func (b *modelWriter) model() {
	subject := b.one("subject", "contact", "contact", "visitor", "account")
	fmt.Fprintf(b, "model: m\nversion: 1\nsubject: %s\n", subject)
	b.option("timezone: %s\n", b.one("zone", "Europe/Paris", "Asia/Kathmandu", "America/St_Johns"))
	fmt.Fprintf(b, "score: {min: %d, max: %d.05}\n", b.number("min", -40, 3), b.number("max", 3, 200))
	fmt.Fprintf(b, "groups: {g: {max: %d}, h: {min: %d, max: 30.5}}\nrules:\n",
		b.number("group", -5, 60), b.number("other", -30, 5))
	for i := range b.number("rules", 1, 5) {
		id := fmt.Sprint("r", i)
		fmt.Fprintf(b, "  - {id: %s, points: %s", id, b.points())
		b.option(", group: %s", b.one("which", "g", "h"))
		b.option(", cap: %d", b.number("cap", 0, 30))
		switch kind := b.number("kind", 0, 5); {
		case kind == 0:
			fmt.Fprintf(b, ", inactive: %s}\n", b.one("period", "1d", "36h", "3d", "7h"))
		case kind == 1 && subject != "visitor":
			fmt.Fprintf(b, ", when: %s}\n", b.condition(id, contactKinds))
		default:
			b.behaviour(id)
		}
	}
	b.option("grades: [{name: b, from: %s}, {name: a, from: -3.5}]\n", b.one("grade", "0", "7.5"))
	low := b.number("rearm", 0, 15)
	b.option("sales_ready: {at: %d, rearm_below: %d, every: %s}\n", low+b.number("above", 0, 15), low,
		b.one("grid", "1h", "12h", "1d", "40h"))
}

func (b *modelWriter) behaviour(id string) {
	fmt.Fprintf(b, ", on: %s, window: %s", b.one("on", "page_view", "[page_view, ping]",
		"[form_submit, page_view]"), b.one("window", "6h", "1d", "2d", "5d", "30d"))
	if b.number("where", 0, 2) == 0 {
		fmt.Fprintf(b, ", where: %s", b.condition(id, beaconKinds))
	}
	b.option(", every: %d", b.number("every", 1, 3))
	b.option(", at_least: %d", b.number("at_least", 1, 4))
	b.option(", once: true")
	b.option(", cap_per_day: %d", b.number("cap_per_day", 0, 20))
	b.option(", decay: %s", b.one("decay", "{half_life: 3d}", "{linear: 6d}", "{step: 36h, keep: 0.7}",
		"{step: 1d, keep: 0}"))
	b.WriteString("}\n")
}

// TestScoresAreWhatTheSemanticsSay compares the statement with the reference, over random models
// and lakes: whatever the order of the rows, the number of threads and the share of the subjects
// that is scored at once.
func TestScoresAreWhatTheSemanticsSay(t *testing.T) {
	l := newLake(t)
	rapid.Check(t, func(t *rapid.T) {
		// In March and October the clocks of Paris and St John's change.
		start := origin + rapid.SampledFrom([]int64{0, 60, 270}).Draw(t, "start")*int64(day)
		b := modelWriter{t: t, w: drawWorld(t, start)}
		b.model()
		m, err := ParseModel("model.yaml", []byte(b.String()))
		if err != nil {
			t.Fatalf("%s\n%v", &b, err)
		}
		shuffle := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		events, versions := slices.Clone(b.w.events), slices.Clone(b.w.versions)
		shuffle.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		shuffle.Shuffle(len(versions), func(i, j int) {
			versions[i], versions[j] = versions[j], versions[i]
		})
		l.load(events, versions)
		l.child.Limits = duck.Limits{Threads: rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "threads")}
		at := drawInstant(t, start+int64(10*day), 35, "as of")
		limit := rapid.SampledFrom([]int64{5, 1000}).Draw(t, "events a part")
		want, got := b.w.facts(m, at).print(), l.print(m, time.UnixMicro(at), limit)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\nas of %s\n%s", &b, time.UnixMicro(at).UTC(), diff)
		}
	})
}

// TestConditionsMeanWhatTheySay compares what events meet a condition with what it means, for 40
// conditions and 40 events at once.
func TestConditionsMeanWhatTheySay(t *testing.T) {
	l := newLake(t)
	rapid.Check(t, func(t *rapid.T) {
		b := modelWriter{t: t, w: world{conditions: map[string]evaluable{}}}
		for i := range 40 {
			b.w.events = append(b.w.events, event{
				ts: origin, id: fmt.Sprint("e", i), visitor: "v", kind: "ping", consent: "identified",
				place: i, row: drawRow(t, beaconKinds),
			})
		}
		b.WriteString("model: m\nversion: 1\nsubject: visitor\nscore: {max: 1}\nrules:\n")
		for i := range 40 {
			id := fmt.Sprint("r", i)
			fmt.Fprintf(&b, "  - {id: %s, on: ping, points: 1, window: 1d, where: %s}\n", id,
				b.condition(id, beaconKinds))
		}
		m, err := ParseModel("model.yaml", []byte(b.String()))
		if err != nil {
			t.Fatalf("%s\n%v", &b, err)
		}
		l.load(b.w.events, nil)
		want, got := b.w.facts(m, origin).print(), l.print(m, time.UnixMicro(origin), 1000)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", &b, diff)
		}
	})
}
