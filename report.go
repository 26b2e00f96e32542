package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"crumbtrail/ingest"
	"crumbtrail/internal/duck"
	"crumbtrail/score"
)

// reportSQL asks the lake for the figures of a report, one row.
//
//go:embed report.sql
var reportSQL string

// lakeFigures are the columns of reportSQL.
type lakeFigures struct {
	inVisits, visits, late, visitors                               int64
	submissions, contacts, joined, anonymous, bad, scores, reviews int64
}

// report prints what came in, what came of it, and whether the two add up: the edge's own counts
// against the sessionizer's and against the rows of the lake.
func (p *pipeline) report(ctx context.Context, w io.Writer, edge ingest.Counts) error {
	lake, err := p.lakeFigures(ctx)
	if err != nil {
		return err
	}
	stage := p.visits.total()
	t := &figures{w: w}
	t.head("this run")
	t.line("received", edge.Received, fmt.Sprintf("= %s accepted + %s rejected%s",
		number(edge.Accepted), number(edge.Rejected()), shedNote(edge)))
	for _, reason := range slices.Sorted(maps.Keys(edge.RejectedByReason)) {
		t.line("", edge.RejectedByReason[reason], "rejected: "+reason)
	}
	t.head("in the lake")
	t.line("accepted", stage.Beacons, fmt.Sprintf("= %s in visits + %s duplicates%s",
		number(lake.inVisits), number(stage.Duplicates), countedNote(stage.Counted)))
	t.line("visits", lake.visits, fmt.Sprintf("by %s visitors, %s of them late",
		number(lake.visitors), number(lake.late)))
	t.line("submissions", lake.submissions, "")
	t.line("contacts", lake.contacts, fmt.Sprintf("%s joined from two visitors or more; %s visits "+
		"were anonymous when they were made", number(lake.joined), number(lake.anonymous)))
	if lake.reviews > 0 {
		t.line("reviews", lake.reviews,
			"pairs of contacts that a person has to look at: crumbtrail review")
	}
	t.line("bad beacons", lake.bad, "with their raw bytes")
	t.line("scores", lake.scores, "")
	if t.err != nil {
		return t.err
	}
	return addUp(edge, stage.Beacons, stage.Duplicates, stage.Counted, lake)
}

// addUp checks V6 over everything that this directory has seen.
func addUp(edge ingest.Counts, accepted, duplicates, counted int64, lake lakeFigures) error {
	if sum := edge.Accepted + edge.Rejected() + edge.Shed; sum != edge.Received {
		return fmt.Errorf("the counts do not add up: %d beacons received, %d accounted for",
			edge.Received, sum)
	}
	if sum := lake.inVisits + duplicates + counted; sum != accepted {
		return fmt.Errorf("the counts do not add up: %d beacons accepted, %d in visits, duplicate or "+
			"counted", accepted, sum)
	}
	return nil
}

func (p *pipeline) lakeFigures(ctx context.Context) (f lakeFigures, err error) {
	child, err := queryChild()
	if err != nil {
		return f, err
	}
	into := []*int64{
		&f.inVisits, &f.visits, &f.late, &f.visitors,
		&f.submissions, &f.contacts, &f.joined, &f.anonymous, &f.bad, &f.scores, &f.reviews,
	}
	err = child.Rows(ctx, duck.Query{Database: catalogPath(p.data), SQL: reportSQL},
		func(_ []duck.Column, row []any) error {
			for i, value := range row {
				n, ok := value.(int64)
				if !ok {
					return fmt.Errorf("column %d of the report is a %T", i+1, value)
				}
				*into[i] = n
			}
			return nil
		})
	return f, err
}

// bestLeads prints the leads with the highest scores and the reasons for them.
func (p *pipeline) bestLeads(ctx context.Context, w io.Writer) error {
	child, err := queryChild()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "best leads\n"); err != nil {
		return err
	}
	return child.Rows(ctx, duck.Query{Database: catalogPath(p.data), SQL: score.BestLeads()},
		func(columns []duck.Column, row []any) error {
			lead := map[string]string{}
			for i, c := range columns {
				lead[c.Name] = text(row[i])
			}
			who := slices.DeleteFunc([]string{lead["lead"], lead["name"], lead["company"]},
				func(s string) bool { return s == "" })
			_, err := fmt.Fprintf(w, "  %-12s %10s  %s\n%14s%s\n", lead["grade"], lead["score"],
				strings.Join(who, ", "), "", lead["why"])
			return err
		})
}

// text is a value of a row for people, empty for NULL.
func text(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// figures prints aligned lines of a name, a number and what it means.
type figures struct {
	w   io.Writer
	err error
}

func (f *figures) head(title string) { f.print("%s\n", title) }

func (f *figures) line(name string, n int64, note string) {
	f.print("%s\n", strings.TrimRight(fmt.Sprintf("  %-12s %10s  %s", name, number(n), note), " "))
}

func (f *figures) print(format string, args ...any) {
	if f.err == nil {
		_, f.err = fmt.Fprintf(f.w, format, args...)
	}
}

func shedNote(edge ingest.Counts) string {
	if edge.Shed == 0 {
		return ""
	}
	return fmt.Sprintf(" + %s shed", number(edge.Shed))
}

func countedNote(counted int64) string {
	if counted == 0 {
		return ""
	}
	return fmt.Sprintf(" + %s counted without consent", number(counted))
}

// number writes thousands with commas.
func number(n int64) string {
	if n < 0 {
		return "-" + number(-n)
	}
	digits := strconv.FormatInt(n, 10)
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(d)
	}
	return out.String()
}
