package handoff

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/internal/waiting"
	"crumbtrail/schemas"
)

const (
	// burst is how many hand-offs are sent before it is committed what became of them, and are sent
	// twice at most by a kill.
	burst = 10
	// commitEvery is how often it is committed how far the topic is read, where nothing goes out.
	commitEvery = 10 * time.Second
	// commitTimeout bounds one commit.
	commitTimeout = 10 * time.Second
)

// parcel is a hand-off that is to be sent.
type parcel struct {
	// offset is that of the record that asks for it.
	offset int64
	id     string
	body   []byte
	// until is when it is given up.
	until time.Time
	// next is when it is due; tries are those of this process, and the last came to last.
	next  time.Time
	tries int
	last  answer
}

// round is the time from taking the work over to handing it over.
type round struct {
	*hook
	assignment kafka.Assignment
	tx         stage.Transactional

	// next is behind the last record that was read; rest are those that were fetched and not read.
	next int64
	rest []kafka.Record
	// fetched is behind the last of rest.
	fetched int64
	// waiting are in the order in which they are sent.
	waiting []*parcel
	// ended are records to be committed with the progress.
	ended []kafka.Message
	// dirty says that what is committed is behind.
	dirty       bool
	committedAt time.Time
	// free is when the next request may go out; failures count those in a row of the webhook.
	free     time.Time
	failures int
}

// work takes over what the last one left, and posts until ctx ends.
func (h *hook) work(ctx context.Context, a kafka.Assignment) error {
	topic := string(schemas.Handoffs)
	tx, err := h.cluster.Transactional(ctx, h.group(), kafka.Reach{
		Group: h.group(), Input: topic, Topics: []string{topic},
	})
	if err != nil {
		return err
	}
	r := &round{hook: h, assignment: a, tx: tx, committedAt: time.Now()}
	if err := r.locate(ctx); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	batches, failed := make(chan kafka.Fetched), make(chan error, 1)
	go func() {
		defer close(batches)
		failed <- kafka.Follow(following, h.cluster, topic, 0, r.next, kafka.GapsSkipped, batches,
			func(err error) { h.log.Warn("fetch", "err", err) })
	}()
	defer func() {
		stop()
		for range batches { // until the goroutine has ended
		}
	}()
	for {
		if err := r.read(ctx); err != nil {
			return err
		}
		r.send(ctx)
		if ctx.Err() != nil || r.dirty && (len(r.ended) > 0 ||
			time.Since(r.committedAt) >= commitEvery) {
			if err := r.commit(ctx); err != nil || ctx.Err() != nil {
				return err
			}
		}
		if err := r.wait(ctx, batches, failed); err != nil {
			return err
		}
	}
}

// wait returns when there is something to do.
func (r *round) wait(ctx context.Context, batches <-chan kafka.Fetched, failed <-chan error) error {
	if len(r.rest) > 0 { // there is no room for them
		batches = nil
	}
	timer := time.NewTimer(r.untilDue())
	defer timer.Stop()
	select {
	case batch, ok := <-batches:
		if !ok {
			if ctx.Err() != nil {
				return nil
			}
			return <-failed
		}
		r.rest, r.fetched = batch.Records, batch.Next
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// untilDue is how long there is nothing to do, if nothing comes in.
func (r *round) untilDue() time.Duration {
	wait := commitEvery
	now := time.Now()
	for _, p := range r.waiting {
		due := p.next
		if due.Before(r.free) {
			due = r.free
		}
		if r.isGone() || p.until.Before(due) {
			due = p.until
		}
		wait = min(wait, due.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// locate reads what is committed and calls back the hand-offs that were still to be sent.
func (r *round) locate(ctx context.Context) error {
	topic := string(schemas.Handoffs)
	offset, metadata, err := r.cluster.Committed(ctx, r.group(), topic, 0)
	if err != nil {
		return err
	}
	starts, err := r.cluster.Starts(ctx, topic)
	if err != nil {
		return err
	}
	r.next = max(offset, starts[0])
	if offset < 0 {
		return nil
	}
	offsets, err := waiting.Decode(metadata, offset)
	if err != nil {
		return fmt.Errorf("hand-offs that wait: %w", err)
	}
	for _, at := range offsets {
		record, err := r.fetch(ctx, at)
		if err != nil {
			return err
		}
		if record == nil { // the topic keeps them longer than any max_age
			r.metrics.expired.Inc()
			continue
		}
		if err := r.take(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

// fetch returns one record of the topic, nil where it is gone.
func (r *round) fetch(ctx context.Context, offset int64) (*kafka.Record, error) {
	topic := string(schemas.Handoffs)
	batch, err := r.cluster.Fetch(ctx, topic, 0, offset, kafka.FetchWait)
	if errors.Is(err, kafka.ErrOffsetOutOfRange) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if batch.Next <= offset {
		return nil, fmt.Errorf("fetch offset %d of %q: nothing came", offset, topic)
	}
	for i := range batch.Records {
		if batch.Records[i].Offset == offset {
			return &batch.Records[i], nil
		}
	}
	return nil, nil
}

// read takes records for as long as there is room.
func (r *round) read(ctx context.Context) error {
	for len(r.rest) > 0 && len(r.waiting) < waiting.Most {
		if err := r.take(ctx, &r.rest[0]); err != nil {
			return err
		}
		r.next = r.rest[0].Offset + 1
		r.rest = r.rest[1:]
		r.dirty = true
	}
	if len(r.rest) == 0 && r.fetched > r.next {
		r.next, r.dirty = r.fetched, true
	}
	return nil
}

// take has a hand-off wait that the webhook wants, or is to be sent again.
func (r *round) take(ctx context.Context, record *kafka.Record) error {
	entry, err := entryOf(record)
	if err != nil {
		return nil // the lake keeps it
	}
	h, since := entry.GetHandoff(), entry.GetHandoff().GetRunAtUs()
	if again := entry.GetRedelivery(); again != nil && again.Webhook == r.Name {
		since = again.AtUs
		found, err := r.fetch(ctx, again.HandoffOffset)
		if err != nil {
			return err
		}
		if found != nil {
			if entry, err = entryOf(found); err == nil {
				h = entry.GetHandoff()
			}
		}
	} else if h != nil && len(r.Models) > 0 && !slices.Contains(r.Models, h.Model) {
		return nil
	}
	if h == nil {
		return nil
	}
	r.waiting = append(r.waiting, &parcel{
		offset: record.Offset, id: h.HandoffId, body: bodyOf(h, r.Contact),
		until: time.UnixMicro(since).Add(r.MaxAge),
	})
	return nil
}

func entryOf(record *kafka.Record) (*schemas.HandoffRecord, error) {
	entry := &schemas.HandoffRecord{}
	return entry, entry.UnmarshalVT(record.Value)
}

// send posts what is due, one after the other, until the webhook does not answer.
func (r *round) send(ctx context.Context) {
	now := time.Now()
	r.expire(now)
	var due []*parcel
	for _, p := range r.waiting {
		if len(due) < burst && !p.next.After(now) {
			due = append(due, p)
		}
	}
	for _, p := range due {
		if ctx.Err() != nil || r.isGone() || r.free.After(time.Now()) {
			break
		}
		a := r.poster.post(ctx, p.id, p.body)
		if ctx.Err() != nil && a.status == 0 {
			break // cut short by the stop
		}
		r.settle(p, a)
	}
	r.note(len(r.waiting), r.failures == 0)
}

// settle does with a hand-off what its answer says.
func (r *round) settle(p *parcel, a answer) {
	p.tries++
	p.last = a
	if a.verdict == delivered {
		r.failures = 0
		r.metrics.delivered.Inc()
		r.end(p, schemas.DeliveryOutcome_DELIVERY_OUTCOME_DELIVERED)
		return
	}
	r.metrics.failures.Inc()
	r.log.Warn("a hand-off was not taken", "handoff", p.id, "tries", p.tries, "err", a.detail)
	switch a.verdict {
	case refused:
		r.failures = 0
		p.next = time.Now().Add(jittered(r.cfg.Refused.After(p.tries)))
	case away:
		r.failures++
		r.free = time.Now().Add(max(a.after, jittered(r.cfg.Away.After(r.failures))))
	case gone:
		r.setGone()
	}
	// Others first: what is wrong may be this one.
	r.remove(p)
	r.waiting = append(r.waiting, p)
}

// jittered is up to a quarter shorter or longer, so that not all who wait come back at once.
func jittered(pause time.Duration) time.Duration {
	return pause - pause/4 + rand.N(pause/2+1)
}

func (r *round) remove(p *parcel) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w *parcel) bool { return w == p })
}

// expire gives up what has not been taken in time.
func (r *round) expire(now time.Time) {
	for _, p := range slices.Clone(r.waiting) {
		if !p.until.After(now) {
			r.metrics.expired.Inc()
			r.log.Error("a hand-off was not taken in time; `crumbtrail redrive --handoffs` sends it again",
				"handoff", p.id, "tries", p.tries, "err", p.last.detail)
			r.end(p, schemas.DeliveryOutcome_DELIVERY_OUTCOME_EXPIRED)
		}
	}
}

// end has it written what became of a hand-off.
func (r *round) end(p *parcel, outcome schemas.DeliveryOutcome) {
	at := time.Now()
	value, err := (&schemas.HandoffRecord{Entry: &schemas.HandoffRecord_Delivery{
		Delivery: &schemas.HandoffDelivery{
			HandoffId: p.id, Webhook: r.Name, Outcome: outcome, AtUs: at.UnixMicro(),
			Attempts: int64(p.tries), Status: p.last.status, Detail: p.last.detail,
		},
	}}).MarshalVT()
	if err != nil {
		panic("encode what became of a hand-off: " + err.Error())
	}
	r.ended = append(r.ended, kafka.Message{
		Topic: string(schemas.Handoffs), Timestamp: at.UnixMilli(), Key: []byte(p.id), Value: value,
	})
	r.remove(p)
	r.dirty = true
}

// commit writes how far the topic is read and which hand-offs are still to be sent, together with
// what became of others. It is not cut short where ctx ends.
func (r *round) commit(ctx context.Context) error {
	if !r.dirty {
		return nil
	}
	offsets := make([]int64, len(r.waiting))
	for i, p := range r.waiting {
		offsets[i] = p.offset
	}
	slices.Sort(offsets)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	err := r.tx.Commit(ctx, kafka.Commit{
		Messages: r.ended, Group: r.group(), Topic: string(schemas.Handoffs), Offset: r.next,
		Metadata: waiting.Encode(offsets, r.next), Generation: r.assignment.Generation,
		Member: r.assignment.Member,
	})
	if err != nil {
		return err
	}
	r.ended, r.dirty, r.committedAt = nil, false, time.Now()
	return nil
}
