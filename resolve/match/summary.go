package match

import "slices"

// ColumnSummary is a column of the input, what it was taken for, and why.
type ColumnSummary struct {
	Column
	// Compared is false where it took no part; Reason says why, or how its kind was told.
	Compared bool
	Reason   string
	// Filled is how many records say something in it, Distinct how many different things.
	Filled, Distinct int
}

// Summary lists the columns, those compared first.
func (r *Result) Summary() []ColumnSummary {
	var all []ColumnSummary
	for _, c := range r.Columns {
		all = append(all, r.summary(c, true))
	}
	for _, c := range r.Ignored {
		all = append(all, r.summary(c, false))
	}
	return all
}

func (r *Result) summary(c Column, compared bool) ColumnSummary {
	s := ColumnSummary{Column: c, Compared: compared}
	at := slices.IndexFunc(r.set.columns, func(raw *rawColumn) bool { return raw.name == c.Name })
	if at < 0 {
		return r.summaryOfPart(s)
	}
	raw := r.set.columns[at]
	s.Distinct = len(raw.texts) - 1
	for _, id := range raw.rows {
		if id != 0 {
			s.Filled++
		}
	}
	s.Reason = r.reason(s, raw)
	return s
}

// summaryOfPart is that of a column that was made of another one.
func (r *Result) summaryOfPart(s ColumnSummary) ColumnSummary {
	s.Reason = "a part of the full name"
	for _, col := range r.weights.columns {
		if col.Name != s.Name {
			continue
		}
		s.Filled = col.filled
		for _, n := range col.counts[1:] {
			if n > 0 {
				s.Distinct++
			}
		}
	}
	if !s.Compared {
		s.Reason += " that tells too little"
	}
	return s
}

// reason says how a column's kind was told, or why it took no part.
func (r *Result) reason(s ColumnSummary, raw *rawColumn) string {
	if slices.Contains(r.options.Skip, raw.name) {
		return "left out as asked"
	}
	_, given := r.options.Model.Columns[raw.name]
	byName, named := kindByName(raw.name)
	switch {
	case given && s.Kind == Ignored:
		return "left out as the model says"
	case named && byName == Ignored:
		return "its name says that it numbers rows or tells where they come from"
	case s.Compared && given:
		return "the model says so"
	case s.Compared && named:
		return "its name says so"
	case s.Compared:
		return "its values look like it"
	case s.Distinct < 2:
		return "it tells no record from another"
	case s.Kind == Ignored && s.Distinct == s.Filled && s.Filled*2 >= len(raw.rows):
		return "a number of its own for each record"
	case s.Kind == Ignored:
		return "most records say nothing in it, and its name tells nothing"
	case s.Kind == FullName || s.Kind == Text:
		return "it repeats the names, or too many columns say more"
	}
	return "it tells too little"
}

// Possible is how many pairs of records there are, compared or not.
func (r *Result) Possible() float64 { return r.weights.pairs() }

// Point is what a threshold would give, were no cluster refused.
type Point struct {
	// Weight is the threshold, Probability what it stands for.
	Weight, Probability float64
	// Pairs is how many pairs are at or above it, Right how many of them are true.
	Pairs, Right int
	// Joined is by how many fewer the records would be.
	Joined int
}

// Steps of a curve, in weights; beyond the last every pair is as good as certain.
const (
	curveStep = 0.25
	curveEnd  = 17
)

// Curve tells what other thresholds would give, from the review threshold on. entity is the truth,
// nil where it is not known.
func (r *Result) Curve(entity []string) []Point {
	first := max(logit(r.options.Review), low)
	points := make([]Point, 0, int((curveEnd-first)/curveStep)+1)
	for w := first; w <= curveEnd; w += curveStep {
		points = append(points, Point{Weight: w, Probability: probability(w)})
	}
	group := make([]int, len(r.Cluster))
	for i := range group {
		group[i] = i
	}
	at := Point{}
	next := 0
	for k := len(points) - 1; k >= 0; k-- {
		for ; next < len(r.Pairs) && r.Pairs[next].Weight >= points[k].Weight; next++ {
			p := r.Pairs[next]
			at.Pairs++
			if entity != nil && entity[p.A] == entity[p.B] && entity[p.A] != "" {
				at.Right++
			}
			if a, b := root(group, p.A), root(group, p.B); a != b {
				group[b] = a
				at.Joined++
			}
		}
		points[k].Pairs, points[k].Right, points[k].Joined = at.Pairs, at.Right, at.Joined
	}
	return points
}

func root(group []int, at int) int {
	for group[at] != at {
		group[at] = group[group[at]]
		at = group[at]
	}
	return at
}
