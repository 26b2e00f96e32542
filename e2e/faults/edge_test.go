package faults

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
	"crumbtrail/internal/fault"
)

// edge is a collector that lives and dies on one directory, with clients that send to it.
type edge struct {
	t         *testing.T
	broker    *broker
	data      string
	config    string
	prefix    string
	clients   *clients
	processes []*process
	kills     int
	starts    []time.Duration
}

func newCollector(t *testing.T, b *broker, seed uint64) *edge {
	t.Helper()
	binary(t, shared.program)
	binary(t, shared.faulty)
	e := &edge{
		t: t, broker: b, data: filepath.Join(t.TempDir(), "data"), clients: newClients(seed),
		prefix: fmt.Sprintf("%s-%d.", t.Name(), seed%1e9),
		config: filepath.Join(t.TempDir(), "crumbtrail.yaml"),
	}
	text := fmt.Sprintf(`
topics: {prefix: %q, partitions: %d}
kafka: {session_timeout: %v}
limits: {spill_after: 100ms}
lake: {flush: 1s}
sites: [{key: %s, consent: implied, gap: 2s, grace: 1s}]
`, e.prefix, partitions, sessionTimeout, loadSite)
	if err := os.WriteFile(e.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.clients.halt()
		for _, p := range e.processes {
			p.kill()
		}
		if t.Failed() && len(e.processes) > 0 {
			t.Logf("the last one said:\n%s", e.processes[len(e.processes)-1].said())
		}
	})
	return e
}

// run starts a command on the directory, with a fault in it if one is named, and waits until it
// listens or has died of it.
func (e *edge) run(command string, fault ...string) *process {
	e.t.Helper()
	built, env := shared.program, os.Environ()
	if len(fault) > 0 {
		built, env = shared.faulty, append(env, fault...)
	}
	cmd := exec.Command(binary(e.t, built), command, "--brokers", e.broker.address, "--data", e.data,
		"--config", e.config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	cmd.Env, cmd.Dir = env, filepath.Dir(e.config)
	began := time.Now()
	p := launch(e.t, fmt.Sprintf("%s %d", command, len(e.processes)+1), cmd)
	e.processes = append(e.processes, p)
	if !harness.WaitFor(patience, func() bool { return p.listens() != "" || !p.alive() }) {
		e.t.Fatalf("%s does not listen:\n%s", p.name, p.said())
	}
	e.starts = append(e.starts, time.Since(began))
	e.clients.aim(p.listens())
	return p
}

// listens is where a collector listens, empty before it does.
func (p *process) listens() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.public
}

// taken waits until more beacons have been answered 2xx.
func (e *edge) taken(more int) {
	e.t.Helper()
	want := e.clients.count() + more
	eventually(e.t, patience, "beacons to be taken", func() bool {
		return e.clients.count() >= want
	})
}

// kill ends the broker and stays without it.
func (b *broker) kill() {
	if b.process.alive() {
		b.process.kill()
	}
}

// V1, V5: the collector may die between any two steps of making a request durable, and of handing
// over what its spill holds. Every point does fire.
func TestKillCollectorAtEachPoint(t *testing.T) {
	b := onEmbedded(t)
	random, seed := seeded(t)
	e := newCollector(t, b, seed)
	rounds := count(t, "CRUMBTRAIL_EDGE_ROUNDS", 5)
	for range rounds {
		for _, name := range fault.EdgeNames() {
			e.dieAt(random, name)
		}
	}
	if want := rounds * len(fault.EdgeNames()); e.kills != want {
		t.Errorf("%d faults fired, want %d", e.kills, want)
	}
	e.settle()
}

// dieAt runs a collector to its death at a point: with the log, without it, or as it comes back.
func (e *edge) dieAt(random *rand.Rand, name fault.Name) {
	t := e.t
	t.Helper()
	hit := 1 + random.IntN(20)
	switch name {
	case fault.Created:
		hit = 1
		e.broker.kill()
	case fault.Written, fault.Synced:
		e.broker.kill()
	case fault.Delivered, fault.Position:
		hit = 1
		e.spilled()
	}
	note := filepath.Join(t.TempDir(), "fired")
	p := e.run("ingest", fmt.Sprintf("CRUMBTRAIL_FAULT=%s:%d:kill", name, hit),
		"CRUMBTRAIL_FAULT_LOG="+note)
	if !e.broker.process.alive() && (name == fault.Delivered || name == fault.Position) {
		e.broker.start(t)
	}
	p.wait(t, patience)
	e.kills++
	text, err := os.ReadFile(note)
	if err != nil || !strings.HasPrefix(string(text), string(name)+" ") || !p.killed() {
		t.Fatalf("%s did not fire: %q, %v, %v\n%s", name, text, err, p.cmd.ProcessState, p.said())
	}
}

// spilled lets a collector take beacons without the log, dies with it, and leaves the log away.
func (e *edge) spilled() {
	e.t.Helper()
	e.broker.kill()
	p := e.run("ingest")
	e.taken(50)
	p.kill()
}

// V1, V5: the collector may be killed at any moment, the log being there or not.
func TestKillCollector(t *testing.T) {
	b := onEmbedded(t)
	random, seed := seeded(t)
	e := newCollector(t, b, seed)
	for e.kills < count(t, "CRUMBTRAIL_EDGE_KILLS", 20) {
		if there := random.IntN(3) > 0; there != b.process.alive() {
			if there {
				b.start(t)
			} else {
				b.kill()
			}
		}
		p := e.run("ingest")
		lapse(t, time.Duration(random.Int64N(int64(2*time.Second))))
		p.kill()
		e.kills++
	}
	e.settle()
}

// settle lets all stages come to the end of what the clients sent, and judges by what they know.
func (e *edge) settle() {
	t := e.t
	t.Helper()
	if !e.broker.process.alive() {
		e.broker.start(t)
	}
	starts := slices.Clone(e.starts)
	p := e.run("up")
	e.taken(200)
	e.clients.halt()
	inLake := func() int { return e.ask("SELECT count(*) FROM beacons") }
	inVisits := func() int { return e.ask("SELECT coalesce(sum(beacons), 0)::BIGINT FROM visits") }
	harness.WaitFor(patience, func() bool { // or the verdict says what is missing
		n := inLake()
		return n >= e.clients.count() && inVisits() == n
	})
	p.stop(t, 0)
	topic := e.prefix + "beacons"
	log := readLog(t, e.broker.address, topic, partitions, func(int32) bool { return true })
	v := e.clients.judge(log)
	for _, example := range v.examples {
		t.Error(example)
	}
	twice := inLake() - e.ask("SELECT count(DISTINCT event_id) FROM beacons")
	if n := inLake(); n != v.logged || twice != 0 || inVisits() != n {
		t.Errorf("%d beacons in the lake, %d of them twice, and %d in visits: %d are in the log",
			n, twice, inVisits(), v.logged)
	}
	slices.Sort(starts)
	t.Logf("%d sent, %d acknowledged, %d in the log, %d copies there, %d lost, %d invented, "+
		"%d twice after dedupe; %d kills, start to listening %v median, %v most", v.sent,
		v.acknowledged, v.logged, v.copies, v.lost, v.invented, twice, e.kills,
		starts[len(starts)/2].Round(time.Millisecond),
		starts[len(starts)-1].Round(time.Millisecond))
	if v.acknowledged == 0 {
		t.Error("nothing came of it")
	}
}

// ask asks the lake for one number.
func (e *edge) ask(sql string) int {
	e.t.Helper()
	cmd := exec.Command(binary(e.t, shared.program), "sql", "--data", e.data, "--format", "csv", sql)
	text, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 2 {
		e.t.Fatalf("%s: %v, %s", sql, err, text)
	}
	n, err := strconv.Atoi(rows[1][0])
	if err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
	return n
}
