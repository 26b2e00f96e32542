package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"crumbtrail/resolve/match"
)

// writeExplanations says of each pair why it is one, or not, in the format that was asked for.
func writeExplanations(w io.Writer, format string, r *match.Result, pairs [][2]int) error {
	for i, pair := range pairs {
		e := r.Explain(pair[0], pair[1])
		if format == formatJSON {
			if err := json.NewEncoder(w).Encode(explanationOf(e)); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		writeExplanation(w, e)
	}
	return nil
}

// writeExplanation says in a sentence what a pair comes to, then draws the way from the prior to
// the decision, a line for each column.
func writeExplanation(w io.Writer, e match.Explanation) {
	left, right := rowName(e.A), rowName(e.B)
	fmt.Fprintf(w, "%s and %s: %s\n", left, right, e.Sentence())
	fmt.Fprintf(w, "Probability %s, weight %+.2f. %s.\n", probabilityText(e.Probability), e.Weight,
		capital(e.Decision))
	if len(e.Through) > 0 {
		names := make([]string, len(e.Through))
		for i, at := range e.Through {
			names[i] = rowName(at)
		}
		fmt.Fprintf(w, "They are joined through %s.\n", strings.Join(names, ", then "))
	}
	if e.Against != nil {
		fmt.Fprintf(w, "Most against it, across the two clusters, are %s and %s: weight %+.2f.\n",
			rowName(e.Against.A), rowName(e.Against.B), e.Against.Weight)
	}
	fmt.Fprintln(w)
	writeWaterfall(w, e, left, right)
	fmt.Fprint(w, "\nA weight of +1 doubles the odds that both are one, -1 halves them; the sum is "+
		"the weight above.\n\"For this value\" is positive where few rows have it, negative where many "+
		"do.\n")
	if e.Rule != "" {
		fmt.Fprintf(w, "Compared because of: %s.\n", e.Rule)
	}
	for _, l := range e.Lines {
		if l.Note != "" {
			fmt.Fprintf(w, "%s: %s.\n", lineName(l), l.Note)
		}
	}
	writeSteps(w, e)
}

// writeSteps says what was done to the texts before they were compared, and in which columns.
func writeSteps(w io.Writer, e match.Explanation) {
	var steps []string
	columns := map[string][]string{}
	for _, l := range e.Lines {
		for _, step := range slices.Concat(l.LeftSteps, l.RightSteps) {
			if columns[step] == nil {
				steps = append(steps, step)
			}
			if !slices.Contains(columns[step], l.Column.Name) {
				columns[step] = append(columns[step], l.Column.Name)
			}
		}
	}
	for _, step := range steps {
		fmt.Fprintf(w, "Before comparing: %s (%s).\n", step, strings.Join(columns[step], ", "))
	}
}

// writeWaterfall draws the way from the prior to the weight of two records, called left and right.
func writeWaterfall(w io.Writer, e match.Explanation, left, right string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t%s\t%s\tagreement\tweight\tfor this value\tso far\t\n", left, right)
	fmt.Fprintf(t, "any two rows\t\t\t\t%+.2f\t\t%+.2f\t\n", e.Prior, e.Prior)
	for _, l := range e.Lines {
		rarity := ""
		if l.Rarity != 0 {
			rarity = fmt.Sprintf("%+.2f", l.Rarity)
		}
		level := l.Level
		if l.Column.Name == "" {
			level = "" // it is the line's name
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%+.2f\t%s\t%+.2f\t\n", lineName(l), shown(l.Left),
			shown(l.Right), level, l.Weight, rarity, l.Total)
	}
	_ = t.Flush() // a terminal that is gone needs no explanation
}

func rowName(at int) string { return "row " + strconv.Itoa(at+1) }

// lineName is the column of a line, or what else it is.
func lineName(l match.Line) string {
	if l.Column.Name == "" {
		return l.Level
	}
	return l.Column.Name
}

func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
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

// explanation is one in JSON. Rows are counted from 1.
type explanation struct {
	RowA        int                 `json:"row_a"`
	RowB        int                 `json:"row_b"`
	Verdict     match.Verdict       `json:"verdict"`
	Sentence    string              `json:"sentence"`
	Decision    string              `json:"decision"`
	Probability float64             `json:"match_probability"`
	Weight      float64             `json:"weight"`
	Prior       float64             `json:"prior_weight"`
	Columns     []columnExplanation `json:"columns"`
	Because     string              `json:"compared_because,omitempty"`
	Through     []int               `json:"through_rows,omitempty"`
	Against     *pairExplanation    `json:"most_against,omitempty"`
}

type columnExplanation struct {
	Column     string     `json:"column"`
	Kind       match.Kind `json:"kind,omitempty"`
	Left       string     `json:"left"`
	Right      string     `json:"right"`
	Level      string     `json:"level"`
	Weight     float64    `json:"weight"`
	Rarity     float64    `json:"rarity"`
	Total      float64    `json:"total"`
	Note       string     `json:"note,omitempty"`
	LeftSteps  []string   `json:"left_steps,omitempty"`
	RightSteps []string   `json:"right_steps,omitempty"`
}

type pairExplanation struct {
	RowA        int     `json:"row_a"`
	RowB        int     `json:"row_b"`
	Probability float64 `json:"match_probability"`
	Weight      float64 `json:"weight"`
}

func explanationOf(e match.Explanation) explanation {
	out := explanation{
		RowA: e.A + 1, RowB: e.B + 1, Verdict: e.Verdict, Sentence: e.Sentence(), Decision: e.Decision,
		Probability: e.Probability, Weight: e.Weight, Prior: e.Prior, Because: e.Rule,
	}
	for _, at := range e.Through {
		out.Through = append(out.Through, at+1)
	}
	if a := e.Against; a != nil {
		out.Against = &pairExplanation{a.A + 1, a.B + 1, a.Probability, a.Weight}
	}
	for _, l := range e.Lines {
		out.Columns = append(out.Columns, columnExplanation{
			l.Column.Name, l.Column.Kind, l.Left, l.Right, l.Level, l.Weight, l.Rarity, l.Total, l.Note,
			l.LeftSteps, l.RightSteps,
		})
	}
	return out
}
