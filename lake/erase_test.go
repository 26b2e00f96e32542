package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/duck"
	"crumbtrail/schemas"
)

// someone is a person in a test: every row of theirs has their name in it.
type someone struct {
	name string
	log  *Log
	rows int
}

// spanEnds is when the person asked to be forgotten, and so until when her browser was hers.
const spanEnds = 4_102_444_800_000_000

// does puts records of theirs on each topic.
func (s *someone) does(n int, at int64) {
	id := fmt.Sprint(s.name, n)
	put := func(topic schemas.Topic, m Message) {
		s.log.Append(topic, n%len(s.log.topics[string(topic)]), m)
		s.rows++
	}
	one := func(topic schemas.Topic, m Message) { s.log.Append(topic, 0, m); s.rows++ }
	put(schemas.Beacons, &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{
		Beacon: &schemas.Beacon{
			EventId: id, Site: "acme", VisitorId: s.name, OccurredAtUs: at, ReceivedAtUs: at,
			Url: "https://acme.example/" + s.name,
		},
	}})
	put(schemas.Visits, s.visit(id, at))
	put(schemas.Visits, s.version(id, at, "r1"))
	one(schemas.Submissions, &schemas.Submission{
		SubmissionId: id, Site: "acme", VisitorId: s.name, Email: s.name, ReceivedAtUs: at,
	})
	one(schemas.Records, &schemas.Record{RecordId: s.name, Email: s.name, FirstAtUs: at})
	one(schemas.Edges, &schemas.Edge{Left: s.name, Right: "x", DecidedAtUs: at})
	one(schemas.Contacts, &schemas.Contact{
		ContactId: s.name, Version: int64(n), Email: s.name, UpdatedAtUs: at,
	})
	one(schemas.Aliases, &schemas.Alias{ContactId: s.name, CurrentContactId: s.name, SinceUs: at})
	one(schemas.Identities, &schemas.Identity{
		Site: "acme", VisitorId: s.name, ContactId: s.name, RecordId: s.name, LinkedAtUs: at,
		SubmissionId: id,
	})
	one(schemas.Decisions, &schemas.Decision{
		SubmissionId: id, Site: "acme", VisitorId: s.name, ContactId: s.name, RecordId: s.name,
		DecidedAtUs: at,
	})
	put(schemas.BadBeacons, &schemas.BadBeacon{
		BadBeaconId: id, Raw: []byte(s.name), ReceivedAtUs: at,
	})
	put(schemas.Scores, s.score("contact", at)) // a row of scores, and one of its explanation
	put(schemas.Scores, s.score("visitor", at))
	s.rows += 2
	one(schemas.Handoffs, &schemas.HandoffRecord{Entry: &schemas.HandoffRecord_Handoff{
		Handoff: &schemas.Handoff{
			HandoffId: fmt.Sprint("h", id), SubjectType: "contact", SubjectId: s.name, RunAtUs: at,
		},
	}})
}

func (s *someone) visit(id string, at int64) *schemas.Visit {
	return &schemas.Visit{
		VisitId: id, Site: "acme", VisitorId: s.name, StartedAtUs: at, EndedAtUs: at,
		EntryUrl: "https://acme.example/" + s.name,
	}
}

// version is what a rebuild says of a visit.
func (s *someone) version(id string, at int64, rebuild string) *schemas.Visit {
	v := s.visit(id, at)
	v.RebuildId = rebuild
	return v
}

func (s *someone) score(subject string, runUs int64) *schemas.Score {
	return &schemas.Score{
		Model: "m", SubjectType: subject, SubjectId: s.name, AsOfUs: runUs, RunAtUs: runUs,
		Contributions: []*schemas.Contribution{{Rule: "r", EventId: s.name}},
	}
}

// forget is the erasure of someone who did n things.
func (s *someone) forget(n int) *schemas.Erasure {
	e := &schemas.Erasure{
		RequestId: "forgotten", ErasedAtUs: spanEnds, Records: []string{s.name}, Contacts: 1,
		Visitors: []*schemas.VisitorSpan{{Site: "acme", VisitorId: s.name, ToUs: spanEnds}},
		Found:    &schemas.Found{},
	}
	for i := range n {
		id := fmt.Sprint(s.name, i)
		e.Found.BadBeacons = append(e.Found.BadBeacons, id)
		e.Found.Submissions = append(e.Found.Submissions, &schemas.SubmissionName{
			Site: "acme", VisitorId: s.name, SubmissionId: id,
		})
	}
	return e
}

// erasingLake opens a lake in which people can be erased.
func erasingLake(t *testing.T, dir string, log *Log, d disk) (*Lake, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := duck.Child{Exe: exe}
	query := func(ctx context.Context, sql string, row func([]any) error) error {
		q := duck.Query{Database: filepath.Join(dir, "lake.duckdb"), SQL: sql}
		return child.Rows(ctx, q, func(_ []duck.Column, values []any) error { return row(values) })
	}
	return open(t.Context(), Config{
		Dir: dir, Flush: time.Hour, Rewriter: duckRewriter{child}, Ask: query,
	}, log, duck.Catalog{}, quiet(), prometheus.NewRegistry(), d)
}

// runs runs a lake until the end of the test, or until stop.
func runs(t *testing.T, l *Lake) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// erasedTo says whether the files of all partitions are clear of the erasures before an offset.
func erasedTo(t *testing.T, dir string, to int64) bool {
	t.Helper()
	all, err := linkPublisher{layout{dir}, osDisk{}}.all()
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(all, func(m *manifest) bool { return m.ErasedTo < to })
}

// awaitErased returns once erasedTo.
func awaitErased(t *testing.T, l *Lake, dir string, to int64) {
	t.Helper()
	for {
		changed := l.moved.wait()
		if erasedTo(t, dir, to) {
			return
		}
		select {
		case <-changed:
		case <-l.ended:
			t.Fatal("the lake has ended")
		}
	}
}

// rowsNaming counts the rows of all files in a directory, whether they count or not, that have a
// name in them, by table.
func rowsNaming(t *testing.T, dir, name string) map[string]int {
	t.Helper()
	rows := map[string]int{}
	for _, path := range dataFiles(t, dir) {
		table := filepath.Base(filepath.Dir(filepath.Dir(path)))
		for _, row := range rowsOf(t, path) {
			if strings.Contains(row, name) {
				rows[table]++
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(name)) && rows[table] == 0 {
			t.Errorf("%s has %q in its bytes, and in no row", path, name)
		}
	}
	return rows
}

func total(rows map[string]int) (n int) {
	for _, one := range rows {
		n += one
	}
	return n
}

// Files of all kinds hold what two people did: compacted, merged, and as they were written. Of the
// one who is erased nothing is left in any file, nor comes back with what was on its way: late
// beacons, versions of a rebuild that had read before, scores of such a run. Of the other all
// stays.
func TestErasedRowsAreInNoFile(t *testing.T) {
	log, dir := NewLog(2), t.TempDir()
	grace, bob := &someone{name: "grace", log: log}, &someone{name: "bobby", log: log}
	l, err := erasingLake(t, dir, log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	runs(t, l)
	const longAgo = 1_767_225_600_000_000
	done := 0
	act := func(drains int, day int64) {
		for range drains {
			grace.does(done, day+int64(done))
			bob.does(done, day+int64(done))
			done++
			if err := l.Drain(t.Context(), log.AllEnds()); err != nil {
				t.Fatal(err)
			}
		}
	}
	act(4, longAgo)
	if err := l.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	act(2*mergeFiles+2, time.Now().UnixMicro()) // a day that is not over is not compacted
	kinds := map[string]int{}
	for _, f := range filesOf(t, dir, "beacons") {
		kinds[fmt.Sprint(f.Compacted, f.Level > 0)]++
	}
	if len(kinds) != 3 {
		t.Fatalf("files of beacons, by compacted and merged: %v", kinds)
	}
	before := rowsNaming(t, dir, "bobby")
	mention := func(rebuild string) *schemas.Visit {
		return &schemas.Visit{
			VisitId: "m", StartedAtUs: longAgo, EntryUrl: "https://x.example/grace", RebuildId: rebuild,
		}
	}
	log.Append(schemas.Visits, 0, mention(""))
	grace.rows++
	if err := l.Drain(t.Context(), log.AllEnds()); err != nil {
		t.Fatal(err)
	}

	forget := grace.forget(done)
	forget.Found.Visits = []string{mention("").VisitId}
	log.Append(schemas.Erasures, 0, forget)
	awaitErased(t, l, dir, 1)
	if left := rowsNaming(t, dir, "grace"); len(left) > 0 {
		t.Errorf("rows are left: %v", left)
	}
	all, err := linkPublisher{layout{dir}, osDisk{}}.all()
	if err != nil {
		t.Fatal(err)
	}
	erased := int64(0)
	for _, m := range all {
		erased += m.erased()
	}
	if erased != int64(grace.rows) {
		t.Errorf("%d rows were erased of %d", erased, grace.rows)
	}
	for table, rows := range rowsNaming(t, dir, "bobby") {
		if rows > before[table] || rows == 0 {
			t.Errorf("%s: %d rows of the other, %d before", table, rows, before[table])
		}
	}
	if got := total(rowsNaming(t, dir, "bobby")); got != bob.rows {
		t.Errorf("%d rows of the other, want %d", got, bob.rows)
	}

	// What was on its way.
	const late = spanEnds - 1
	for _, m := range []Message{
		grace.visit("late", late), grace.version("grace1", late, "r2"), mention("r2"),
	} {
		log.Append(schemas.Visits, 0, m)
	}
	log.Append(schemas.Scores, 0, grace.score("contact", late))
	log.Append(schemas.Scores, 0, grace.score("visitor", late))
	log.Append(schemas.Beacons, 0, &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{
		Beacon: &schemas.Beacon{
			EventId: "late", Site: "acme", VisitorId: "grace", OccurredAtUs: late, ReceivedAtUs: late,
		},
	}})
	if err := l.Drain(t.Context(), log.AllEnds()); err != nil {
		t.Fatal(err)
	}
	if left := rowsNaming(t, dir, "grace"); len(left) > 0 {
		t.Errorf("rows came back: %v", left)
	}
	// Who uses the browser later is somebody else.
	log.Append(schemas.Visits, 0, grace.visit("new", spanEnds))
	if err := l.Drain(t.Context(), log.AllEnds()); err != nil {
		t.Fatal(err)
	}
	if rows := rowsNaming(t, dir, "grace"); rows["visits"] != 1 {
		t.Errorf("rows of who came later: %v", rows)
	}
}

// mortalDisk fails for good after so many operations.
type mortalDisk struct {
	fastDisk
	left atomic.Int64
	dead chan struct{}
}

func newMortalDisk(operations int64) *mortalDisk {
	d := &mortalDisk{dead: make(chan struct{})}
	d.left.Store(operations)
	return d
}

func (d *mortalDisk) step() error {
	left := d.left.Add(-1)
	if left == 0 {
		close(d.dead)
	}
	if left <= 0 {
		return errCrash
	}
	return nil
}

func (d *mortalDisk) mkdir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.fastDisk.mkdir(path)
}

func (d *mortalDisk) create(path string) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.fastDisk.create(path)
}

func (d *mortalDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.fastDisk.rename(from, to)
}

func (d *mortalDisk) link(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.fastDisk.link(from, to)
}

func (d *mortalDisk) remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.fastDisk.remove(path)
}

// Wherever in an erasure the process dies, the next one ends it: nothing of the person is in any
// file, and all of the other.
func TestCrashInAnErasure(t *testing.T) {
	log, base := NewLog(1), t.TempDir()
	grace, bob := &someone{name: "grace", log: log}, &someone{name: "bobby", log: log}
	const longAgo = 1_767_225_600_000_000
	for n := range 2 {
		grace.does(n, longAgo)
		bob.does(n, longAgo)
	}
	l, err := erasingLake(t, base, log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	stop := runs(t, l)
	if err := l.Drain(t.Context(), log.AllEnds()); err != nil {
		t.Fatal(err)
	}
	stop()
	log.Append(schemas.Erasures, 0, grace.forget(2))

	// erase erases on a copy until it is done or the disk is gone.
	erase := func(dir string, d *mortalDisk) {
		l, err := erasingLake(t, dir, log, d)
		if err != nil {
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			return
		}
		defer runs(t, l)()
		for {
			changed := l.moved.wait()
			if erasedTo(t, dir, 1) {
				return
			}
			select {
			case <-changed:
			case <-d.dead:
				return
			}
		}
	}
	tried := func(d *mortalDisk) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		erase(dir, d)
		erase(dir, newMortalDisk(math.MaxInt64))
		if left := rowsNaming(t, dir, "grace"); len(left) > 0 {
			t.Fatalf("rows are left: %v", left)
		}
		if got := total(rowsNaming(t, dir, "bobby")); got != bob.rows {
			t.Fatalf("%d rows of the other, want %d", got, bob.rows)
		}
	}
	whole := newMortalDisk(math.MaxInt64)
	tried(whole)
	operations := math.MaxInt64 - whole.left.Load()
	for range 3 {
		at := 1 + rand.Int64N(operations)
		t.Logf("dies at operation %d of about %d", at, operations)
		tried(newMortalDisk(at))
	}
}
