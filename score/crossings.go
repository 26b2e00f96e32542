package score

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"crumbtrail/internal/duck"
)

//go:embed queries/crossings.sql.tmpl
var crossingsTemplate string

// Candidate is a subject that is ready for sales.
type Candidate struct {
	Subject string
	// SinceUs is when its readiness was last found to be worth a hand-off; 0: never.
	SinceUs int64
}

// Crossing says that a candidate has become ready for sales anew: before that, and after SinceUs,
// its score was below the line that readiness ends at, or it has never been handed off.
type Crossing struct {
	Subject string
	// EpisodeUs is the first instant of the subject's grid at which it was ready since then, or the
	// next one at or after the instant of the scores where it became ready after the last.
	EpisodeUs int64
}

const (
	// firstBack is how many instants of a candidate's grid are looked at first. Most have become
	// ready shortly before.
	firstBack = 64
	// moreBack is by how much that grows for those about whom they say nothing.
	moreBack = 16
)

// Crossings emits the candidates, all of them ready for sales as of an instant, that have become so
// anew, each once. A candidate that did not exist then has no grid and no crossing.
func Crossings(
	ctx context.Context, m *Model, asOf time.Time, candidates []Candidate, q Querier,
	emit func(Crossing) error,
) error {
	if m.SalesReady == nil {
		return nil
	}
	c := &crossings{model: m, asOf: asOf, q: q, emit: emit}
	if err := c.settle(ctx, candidates, firstBack); err != nil {
		return fmt.Errorf("find who became ready by model %s version %d as of %s: %w", m.Name,
			m.Version, asOf.UTC().Format(time.RFC3339Nano), err)
	}
	return nil
}

// crossings are a model's at an instant.
type crossings struct {
	model *Model
	asOf  time.Time
	q     Querier
	emit  func(Crossing) error
}

// settle looks further and further back, until it is known of each candidate.
func (c *crossings) settle(ctx context.Context, candidates []Candidate, back int64) (err error) {
	if candidates, err = c.open(ctx, candidates); err != nil {
		return err
	}
	for ; len(candidates) > 0 && err == nil; back *= moreBack {
		candidates, err = c.look(ctx, candidates, back)
	}
	return err
}

// open returns the candidates whose grid has an instant since, or that were never handed off: to
// ask that first saves a scan of the events, as for most there is none.
func (c *crossings) open(
	ctx context.Context, candidates []Candidate,
) (open []Candidate, err error) {
	if len(candidates) == 0 {
		return nil, nil
	}
	statement, err := crossingsSQL(c.model, c.asOf, candidates, 0)
	if err != nil {
		return nil, err
	}
	since := sinceOf(candidates)
	err = c.q.Query(ctx, statement, func(values []any) error {
		subject, ok := values[0].(string)
		if !ok {
			return fmt.Errorf("%v is no subject", values)
		}
		open = append(open, Candidate{subject, since[subject]})
		return nil
	})
	return open, err
}

func sinceOf(candidates []Candidate) map[string]int64 {
	since := map[string]int64{}
	for _, c := range candidates {
		since[c.Subject] = c.SinceUs
	}
	return since
}

// look goes so many instants back and returns those about whom they say nothing. What takes too
// much memory is done in halves.
func (c *crossings) look(
	ctx context.Context, candidates []Candidate, back int64,
) (unsettled []Candidate, err error) {
	statement, err := crossingsSQL(c.model, c.asOf, candidates, back)
	if err != nil {
		return nil, err
	}
	since := sinceOf(candidates)
	read := false
	err = c.q.Query(ctx, statement, func(values []any) error {
		read = true
		found, open, err := readCrossing(values)
		if err != nil {
			return err
		}
		if open {
			unsettled = append(unsettled, Candidate{found.Subject, since[found.Subject]})
			return nil
		}
		return c.emit(found)
	})
	if half := len(candidates) / 2; half > 0 && !read && duck.IsOutOfMemory(err) {
		left, err := c.look(ctx, candidates[:half], back)
		if err != nil {
			return nil, err
		}
		right, err := c.look(ctx, candidates[half:], back)
		return append(left, right...), err
	}
	return unsettled, err
}

func readCrossing(values []any) (c Crossing, unsettled bool, err error) {
	if len(values) == 3 {
		subject, isText := values[0].(string)
		unsettled, isBool := values[1].(bool)
		episode, isNumber := values[2].(int64)
		if isText && isBool && isNumber {
			return Crossing{subject, episode}, unsettled, nil
		}
	}
	return c, false, fmt.Errorf("%v is no crossing", values)
}

// crossingsStatement is what the template of crossings takes, besides what a score's does.
type crossingsStatement struct {
	statement
	// Asked are the rows of the candidates.
	Asked []string
	// Back is how many instants back it goes; with 0 it only asks who has any since. RearmBelow is the
	// line that readiness ends at.
	Back, RearmBelow int64
}

func crossingsSQL(
	m *Model, asOf time.Time, candidates []Candidate, back int64,
) (string, error) {
	s := crossingsStatement{
		statement: newStatement(m, asOf, Part{Of: 1}), Back: back,
		RearmBelow: m.SalesReady.RearmBelow.hundredths(),
	}
	s.Share = fmt.Sprintf(" AND %s IN (SELECT name FROM asked)", s.Name)
	for _, c := range candidates {
		since := "NULL::BIGINT"
		if c.SinceUs != 0 {
			since = fmt.Sprintf("%d::BIGINT", c.SinceUs)
		}
		s.Asked = append(s.Asked, fmt.Sprintf("(%s, %s)", quoteText(c.Subject), since))
	}
	t, err := template.New("score").Funcs(template.FuncMap{"join": strings.Join}).
		Parse(scoreTemplate)
	if err == nil {
		t, err = t.New("crossings").Parse(crossingsTemplate)
	}
	if err != nil {
		return "", fmt.Errorf("parse the template of crossings: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", fmt.Errorf("compile the crossings of model %s: %w", m.Name, err)
	}
	return b.String(), nil
}
