package score

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/schemas"
)

// crossings prints who has become ready by an instant; since has pairs of a subject and when it was
// last handed off.
func (l *lake) crossings(m *Model, asOf time.Time, since []string) string {
	l.t.Helper()
	handed := map[string]int64{}
	for pair := range slices.Chunk(since, 2) {
		handed[pair[0]] = parseTime(l.t, pair[1]).UnixMicro()
	}
	var b strings.Builder
	var candidates []Candidate
	err := Run(l.t.Context(), m, asOf, asOf, "run", l, func(s *schemas.Score) error {
		if s.SalesReady {
			candidates = append(candidates, Candidate{s.SubjectId, handed[s.SubjectId]})
		}
		return nil
	})
	if err == nil {
		err = Crossings(l.t.Context(), m, asOf, candidates, l, func(c Crossing) error {
			fmt.Fprintln(&b, c.Subject, time.UnixMicro(c.EpisodeUs).UTC().Format(time.RFC3339Nano))
			return nil
		})
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return b.String()
}

// crossing is what going through a subject's grid finds, score by score.
func (f facts) crossing(name string, since int64) (Crossing, bool) {
	low, risen, next := int64(0), int64(0), f.created[name]
	for ; next < f.at; next += int64(f.m.SalesReady.Every) {
		if next <= since {
			continue
		}
		score, _ := f.score(name, next)
		switch {
		case score < f.m.SalesReady.RearmBelow.hundredths():
			low, risen = next, 0
		case score >= f.m.SalesReady.At.hundredths() && risen == 0:
			risen = next
		}
	}
	return Crossing{name, cmp.Or(risen, next)}, since == 0 || low > 0
}

// TestCrossingsAreThoseOfTheGrid compares the statement with that, over random models and lakes.
func TestCrossingsAreThoseOfTheGrid(t *testing.T) {
	l := newLake(t)
	rapid.Check(t, func(t *rapid.T) {
		b := modelWriter{t: t, w: drawWorld(t, origin)}
		b.model()
		m, err := ParseModel("model.yaml", []byte(b.String()))
		if err != nil {
			t.Fatalf("%s\n%v", &b, err)
		}
		low := Points(b.number("low", -5, 8)) * 1e6
		m.SalesReady = &SalesReady{
			At: low + Points(b.number("over", 0, 5))*1e6, RearmBelow: low,
			Every: rapid.SampledFrom([]Span{day / 24, day / 2, day, 40 * day / 24}).Draw(t, "every"),
		}
		l.load(b.w.events, b.w.versions)
		f := b.w.facts(m, drawInstant(t, origin+int64(10*day), 35, "as of"))
		var candidates []Candidate
		want, got := map[string]int64{}, map[string]int64{}
		for _, name := range slices.Sorted(maps.Keys(f.created)) {
			if !f.ready(name) {
				continue
			}
			c := Candidate{Subject: name}
			if rapid.Bool().Draw(t, "handed off") {
				c.SinceUs = drawInstant(t, origin, 40, "since")
			}
			candidates = append(candidates, c)
			if crossing, anew := f.crossing(name, c.SinceUs); anew {
				want[name] = crossing.EpisodeUs
			}
		}
		c := &crossings{model: m, asOf: time.UnixMicro(f.at), q: l, emit: func(c Crossing) error {
			got[c.Subject] = c.EpisodeUs
			return nil
		}}
		back := rapid.SampledFrom([]int64{1, 3, firstBack}).Draw(t, "back")
		if err := c.settle(l.t.Context(), candidates, back); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%+v as of %d\n%+v\n%s", &b, *m.SalesReady, f.at, candidates, diff)
		}
	})
}
