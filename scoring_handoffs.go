package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
	"crumbtrail/score"
)

const (
	// handoffBatch is how many subjects that are ready for sales are looked at together.
	handoffBatch = 10_000
	// handoffReasons is how many reasons a hand-off names; the others are summed up as one.
	handoffReasons = 10
	// otherReasons is the rule of that one.
	otherReasons = "other"
)

// handoffWriter writes to the topic of hand-offs which subjects of a run have become ready for
// sales and were not handed off since they became so. One at a time writes in a cluster: a later
// one fences it.
type handoffWriter struct {
	client *kafka.Client
	known  *known
	model  *score.Model
	asOf   time.Time
	from   score.Querier
	ids    *schemas.HandoffIDs
	// contact are the attributes of a contact that hand-offs hold: what webhooks are told.
	contact []string

	// transaction is nil until somebody is ready. From then on since says of each subject of the model
	// as of when it was last handed off, and written which hand-offs the lake lacks.
	transaction stage.Transactional
	since       map[string]int64
	written     map[string]*schemas.Handoff
	// batch are subjects that are ready, each as the hand-off that it may become.
	batch map[string]*schemas.Handoff
}

// newHandoffWriter returns nil, which writes nothing, for a model without a line and for a run of
// what the lake knew in the past: what follows from that has been written then.
func newHandoffWriter(
	w *scoreWriter, k *known, m *score.Model, asOf time.Time, from score.Querier,
) *handoffWriter {
	if m.SalesReady == nil || k.past {
		return nil
	}
	return &handoffWriter{
		client: w.client, known: k, model: m, asOf: asOf, from: from, ids: schemas.NewHandoffIDs(),
		contact: w.contact, batch: map[string]*schemas.Handoff{},
	}
}

// add looks at a score of the run.
func (w *handoffWriter) add(ctx context.Context, s *schemas.Score) error {
	if w == nil || !s.SalesReady {
		return nil
	}
	if w.transaction == nil {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	if w.since[s.SubjectId] >= s.AsOfUs {
		return nil
	}
	w.batch[s.SubjectId] = &schemas.Handoff{
		Model: s.Model, Version: s.Version, SubjectType: s.SubjectType, SubjectId: s.SubjectId,
		AsOfUs: s.AsOfUs, RunId: s.RunId, RunAtUs: s.RunAtUs, ScoreHundredths: s.ScoreHundredths,
		Grade: s.Grade, Reasons: reasonsOf(s), ModelSha256: s.ModelSha256,
	}
	if len(w.batch) < handoffBatch {
		return nil
	}
	return w.flush(ctx)
}

// reasonsOf sums up a score by rule, the weightiest first.
func reasonsOf(s *schemas.Score) []*schemas.HandoffReason {
	byRule := map[string]*schemas.HandoffReason{}
	var reasons []*schemas.HandoffReason
	for _, c := range s.Contributions {
		r := byRule[c.Rule]
		if r == nil {
			r = &schemas.HandoffReason{Rule: c.Rule}
			byRule[c.Rule] = r
			reasons = append(reasons, r)
		}
		r.PointsMicros += c.PointsMicros
		if c.EventId != "" {
			r.Events++
		}
	}
	slices.SortStableFunc(reasons, func(a, b *schemas.HandoffReason) int {
		return cmp.Or(cmp.Compare(abs(b.PointsMicros), abs(a.PointsMicros)),
			strings.Compare(a.Rule, b.Rule))
	})
	if len(reasons) <= handoffReasons {
		return reasons
	}
	other := &schemas.HandoffReason{Rule: otherReasons}
	for _, r := range reasons[handoffReasons-1:] {
		other.PointsMicros += r.PointsMicros
		other.Events += r.Events
	}
	return append(reasons[:handoffReasons-1:handoffReasons-1], other)
}

func abs(n int64) int64 { return max(n, -n) }

// open takes the topic over and reads what was handed off: what the lake has, and what of the topic
// it does not have yet.
func (w *handoffWriter) open(ctx context.Context) (err error) {
	topic := string(schemas.Handoffs)
	w.transaction, err = stage.OnKafka(w.client).Transactional(ctx, "score", kafka.Reach{
		Topics: []string{topic},
	})
	if err != nil {
		return err
	}
	from, err := w.client.Starts(ctx, topic)
	if err != nil {
		return err
	}
	for _, p := range w.known.positions {
		if p.Topic == topic {
			from[0] = max(from[0], p.NextOffset)
		}
	}
	to, err := w.client.Ends(ctx, topic)
	if err != nil {
		return err
	}
	w.written = map[string]*schemas.Handoff{}
	err = w.client.Scan(ctx, topic, from, to, func(records []kafka.Record) error {
		for i := range records {
			entry := &schemas.HandoffRecord{}
			if entry.UnmarshalVT(records[i].Value) != nil {
				continue // the lake keeps it among the bad beacons
			}
			if h := entry.GetHandoff(); h != nil && h.Model == w.model.Name {
				w.written[h.HandoffId] = h
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the hand-offs that the lake lacks: %w", err)
	}
	return w.readSince(ctx)
}

// readSince reads as of when each subject was last handed off that became ready by this instant. A
// contact is whoever has taken it over.
func (w *handoffWriter) readSince(ctx context.Context) error {
	rows := fmt.Sprintf("SELECT subject_type, subject_id, epoch_us(became_ready_at) AS ready, "+
		"epoch_us(as_of) AS as_of FROM files.handoffs WHERE model = %s", duck.Quote(w.model.Name))
	for _, h := range w.written {
		rows += fmt.Sprintf("\nUNION ALL SELECT %s, %s, %d::BIGINT, %d::BIGINT",
			duck.Quote(h.SubjectType), duck.Quote(h.SubjectId), h.AtUs, h.AsOfUs)
	}
	w.since = map[string]int64{}
	err := w.known.query(ctx, fmt.Sprintf(`SELECT CASE WHEN subject_type = 'contact'
  THEN coalesce(current_contact_id, subject_id) ELSE subject_id END AS subject, max(as_of)
FROM (%s) LEFT JOIN aliases ON subject_id = contact_id
WHERE subject_type = %s AND ready <= %d
GROUP BY ALL`, rows, duck.Quote(string(w.model.Subject)), w.asOf.UnixMicro()),
		func(values []any) error {
			subject, isText := values[0].(string)
			since, isNumber := values[1].(int64)
			if !isText || !isNumber {
				return fmt.Errorf("%v is no hand-off", values)
			}
			w.since[subject] = since
			return nil
		})
	if err != nil {
		return fmt.Errorf("read the hand-offs of model %s: %w", w.model.Name, err)
	}
	return nil
}

// flush writes what of the batch is to be handed off, in one transaction.
func (w *handoffWriter) flush(ctx context.Context) error {
	if w == nil || len(w.batch) == 0 {
		return nil
	}
	var candidates []score.Candidate
	for subject := range w.batch {
		candidates = append(candidates, score.Candidate{Subject: subject, SinceUs: w.since[subject]})
	}
	slices.SortFunc(candidates, func(a, b score.Candidate) int {
		return strings.Compare(a.Subject, b.Subject)
	})
	var found []*schemas.Handoff
	err := score.Crossings(ctx, w.model, w.asOf, candidates, w.from, func(c score.Crossing) error {
		h := w.batch[c.Subject]
		h.EpisodeUs, h.AtUs = c.EpisodeUs, min(c.EpisodeUs, h.AsOfUs)
		h.HandoffId = w.ids.ID(h.Model, h.SubjectType, h.SubjectId, h.EpisodeUs)
		if w.written[h.HandoffId] == nil {
			found = append(found, h)
		}
		return nil
	})
	clear(w.batch)
	if err == nil {
		found, err = w.lacking(ctx, found)
	}
	if err != nil || len(found) == 0 {
		return err
	}
	if err := w.introduce(ctx, found); err != nil {
		return err
	}
	return w.commit(ctx, found)
}

// lacking returns those of the hand-offs that the lake does not have.
func (w *handoffWriter) lacking(
	ctx context.Context, found []*schemas.Handoff,
) ([]*schemas.Handoff, error) {
	if len(found) == 0 {
		return nil, nil
	}
	ids := make([]string, len(found))
	for i, h := range found {
		ids[i] = duck.Quote(h.HandoffId)
	}
	before := map[any]bool{}
	err := w.known.query(ctx, "SELECT handoff_id FROM files.handoffs WHERE handoff_id IN ("+
		strings.Join(ids, ", ")+")", func(values []any) error {
		before[values[0]] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for hand-offs: %w", err)
	}
	return slices.DeleteFunc(found, func(h *schemas.Handoff) bool { return before[h.HandoffId] }), nil
}

// introduce adds what webhooks are told of contacts.
func (w *handoffWriter) introduce(ctx context.Context, found []*schemas.Handoff) error {
	if len(w.contact) == 0 || w.model.Subject != score.Contact {
		return nil
	}
	contacts := map[string]*schemas.HandoffContact{}
	ids := make([]string, len(found))
	for i, h := range found {
		h.Contact = &schemas.HandoffContact{}
		contacts[h.SubjectId] = h.Contact
		ids[i] = duck.Quote(h.SubjectId)
	}
	err := w.known.query(ctx, "SELECT contact_id, "+strings.Join(w.contact, ", ")+" FROM contacts "+
		"WHERE contact_id IN ("+strings.Join(ids, ", ")+")", func(values []any) error {
		id, _ := values[0].(string)
		c := contacts[id]
		if c == nil {
			return fmt.Errorf("%v is no contact that was asked for", values[0])
		}
		fields := map[string]*string{
			"email": &c.Email, "first_name": &c.FirstName, "last_name": &c.LastName,
			"phone": &c.Phone, "company": &c.Company,
		}
		for i, attribute := range w.contact {
			*fields[attribute], _ = values[i+1].(string) // NULL is the empty text
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the contacts that are handed off: %w", err)
	}
	return nil
}

func (w *handoffWriter) commit(ctx context.Context, found []*schemas.Handoff) error {
	messages := make([]kafka.Message, len(found))
	for i, h := range found {
		value, err := (&schemas.HandoffRecord{
			Entry: &schemas.HandoffRecord_Handoff{Handoff: h},
		}).MarshalVT()
		if err != nil {
			return fmt.Errorf("encode hand-off %s: %w", h.HandoffId, err)
		}
		messages[i] = kafka.Message{
			Topic: string(schemas.Handoffs), Timestamp: h.RunAtUs / 1000, Key: []byte(h.HandoffId),
			Value: value,
		}
		w.written[h.HandoffId] = h
	}
	err := w.transaction.Commit(ctx, kafka.Commit{Messages: messages})
	if errors.Is(err, kafka.ErrFenced) {
		return fmt.Errorf("%w: another run hands off at the same time; score again", err)
	}
	return err
}
