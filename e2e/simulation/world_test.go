package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/kafka/simnet"
	"crumbtrail/internal/stage"
	"crumbtrail/resolve"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

const (
	partitions = 2
	// traffic is how long beacons come in, and faults happen.
	traffic = 60 * time.Second
	// settling is how long everything may take to be out once no fault happens any more (V8): as
	// long as the longest fault, a transaction, a rebalance and the longest pause before a restart.
	settling = 60 * time.Second
	// watchers begins the names of the clients that no fault hits.
	watchers = "watch"
)

// scenario is what is simulated.
type scenario struct {
	seed uint64
	// broken, if set, makes a stage's cluster one that breaks the rules, for a life of an instance.
	broken func(of stage.Cluster, life string) stage.Cluster
	log    func(line string)
}

// world is one run.
type world struct {
	scenario
	t     *testing.T
	net   *simnet.Network
	quiet *slog.Logger
	ctx   context.Context
	stop  context.CancelFunc // of all instances
	wg    sync.WaitGroup

	// mu is never held over I/O.
	mu       sync.Mutex
	calm     bool
	lives    int
	alive    map[string]bool
	problems []string
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// draw returns numbers that follow from the seed and a name.
func (w *world) draw(name string) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, simnet.Draw(w.seed, simnet.Request{Client: name}, 'w')))
}

// dial connects a client of a name of its own. It opens no connection yet.
func (w *world) dial(name string) *kafka.Client {
	client, err := kafka.Dial(kafka.Config{
		Brokers: []string{simnet.Addr}, ClientID: name, Dial: w.net.Dial(name),
	})
	if err != nil {
		panic(err) // the address is good
	}
	return client
}

// simulate runs the pipeline in the test's bubble.
func simulate(t *testing.T, s scenario) result {
	net, err := simnet.New(simnet.Config{Seed: s.seed, Plan: plan(s.seed), Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	ctx, stop := context.WithCancel(context.Background())
	w := &world{
		scenario: s, t: t, net: net, quiet: slog.New(slog.DiscardHandler), ctx: ctx, stop: stop,
		alive: map[string]bool{},
	}
	watcher := w.dial(watchers)
	defer watcher.Close()
	if err := watcher.EnsureTopics(ctx, topics()); err != nil {
		t.Fatal(err)
	}
	watch := w.watch(watcher)
	edge := w.startEdge()
	for i := range 2 + int(s.seed%2) { // with three, one has no partition and stands by
		w.instances("sessionize", i)
	}
	for i := range 2 {
		w.instances("resolve", i)
	}
	w.wg.Go(w.disasters)
	edge.drive()
	w.net.Calm()
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	r := w.settle(watcher, watch, edge)
	stop()
	w.wg.Wait()
	time.Sleep(20 * time.Second) // until no request is held up any more
	for _, name := range []string{"sessionize", "resolve"} {
		w.wrapUp(watcher, name)
	}
	w.check(watcher, watch, edge, &r)
	r.messages, r.sum = net.Trace()
	r.fired, r.lives = net.Fired(), w.lives
	if len(r.fired) == 0 {
		w.problem("no fault happened")
	}
	r.problems = w.problems
	return r
}

func topics() []kafka.TopicSpec {
	var specs []kafka.TopicSpec
	for _, t := range schemas.Topics() {
		spec := kafka.TopicSpec{
			Name: string(t.Topic), Partitions: partitions, Replication: 1, Configs: map[string]string{},
		}
		if t.Single {
			spec.Partitions = 1
		}
		if t.Compacted {
			spec.Configs["cleanup.policy"] = "compact"
		}
		if t.Clocked {
			spec.Configs["message.timestamp.type"] = "LogAppendTime"
		}
		specs = append(specs, spec)
	}
	return specs
}

// rules are those that visits are made under: see the package's comment.
func rules() sessionize.Config {
	cfg := sessionize.DefaultConfig()
	cfg.Default.Gap, cfg.Default.Grace = 3*time.Second, 500*time.Millisecond
	cfg.LateLinger = time.Second
	return cfg
}

// instances keeps one instance of a stage running, life after life.
func (w *world) instances(name string, slot int) {
	w.wg.Go(func() {
		rng := w.draw(fmt.Sprint(name, slot))
		w.sleep(time.Duration(slot) * time.Duration(rng.Int64N(int64(5*time.Second))))
		for life := 1; w.ctx.Err() == nil; life++ {
			w.live(name, fmt.Sprintf("%s-%c.%d", name, 'a'+slot, life),
				5*time.Second+time.Duration(rng.Int64N(int64(60*time.Second))))
			w.rest(time.Duration(rng.Int64N(int64(4 * time.Second))))
		}
	})
}

// rest is the pause between two lives. It does not depend on how long the last one took to end, to
// within a tenth of a second.
func (w *world) rest(d time.Duration) {
	const grid = 100 * time.Millisecond
	w.sleep(time.Until(time.Now().Truncate(grid).Add(grid + d)))
}

// sleep returns early where the run ends.
func (w *world) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-w.ctx.Done():
	}
}

// born counts a life, and returns what ends it.
func (w *world) born(life string) (gone func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
	w.alive[life] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.alive, life)
	}
}

// disasters hit whole machines: all processes die in one moment, the broker is out of reach for
// all, or one process stands still for longer than its session.
func (w *world) disasters() {
	rng := w.draw("disasters")
	for {
		w.sleep(8*time.Second + time.Duration(rng.Int64N(int64(30*time.Second))))
		w.mu.Lock()
		over, alive := w.calm || w.ctx.Err() != nil, slices.Sorted(maps.Keys(w.alive))
		w.mu.Unlock()
		if over || len(alive) == 0 {
			return
		}
		some := time.Duration(rng.Int64N(int64(12 * time.Second)))
		one := alive[rng.IntN(len(alive))]
		switch what := rng.IntN(3); {
		case what == 0:
			for _, life := range alive {
				w.net.Kill(life)
			}
		case what == 1:
			for _, life := range alive {
				w.net.Stall(life, some)
			}
		default:
			w.net.Stall(one, 7*time.Second+some)
		}
	}
}

// live runs an instance until it is killed, has had its time, or everything ends. What is left of a
// killed one ends by itself.
func (w *world) live(name, life string, span time.Duration) {
	ctx, cancel := context.WithCancel(w.ctx)
	killed, ended := make(chan struct{}), make(chan struct{})
	w.net.OnKill(life, func() { close(killed); cancel() })
	defer w.born(life)()
	w.wg.Go(func() {
		defer close(ended)
		defer cancel()
		w.runLife(ctx, cancel, name, life, span)
	})
	select {
	case <-killed:
	case <-ended:
	}
}

func (w *world) runLife(
	ctx context.Context, cancel func(), name, life string, span time.Duration,
) {
	retire := time.AfterFunc(span, func() {
		w.mu.Lock()
		calm := w.calm
		w.mu.Unlock()
		if !calm {
			cancel()
		}
	})
	defer retire.Stop()
	client := w.dial(life)
	defer client.Close()
	var cluster stage.Cluster = stage.OnKafka(client)
	if w.broken != nil {
		cluster = w.broken(cluster, life)
	}
	runner, err := w.runner(ctx, name, cluster, w.draw(life).IntN(2) == 0)
	if err == nil {
		err = runner.Run(ctx)
	}
	if err != nil && !w.net.Killed(life) && !errors.Is(err, context.Canceled) {
		w.problem("%s: %v", life, err)
	}
}

// wrapUp runs a stage once more in the run's bubble, alone and without faults, and stops it
// cleanly: its state is then in its changelog, and nothing more may have come out.
func (w *world) wrapUp(client *kafka.Client, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), settling)
	defer cancel()
	runner, err := w.runner(ctx, name, stage.OnKafka(client), false)
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	ends, err := client.Ends(ctx, input(name))
	if err == nil {
		err = runner.Wait(ctx, ends)
	}
	time.Sleep(time.Second) // so that the stop comes when nothing else goes on
	cancel()
	if err = errors.Join(err, <-ended); err != nil {
		w.problem("%s at last: %v", name, err)
	}
}

// input is the topic that a stage reads.
func input(name string) string {
	if name == "resolve" {
		return string(schemas.Submissions)
	}
	return string(schemas.Beacons)
}

// runner makes a stage. Where it is other, its rules differ in what none of the input is about, so
// that taking a partition over means a change of rules.
func (w *world) runner(
	ctx context.Context, name string, cluster stage.Cluster, other bool,
) (*stage.Runner, error) {
	visits, contacts := rules(), resolve.DefaultConfig()
	if other {
		visits.Sites = map[schemas.Site]sessionize.Rules{"elsewhere": sessionize.DefaultRules()}
		contacts.KeepTags = true
	}
	cfg := stage.Config{
		Name: name, Commit: 700 * time.Millisecond, Checkpoint: 7 * time.Second,
		Input: input(name), Changelog: string(schemas.SessionizeChangelog),
		Outputs: []string{string(schemas.Visits), string(schemas.BadBeacons)},
		Rules:   visits.Encode(),
	}
	make := func(partition int32, rules []byte) (stage.Machine, error) {
		cfg, err := sessionize.DecodeConfig(rules)
		return sessionize.New(cfg, partition), err
	}
	if name == "resolve" {
		cfg.Changelog, cfg.Rules = string(schemas.ResolveChangelog), contacts.Encode()
		cfg.Outputs = []string{
			string(schemas.Records), string(schemas.Edges), string(schemas.Aliases),
			string(schemas.Contacts), string(schemas.Identities), string(schemas.Decisions),
			string(schemas.BadBeacons),
		}
		make = func(_ int32, rules []byte) (stage.Machine, error) {
			cfg, err := resolve.DecodeConfig(rules)
			return resolve.New(cfg), err
		}
	}
	return stage.New(ctx, cfg, cluster, make, w.quiet, prometheus.NewRegistry())
}

// watch is what a reader has seen so far, with nothing but committed records.
type watch struct {
	mu   sync.Mutex
	seen map[string]map[int32][]kafka.Record // by topic and partition
}

// watched are the topics that are followed during the run.
func watched() []schemas.Topic {
	return []schemas.Topic{schemas.Visits, schemas.Decisions, schemas.Contacts, schemas.Identities}
}

// watch follows the outputs during the run.
func (w *world) watch(client *kafka.Client) *watch {
	seen := &watch{seen: map[string]map[int32][]kafka.Record{}}
	for _, spec := range topics() {
		if !slices.Contains(watched(), schemas.Topic(spec.Name)) {
			continue
		}
		seen.seen[spec.Name] = map[int32][]kafka.Record{}
		for p := range int32(spec.Partitions) {
			w.wg.Go(func() { w.follow(client, seen, spec.Name, p) })
		}
	}
	return seen
}

func (w *world) follow(client *kafka.Client, seen *watch, topic string, partition int32) {
	const wait = 3 * time.Second
	for at := int64(0); w.ctx.Err() == nil; {
		batch, err := client.Fetch(w.ctx, topic, partition, at, wait)
		if w.ctx.Err() != nil {
			return
		}
		if err != nil || batch.Missing > 0 {
			w.problem("watch %s partition %d at offset %d: %d missing, %v", topic, partition, at,
				batch.Missing, err)
			return
		}
		at = batch.Next
		seen.mu.Lock()
		seen.seen[topic][partition] = append(seen.seen[topic][partition], batch.Records...)
		seen.mu.Unlock()
	}
}

func (s *watch) count(topic schemas.Topic) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, records := range s.seen[string(topic)] {
		n += len(records)
	}
	return n
}

// beacons sums up those of the visits.
func (s *watch) beacons() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range each(s.seen[string(schemas.Visits)]) {
		var v schemas.Visit
		if v.UnmarshalVT(r.Value) == nil { // the check tells of it
			n += int(v.Beacons)
		}
	}
	return n
}

// settle waits until everything is out that should be, and a while longer for what should not.
func (w *world) settle(client *kafka.Client, seen *watch, edge *edge) (r result) {
	began := time.Now()
	edge.wait()
	want := w.expect(client)
	for time.Since(began) < settling {
		if seen.beacons() >= want.inVisits() && seen.count(schemas.Decisions) >= len(want.decisions) {
			break
		}
		w.sleep(500 * time.Millisecond)
	}
	r.settled = time.Since(began)
	w.sleep(3 * time.Second)
	return r
}

// read returns all that a topic has, by partition.
func (w *world) read(client *kafka.Client, topic schemas.Topic) map[int32][]kafka.Record {
	all := map[int32][]kafka.Record{}
	ctx := context.Background()
	ends, err := client.Ends(ctx, string(topic))
	if err != nil {
		w.t.Fatal(err)
	}
	for p, end := range ends {
		for at := int64(0); at < end; {
			batch, err := client.Fetch(ctx, string(topic), int32(p), at, kafka.FetchWait)
			if err != nil {
				w.t.Fatal(err)
			}
			all[int32(p)] = append(all[int32(p)], batch.Records...)
			at = batch.Next
		}
	}
	return all
}

// each yields records in order of partition and offset.
func each(records map[int32][]kafka.Record) func(func(int32, *kafka.Record) bool) {
	return func(yield func(int32, *kafka.Record) bool) {
		for _, p := range slices.Sorted(maps.Keys(records)) {
			for i := range records[p] {
				if !yield(p, &records[p][i]) {
					return
				}
			}
		}
	}
}
