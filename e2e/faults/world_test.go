package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

// world is sessionizers with a load and a reader.
type world struct {
	*crew
	seed   uint64
	load   *load
	reader *reader

	bounces    int
	recoveries []time.Duration
	// exit is the code that a stage stops with: another one where partitions are spared.
	exit int
}

const partitions = 8

// newWorld makes the topics of a test and begins to read the visits.
func newWorld(t *testing.T, b *broker, seed uint64, cfg loadConfig) *world {
	t.Helper()
	w := &world{crew: newCrew(t, b, seed, "sessionize", "beacons", partitions), seed: seed}
	createTopic(t, w.client, w.prefix+"visits", w.partitions)
	cfg.topic = w.input
	if cfg.traffic == nil {
		cfg.traffic = all(w.partitions)
	}
	if cfg.ticks == nil {
		cfg.ticks = all(w.partitions)
	}
	w.load = newLoad(t, b.address, seed, cfg)
	w.reader = newReader(t, b.address, w.prefix+"visits", w.partitions)
	return w
}

// all lists the partitions.
func all(partitions int) (list []int32) {
	for p := range partitions {
		list = append(list, int32(p))
	}
	return list
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
