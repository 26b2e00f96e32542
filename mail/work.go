package mail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/internal/waiting"
	"crumbtrail/schemas"
)

const (
	// sessionMails is how many mails go over one connection, and are sent twice at most by a kill.
	sessionMails = 10
	// commitEvery is how often it is committed how far the decisions are read, where no mail goes out.
	commitEvery = 10 * time.Second
	// commitTimeout bounds one commit.
	commitTimeout = 10 * time.Second
	// stopGrace is how long the mail under way may take at a stop. One that takes longer is sent
	// again, by whoever works next.
	stopGrace = 3 * time.Second
)

// round is the time from taking the work over to handing it over.
type round struct {
	*Sender
	assignment kafka.Assignment
	tx         stage.Transactional

	// next is behind the last decision that was read; rest are those that were fetched and not read.
	next int64
	rest []kafka.Record
	// fetched is behind the last of rest.
	fetched int64
	// waiting are in the order of their offsets.
	waiting []*letter
	// bad are records to be committed with the progress.
	bad []kafka.Message
	// dirty says that what is committed is behind.
	dirty       bool
	committedAt time.Time
	// free is when the next mail may go out; failures count those in a row of the server.
	free     time.Time
	failures int
	badIDs   *schemas.Names
}

// work takes over what the last one left, and sends mails until ctx ends.
func (s *Sender) work(ctx context.Context, a kafka.Assignment) error {
	decisions := string(schemas.Decisions)
	tx, err := s.cluster.Transactional(ctx, group+"-0", kafka.Reach{
		Group: group, Input: decisions, Topics: []string{string(schemas.BadBeacons)},
	})
	if err != nil {
		return err
	}
	r := &round{
		Sender: s, assignment: a, tx: tx, committedAt: time.Now(), badIDs: schemas.NewNames("bad_beacon"),
	}
	if err := r.locate(ctx); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	batches, failed := make(chan kafka.Fetched), make(chan error, 1)
	go func() {
		defer close(batches)
		failed <- kafka.Follow(following, s.cluster, decisions, 0, r.next, kafka.GapsSkipped, batches,
			func(err error) { s.log.Warn("fetch", "err", err) })
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
		if err := r.send(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return r.commit(ctx)
		}
		if r.dirty && (len(r.bad) > 0 || time.Since(r.committedAt) >= commitEvery) {
			if err := r.commit(ctx); err != nil {
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
	for _, l := range r.waiting {
		due := l.next
		if due.Before(r.free) {
			due = r.free
		}
		wait = min(wait, due.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// locate reads what is committed and calls back the mails that were still to be sent.
func (r *round) locate(ctx context.Context) error {
	offset, metadata, err := r.cluster.Committed(ctx, group, string(schemas.Decisions), 0)
	if err != nil {
		return err
	}
	starts, err := r.cluster.Starts(ctx, string(schemas.Decisions))
	if err != nil {
		return err
	}
	// What retention has overtaken asked for mails whose links have expired.
	r.next = max(offset, starts[0])
	if offset < 0 {
		return nil
	}
	offsets, err := waiting.Decode(metadata, offset)
	if err != nil {
		return fmt.Errorf("mails that wait: %w", err)
	}
	for _, at := range offsets {
		record, err := r.fetch(ctx, schemas.Decisions, at)
		if err != nil {
			return err
		}
		if record == nil { // so old that its link has expired
			r.metrics.expired.Inc()
			continue
		}
		if err := r.take(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

// fetch returns one record of a topic with one partition, nil where it is gone.
func (r *round) fetch(
	ctx context.Context, topic schemas.Topic, offset int64,
) (*kafka.Record, error) {
	batch, err := r.cluster.Fetch(ctx, string(topic), 0, offset, kafka.FetchWait)
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

// read takes decisions for as long as there is room.
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

// take has a mail wait where a decision asks for one.
func (r *round) take(ctx context.Context, record *kafka.Record) error {
	d := &schemas.Decision{}
	if err := d.UnmarshalVT(record.Value); err != nil {
		return nil // the lake keeps it
	}
	if d.Outcome != schemas.Outcome_OUTCOME_PENDING || !d.Mail {
		return nil
	}
	found, err := r.fetch(ctx, schemas.Submissions, d.SubmissionOffset)
	if err != nil {
		return err
	}
	s := &schemas.Submission{}
	if found == nil || s.UnmarshalVT(found.Value) != nil || s.SubmissionId != d.SubmissionId ||
		!time.UnixMicro(s.ConfirmUntilUs).After(time.Now()) {
		r.metrics.expired.Inc()
		return nil
	}
	s.Fields = nil
	r.waiting = append(r.waiting, &letter{offset: record.Offset, submission: s})
	return nil
}

// send sends what is due over one connection, if anything is, and commits what became of it.
func (r *round) send(ctx context.Context) error {
	now := time.Now()
	r.expire(now)
	var due []*letter
	for _, l := range r.waiting {
		if len(due) < min(sessionMails, r.cfg.PerSecond) && !l.next.After(now) {
			due = append(due, l)
		}
	}
	if len(due) == 0 || r.free.After(now) || ctx.Err() != nil {
		r.note(len(r.waiting), r.lastFailure())
		return nil
	}
	results, err := r.session(ctx, due)
	done := 0
	for _, result := range results {
		if result.away {
			err = result.err
		}
		if result.verdict != putOff {
			done++
		}
		r.settle(result)
	}
	r.free = now.Add(time.Duration(len(results)) * time.Second / time.Duration(r.cfg.PerSecond))
	switch {
	case err == nil:
		r.failures = 0
	case ctx.Err() == nil:
		r.failures++
		r.metrics.failures.Inc()
		r.free = time.Now().Add(r.cfg.Away.After(r.failures))
		r.log.Warn("mail server", "err", err, "waiting", len(r.waiting))
	}
	r.note(len(r.waiting), r.lastFailure())
	if done == 0 {
		return nil
	}
	return r.commit(ctx)
}

var errAway = errors.New("the mail server is away")

func (r *round) lastFailure() error {
	if r.failures > 0 {
		return errAway
	}
	return nil
}

// session hands letters to the server, and waits for it no longer than a stop allows.
func (r *round) session(ctx context.Context, letters []*letter) (results []result, err error) {
	type end struct{ err error }
	told, ended := make(chan result, len(letters)), make(chan end, 1)
	go func() {
		ended <- end{r.server.deliver(ctx, r.writer, letters, func(one result) { told <- one })}
		close(told)
	}()
	stopped := ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case one, ok := <-told:
			if !ok {
				return results, (<-ended).err
			}
			results = append(results, one)
		case <-stopped:
			stopped, grace = nil, time.After(stopGrace)
		case <-grace:
			return results, nil
		}
	}
}

// settle does with a letter what became of it.
func (r *round) settle(one result) {
	switch one.verdict {
	case sent:
		r.metrics.sent.Inc()
	case refused:
		r.metrics.refused.Inc()
		r.log.Warn("a mail was refused", "site", one.letter.submission.Site,
			"submission", one.letter.submission.SubmissionId, "err", one.err)
		r.bad = append(r.bad, r.badBeacon(one))
	case putOff:
		r.metrics.putOff.Inc()
		one.letter.tries++
		one.letter.next = time.Now().Add(r.cfg.PutOff.After(one.letter.tries))
		return
	}
	r.remove(one.letter)
}

func (r *round) remove(l *letter) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w *letter) bool { return w == l })
	r.dirty = true
}

// expire gives up the letters whose link holds no more.
func (r *round) expire(now time.Time) {
	for _, l := range slices.Clone(r.waiting) {
		if !l.until().After(now) {
			r.metrics.expired.Inc()
			r.remove(l)
		}
	}
}

// badBeacon says what a server has refused. The address is in the submission.
func (r *round) badBeacon(one result) kafka.Message {
	s := one.letter.submission
	where := fmt.Sprintf("%s/0/%d", schemas.Decisions, one.letter.offset)
	b := &schemas.BadBeacon{
		BadBeaconId: r.badIDs.ID([]byte(where)), Site: s.Site,
		ReceivedAtUs: time.Now().UnixMicro(), Protocol: protocol, Reason: reasonRefused,
		Detail: fmt.Sprintf("the mail that asks to confirm submission %s: %v", s.SubmissionId, one.err),
		Path:   "/email",
	}
	value, err := b.MarshalVT()
	if err != nil {
		panic("encode a bad beacon: " + err.Error())
	}
	return kafka.Message{
		Topic: string(schemas.BadBeacons), Partition: kafka.AnyPartition,
		Timestamp: b.ReceivedAtUs / 1000, Key: []byte(s.Site), Value: value,
	}
}

// commit writes how far the decisions are read and which mails are still to be sent, together with
// what was refused. It is not cut short where ctx ends.
func (r *round) commit(ctx context.Context) error {
	if !r.dirty {
		return nil
	}
	offsets := make([]int64, len(r.waiting))
	for i, l := range r.waiting {
		offsets[i] = l.offset
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	err := r.tx.Commit(ctx, kafka.Commit{
		Messages: r.bad, Group: group, Topic: string(schemas.Decisions), Offset: r.next,
		Metadata: waiting.Encode(offsets, r.next), Generation: r.assignment.Generation,
		Member: r.assignment.Member,
	})
	if err != nil {
		return err
	}
	r.bad, r.dirty, r.committedAt = nil, false, time.Now()
	return nil
}
