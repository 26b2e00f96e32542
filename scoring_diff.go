package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/schemas"
	"crumbtrail/score"
)

// scoreDiff prints which scores of each model differ from a baseline: the model's last run, another
// one, or another model at the same moment. Both sides are as of one moment unless --as-of says
// another one.
func (c *call) scoreDiff(ctx context.Context, s scoreCall) error {
	k, err := openKnown(ctx, c.data, nil)
	if err != nil {
		return err
	}
	rows, err := c.differences(ctx, k, s)
	if err := errors.Join(err, k.close()); err != nil {
		return err
	}
	return duck.WriteRows(c.stdout, s.format, differenceColumns(), rows)
}

func (c *call) differences(ctx context.Context, k *known, s scoreCall) ([][]*string, error) {
	facts := k
	if s.asKnown != "" {
		runs, err := k.runsAsKnown(ctx, s)
		if err != nil {
			return nil, err
		}
		if facts, err = openKnown(ctx, k.data, runs[0].positions); err != nil {
			return nil, err
		}
		defer func() { _ = facts.close() }() // a directory of temporary files
		if s.asOf.IsZero() {
			s.asOf = runs[0].asOf
		}
	}
	var rows [][]*string
	for _, m := range s.models {
		then, asOf, err := c.baseline(ctx, k, facts, m, s)
		if err != nil {
			return nil, err
		}
		now, err := facts.compute(ctx, m, asOf)
		if err != nil {
			return nil, err
		}
		changes := score.Diff(then, now)
		c.log.Info("compared", "model", m.Name, "as_of", asOf, "then", len(then), "now", len(now),
			"differ", len(changes))
		for _, d := range changes {
			rows = append(rows, differenceRows(m.Name, d)...)
		}
	}
	return rows, nil
}

// baseline returns the scores that a model's are compared with, and the moment to compute those as
// of.
func (c *call) baseline(
	ctx context.Context, k, facts *known, m *score.Model, s scoreCall,
) (then []*schemas.Score, asOf time.Time, err error) {
	asOf = s.asOf
	if info, err := os.Stat(s.against); err == nil && info.Mode().IsRegular() {
		other, err := loadModel(s.against)
		if err != nil {
			return nil, asOf, err
		}
		if asOf.IsZero() {
			asOf = time.Now()
		}
		then, err = facts.compute(ctx, other, asOf)
		return then, asOf, err
	}
	word := s.against
	if word == "" {
		word = time.Now().Format(time.RFC3339Nano)
	}
	runs, err := k.findRuns(ctx, word, m)
	if err != nil {
		return nil, asOf, err
	}
	if asOf.IsZero() {
		asOf = runs[0].asOf
	}
	then, err = k.published(ctx, runs[0])
	return then, asOf, err
}

// compute scores without publishing.
func (k *known) compute(
	ctx context.Context, m *score.Model, asOf time.Time,
) (scores []*schemas.Score, err error) {
	from, err := k.lake(ctx, m, asOf)
	if err != nil {
		return nil, err
	}
	err = score.Run(ctx, m, asOf, time.Now(), "", from, func(s *schemas.Score) error {
		scores = append(scores, s)
		return nil
	})
	return scores, err
}

// published reads the scores of a run.
func (k *known) published(ctx context.Context, r *scoreRun) (scores []*schemas.Score, err error) {
	var current *schemas.Score
	err = k.query(ctx, fmt.Sprintf("SELECT subject_id, CAST(score * 100 AS BIGINT), "+
		"coalesce(grade, ''), sales_ready, rule, coalesce(event_id, ''), "+
		"CAST(points * 1000000 AS BIGINT) FROM files.scores AS s LEFT JOIN (SELECT rule, event_id, "+
		"points, ordinal, topic_partition, topic_offset FROM files.score_explanations) "+
		"USING (topic_partition, topic_offset) WHERE s.run_id = %s AND s.model = %s "+
		"ORDER BY subject_id, topic_partition, topic_offset, ordinal",
		duck.Quote(r.id), duck.Quote(r.model.Name)), func(values []any) error {
		subject, _ := values[0].(string)
		if current == nil || current.SubjectId != subject {
			current = &schemas.Score{SubjectId: subject}
			current.ScoreHundredths, _ = values[1].(int64)
			current.Grade, _ = values[2].(string)
			current.SalesReady, _ = values[3].(bool)
			scores = append(scores, current)
		}
		if rule, ok := values[4].(string); ok {
			event, _ := values[5].(string)
			points, _ := values[6].(int64)
			current.Contributions = append(current.Contributions, &schemas.Contribution{
				Rule: rule, EventId: event, PointsMicros: points,
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the scores of run %s: %w", r.id, err)
	}
	return scores, nil
}

func differenceColumns() []duck.Column {
	return []duck.Column{
		{Name: "model", Type: "VARCHAR"},
		{Name: "subject_id", Type: "VARCHAR"},
		{Name: "score_then", Type: "DECIMAL(9,2)"},
		{Name: "score_now", Type: "DECIMAL(9,2)"},
		{Name: "grade_then", Type: "VARCHAR"},
		{Name: "grade_now", Type: "VARCHAR"},
		{Name: "sales_ready_then", Type: "BOOLEAN"},
		{Name: "sales_ready_now", Type: "BOOLEAN"},
		{Name: "rule", Type: "VARCHAR"},
		{Name: "event_id", Type: "VARCHAR"},
		{Name: "points_then", Type: "DECIMAL(18,6)"},
		{Name: "points_now", Type: "DECIMAL(18,6)"},
	}
}

// differenceRows are a subject's rows: one for each line that differs, or one without a line.
func differenceRows(model string, d score.Difference) [][]*string {
	subject := d.Subject()
	head := []*string{&model, &subject}
	for _, part := range []func(*schemas.Score) string{
		func(s *schemas.Score) string { return hundredths(s.ScoreHundredths) },
		func(s *schemas.Score) string { return s.Grade },
		func(s *schemas.Score) string { return strconv.FormatBool(s.SalesReady) },
	} {
		for _, s := range []*schemas.Score{d.Then, d.Now} {
			var text *string
			if s != nil {
				t := part(s)
				text = &t
			}
			head = append(head, text)
		}
	}
	if len(d.Lines) == 0 {
		return [][]*string{append(head, nil, nil, nil, nil)}
	}
	var rows [][]*string
	for _, l := range d.Lines {
		event, then, now := &l.EventID, micros(l.Then), micros(l.Now)
		if *event == "" {
			event = nil
		}
		row := append(append([]*string{}, head...), &l.Rule, event, &then, &now)
		rows = append(rows, row)
	}
	return rows
}

// hundredths writes a score as the view scores does.
func hundredths(n int64) string { return decimal(n, 100, 2) }

// micros writes points as the view score_explanations does.
func micros(n int64) string { return decimal(n, 1_000_000, 6) }

func decimal(n, unit int64, digits int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%0*d", sign, n/unit, digits, n%unit)
}
