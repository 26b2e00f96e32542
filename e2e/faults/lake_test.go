package faults

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
	"crumbtrail/internal/fault"
)

//go:embed testdata/queries.py
var queries string

// lakes are the processes that write one lake, and whoever queries it.
type lakes struct {
	*world
	data      string
	queriers  []*querier
	questions string // the script's file
}

// querier is a client that queries the lake for as long as the test goes on.
type querier struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   bytes.Buffer
}

// seenByQuerier is what a querier says at its end.
type seenByQuerier struct {
	DuckDB   string `json:"duckdb"`
	Queries  int
	Late     int // failed, longer after its begin than replaced files stay
	Problems int
	Examples []string
	Longest  float64 // seconds
	Rows     map[string]int
}

const (
	// lakePace has a day pass in seven seconds, so that past days are compacted all the time.
	lakePace = 10 * time.Minute
	// lakeGrace is how long a file stays that no catalog names any more.
	lakeGrace = 3 * time.Second
)

// newLakes prepares a lake with a sessionizer before it, and traffic for so long.
func newLakes(t *testing.T, b *broker, seed uint64, lasts time.Duration) *lakes {
	t.Helper()
	w := newWorld(t, b, seed, loadConfig{
		rate: 3, pace: lakePace, ago: time.Duration(lasts/loadStep)*lakePace + 20*24*time.Hour,
	})
	w.configure(fmt.Sprintf("lake: {flush: 300ms, compact_after: 1s, grace: %v}\n", lakeGrace))
	l := &lakes{world: w, data: filepath.Join(t.TempDir(), "data")}
	l.questions = filepath.Join(t.TempDir(), "queries.py")
	if err := os.WriteFile(l.questions, []byte(queries), 0o644); err != nil {
		t.Fatal(err)
	}
	w.stage().awaitReady(t)
	go w.load.run()
	return l
}

// writer starts a process that writes the lake, with a fault in it if one is named.
func (l *lakes) writer(fault ...string) *process {
	l.t.Helper()
	return l.start("lake", []string{"--config", l.config, "--data", l.data}, fault...)
}

// query starts clients of each DuckDB there is: one opens the lake anew for each query, one keeps
// what it has open for nearly as long as replaced files stay.
func (l *lakes) query() {
	l.t.Helper()
	list := filepath.SplitList(os.Getenv("CRUMBTRAIL_PYTHONS"))
	if len(list) == 0 {
		lacking(l.t, "Python with duckdb: name interpreters in CRUMBTRAIL_PYTHONS")
	}
	for _, python := range list {
		for _, how := range []string{"fresh", fmt.Sprint(lakeGrace.Seconds() * 2 / 3)} {
			q := &querier{cmd: exec.Command(python, l.questions, filepath.Join(l.data, "lake.duckdb"),
				fmt.Sprint(lakeGrace.Seconds()), how)}
			q.cmd.Stdout, q.cmd.Stderr = &q.out, os.Stderr
			stdin, err := q.cmd.StdinPipe()
			if err == nil {
				err = q.cmd.Start()
			}
			if err != nil {
				l.t.Fatal(err)
			}
			q.stdin = stdin
			l.queriers = append(l.queriers, q)
		}
	}
	l.t.Cleanup(func() {
		for _, q := range l.queriers {
			_ = q.cmd.Process.Kill() // it has ended, unless the test has failed
		}
	})
}

// answered ends the clients and judges what they saw.
func (l *lakes) answered() {
	l.t.Helper()
	for _, q := range l.queriers {
		_ = q.stdin.Close() // where the client has ended, Wait says how
		if err := q.cmd.Wait(); err != nil {
			l.t.Errorf("client: %v", err)
			continue
		}
		var saw seenByQuerier
		if err := json.Unmarshal(q.out.Bytes(), &saw); err != nil {
			l.t.Fatalf("client: %v: %s", err, &q.out)
		}
		l.t.Logf("DuckDB %s, %s: %d queries, %d late, %d problems, the longest took %.2f s, last %v",
			saw.DuckDB, q.cmd.Args[4], saw.Queries, saw.Late, saw.Problems, saw.Longest, saw.Rows)
		if saw.Problems > 0 || saw.Queries == 0 || saw.Rows["beacons"] == 0 || saw.Rows["visits"] == 0 {
			l.t.Errorf("DuckDB %s: %s", saw.DuckDB, strings.Join(saw.Examples, "\n"))
		}
	}
	l.queriers = nil
}

// sql asks the lake with the program.
func (l *lakes) sql(query string) (string, error) {
	cmd := exec.Command(binary(l.t, shared.program), "sql", "--data", l.data, "--format", "csv", query)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, &said)
	}
	_, rows, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(rows), nil
}

// settle ends the traffic, lets one more writer come to its end, and holds what the lake has
// against the topics.
func (l *lakes) settle() {
	t := l.t
	t.Helper()
	l.load.halt(t)
	l.world.settle()
	log := readLog(t, l.broker.address, l.load.topic, l.partitions, func(int32) bool { return true })
	ids := map[string]bool{}
	for _, b := range log {
		ids[b.id] = true
	}
	want := fmt.Sprintf("%d,%d,%d,%d", len(ids), len(ids), len(log)-len(ids), l.shown())
	last := l.writer()
	got, why := "", error(nil)
	if !harness.WaitFor(patience, func() bool {
		got, why = l.sql(`SELECT count(*), count(DISTINCT event_id),
			(SELECT sum(duplicates) FROM pipeline_counts), (SELECT count(DISTINCT visit_id) FROM visits)
			FROM beacons`)
		return got == want
	}) {
		t.Errorf("beacons, distinct ones, duplicates and visits: the topics say %s, the lake %s, %v",
			want, got, why)
	}
	l.answered()
	last.stop(t, 0)
	out, err := l.sql("SELECT event_id FROM beacons")
	if err != nil {
		t.Fatal(err)
	}
	invented := 0
	for id := range strings.FieldsSeq(out) {
		if !ids[id] {
			invented++
		}
	}
	t.Logf("%d beacons on the topic, %s in the lake", len(log), got)
	if invented > 0 {
		t.Errorf("%d beacons of the lake are not on the topic", invented)
	}
}

// V1, V2: whoever queries the lake sees every row once, and always again, whatever step of its
// commit the writer dies at.
func TestQueriesWhileTheWriterDies(t *testing.T) {
	b := onEmbedded(t)
	binary(t, shared.faulty)
	random, seed := seeded(t)
	lasts := lasting(t, "CRUMBTRAIL_LOOP", time.Minute)
	l := newLakes(t, b, seed, lasts)
	first := l.writer()
	first.awaitReady(t)
	l.query()
	first.stop(t, 0)
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < lasts; round++ {
		for _, name := range fault.LakeNames() {
			l.dieAt(random, name)
		}
	}
	l.settle()
}

// dieAt runs a writer to its death at a point.
func (l *lakes) dieAt(random *rand.Rand, name fault.Name) {
	l.t.Helper()
	most := 12
	switch name {
	case fault.LakeWritten, fault.LakeSynced:
		most = 60 // the first ones are files without rows
	case fault.LakeBuilt, fault.LakeShown, fault.LakeCompacted, fault.LakeReplaced:
		most = 4
	}
	p := l.condemnTo(random, name, most, l.writer)
	l.die(p)
	l.t.Logf("%-22s hit %2d, %.1f s after the start", name, p.hit, time.Since(p.began).Seconds())
}
