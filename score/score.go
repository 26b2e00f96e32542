// Package score reads beacons, identities and contact_versions of the lake and writes scores: for
// each subject of a model a number, a grade, and the contributions that add up to it exactly. It
// guarantees that a score is a function of the model, the lake and an instant: nothing is counted
// up, so that a merge, a late event or an edited model needs no repair.
//
// What a score is, step by step; the statement's comments name the steps:
//
//  1. Given are a model, a lake and an instant T. There is no clock and no chance.
//  2. Facts are the events with ts <= T of who agreed to be scored, under the contact that they
//     belong to by what is known today: who is merged into another is no subject. A contact is
//     the version of it that was in force at T, of those in which it stood for itself.
//  3. An event id is one event of a subject: the earliest by (ts, place in the topic).
//  4. An event is in a rule's window where T - window < ts <= T. A day has 86,400 seconds.
//  5. The events that meet a rule are ordered by (ts, event id). Fewer than at_least: none scores.
//     once keeps the last; of what is left, those with number every, 2 every, ... score.
//  6. In that order, within a calendar day of the model's time zone, each is granted its points,
//     or what the others left of cap_per_day.
//  7. Age decays them: 2^(-age/half_life), max(0, 1 - age/linear), keep^floor(age/step).
//  8. A contribution is computed in floating point and rounded half away from zero to six
//     decimals; what follows is exact.
//  9. A rule is the sum of its contributions, within its cap of either sign. An attribute rule
//     contributes its points once, a rule on silence for each whole period since the last event,
//     or since the subject's creation.
//  10. A group is the sum of its rules within its bounds, the score that of the groups within its
//     own, rounded half away from zero to two decimals. Grade and readiness are of that number.
//  11. A subject is ready for sales where its score is at least sales_ready.at, or where it was
//     ready before and the score is at least rearm_below; before is the instants at each
//     sales_ready.every since its creation.
//  12. Each contribution and each clip is a line of the explanation; the lines add up to the score.
package score

import (
	"context"
	"fmt"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/schemas"
)

// partEvents is how many events one statement takes, and foldPartEvents how many where the past is
// scored too, in which an event counts at each instant that its window reaches. They bound the
// memory of a run: a score is of one subject alone, so that subjects can be scored in parts.
const (
	partEvents     = 16_000_000
	foldPartEvents = 4_000_000
)

// Run scores every subject of the model as of an instant and emits the scores; their order is no
// part of what they say. The instant is cut to microseconds; runAt and runID are written on each
// score and have no other effect. Run stops at the first error of emit.
func Run(
	ctx context.Context, m *Model, asOf, runAt time.Time, runID string, q Querier,
	emit func(*schemas.Score) error,
) error {
	limit := int64(partEvents)
	if m.looksBack() {
		limit = foldPartEvents
	}
	r := &run{
		model: m, asOf: asOf, runAt: runAt, runID: runID, sha256: m.SHA256(), q: q, emit: emit,
	}
	if err := r.all(ctx, limit); err != nil {
		return fmt.Errorf("score model %s version %d as of %s: %w", m.Name, m.Version,
			asOf.UTC().Format(time.RFC3339Nano), err)
	}
	return nil
}

// run is a model's way over a lake.
type run struct {
	model       *Model
	asOf, runAt time.Time
	runID       string
	sha256      string
	q           Querier
	emit        func(*schemas.Score) error
	// current is the score whose lines are being read.
	current *schemas.Score
}

// all scores all subjects, in as many parts as there are limits of events.
func (r *run) all(ctx context.Context, limit int64) error {
	var events, older int64
	err := r.q.Query(ctx, countSQL(r.model, r.asOf), func(values []any) (err error) {
		events, older, err = readCounts(values)
		return err
	})
	if err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	parts := int(events/limit) + 1
	for i := range parts {
		if err := r.part(ctx, Part{i, parts, older == 0}); err != nil {
			return err
		}
	}
	return nil
}

// maxParts bounds how small the parts get that are computed where a larger one takes too much
// memory.
const maxParts = 4096

// part scores a part, in smaller ones where it takes more memory than there is.
func (r *run) part(ctx context.Context, part Part) error {
	statement, err := SQL(r.model, r.asOf, part)
	if err != nil {
		return err
	}
	r.current = nil
	err = r.q.Query(ctx, statement, r.line)
	switch {
	case err == nil:
		return r.finish()
	case r.current != nil || part.Of >= maxParts || !duck.IsOutOfMemory(err):
		return err
	}
	for _, smaller := range part.split() {
		if err := r.part(ctx, smaller); err != nil {
			return err
		}
	}
	return nil
}

// line takes a row of the statement; those of one subject follow each other.
func (r *run) line(values []any) error {
	l, err := readLine(values)
	if err != nil {
		return err
	}
	if r.current == nil || r.current.SubjectId != l.subject {
		if r.current != nil && r.current.SubjectId > l.subject {
			return fmt.Errorf("subject %q comes after %q", l.subject, r.current.SubjectId)
		}
		if err := r.finish(); err != nil {
			return err
		}
		r.current = &schemas.Score{
			Model: r.model.Name, Version: r.model.Version, ModelSha256: r.sha256,
			SubjectType: string(r.model.Subject), SubjectId: l.subject,
			AsOfUs: r.asOf.UnixMicro(), RunId: r.runID, RunAtUs: r.runAt.UnixMicro(),
			ScoreHundredths: l.hundredths, Grade: l.grade, SalesReady: l.salesReady,
		}
	}
	if l.rule != "" {
		r.current.Contributions = append(r.current.Contributions, &schemas.Contribution{
			Rule: l.rule, EventId: l.eventID, PointsMicros: l.points,
		})
	}
	return nil
}

// finish emits the score whose lines have all been read.
func (r *run) finish() error {
	if r.current == nil {
		return nil
	}
	if err := addsUp(r.current); err != nil {
		return err
	}
	return r.emit(r.current)
}

func readCounts(values []any) (events, older int64, err error) {
	if len(values) == 2 {
		events, isNumber := values[0].(int64)
		if older, ok := values[1].(int64); ok && isNumber {
			return events, older, nil
		}
	}
	return 0, 0, fmt.Errorf("%v are no counts", values)
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
