package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"crumbtrail/resolve/match"
)

// judgement is how a result does against the truth, in JSON.
type judgement struct {
	Rows     int         `json:"rows"`
	Pairs    qualityJSON `json:"pairs"`
	Best     qualityJSON `json:"best"`
	Clusters qualityJSON `json:"clusters"`
	Bins     []binJSON   `json:"calibration"`
}

type qualityJSON struct {
	Threshold float64 `json:"threshold,omitempty"` // none of clusters
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	True      int     `json:"true"`
	Found     int     `json:"found"`
	Right     int     `json:"right"`
}

type binJSON struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Pairs int     `json:"pairs"`
	Mean  float64 `json:"mean"`
	True  int     `json:"true"`
}

// writeJudgement writes how the result does against the truth, in the format that was asked for.
// used is the threshold.
func writeJudgement(
	w io.Writer, format string, r *match.Result, j match.Judgement, used float64,
) error {
	if format != formatJSON {
		return printJudgement(w, j, used)
	}
	of := func(threshold float64, q match.Quality) qualityJSON {
		return qualityJSON{
			threshold, q.Precision(), q.Recall(), q.F1(), q.True, q.Found, q.Right,
		}
	}
	out := judgement{
		Rows: len(r.Cluster), Pairs: of(used, j.Default), Best: of(j.Threshold, j.Best),
		Clusters: of(0, j.Clusters),
	}
	for _, b := range j.Bins {
		out.Bins = append(out.Bins, binJSON{b.From, b.To, b.Pairs, b.Mean, b.True})
	}
	return json.NewEncoder(w).Encode(out)
}

func printJudgement(w io.Writer, j match.Judgement, threshold float64) error {
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
