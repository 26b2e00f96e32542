package score

import (
	"cmp"
	"slices"

	"crumbtrail/schemas"
)

// Difference is a subject whose score, grade or readiness is another one. Then or Now is nil where
// there is none.
type Difference struct {
	Then, Now *schemas.Score
	// Lines are those of the explanations that differ, in order; there may be none.
	Lines []LineDifference
}

// LineDifference is what a line was worth and is, in millionths; 0 where there is none.
type LineDifference struct {
	Rule, EventID string
	Then, Now     int64
}

// Diff compares the scores of two runs, each with one score at most of a subject. What differs
// comes in order of the subjects.
func Diff(then, now []*schemas.Score) []Difference {
	pairs := map[string]*Difference{}
	pair := func(s *schemas.Score) *Difference {
		d := pairs[s.SubjectId]
		if d == nil {
			d = &Difference{}
			pairs[s.SubjectId] = d
		}
		return d
	}
	for _, s := range then {
		pair(s).Then = s
	}
	for _, s := range now {
		pair(s).Now = s
	}
	var all []Difference
	for _, d := range pairs {
		if d.Then == nil || d.Now == nil || d.Then.ScoreHundredths != d.Now.ScoreHundredths ||
			d.Then.Grade != d.Now.Grade || d.Then.SalesReady != d.Now.SalesReady {
			d.Lines = diffLines(d.Then, d.Now)
			all = append(all, *d)
		}
	}
	slices.SortFunc(all, func(a, b Difference) int { return cmp.Compare(a.Subject(), b.Subject()) })
	return all
}

// Subject is the id of the subject.
func (d Difference) Subject() string {
	return cmp.Or(d.Now.GetSubjectId(), d.Then.GetSubjectId())
}

func diffLines(then, now *schemas.Score) []LineDifference {
	type key struct{ rule, event string }
	var order []key
	lines := map[key]*LineDifference{}
	line := func(c *schemas.Contribution) *LineDifference {
		k := key{c.Rule, c.EventId}
		if lines[k] == nil {
			lines[k] = &LineDifference{Rule: c.Rule, EventID: c.EventId}
			order = append(order, k)
		}
		return lines[k]
	}
	for _, c := range now.GetContributions() {
		line(c).Now += c.PointsMicros
	}
	for _, c := range then.GetContributions() {
		line(c).Then += c.PointsMicros
	}
	var differ []LineDifference
	for _, k := range order {
		if l := lines[k]; l.Then != l.Now {
			differ = append(differ, *l)
		}
	}
	return differ
}
