// Package score reads the views beacons and contacts of the lake and writes scores: for each
// subject of a model a number, a grade, and the contributions that add up to it exactly. A score
// is a function of the model, the lake and an instant; nothing is counted up, so that a merge, a
// late event or an edited model needs no repair.
package score

import (
	"context"
	"fmt"
	"time"

	"crumbtrail/schemas"
)

// Run scores every subject of the model as of an instant and emits the scores, ordered by subject.
// The instant is cut to microseconds; runAt and runID are written on each score and have no other
// effect. Run stops at the first error of emit.
func Run(
	ctx context.Context, m *Model, asOf, runAt time.Time, runID string, q Querier,
	emit func(*schemas.Score) error,
) error {
	statement, err := SQL(m, asOf)
	if err != nil {
		return err
	}
	sum := m.SHA256()
	var current *schemas.Score
	finish := func() error {
		if current == nil {
			return nil
		}
		if err := addsUp(current); err != nil {
			return err
		}
		return emit(current)
	}
	err = q.Query(ctx, statement, func(values []any) error {
		l, err := readLine(values)
		if err != nil {
			return err
		}
		if current == nil || current.SubjectId != l.subject {
			if current != nil && current.SubjectId > l.subject {
				return fmt.Errorf("subject %q comes after %q", l.subject, current.SubjectId)
			}
			if err := finish(); err != nil {
				return err
			}
			current = &schemas.Score{
				Model: m.Name, Version: m.Version, ModelSha256: sum,
				SubjectType: string(m.Subject), SubjectId: l.subject,
				AsOfUs: asOf.UnixMicro(), RunId: runID, RunAtUs: runAt.UnixMicro(),
				ScoreHundredths: l.hundredths, Grade: l.grade, SalesReady: l.salesReady,
			}
		}
		if l.rule != "" {
			current.Contributions = append(current.Contributions, &schemas.Contribution{
				Rule: l.rule, EventId: l.eventID, PointsMicros: l.points,
			})
		}
		return nil
	})
	if err == nil {
		err = finish()
	}
	if err != nil {
		return fmt.Errorf("score model %s version %d as of %s: %w", m.Name, m.Version,
			asOf.UTC().Format(time.RFC3339Nano), err)
	}
	return nil
}

// addsUp checks that a score is the sum of its contributions.
func addsUp(s *schemas.Score) error {
	var sum int64
	for _, c := range s.Contributions {
		sum += c.PointsMicros
	}
	if sum != s.ScoreHundredths*int64(hundredth) {
		return fmt.Errorf("%s %q: the contributions add up to %s, the score is %s", s.SubjectType,
			s.SubjectId, Points(sum), Points(s.ScoreHundredths)*hundredth)
	}
	return nil
}

// line is a row of the compiled statement.
type line struct {
	subject    string
	hundredths int64
	grade      string
	salesReady bool
	// rule is empty in the only row of a subject without contributions.
	rule, eventID string
	points        int64
}

func readLine(values []any) (l line, err error) {
	fields := []any{
		&l.subject, &l.hundredths, &l.grade, &l.salesReady, &l.rule, &l.eventID, &l.points,
	}
	if len(values) != len(fields) {
		return l, fmt.Errorf("read a line of a score: %d columns, not %d", len(values), len(fields))
	}
	for i, field := range fields {
		ok := true
		switch to := field.(type) {
		case *string:
			*to, ok = values[i].(string)
		case *int64:
			*to, ok = values[i].(int64)
		case *bool:
			*to, ok = values[i].(bool)
		}
		if !ok && (i < 4 || values[i] != nil) {
			return l, fmt.Errorf("read a line of a score: column %d is a %T", i+1, values[i])
		}
	}
	return l, nil
}
