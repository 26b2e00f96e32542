package score

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"crumbtrail/schemas"
)

// TestStories scores small lakes by hand-computed numbers. The commands:
//
//	events    one event per line: time event visitor contact type path [column=value]...
//	contacts  one version of a contact per line: time contact [column=value]...
//	model     a scoring model; prints what is wrong with it
//	score     as-of=T; prints each subject's score and what it is made of
//	crossings as-of=T [since=(subject,T)]; of who is ready, who has become so anew and when
//	reset     forgets everything
//
// A contact or visitor written as - is none.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Ext(path) != ".txt" {
			return // what a random test failed with
		}
		l := newLake(t)
		var model *Model
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "reset":
				l.reset()
				return ""
			case "events":
				for row := range strings.Lines(d.Input) {
					l.event(row)
				}
				return ""
			case "contacts":
				for row := range strings.Lines(d.Input) {
					l.contact(row)
				}
				return ""
			case "model":
				m, err := ParseModel("model.yaml", []byte(d.Input))
				if err != nil {
					return err.Error() + "\n"
				}
				model = m
				return ""
			case "score":
				var asOf string
				d.ScanArgs(t, "as-of", &asOf)
				return l.print(model, parseTime(t, asOf), partEvents)
			case "crossings":
				var asOf string
				d.ScanArgs(t, "as-of", &asOf)
				var since []string
				d.MaybeScanArgs(t, "since", &since)
				return l.crossings(model, parseTime(t, asOf), since)
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

func parseTime(t testing.TB, s string) time.Time {
	t.Helper()
	at, ok := parseInstant(s)
	if !ok {
		t.Fatalf("%q is no time", s)
	}
	return at
}

// print prints the scores of a run in parts of that many events, in order of the subjects.
func (l *lake) print(m *Model, asOf time.Time, limit int64) string {
	scores := map[string]string{}
	r := &run{model: m, asOf: asOf, q: l, emit: func(s *schemas.Score) error {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %.2f", s.SubjectId, float64(s.ScoreHundredths)/100)
		if s.Grade != "" {
			b.WriteString(" " + s.Grade)
		}
		if s.SalesReady {
			b.WriteString(" ready")
		}
		b.WriteByte('\n')
		for _, c := range s.Contributions {
			fmt.Fprintf(&b, "  %s %s\n", strings.TrimRight(c.Rule+" "+c.EventId, " "),
				Points(c.PointsMicros))
		}
		scores[s.SubjectId] += b.String()
		return nil
	}}
	if err := r.all(l.t.Context(), limit); err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, subject := range slices.Sorted(maps.Keys(scores)) {
		b.WriteString(scores[subject])
	}
	return b.String()
}

// rows is a Querier that gives what no statement of ours does.
type rows [][]any

func (r rows) Query(_ context.Context, statement string, row func([]any) error) error {
	if strings.HasPrefix(statement, "SELECT count(*)") {
		return row([]any{int64(1), int64(0)})
	}
	for _, values := range r {
		if err := row(values); err != nil {
			return err
		}
	}
	return nil
}

func TestRunRefusesBrokenScores(t *testing.T) {
	m := parse(t, plainModel)
	stop := errors.New("stop")
	emit := func(s *schemas.Score) error {
		if s.SubjectId == "stop" {
			return stop
		}
		return nil
	}
	for _, tc := range []struct {
		rows rows
		err  string
	}{
		{rows{{"c1", int64(1), "", false, "r", "e", int64(10_000)}}, ""},
		{
			rows{{"c1", int64(1), "", false, "r", "e", int64(9_999)}},
			`contact "c1": the contributions add up to 0.009999, the score is 0.01`,
		},
		{
			rows{
				{"c1", int64(1), "", false, "r", "e", int64(1)},
				{"c2", int64(0), "", false, nil, nil, nil},
			},
			`contact "c1": the contributions add up to 0.000001, the score is 0.01`,
		},
		{
			rows{{"c2", int64(0), "", false, nil, nil, nil}, {"c1", int64(0), "", false, nil, nil, nil}},
			`subject "c1" comes after "c2"`,
		},
		{rows{{"c1"}}, "read a line of a score: 1 columns, not 7"},
		{rows{{"c1", nil, "", false, nil, nil, nil}}, "read a line of a score: column 2 is a <nil>"},
		{rows{{"c1", int64(0), "", false, 5, nil, nil}}, "read a line of a score: column 5 is a int"},
		{rows{{"stop", int64(0), "", false, nil, nil, nil}}, "stop"},
	} {
		err := Run(t.Context(), m, time.UnixMicro(0), time.UnixMicro(0), "run", tc.rows, emit)
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "score model m version 3 as of 1970-01-01T00:00:00Z: ")
		}
		if got != tc.err {
			t.Errorf("%v: %q, not %q", tc.rows, got, tc.err)
		}
	}
}
