package faults

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crumbtrail/benchmarks/people"
	"crumbtrail/schemas"
)

// crowd fills in forms: people who come again with typing errors, other numbers and other browsers,
// households that share a number or a mailbox, submissions that come twice. One in twenty records
// is what somebody decided about two contacts, right or wrong.
type crowd struct {
	client *kgo.Client
	topic  string
	random *rand.Rand
	rows   []people.Row
	stop   chan struct{}
	done   chan struct{}

	clock   time.Time
	names   *schemas.Names
	records []string // ids of what was submitted, as they are if nobody said the same before
	reviews []string
	last    *schemas.Submission
	sent    atomic.Int64

	mu     sync.Mutex
	failed error
}

const (
	crowdStep = 25 * time.Millisecond
	// crowdRows is how many rows there are before the first comes again.
	crowdRows = 20_000
)

// newCrowd prepares a crowd. Its time begins ten days ago, as the load's does.
func newCrowd(t *testing.T, address, topic string, seed uint64) *crowd {
	t.Helper()
	return &crowd{
		topic: topic, random: rand.New(rand.NewPCG(seed, 2)),
		client: newClient(t, address, kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(2*time.Millisecond), kgo.MaxBufferedRecords(loadBuffer)),
		rows: returning(people.Make(people.Config{Rows: crowdRows, Seed: seed}), seed),
		stop: make(chan struct{}), done: make(chan struct{}),
		clock: time.Now().Add(-10 * 24 * time.Hour).Truncate(time.Minute),
		names: schemas.NewNames("contact"),
	}
}

// returning moves what is of one person close together: who comes again does so soon, so that what
// a resolver remembers of before a kill matters after it.
func returning(rows []people.Row, seed uint64) []people.Row {
	const within = 200
	random := rand.New(rand.NewPCG(seed, 3))
	type placed struct {
		row people.Row
		at  int
	}
	first := map[int]int{}
	var list []placed
	for i, row := range rows {
		if _, known := first[row.Person]; !known {
			first[row.Person] = i
		}
		list = append(list, placed{row, first[row.Person] + random.IntN(within)})
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	for i := range list {
		rows[i] = list[i].row
	}
	return rows
}

// run sends so many submissions in a step, until halt.
func (c *crowd) run(rate int) {
	defer close(c.done)
	pace := time.NewTicker(crowdStep)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
			c.send(rate)
		case <-c.stop:
			return
		}
	}
}

// send sends so many submissions at once.
func (c *crowd) send(n int) {
	for range n {
		c.clock = c.clock.Add(time.Duration(c.random.Int64N(int64(time.Second))))
		switch roll := c.random.IntN(20); {
		case roll == 0 && len(c.records) > 2:
			c.put(c.review())
		case roll == 1 && c.last != nil:
			c.put(c.last) // sent again
		default:
			c.last = c.form()
			c.put(c.last)
		}
	}
}

func (c *crowd) form() *schemas.Submission {
	n := c.sent.Load()
	row := c.rows[n%crowdRows]
	if n > 0 && c.random.IntN(4) == 0 {
		row = c.rows[max(0, n-1-c.random.Int64N(100))%crowdRows] // says the same again
	}
	f := row.Fields
	s := &schemas.Submission{
		SubmissionId: fmt.Sprintf("s%07d", n), Site: loadSite, Form: "contact",
		Kind: schemas.SubmissionKind_SUBMISSION_KIND_FORM, ReceivedAtUs: c.clock.UnixMicro(),
		OccurredAtUs: c.clock.UnixMicro(), FirstName: f[people.Given], LastName: f[people.Family],
		Email: f[people.Email], Phone: f[people.Phone], Company: f[people.Company],
		VisitorId: fmt.Sprintf("v%d-%d", row.Person, c.random.IntN(2)),
		Consent:   schemas.Consent_CONSENT_IDENTIFIED,
	}
	name := append(schemas.VisitorKey(loadSite, schemas.VisitorID(s.VisitorId)), 0)
	c.records = append(c.records, c.names.ID(append(name, s.SubmissionId...)))
	return s
}

// review decides about two records that came lately, or withdraws an earlier decision.
func (c *crowd) review() *schemas.Submission {
	lately := c.records[max(0, len(c.records)-50):]
	one, other := lately[c.random.IntN(len(lately))], lately[c.random.IntN(len(lately))]
	r := &schemas.Review{Left: one, Right: other, By: "ann"}
	switch roll := c.random.IntN(4); {
	case roll == 0 && len(c.reviews) > 0:
		r = &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_WITHDRAW, By: "ann",
			Withdraws: c.reviews[c.random.IntN(len(c.reviews))],
		}
	case roll == 1:
		r.Verdict = schemas.Verdict_VERDICT_REJECT
	case roll == 2:
		r = &schemas.Review{
			Verdict: schemas.Verdict_VERDICT_SPLIT, Left: one, Records: []string{other}, By: "ann",
		}
	default:
		r.Verdict = schemas.Verdict_VERDICT_ACCEPT
	}
	id := fmt.Sprintf("r%07d", c.sent.Load())
	c.reviews = append(c.reviews, id)
	return &schemas.Submission{
		SubmissionId: id, Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW,
		ReceivedAtUs: c.clock.UnixMicro(), Review: r,
	}
}

// put hands a submission to the client, which sends it again until the broker has it.
func (c *crowd) put(s *schemas.Submission) {
	value, err := s.MarshalVT()
	if err != nil {
		panic("faults: encode a submission: " + err.Error())
	}
	c.sent.Add(1)
	c.client.Produce(context.Background(), &kgo.Record{
		Topic: c.topic, Timestamp: c.clock, Key: []byte(s.Site), Value: value,
	}, func(_ *kgo.Record, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.failed = err
		}
	})
}

// halt ends the crowd, where it runs, and waits until the broker has everything.
func (c *crowd) halt(t *testing.T) {
	t.Helper()
	close(c.stop)
	<-c.done
	c.flush(t)
}

func (c *crowd) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := c.client.Flush(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.failed != nil {
		t.Fatalf("submissions that the broker has not: %v, %v", err, c.failed)
	}
}
