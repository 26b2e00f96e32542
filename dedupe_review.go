package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"crumbtrail/resolve/match"
)

// What a person may say of a pair in the column verdict.
const (
	verdictAccept = "accept"
	verdictReject = "reject"
)

// doubtless is from which probability a bridge need not be looked at.
const doubtless = 0.999

// reviews are pairs for a person to look at, with what was said of some before.
type reviews struct {
	input     *records
	result    *match.Result
	threshold float64
	said      []pairVerdict
	out       *csv.Writer
}

// pairVerdict is what a person said of two rows.
type pairVerdict struct {
	match.Linked
	text string
}

// writeReview writes the pairs whose fate a person may want to change, both rows side by side:
// those that somebody decided, then the likeliest first. With verdicts in it, it can be read again.
func writeReview(w io.Writer, r reviews) error {
	r.out = csv.NewWriter(w)
	head := []string{
		"verdict", "match_probability", "weight", "reason", "explanation", "row_a", "row_b", "key",
	}
	for _, name := range r.input.columns {
		head = append(head, name+"_a", name+"_b")
	}
	_ = r.out.Write(head) // a csv.Writer keeps its error
	decided := map[[2]int]bool{}
	for _, v := range r.said {
		decided[[2]int{v.A, v.B}] = true
		e := r.result.Explain(v.A, v.B)
		r.write(match.Pair{A: v.A, B: v.B, Weight: e.Weight, Probability: e.Probability}, v.text,
			e.Decision)
	}
	bridges := map[[2]int]match.Bridge{}
	for _, b := range r.result.Bridges() {
		if b.Left > 1 && b.Right > 1 && b.Probability < doubtless {
			bridges[[2]int{b.A, b.B}] = b
		}
	}
	for _, p := range r.result.Pairs {
		pair := [2]int{p.A, p.B}
		if decided[pair] {
			continue
		}
		if reason := r.reason(p, bridges[pair]); reason != "" {
			r.write(p, "", reason)
		}
	}
	r.out.Flush()
	return r.out.Error()
}

// reason says why a pair is worth a look; empty where it is not.
func (r reviews) reason(p match.Pair, b match.Bridge) string {
	switch {
	case p.Refused != "":
		return "refused: " + p.Refused
	case b.Left > 0:
		return fmt.Sprintf("bridge: it alone holds %d and %d rows together", b.Left, b.Right)
	case p.Probability >= r.threshold:
		return ""
	case r.result.Cluster[p.A] == r.result.Cluster[p.B]:
		return "joined through other rows alone"
	}
	return "near miss"
}

func (r reviews) write(p match.Pair, verdict, reason string) {
	row := []string{
		verdict, probabilityText(p.Probability), strconv.FormatFloat(p.Weight, 'f', 2, 64), reason,
		r.result.Sentence(p.A, p.B), strconv.Itoa(p.A + 1), strconv.Itoa(p.B + 1),
		r.input.key(p.A) + "-" + r.input.key(p.B),
	}
	for c := range r.input.columns {
		row = append(row, cell(r.input.set.Text(p.A, c)), cell(r.input.set.Text(p.B, c)))
	}
	_ = r.out.Write(row)
}

// cell is a text that no spreadsheet takes for a formula. A number with a sign is none.
func cell(text string) string {
	if text == "" {
		return text
	}
	rest := strings.TrimLeft(text[1:], " (0123456789")
	switch text[0] {
	case '=', '@', '\t', '\r':
		return "'" + text
	case '+', '-':
		if len(rest) == len(text)-1 || strings.ContainsAny(rest, "=+*/|!") {
			return "'" + text
		}
	}
	return text
}

// key names a row by what it says, so that a verdict finds it wherever the row is moved.
func (r *records) key(row int) string {
	h := fnv.New64a()
	for c := range r.columns {
		_, _ = h.Write(append([]byte(r.set.Text(row, c)), 0)) // a hash takes all
	}
	return fmt.Sprintf("r%016x", h.Sum64())
}

// verdicts reads what people decided in files that --review wrote. Pairs whose rows are gone are
// counted.
func (r *records) verdicts(
	ctx context.Context, files []string,
) (said []pairVerdict, gone int, err error) {
	rows := map[string][]int{}
	if len(files) > 0 {
		for row := range r.set.Len() {
			key := r.key(row)
			rows[key] = append(rows[key], row)
		}
	}
	last := map[[2]int]int{} // where in said a pair is
	for _, file := range files {
		v := &verdictReader{rows: rows, count: r.set.Len()}
		if err := r.eachRecord(ctx, file, v.header, v.row); err != nil {
			return nil, 0, err
		}
		gone += v.gone
		for _, one := range v.said {
			pair := [2]int{one.A, one.B}
			if at, again := last[pair]; again {
				said[at] = one
				continue
			}
			last[pair] = len(said)
			said = append(said, one)
		}
	}
	return said, gone, nil
}

// verdictReader reads one file of verdicts.
type verdictReader struct {
	rows  map[string][]int // by key
	count int
	line  int
	gone  int
	said  []pairVerdict
}

func (v *verdictReader) header(columns []string) ([]int, error) {
	places := make([]int, 4)
	for i, name := range []string{"verdict", "row_a", "row_b", "key"} {
		places[i] = -1
		for at, column := range columns {
			if strings.EqualFold(column, name) {
				places[i] = at
			}
		}
	}
	if places[0] < 0 || places[3] < 0 && (places[1] < 0 || places[2] < 0) {
		return nil, errors.New("want the columns verdict, and key or row_a and row_b, as --review " +
			"writes them")
	}
	v.line = 1
	return places, nil
}

func (v *verdictReader) row(texts []string) error {
	v.line++
	link := match.Unset
	text := strings.ToLower(strings.TrimSpace(texts[0]))
	switch text {
	case "":
		return nil
	case verdictAccept:
		link = match.Same
	case verdictReject:
		link = match.Apart
	default:
		return fmt.Errorf("row %d: verdict %q: want %s, %s, or nothing", v.line, texts[0], verdictAccept,
			verdictReject)
	}
	a, b, ok := v.pair(texts)
	if !ok {
		v.gone++
		return nil
	}
	if a == b {
		return fmt.Errorf("row %d: both rows of the pair are row %d", v.line, a+1)
	}
	v.said = append(v.said, pairVerdict{match.Linked{A: min(a, b), B: max(a, b), Link: link}, text})
	return nil
}

// pair finds the two rows: by what they say where the file tells, else by their numbers. Of rows
// that say the same, the one of that number is meant, or the first.
func (v *verdictReader) pair(texts []string) (a, b int, ok bool) {
	var numbers [2]int
	for i, text := range texts[1:3] {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > v.count {
			n = 0
		}
		numbers[i] = n - 1
	}
	left, right, keyed := strings.Cut(strings.TrimSpace(texts[3]), "-")
	if !keyed {
		return numbers[0], numbers[1], numbers[0] >= 0 && numbers[1] >= 0
	}
	a = pick(v.rows[left], numbers[0], -1)
	b = pick(v.rows[right], numbers[1], a)
	return a, b, a >= 0 && b >= 0
}

// pick is the wanted one of some rows, else the first that is not other; -1 where there is none.
func pick(rows []int, wanted, other int) int {
	found := -1
	for _, row := range rows {
		if row == wanted {
			return row
		}
		if found < 0 && row != other {
			found = row
		}
	}
	return found
}
