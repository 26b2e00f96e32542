package score

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"crumbtrail/schemas"
)

// TestStories scores small lakes by hand-computed numbers. The commands:
//
//	events    one event per line: time event visitor contact type path [column=value]...
//	contacts  one contact per line: time contact [column=value]...
//	model     a scoring model; prints what is wrong with it
//	score     as-of=T; prints each subject's score and what it is made of
//	reset     forgets everything
//
// A contact or visitor written as - is none.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		l := newLake(t)
		var model *Model
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "reset":
				l.exec("DELETE FROM beacons; DELETE FROM contacts")
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
				return l.story(model, parseTime(t, asOf))
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, ok := parseInstant(s)
	if !ok {
		t.Fatalf("%q is no time", s)
	}
	return at
}

// story prints the scores of a run.
func (l *lake) story(m *Model, asOf time.Time) string {
	var b strings.Builder
	runAt := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	err := Run(l.t.Context(), m, asOf, runAt, "run", l, func(s *schemas.Score) error {
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
		return nil
	})
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return b.String()
}
