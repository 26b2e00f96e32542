package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"crumbtrail/resolve/match"
)

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
