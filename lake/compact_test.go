package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/duck"
	"crumbtrail/schemas"
)

// duckRewriter is the real one: this test binary is its own child.
type duckRewriter struct{ duck.Child }

func (r duckRewriter) Rewrite(
	ctx context.Context, dir string, files []Rewrite,
) ([]int64, error) {
	made := make([]duck.File, len(files))
	for i, f := range files {
		made[i] = duck.File(f)
	}
	return r.Files(ctx, dir, made)
}

// RewriterOf is a Rewriter of a test whose binary can be the child.
func RewriterOf(t testing.TB) Rewriter {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return duckRewriter{duck.Child{Exe: exe}}
}

// compacting opens a lake that compacts, and copies all of the log without merging.
func compacting(t *testing.T, dir string, log *Log, r Rewriter, d disk) (*Lake, error) {
	t.Helper()
	l, err := open(t.Context(), Config{Dir: dir, Flush: time.Hour, Rewriter: r}, log, textCatalog{},
		quiet(), prometheus.NewRegistry(), d)
	if err != nil {
		return nil, err
	}
	return l, copyLog(t, l, log)
}

// ofBeacons is the first partition of beacons.
func ofBeacons(l *Lake) *partition {
	return l.partitions[slices.IndexFunc(l.partitions, func(p *partition) bool {
		return p.topic == string(schemas.Beacons)
	})]
}

// compactAll compacts what is due, in this goroutine.
func compactAll(ctx context.Context, l *Lake) error {
	for _, p := range l.partitions {
		p.forced.Store(true)
		for p.compactNext(ctx); p.compaction != nil; {
			r := <-p.compaction.done
			if err := errors.Join(r.err, p.replace(ctx, r)); err != nil {
				return err
			}
		}
	}
	return l.refresh(ctx, l.partitions)
}

// filesOf are the files of a table that count.
func filesOf(t *testing.T, dir, table string) (files []dataFile) {
	t.Helper()
	all, err := linkPublisher{layout{dir}, osDisk{}}.all()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		for _, f := range m.Files {
			if f.Table == table {
				files = append(files, f)
			}
		}
	}
	return files
}

// A compacted day is one file with the rows and values of those that it was made from, in the order
// of its visitors.
func TestCompactionKeepsRowsAndValues(t *testing.T) {
	log, dir := oneDay(100), t.TempDir()
	log.Batch = 9
	l, err := compacting(t, dir, log, RewriterOf(t), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Sorted(slices.Values(values(t, dir)))
	if err := compactAll(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	after := values(t, dir)
	if diff := cmp.Diff(before, slices.Sorted(slices.Values(after))); diff != "" {
		t.Error(diff)
	}
	files := filesOf(t, dir, "beacons")
	if len(files) != 1 || !files[0].Compacted || files[0].Rows != 100 || files[0].Last != 99 {
		t.Fatalf("compacted: %+v", files)
	}
	visitor := newTables().named("beacons").schema.FieldIndices("visitor_id")[0]
	if !slices.IsSortedFunc(after, func(a, b string) int {
		return strings.Compare(strings.Split(a, "|")[visitor], strings.Split(b, "|")[visitor])
	}) {
		t.Error("the rows are not in the order of their visitors")
	}
	nothingLeft(t, dir)
}

// Of every table, each record is in one row after a compaction, and a beacon that comes again is
// still known to be one.
func TestCompactedBeaconsAreKnownAgain(t *testing.T) {
	log, dir := mixedLog(60, 2), t.TempDir()
	l, err := compacting(t, dir, log, RewriterOf(t), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	if err := compactAll(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	const at = 1_767_225_600_000_000 + 58*3*int64(hourMicros)/2
	log.Append(schemas.Beacons, 0, &schemas.BeaconRecord{
		Entry: &schemas.BeaconRecord_Beacon{Beacon: &schemas.Beacon{
			EventId: "e58", Site: "acme", VisitorId: "v", OccurredAtUs: at, ReceivedAtUs: at,
		}},
	})
	if l, err = compacting(t, dir, log, RewriterOf(t), fastDisk{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	if got := l.partitions[0].published.Duplicates; l.partitions[0].topic != "beacons" || got == 0 {
		t.Errorf("%s has %d duplicates", l.partitions[0].source, got)
	}
}

// Late rows wait in files of their own until they are many, and then the day is compacted again.
func TestLateRowsAreCompactedOnceTheyAreMany(t *testing.T) {
	log, dir := oneDay(200), t.TempDir()
	log.Batch = 50
	late := oneDay(260)
	late.Batch = 10
	if _, err := compacting(t, dir, log, RewriterOf(t), fastDisk{}); err != nil {
		t.Fatal(err)
	}
	l, err := compacting(t, dir, log, RewriterOf(t), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	if err := compactAll(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	p := ofBeacons(l)
	due := 0
	for p.next < 260 {
		batch, err := late.Fetch(t.Context(), p.topic, p.partition, p.next, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.apply(batch)
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
		hot := p.next - 200
		p.due(p.now(), false) // a look at what has just come
		if sets := p.due(p.now(), false); (len(sets) > 0) != (hot*lateShare >= p.next) {
			t.Errorf("%d late rows of %d: %d days due", hot, p.next, len(sets))
		}
		due += len(p.due(p.now(), false))
	}
	if due == 0 {
		t.Fatal("nothing was due")
	}
	if err := compactAll(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if files := filesOf(t, dir, "beacons"); len(files) != 1 || files[0].Rows != 260 {
		t.Errorf("compacted again: %+v", files)
	}
}

// A day is compacted once it has been over for long enough, and has come to rest.
func TestDaysAreDue(t *testing.T) {
	log, dir := oneDay(20), t.TempDir()
	l, err := compacting(t, dir, log, RewriterOf(t), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	p := ofBeacons(l)
	over := time.Date(2026, 1, 6, 1, 0, 0, 0, time.UTC)
	for range 2 {
		if sets := p.due(over.Add(-time.Second), false); len(sets) > 0 {
			t.Errorf("the day is over for less than an hour: %v", sets)
		}
	}
	if sets := p.due(over, false); len(sets) > 0 {
		t.Errorf("looked at for the first time: %v", sets)
	}
	if sets := p.due(over, false); len(sets) != 1 {
		t.Errorf("at rest: %v", sets)
	}
}

// What was made of files that do not count any more is thrown away.
func TestReplacementOfWhatIsGoneIsDropped(t *testing.T) {
	log, dir := oneDay(24), t.TempDir()
	log.Batch = 5
	l, err := compacting(t, dir, log, RewriterOf(t), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	p := ofBeacons(l)
	sets := p.due(p.now(), true)
	var made [2][]replacement
	for i := range made {
		made[i], err = p.compactor.rewrite(t.Context(), p, sets, p.published.Number+1+int64(i))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range made {
		if err := p.replace(t.Context(), rewritten{replacements: r}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	nothingLeft(t, dir)
}

// failingRewriter breaks the first of its files and fails.
type failingRewriter struct{ Rewriter }

var errNoMemory = errors.New("out of memory")

func (f failingRewriter) Rewrite(
	ctx context.Context, dir string, files []Rewrite,
) ([]int64, error) {
	if _, err := f.Rewriter.Rewrite(ctx, dir, files); err != nil {
		return nil, err
	}
	return nil, errors.Join(os.WriteFile(files[0].Path, []byte("PAR1"), 0o644), errNoMemory)
}

// A compaction that fails leaves everything as it was, nothing behind, and says so.
func TestFailedCompactionLeavesNothing(t *testing.T) {
	log, dir := mixedLog(40, 1), t.TempDir()
	l, err := compacting(t, dir, log, failingRewriter{RewriterOf(t)}, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	before := dataFiles(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := l.Compact(t.Context()); !errors.Is(err, errNoMemory) {
		t.Errorf("compact: %v", err)
	}
	cancel()
	running.Wait()
	if diff := cmp.Diff(before, dataFiles(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func dataFiles(t *testing.T, dir string) (paths []string) {
	walk(t, filepath.Join(dir, "lake"), func(path string) {
		if _, _, ok := parseName(filepath.Base(path)); ok {
			paths = append(paths, path)
		}
	})
	return paths
}

// Whatever step of a compaction the process dies at, every record is in one row afterwards, and in
// one only.
func TestCrashAtEveryStepOfACompaction(t *testing.T) {
	log, base := oneDay(20), t.TempDir()
	for i := range int64(20) { // another table
		at := time.Date(2026, 1, 4+int(i%2), 10, 0, 0, 0, time.UTC).UnixMicro()
		log.Append(schemas.Visits, 0, &schemas.Visit{
			VisitId: fmt.Sprint("s", i), StartedAtUs: at, EndedAtUs: at,
		})
	}
	rewriter := RewriterOf(t)
	if _, err := compacting(t, base, log, rewriter, fastDisk{}); err != nil {
		t.Fatal(err)
	}
	want := wantRows(log)
	try := func(d *crashDisk) (dir string, err error) {
		dir = t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		l, err := compacting(t, dir, log, rewriter, d)
		if err == nil {
			err = compactAll(t.Context(), l)
		}
		return dir, err
	}
	whole := &crashDisk{left: 1 << 30}
	if _, err := try(whole); err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(whole.ops, func(op string) bool { return stepKind(op) == "sync data" })
	for n := first; n < len(whole.ops); n++ {
		dir, err := try(&crashDisk{left: n + 1})
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d: %v", n, err)
		}
		wholeFilesOnly(t, dir)
		finish(t, dir, log)
		if diff := cmp.Diff(want, gotRows(t, dir)); diff != "" {
			t.Fatalf("died at step %d, %s:\n%s", n, whole.ops[n], diff)
		}
		nothingLeft(t, dir)
	}
	t.Logf("%d steps", len(whole.ops)-first)
}
