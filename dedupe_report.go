package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"crumbtrail/resolve/match"
)

// writeExplanation draws the way from the prior to the decision, a line for each column.
func writeExplanation(w io.Writer, e match.Explanation) {
	left, right := fmt.Sprintf("row %d", e.A+1), fmt.Sprintf("row %d", e.B+1)
	fmt.Fprintf(w, "%s and %s: probability %s, weight %+.2f\n%s.\n\n", left, right,
		probabilityText(e.Probability), e.Weight, e.Decision)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t%s\t%s\tagreement\tweight\tfor this value\tso far\t\n", left, right)
	fmt.Fprintf(t, "any two rows\t\t\t\t%+.2f\t\t%+.2f\t\n", e.Prior, e.Prior)
	for _, l := range e.Lines {
		rarity := ""
		if l.Rarity != 0 {
			rarity = fmt.Sprintf("%+.2f", l.Rarity)
		}
		level := l.Level
		if l.Note != "" {
			level += " (" + l.Note + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%+.2f\t%s\t%+.2f\t\n", l.Column.Name, shown(l.Left),
			shown(l.Right), level, l.Weight, rarity, l.Total)
	}
	_ = t.Flush() // a terminal that is gone needs no explanation
	fmt.Fprint(w, "\nA weight of +1 doubles the odds that both are one person, -1 halves them; the "+
		"sum is the weight above.\n\"For this value\" is positive where few rows have it, negative "+
		"where many do.\n")
	if e.Rule != "" {
		fmt.Fprintf(w, "Compared because of: %s.\n", e.Rule)
	}
	for _, l := range e.Lines {
		for _, side := range []struct {
			row   string
			steps []string
		}{{left, l.LeftSteps}, {right, l.RightSteps}} {
			if len(side.steps) > 0 {
				fmt.Fprintf(w, "%s, %s: %s.\n", side.row, l.Column.Name, strings.Join(side.steps, "; "))
			}
		}
	}
}

// shown is a value for a terminal: short, and nothing in it steers one.
func shown(value string) string {
	const longest = 40
	if runes := []rune(value); len(runes) > longest {
		value = string(runes[:longest-1]) + "…"
	}
	quoted := strconv.Quote(value)
	if value == "" {
		return "-"
	}
	if quoted == `"`+value+`"` {
		return value
	}
	return quoted
}

// writeJudgement prints how the result does against the truth.
func writeJudgement(w io.Writer, j match.Judgement, threshold float64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\tprecision\trecall\tF1\ttrue\tfound\tright\t\n")
	for _, line := range []struct {
		what string
		q    match.Quality
	}{
		{fmt.Sprintf("pairs at %s (threshold)", probabilityText(threshold)), j.Default},
		{fmt.Sprintf("pairs at %s (best)", probabilityText(j.Threshold)), j.Best},
		{"clusters", j.Clusters},
	} {
		q := line.q
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%.4f\t%d\t%d\t%d\t\n", line.what, q.Precision(), q.Recall(),
			q.F1(), q.True, q.Found, q.Right)
	}
	fmt.Fprint(t, "\nprobability said\tpairs\tmean\tof them true\t\n")
	for _, b := range j.Bins {
		if b.Pairs > 0 {
			fmt.Fprintf(t, "%.1f to %.1f\t%d\t%.3f\t%.3f\t\n", b.From, b.To, b.Pairs, b.Mean, b.Share())
		}
	}
	return t.Flush()
}
