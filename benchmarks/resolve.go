package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/people"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// ResolveOptions say how much the resolver gets.
type ResolveOptions struct {
	// Submissions are there before anything is measured but how fast they are decided.
	Submissions int
	// Seconds is how long submissions then come in.
	Seconds int
	// Rate is how many in a second; 0 is half of what it took before.
	Rate int
}

// Resolver is what the resolver did with many contacts.
type Resolver struct {
	Submissions int `json:"submissions"`
	// Core is how long one decision takes with that many, in the state machine alone.
	Core Core `json:"core"`
	// RestartSeconds is from the start of a process until it is ready, with as much in its changelog.
	RestartSeconds float64 `json:"restart_seconds"`
	RestartPeakRSS int64   `json:"restart_peak_rss_bytes"`
	ChangelogBytes int64   `json:"changelog_bytes"`
	Keys           int64   `json:"keys"`
	// Rate is how many submissions came in a second when the latency was taken.
	Rate float64 `json:"rate"`
}

// Core is the state machine of the resolver by itself, in a process of its own.
type Core struct {
	// DecisionMS are those of the last submissions, of which it had CoreSeconds for all.
	DecisionMS   edge.Quantiles `json:"decision_ms"`
	CoreSeconds  float64        `json:"core_seconds"`
	PeakRSSBytes int64          `json:"peak_rss_bytes"`
}

const (
	resolverGroup = "resolve"
	// perRequest is how many submissions go in one request while they are loaded.
	perRequest = 5000
)

// Resolve measures the resolver: how fast it gets through submissions that are there already, how
// long it takes to start again, and how long from a submission to its decision on the topic.
// Latency is open loop, from when a submission was due until a read_committed reader has its
// decision.
func Resolve(ctx context.Context, cfg Config, o ResolveOptions) (r Result, err error) {
	core, err := measureCore(ctx, cfg, o.Submissions)
	if err != nil {
		return r, err
	}
	b, err := makeBed(ctx, cfg, "")
	if err != nil {
		return r, err
	}
	defer b.close()
	// Those of the open loop are further rows of the same contacts.
	later := max(1, o.Seconds) * 2000
	rows := people.Make(people.Config{Rows: o.Submissions + later, Seed: 1})
	if err := b.submit(ctx, rows[:o.Submissions]); err != nil {
		return r, err
	}
	d, err := b.daemon(ctx, "resolve", "--verbose")
	if err != nil {
		return r, err
	}
	if err := b.decided(ctx, d, int64(o.Submissions)); err != nil {
		return r, err
	}
	r = Result{Name: "resolve", Events: o.Submissions, Seconds: time.Since(d.began).Seconds()}
	if err := d.stop(); err != nil {
		return r, err
	}
	r.took(usageOf(d.cmd.ProcessState))
	if err := b.eachDecided(ctx, rows[:o.Submissions]); err != nil {
		return r, err
	}
	r.Resolver = &Resolver{Submissions: o.Submissions, Core: core}
	if d, err = b.restart(ctx, r.Resolver); err != nil {
		return r, err
	}
	rate := float64(o.Rate)
	if rate == 0 {
		rate = min(r.EventsPerSecond/2, float64(later/max(1, o.Seconds)))
	}
	r.Resolver.Rate = rate
	took, err := b.openLoop(ctx, rows[o.Submissions:], rate, time.Duration(o.Seconds)*time.Second)
	if err != nil {
		return r, err
	}
	quantiles := edge.QuantilesOf(took)
	r.LatencyMS = &quantiles
	return r, d.stop()
}

// submit appends submissions, as many of a request as one may have.
func (b *bed) submit(ctx context.Context, rows []people.Row) error {
	bar := progress.New(b.cfg.Progress, progress.Options{What: "load", Total: int64(len(rows))})
	for from := 0; from < len(rows); from += perRequest {
		to := min(from+perRequest, len(rows))
		var messages []kafka.Message
		for _, row := range rows[from:to] {
			messages = append(messages, message(row, time.Now()))
		}
		if err := b.producer.Produce(ctx, messages); err != nil {
			return err
		}
		bar.Set(int64(to))
	}
	bar.Done("%d submissions in the log", len(rows))
	return nil
}

func message(row people.Row, now time.Time) kafka.Message {
	value, err := submission(row, now).MarshalVT()
	if err != nil {
		panic("benchmarks: encode a submission: " + err.Error()) // it has only what can be encoded
	}
	return kafka.Message{
		Topic: string(schemas.Submissions), Timestamp: now.UnixMilli(), Key: []byte(benchSite),
		Value: value,
	}
}

// benchSite is whose submissions they are; no configuration needs to know it.
const benchSite = "acme"

// submission is what a contact sends with a form, from a browser of its own.
func submission(row people.Row, now time.Time) *schemas.Submission {
	f := row.Fields
	return &schemas.Submission{
		SubmissionId: f[people.Number], Kind: schemas.SubmissionKind_SUBMISSION_KIND_FORM,
		Site: benchSite, VisitorId: "v" + f[people.Number],
		Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: now.UnixMicro(),
		OccurredAtUs: now.UnixMicro(), Form: "signup", Email: f[people.Email],
		FirstName: f[people.Given], LastName: f[people.Family], Phone: f[people.Phone],
		Company: f[people.Company],
	}
}

// decided waits until the resolver has committed so many submissions.
func (b *bed) decided(ctx context.Context, d *daemon, total int64) error {
	bar := progress.New(b.cfg.Progress, progress.Options{What: "resolve", Total: total})
	for {
		if err := d.alive(); err != nil {
			return err
		}
		done, _, err := b.client.Committed(ctx, resolverGroup, string(schemas.Submissions), 0)
		if err != nil {
			return err
		}
		bar.Set(max(0, done))
		if done >= total {
			bar.Done("%d submissions decided", total)
			return nil
		}
		if !kafka.Pause(ctx, drainPoll) {
			return ctx.Err()
		}
	}
}

// eachDecided wants one decision for each submission.
func (b *bed) eachDecided(ctx context.Context, rows []people.Row) error {
	waiting := map[string]bool{}
	for _, row := range rows {
		waiting[row.Fields[people.Number]] = true
	}
	err := b.scan(ctx, string(schemas.Decisions), func(r *kafka.Record) error {
		if !waiting[string(r.Key)] {
			return fmt.Errorf("the output is wrong: a decision on %q, which was not sent or is decided",
				r.Key)
		}
		delete(waiting, string(r.Key))
		return nil
	})
	if err == nil && len(waiting) > 0 {
		err = fmt.Errorf("the output is wrong: %d submissions have no decision", len(waiting))
	}
	return err
}

// restart starts the resolver and waits until it is ready.
func (b *bed) restart(ctx context.Context, r *Resolver) (*daemon, error) {
	err := b.scan(ctx, string(schemas.ResolveChangelog), func(m *kafka.Record) error {
		r.ChangelogBytes += int64(len(m.Key) + len(m.Value))
		return nil
	})
	if err != nil {
		return nil, err
	}
	d, err := b.daemon(ctx, "resolve", "--verbose")
	if err != nil {
		return nil, err
	}
	took, err := d.takeOvers(ctx, 1)
	if err == nil {
		err = d.ready(ctx)
	}
	if err != nil {
		return nil, err
	}
	r.RestartSeconds, r.RestartPeakRSS = time.Since(d.began).Seconds(), d.using().peakRSSBytes
	r.Keys = took[0].Keys
	return d, nil
}

// arrivals are when submissions were due and when their decisions came.
type arrivals struct {
	mu       sync.Mutex
	due      map[string]time.Time
	took     []time.Duration
	finished chan struct{} // closed once as many came as are waited for
	want     int
}

func (a *arrivals) take(records []kafka.Record, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range records {
		due, ok := a.due[string(records[i].Key)]
		if !ok {
			continue
		}
		delete(a.due, string(records[i].Key))
		if a.took = append(a.took, now.Sub(due)); len(a.took) == a.want {
			close(a.finished)
		}
	}
}

// openLoop sends submissions at a rate, whatever becomes of them, and returns how long each took.
func (b *bed) openLoop(
	ctx context.Context, rows []people.Row, rate float64, lasting time.Duration,
) ([]time.Duration, error) {
	ends, err := b.client.Ends(ctx, string(schemas.Decisions))
	if err != nil {
		return nil, err
	}
	a := &arrivals{
		due: map[string]time.Time{}, finished: make(chan struct{}),
		want: min(len(rows), int(rate*lasting.Seconds())),
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	batches, failed := make(chan kafka.Fetched), make(chan error, 1)
	var following sync.WaitGroup
	defer following.Wait()
	defer stop()
	following.Go(func() {
		defer close(batches)
		failed <- kafka.Follow(reading, b.client, string(schemas.Decisions), 0, ends[0],
			kafka.GapsRefused, batches, func(error) {})
	})
	following.Go(func() {
		for batch := range batches {
			a.take(batch.Records, time.Now())
		}
	})
	if err := a.send(ctx, b.producer, rows[:a.want], rate); err != nil {
		return nil, err
	}
	select {
	case <-a.finished:
		return a.took, nil
	case err := <-failed:
		return nil, errors.Join(errors.New("the decisions cannot be read"), err)
	case <-time.After(visibleTimeout):
		return nil, fmt.Errorf("%d of %d decisions came", len(a.took), a.want)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *arrivals) send(
	ctx context.Context, producer *kafka.Producer, rows []people.Row, rate float64,
) error {
	ticker := time.NewTicker(batchEvery)
	defer ticker.Stop()
	began := time.Now()
	for sent := 0; sent < len(rows); {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		due := min(len(rows), int(time.Since(began).Seconds()*rate))
		var messages []kafka.Message
		a.mu.Lock()
		for ; sent < due; sent++ {
			at := began.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
			messages = append(messages, message(rows[sent], time.Now()))
			a.due[rows[sent].Fields[people.Number]] = at
		}
		a.mu.Unlock()
		if len(messages) == 0 {
			continue
		}
		if err := producer.Produce(ctx, messages); err != nil {
			return err
		}
	}
	return nil
}
