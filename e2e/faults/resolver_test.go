package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crumbtrail/internal/fault"
	"crumbtrail/schemas"
)

// resolvers are processes that resolve what a crowd submits, with a reader of what they write.
type resolvers struct {
	*crew
	seed  uint64
	crowd *crowd
	shown *transcript
}

// resolved are the topics of a resolver. These ones here are not compacted, so that every version
// can be held against that of another run.
var resolved = []schemas.Topic{
	schemas.Decisions, schemas.Records, schemas.Edges, schemas.Aliases, schemas.Contacts,
	schemas.Identities,
}

func newResolvers(t *testing.T, b *broker, seed uint64) *resolvers {
	t.Helper()
	r := &resolvers{seed: seed, crew: newResolverCrew(t, b, seed)}
	r.crowd = newCrowd(t, b.address, r.input, seed)
	r.shown = newTranscript(t, b.address, r.prefix)
	return r
}

func newResolverCrew(t *testing.T, b *broker, seed uint64) *crew {
	t.Helper()
	c := newCrew(t, b, seed, "resolve", string(schemas.Submissions), 1)
	c.config = c.configured(500 * time.Millisecond) // within a life
	for _, topic := range resolved {
		createTopic(t, c.client, c.prefix+string(topic), 1)
	}
	return c
}

// transcript is what a read_committed reader is shown of a resolver's topics, while some die.
type transcript struct {
	done chan struct{}

	mu       sync.Mutex
	shown    map[string]map[int64]string // by topic and offset
	commits  int                         // ends of transactions on decisions
	problems []string
}

// newTranscript reads until the test ends.
func newTranscript(t *testing.T, address, prefix string) *transcript {
	t.Helper()
	s := &transcript{done: make(chan struct{}), shown: map[string]map[int64]string{}}
	starts := map[string]map[int32]kgo.Offset{}
	for _, topic := range resolved {
		s.shown[prefix+string(topic)] = map[int64]string{}
		starts[prefix+string(topic)] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
	}
	opts := readCommitted(prefix+string(schemas.Decisions), 1)
	client := newClient(t, address, append(opts, kgo.ConsumePartitions(starts))...)
	ctx, cancel := context.WithCancel(context.Background())
	go s.run(ctx, client, prefix+string(schemas.Decisions))
	t.Cleanup(func() { cancel(); <-s.done })
	return s
}

func (s *transcript) run(ctx context.Context, client *kgo.Client, decisions string) {
	defer close(s.done)
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		s.mu.Lock()
		fetches.EachError(func(topic string, _ int32, err error) {
			const most = 20
			if len(s.problems) < most {
				s.problems = append(s.problems, fmt.Sprintf("%s: %v", topic, err))
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			switch {
			case !r.Attrs.IsControl():
				s.shown[r.Topic][r.Offset] = line(r)
			case r.Topic == decisions:
				s.commits++
			}
		})
		s.mu.Unlock()
	}
}

// line is all that is in a record.
func line(r *kgo.Record) string {
	return fmt.Sprintf("%d %q %q", r.Timestamp.UnixMilli(), r.Key, r.Value)
}

func (s *transcript) transactions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

// commitsMore waits until the outputs of so many transactions have been shown.
func (r *resolvers) commitsMore(n int) {
	r.t.Helper()
	from := r.shown.transactions()
	eventually(r.t, patience, "decisions to be committed", func() bool {
		return r.shown.transactions() >= from+n
	})
}

// works says whether a process is the one that resolves.
func (p *process) works() bool { return len(p.partitions()) == 1 && p.ready() }

// standsBy says whether a process has the state that another one works on.
func (p *process) standsBy() bool {
	_, body := p.get("/readyz")
	return strings.Contains(body, "the state to take it over is here")
}

// awaitWork waits until a process is the one that resolves.
func (r *resolvers) awaitWork(p *process) {
	r.t.Helper()
	eventually(r.t, patience, p.name+" to resolve", func() bool { return p.works() || !p.alive() })
	if !p.alive() {
		r.t.Fatalf("%s has ended:\n%s", p.name, p.said())
	}
}

// awaitStandby waits until a process has the state that another one works on, or has died of it.
func (r *resolvers) awaitStandby(p *process) {
	r.t.Helper()
	eventually(r.t, patience, p.name+" to stand by", func() bool { return p.standsBy() || !p.alive() })
}

// finish lets the resolver come to the end of what was submitted and stops it.
func (c *crew) finish() {
	c.t.Helper()
	eventually(c.t, patience, "everything to be committed", func() bool {
		at := c.committed()[0].offset
		return at == offsets(c.t, c.client, c.input, 1, latest)[0]
	})
	for _, p := range c.living() {
		p.stop(c.t, 0)
	}
	c.settled()
}

// settle ends the crowd and holds what was written against what a resolver writes that never dies,
// record by record, and against what a reader was shown meanwhile (V1, V2, V3, V5).
func (r *resolvers) settle() {
	t := r.t
	t.Helper()
	r.crowd.halt(t)
	r.finish()
	undisturbed := r.again()
	counts := map[schemas.Topic]int{}
	for _, topic := range resolved {
		name := string(topic)
		got := readAll(t, r.broker.address, r.prefix+name, 1)
		want := readAll(t, r.broker.address, undisturbed.prefix+name, 1)
		counts[topic] = len(want)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || line(got[i]) != line(want[i]) {
				t.Errorf("%s: %d records, without kills %d; the first difference is at record %d", name,
					len(got), len(want), i)
				break
			}
		}
		r.vanished(got)
	}
	t.Logf("embedded, seed %d: %d sent, %d kills, %d transactions seen; written %v", r.seed,
		r.crowd.sent.Load(), r.kills, r.shown.transactions(), counts)
	if counts[schemas.Contacts] == 0 || counts[schemas.Identities] == 0 {
		t.Error("nothing came of it")
	}
}

// vanished wants everything that the first reader was shown of a topic where it was.
func (r *resolvers) vanished(final []*kgo.Record) {
	r.t.Helper()
	r.shown.mu.Lock()
	defer r.shown.mu.Unlock()
	for _, problem := range r.shown.problems {
		r.t.Errorf("reader: %s", problem)
	}
	if len(final) == 0 {
		return
	}
	first := r.shown.shown[final[0].Topic]
	there := map[int64]string{}
	for _, record := range final {
		there[record.Offset] = line(record)
	}
	for offset, shown := range first {
		if there[offset] != shown {
			r.t.Errorf("%s offset %d was shown first as %s, later %s", final[0].Topic, offset, shown,
				there[offset])
			return
		}
	}
}

// again has a resolver that nobody disturbs read what was submitted.
func (r *resolvers) again() *crew {
	r.t.Helper()
	c := newResolverCrew(r.t, r.broker, r.seed+1)
	var all []*kgo.Record
	for _, s := range readAll(r.t, r.broker.address, r.input, 1) {
		all = append(all, &kgo.Record{
			Topic: c.input, Timestamp: s.Timestamp, Key: s.Key, Value: s.Value,
		})
	}
	if err := c.client.ProduceSync(r.t.Context(), all...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	c.stage()
	c.finish()
	return c
}

// V1, V2, V3: a resolver may be killed at any moment, with and without another one: that stands by,
// or has the work while it is the killed one that stands by.
func TestKillResolver(t *testing.T) {
	b := onEmbedded(t)
	random, seed := seeded(t)
	r := newResolvers(t, b, seed)
	go r.crowd.run(5)
	kills := count(t, "CRUMBTRAIL_RESOLVER_KILLS", 6)
	p := r.stage()
	for r.kills < kills {
		how := random.IntN(6)
		next := (*process)(nil)
		if how%2 == 1 {
			next = r.stage() // stands by, or is about to
		}
		if how > 1 {
			eventually(t, patience, "one of them to resolve", func() bool {
				return slices.ContainsFunc(r.living(), (*process).works)
			})
		}
		lapse(t, time.Duration(random.Int64N(int64(1500*time.Millisecond))))
		if how == 5 {
			p.signal(syscall.SIGTERM)
			lapse(t, time.Duration(random.Int64N(int64(100*time.Millisecond))))
		}
		p.kill()
		r.kills++
		if p = next; p == nil {
			p = r.stage()
		}
	}
	r.awaitWork(p)
	r.settle()
}

// V1, V2, V3: a resolver may be killed between any two requests of a transaction, and within
// recovery, a checkpoint and a hand-over, be it started anew or one that stood by. Every point does
// fire.
func TestKillResolverAtEachPoint(t *testing.T) {
	b := onEmbedded(t)
	binary(t, shared.faulty)
	random, seed := seeded(t)
	r := newResolvers(t, b, seed)
	go r.crowd.run(5)
	other := r.stage()
	r.awaitWork(other)
	eventually(t, patience, "a checkpoint with enough keys", func() bool {
		return r.keys()[0] >= mostRestored
	})
	for _, stands := range []bool{false, true} {
		for _, name := range fault.StageNames() {
			other = r.dieAt(random, name, other, stands)
		}
	}
	r.settle()
}

// dieAt runs a resolver to its death at a point and returns the one that goes on.
func (r *resolvers) dieAt(
	random *rand.Rand, name fault.Name, other *process, stands bool,
) *process {
	r.t.Helper()
	most := map[fault.Name]int{fault.Replay: 1, fault.HandOver: 1}[name]
	if most == 0 {
		most = hits(name)
	}
	var p *condemned
	switch {
	case stands && name == fault.Replay:
		other = r.unsaved(other)
		r.awaitWork(other)
		p = r.condemn(random, name, most)
		r.awaitStandby(p.process)
		r.awaitUnsaved()
		r.fell(other)
	case stands:
		p = r.condemn(random, name, most)
		r.awaitStandby(p.process)
		r.commitsMore(2)
		r.fell(other)
	case name == fault.Replay:
		r.dieUnsaved(other)
		p = r.condemn(random, name, most)
	default:
		r.commitsMore(2)
		r.fell(other)
		p = r.condemn(random, name, most)
	}
	if name == fault.HandOver {
		eventually(r.t, patience, p.process.name+" to resolve", func() bool {
			return p.works() || !p.alive()
		})
		p.signal(syscall.SIGTERM)
	}
	r.die(p)
	r.t.Logf("%-30s hit %2d, stood by %t, %.1f s after the start", name, p.hit, stands,
		time.Since(p.began).Seconds())
	next := r.stage()
	r.awaitWork(next)
	return next
}

// fell kills a process.
func (r *resolvers) fell(p *process) {
	p.kill()
	r.kills++
}

// A standby takes the work over from an owner that was killed under load, with a large state: it
// has read that before.
func TestStandbyResolver(t *testing.T) {
	b := onEmbedded(t)
	_, seed := seeded(t)
	r := newResolvers(t, b, seed)
	owner := r.stage()
	n := count(t, "CRUMBTRAIL_SUBMISSIONS", 3000)
	for int(r.crowd.sent.Load()) < n {
		r.crowd.send(100)
		r.crowd.flush(t)
	}
	r.awaitWork(owner)
	eventually(t, patience*time.Duration(1+n/3000), "the first ones to be resolved", func() bool {
		return r.lag() == 0
	})
	go r.crowd.run(2)
	standby := r.stage()
	r.awaitStandby(standby)
	if n := standby.metric("crumbtrail_stage_standby_partitions", "")[""]; n != 1 {
		t.Errorf("%v partitions stand by, want 1", n)
	}
	r.commitsMore(5)
	r.fell(owner)
	warm := r.takeover(standby)
	r.commitsMore(5)
	r.fell(standby)
	cold := r.takeover(r.stage())
	t.Logf("%d keys of state; taken over by the standby %s, by a new process %s", r.keys()[0], warm,
		cold)
	r.settle()
}

// takeover waits until a process does the work, and says how long it took.
func (r *resolvers) takeover(p *process) string {
	r.t.Helper()
	began := time.Now()
	r.awaitWork(p)
	all := time.Since(began)
	sums := p.metric("crumbtrail_stage_restore_seconds_sum", "")
	return fmt.Sprintf("in %.2f s, %.3f s of them to take the state over", all.Seconds(), sums[""])
}

// V2, V4: a resolver that stood still for longer than its session finds on waking that the one that
// stood by has its work. It writes nothing, reads the state again and stands by in its turn.
func TestZombieResolver(t *testing.T) {
	b := onEmbedded(t)
	_, seed := seeded(t)
	r := newResolvers(t, b, seed)
	go r.crowd.run(5)
	zombie := r.stage()
	r.awaitWork(zombie)
	other := r.stage()
	r.awaitStandby(other)
	r.commitsMore(5)
	zombie.signal(syscall.SIGSTOP)
	r.awaitWork(other)
	r.commitsMore(5)
	zombie.signal(syscall.SIGCONT)
	r.kills++
	eventually(t, patience, "one to resolve and one to stand by", func() bool {
		if zombie.works() { // on a machine where the other one was too slow for its session
			zombie, other = other, zombie
		}
		return other.works() && zombie.standsBy()
	})
	r.commitsMore(5)
	r.fell(other)
	r.awaitWork(zombie)
	r.commitsMore(5)
	r.settle()
}
