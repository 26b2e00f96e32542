package faults

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crumbtrail/e2e/harness"
)

// world is a broker, a load, a reader, and the processes that a test lets live and die.
type world struct {
	t          *testing.T
	broker     *broker
	seed       uint64
	prefix     string
	config     string
	partitions int
	client     *kgo.Client
	load       *load
	reader     *reader
	stages     []*process

	kills, bounces int
	recoveries     []time.Duration
	// spared are partitions that the verdict is not about, exit the code that a stage then stops with.
	spared map[int32]bool
	exit   int
}

const partitions = 8

// newWorld makes the topics of a test and begins to read the visits.
func newWorld(t *testing.T, b *broker, seed uint64, cfg loadConfig) *world {
	t.Helper()
	binary(t, shared.program) // so that the load does not run while it is being built
	w := &world{
		t: t, broker: b, seed: seed, partitions: partitions, spared: map[int32]bool{},
		prefix: fmt.Sprintf("%s-%d.", t.Name(), seed%1e9),
		client: newClient(t, b.address),
	}
	w.config = w.configured(2 * time.Second)
	for _, topic := range []string{"beacons", "visits"} {
		createTopic(t, w.client, w.prefix+topic, w.partitions)
	}
	cfg.topic = w.prefix + "beacons"
	if cfg.traffic == nil {
		cfg.traffic = all(w.partitions)
	}
	if cfg.ticks == nil {
		cfg.ticks = all(w.partitions)
	}
	w.load = newLoad(t, b.address, seed, cfg)
	w.reader = newReader(t, b.address, w.prefix+"visits", w.partitions)
	t.Cleanup(func() {
		for _, p := range w.stages {
			p.kill()
		}
		if t.Failed() {
			for _, p := range w.stages[max(0, len(w.stages)-2):] {
				t.Logf("%s said:\n%s", p.name, p.said())
			}
		}
	})
	return w
}

// configured writes a configuration whose stages make a checkpoint so often.
func (w *world) configured(checkpoint time.Duration) (file string) {
	w.t.Helper()
	file = filepath.Join(w.t.TempDir(), "crumbtrail.yaml")
	text := fmt.Sprintf(`
topics: {prefix: %q, partitions: %d}
kafka: {session_timeout: %v}
stages: {commit: 200ms, checkpoint: %v}
`, w.prefix, w.partitions, sessionTimeout, checkpoint)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// all lists the partitions.
func all(partitions int) (list []int32) {
	for p := range partitions {
		list = append(list, int32(p))
	}
	return list
}

// stage starts a sessionizer, with a fault in it if one is named, and returns at once.
func (w *world) stage(fault ...string) *process {
	w.t.Helper()
	return w.stageWith(w.config, fault...)
}

// stageWith starts one with a configuration of its own.
func (w *world) stageWith(config string, fault ...string) *process {
	w.t.Helper()
	built, env := shared.program, os.Environ()
	if len(fault) > 0 {
		built, env = shared.faulty, append(env, fault...)
	}
	cmd := exec.Command(binary(w.t, built), "sessionize", "--brokers", w.broker.address,
		"--admin-listen", "127.0.0.1:0", "--config", config)
	cmd.Env, cmd.Dir = env, filepath.Dir(config)
	p := launch(w.t, fmt.Sprintf("sessionizer %d", len(w.stages)+1), cmd)
	w.stages = append(w.stages, p)
	return p
}

// living are the stages that have not ended.
func (w *world) living() (list []*process) {
	for _, p := range w.stages {
		if p.alive() {
			list = append(list, p)
		}
	}
	return list
}

// lag is how many records are in the log and not in the stages, by what they say; it is -1 where a
// partition has no owner, or two.
func (w *world) lag() int {
	owners, behind, lag := map[string]int{}, map[string]int{}, 0
	for _, p := range w.living() {
		for partition, n := range p.partitions() {
			owners[partition]++
			behind[partition] += int(n)
		}
	}
	for p := range w.partitions {
		partition := fmt.Sprint(p)
		switch {
		case w.spared[int32(p)]:
		case owners[partition] != 1:
			return -1
		default:
			lag += behind[partition]
		}
	}
	return lag
}

// settle ends the load, lets the stages come to the end of the log by themselves, stops them and
// judges. It must be called once the faults are over.
func (w *world) settle() {
	t := w.t
	t.Helper()
	w.load.halt(t)
	began := time.Now()
	w.load.closing(t)
	counts := func(partition int32) bool { return !w.spared[partition] }
	log := readLog(t, w.broker.address, w.load.topic, w.partitions, counts)
	expected := len(batchVisits(log))
	if !harness.WaitFor(patience, func() bool { return w.shown() >= expected && w.lag() == 0 }) {
		t.Errorf("lag %d, %d visits of %d", w.lag(), w.shown(), expected)
	}
	zero := time.Since(began)
	for _, p := range w.living() {
		p.stop(t, w.exit)
	}
	w.settled()
	live, problems := w.reader.account()
	for _, problem := range problems {
		t.Errorf("reader: %s", problem)
	}
	v := verify(evidence{
		sent: w.load.sent, acknowledged: w.acknowledged(), log: log, live: w.judged(live),
		final: w.judged(readVisits(t, w.broker.address, w.prefix+"visits", w.partitions)),
	})
	commits, aborts := w.reader.transactions()
	t.Logf("%s, seed %d: %d sent, %d acknowledged, %d without an answer, %d kills, %d bounces, "+
		"%d commits and %d aborts seen; %v; recovery %s; lag zero after %.1f s",
		w.broker.name, w.seed, len(w.load.sent), len(w.load.acknowledged), w.load.unknown, w.kills,
		w.bounces, commits, aborts, v, w.recovery(), zero.Seconds())
	if !v.clean() {
		w.broker.dropsMarkers(t, v.String())
		t.Errorf("the verdict:\n%s", strings.Join(v.examples, "\n"))
	}
	if v.visits == 0 || commits == 0 {
		t.Error("nothing came of it")
	}
}

// state says where everything stands, for who waits in vain.
func (w *world) state() string {
	commits, aborts := w.reader.transactions()
	_, problems := w.reader.account()
	text := fmt.Sprintf("%d beacons acknowledged, lag %d, %d visits shown, %d commits and %d aborts, "+
		"reader's problems %q", w.load.count(), w.lag(), w.reader.visits(), commits, aborts, problems)
	for _, p := range w.living() {
		text += fmt.Sprintf("\n%s: ready %t, lag %v, transactions %v", p.name, p.ready(), p.partitions(),
			p.metric("crumbtrail_stage_transactions_total", "result"))
	}
	return text
}

// judged leaves out the visits that the verdict is not about.
func (w *world) judged(visits map[place]read) map[place]read {
	maps.DeleteFunc(visits, func(_ place, r read) bool { return w.spared[r.input] })
	return visits
}

// shown is how many of the visits that the verdict is about the reader has been shown.
func (w *world) shown() int {
	n := w.reader.visits()
	for p := range w.spared {
		n -= w.reader.visitsOf(p)
	}
	return n
}

// settled holds what the group has committed after a clean stop against the end of the log.
func (w *world) settled() {
	w.t.Helper()
	to := offsets(w.t, w.client, w.load.topic, w.partitions, latest)
	at := committed(w.t, w.client, w.prefix+"sessionize", w.load.topic, w.partitions)
	for p := range to {
		if !w.spared[int32(p)] && max(at[p].offset, 0) != to[p] {
			w.t.Errorf("partition %d: committed up to %d after a clean stop, the log ends at %d",
				p, at[p].offset, to[p])
		}
	}
}

// acknowledged are the beacons that the verdict is about.
func (w *world) acknowledged() map[string]bool {
	out := map[string]bool{}
	for id := range w.load.acknowledged {
		if !w.spared[w.load.went[id]] {
			out[id] = true
		}
	}
	return out
}

// recovery says how long it took from kills until the work went on.
func (w *world) recovery() string {
	if len(w.recoveries) == 0 {
		return "not measured"
	}
	slices.Sort(w.recoveries)
	return fmt.Sprintf("%.2f s median, %.2f s most", w.recoveries[len(w.recoveries)/2].Seconds(),
		w.recoveries[len(w.recoveries)-1].Seconds())
}
