package report

import (
	"fmt"
	"strings"

	"crumbtrail/resolve/match"
)

// Comparison is a column's levels and what each weighs.
type Comparison struct {
	Name, Kind string
	Levels     []Level
}

// Level is a level as a bar from the middle, to the right where it speaks for a match.
type Level struct {
	Name, Weight, M, U string
	Bar
	Fixed bool
}

// Bar is a bar of a chart that lies on its side.
type Bar struct {
	X, Width string
	Class    string // for, against
	Zero     string // where no weight is
}

// barOf goes from one value to another.
func barOf(s scale, from, to float64) Bar {
	b := Bar{Class: "for", Zero: s.at(0)}
	if to < from {
		b.Class = "against"
		from, to = to, from
	}
	b.X, b.Width = s.at(from), side(s.share(to)-s.share(from))
	return b
}

func comparisons(r *match.Result) []Comparison {
	learnt := r.Learnt()
	s := scale{}
	for _, levels := range learnt.Comparisons {
		for _, l := range levels {
			s.from, s.to = min(s.from, l.Weight()), max(s.to, l.Weight())
		}
	}
	var out []Comparison
	for _, c := range r.Columns {
		one := Comparison{Name: c.Name, Kind: string(c.Kind)}
		for _, l := range learnt.Comparisons[c.Name] {
			one.Levels = append(one.Levels, Level{
				Name: l.Name, Weight: signed(l.Weight()), M: percent(l.M), U: oneIn(l.U), Fixed: l.Fixed,
				Bar: barOf(s, 0, l.Weight()),
			})
		}
		out = append(out, one)
	}
	return out
}

// Waterfall is a pair, and how its weight comes about.
type Waterfall struct {
	Title, Sentence, Decision, Verdict, Class string
	Probability, Weight                       string
	Steps                                     []Step
	Threshold                                 string // where on the bars
	Through, Against, Rule                    string
	Open                                      bool
}

// Step is what one column adds.
type Step struct {
	Name, Level, Note string
	Weight, Total     string
	Left, Right       string
	Bar
	Sum bool
}

// beyond is a weight that no pair has: thresholds of 0 and 1 are infinite.
const beyond = 60

func (p *Page) waterfall(a, b int, open bool) Waterfall {
	e := p.in.Result.Explain(a, b)
	if !p.in.Values {
		e = e.WithoutValues()
	}
	threshold := min(max(logit(p.in.Threshold), -beyond), beyond)
	s := scale{from: min(0, threshold, e.Prior), to: max(0, threshold, e.Prior)}
	for _, l := range e.Lines {
		s.from, s.to = min(s.from, l.Total), max(s.to, l.Total)
	}
	w := Waterfall{
		Title: fmt.Sprintf("Rows %s and %s", number(a+1), number(b+1)), Sentence: e.Sentence(),
		Decision: sentence(e.Decision), Verdict: string(e.Verdict), Class: verdictClass(e.Verdict),
		Probability: probability(e.Probability), Weight: signed(e.Weight), Threshold: s.at(threshold),
		Rule: e.Rule, Open: open,
	}
	if e.Against != nil {
		w.Against = fmt.Sprintf("Most against it are rows %s and %s: weight %s.", number(e.Against.A+1),
			number(e.Against.B+1), signed(e.Against.Weight))
	}
	for i, at := range e.Through {
		if i == 0 {
			w.Through = "Through row " + number(at+1)
		} else {
			w.Through += ", then row " + number(at+1)
		}
	}
	w.Steps = append(w.Steps, Step{
		Name: "any two rows", Level: oneIn(p.in.Result.Prior) + " pairs is a match",
		Weight: signed(e.Prior), Total: signed(e.Prior), Bar: barOf(s, 0, e.Prior),
	})
	before := e.Prior
	for _, l := range e.Lines {
		w.Steps = append(w.Steps, stepOf(s, l, before))
		before = l.Total
	}
	w.Steps = append(w.Steps, Step{
		Name: "in all", Level: "probability " + w.Probability, Weight: w.Weight, Total: w.Weight,
		Bar: barOf(s, 0, e.Weight), Sum: true,
	})
	return w
}

func stepOf(s scale, l match.Line, before float64) Step {
	step := Step{
		Name: l.Column.Name, Level: l.Level, Note: l.Note, Weight: signed(l.Weight + l.Rarity),
		Total: signed(l.Total), Left: l.Left, Right: l.Right, Bar: barOf(s, before, l.Total),
	}
	if step.Name == "" {
		step.Name, step.Level = l.Level, ""
	}
	if l.Rarity >= 0.05 || l.Rarity <= -0.05 {
		what := "rare"
		if l.Rarity < 0 {
			what = "common"
		}
		step.Level += fmt.Sprintf(", %s value %s", what, signed(l.Rarity))
	}
	return step
}

// sentence begins a text with a capital.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func verdictClass(v match.Verdict) string {
	switch v {
	case match.Matched, match.Joined:
		return "good"
	case match.NearMiss:
		return "maybe"
	case match.Refused:
		return "bad"
	}
	return "none"
}
