package lake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// member opens a lake as one of a crew. The test says what it holds.
func member(t *testing.T, dir string, log *Log, r Rewriter) *Lake {
	t.Helper()
	l, err := open(t.Context(), Config{
		Dir: dir, Flush: 5 * time.Millisecond, Rewriter: r, Grace: time.Hour,
		Crew: &Crew{Session: 10 * time.Millisecond},
	}, log, textCatalog{}, quiet(), prometheus.NewRegistry(), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// takeOver has a member take one partition of beacons over.
func takeOver(t *testing.T, l *Lake) *partition {
	t.Helper()
	p := ofBeacons(l)
	l.claim([]*partition{p})
	if !p.ours() {
		t.Fatal("the partition was not taken over")
	}
	if err := p.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// read applies what a partition's log has next.
func read(t *testing.T, log *Log, p *partition) {
	t.Helper()
	batch, err := log.Fetch(t.Context(), p.topic, p.partition, p.next, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.apply(batch)
}

// wantPublished wants a publish to be refused, or not.
func wantPublished(t *testing.T, p *partition, stale bool) {
	t.Helper()
	if err := p.flush(); errors.Is(err, errStale) != stale || err != nil && !stale {
		t.Fatalf("flush of %s: %v, want it refused: %t", p.owner, err, stale)
	}
}

// V4: who was away while another took its partition over publishes nothing, however far that one
// has come, and does not take over what it finds there.
func TestStaleWriterPublishesNothing(t *testing.T) {
	for _, further := range []int{0, 1, keptManifests, 3 * keptManifests} {
		t.Run(fmt.Sprint(further), func(t *testing.T) {
			log, dir := oneDay(60), t.TempDir()
			log.Batch = 3
			slow, quick := member(t, dir, log, nil), member(t, dir, log, nil)
			old := takeOver(t, slow)
			read(t, log, old)
			wantPublished(t, old, false)
			read(t, log, old)

			p := takeOver(t, quick)
			for range further {
				read(t, log, p)
				wantPublished(t, p, false)
			}
			want := gotRows(t, dir)
			wantPublished(t, old, true)
			if err := old.load(t.Context()); !errors.Is(err, errStale) {
				t.Errorf("it goes on with another one's manifest: %v", err)
			}
			if diff := cmp.Diff(want, gotRows(t, dir)); diff != "" {
				t.Errorf("the stale one has changed what counts:\n%s", diff)
			}
			wholeFilesOnly(t, dir)
			read(t, log, p)
			wantPublished(t, p, false)

			// Once the group gives it the partition again, the other one is stale.
			read(t, log, p)
			old = takeOver(t, slow)
			wantPublished(t, p, true)
			for end := log.AllEnds()[old.topic][0]; old.next < end; {
				read(t, log, old)
				wantPublished(t, old, false)
			}
			if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
				t.Error(diff)
			}
			takeOver(t, quick) // sweeps
			nothingLeft(t, dir)
		})
	}
}

// A takeover sweeps what the one before has written and not published, which that one cannot
// publish any more.
func TestTakeoverSweepsUnpublishedFiles(t *testing.T) {
	log, dir := oneDay(12), t.TempDir()
	log.Batch = 6
	slow, quick := member(t, dir, log, nil), member(t, dir, log, nil)
	old := takeOver(t, slow)
	read(t, log, old)
	m := *old.published
	m.Number, m.NextOffset = m.Number+1, old.next
	written, err := old.write(&m)
	if err != nil {
		t.Fatal(err)
	}
	p := takeOver(t, quick)
	for _, f := range written {
		if _, err := os.Stat(filepath.Join(slow.layout.root(), f.Path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", f.Path, err)
		}
	}
	if err := old.publish.publish(&m); !errors.Is(err, errStale) {
		t.Fatalf("a manifest that names files that are gone: %v", err)
	}
	for p.next < log.AllEnds()[p.topic][0] {
		read(t, log, p)
		wantPublished(t, p, false)
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// Who was away between taking a partition over and sweeping removes nothing of a later owner.
func TestStaleSweepHarmsNothing(t *testing.T) {
	log, dir := oneDay(12), t.TempDir()
	log.Batch = 3
	slow, quick := member(t, dir, log, nil), member(t, dir, log, nil)
	old := takeOver(t, slow)
	p := takeOver(t, quick)
	for p.next < log.AllEnds()[p.topic][0] {
		read(t, log, p)
		wantPublished(t, p, false)
	}
	slow.sweepTaken(map[source]*manifest{old.source: old.published})
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// What a stale writer has compacted goes without a trace, and nothing of the other one's with it,
// though both compact the same days.
func TestStaleCompactionHarmsNothing(t *testing.T) {
	log, dir := oneDay(24), t.TempDir()
	log.Batch = 6
	slow, quick := member(t, dir, log, RewriterOf(t)), member(t, dir, log, RewriterOf(t))
	old := takeOver(t, slow)
	for old.next < log.AllEnds()[old.topic][0] {
		read(t, log, old)
		wantPublished(t, old, false)
	}
	compact := func(p *partition) rewritten {
		p.forced.Store(true)
		p.compactNext(t.Context())
		if p.compaction == nil {
			t.Fatal("nothing is compacted")
		}
		r := <-p.compaction.done
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r
	}
	late := compact(old)
	p := takeOver(t, quick)
	if err := p.replace(t.Context(), compact(p)); err != nil {
		t.Fatal(err)
	}
	if err := old.replace(t.Context(), late); !errors.Is(err, errStale) {
		t.Fatalf("a stale compaction: %v", err)
	}
	old.leave()
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	takeOver(t, slow) // sweeps
	nothingLeft(t, dir)
}

// V1, V4: whoever holds what, also two at once and also for a moment only, every record is in one
// row in the end, and each catalog shows files that are there.
func TestCrewComesAndGoes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const partitions, members, rounds = 3, 3, 25
	log, dir := mixedLog(30, partitions), t.TempDir()
	log.Batch = 4
	var crew []*Lake
	for range members {
		crew = append(crew, member(t, dir, log, nil))
	}
	holds := make([]func(), members)
	rest := func(i int) {
		if holds[i] != nil {
			holds[i]()
			holds[i] = nil
		}
	}
	work := func(i int, numbers []int32) {
		rest(i)
		ctx, end := context.WithCancel(t.Context())
		var held sync.WaitGroup
		held.Go(func() { crew[i].hold(ctx, kafka.Assignment{Partitions: numbers}) })
		holds[i] = func() { end(); held.Wait() }
	}
	for round := range rounds {
		var numbers []int32
		for p := range int32(partitions) {
			if random.IntN(2) == 0 {
				numbers = append(numbers, p)
			}
		}
		work(random.IntN(members), numbers)
		if random.IntN(3) == 0 {
			rest(random.IntN(members))
		}
		log.Append(schemas.Visits, random.IntN(partitions), &schemas.Visit{
			VisitId: fmt.Sprint("round", round), StartedAtUs: 1_767_225_600_000_000,
		})
		if random.IntN(2) == 0 {
			kafka.Pause(t.Context(), time.Duration(random.Int64N(int64(20*time.Millisecond))))
		}
	}
	for i := range crew {
		rest(i)
	}
	work(0, []int32{0, 1, 2})
	if err := crew[0].Drain(t.Context(), log.AllEnds()); err != nil {
		t.Fatal(err)
	}
	if err := crew[0].Ready(); err != nil {
		t.Error(err)
	}
	rest(0)
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(crew[0].layout.catalog())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range catalogFiles().FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(path[1]); err != nil {
			t.Errorf("the catalog shows what is not there: %v", err)
		}
	}
}

// A partition that nobody can repair from here is told of, and the others of its process go on.
func TestHaltedPartitionLeavesTheOthersAlone(t *testing.T) {
	log, dir := mixedLog(40, 2), t.TempDir()
	if err := copyAll(t, dir, log, fastDisk{}); err != nil {
		t.Fatal(err)
	}
	m, err := readManifest(newestOf(t, dir), source{string(schemas.Beacons), 0})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lake", m.Files[0].Path)
	damage(t, path, tornInHalf)
	l := member(t, dir, log, nil)
	ctx, end := context.WithCancel(t.Context())
	var held sync.WaitGroup
	held.Go(func() { l.hold(ctx, kafka.Assignment{Partitions: []int32{0, 1}}) })
	log.Append(schemas.Visits, 0, &schemas.Visit{VisitId: "new", StartedAtUs: m.ClockUs})
	visits := l.partitions[slices.IndexFunc(l.partitions, func(p *partition) bool {
		return p.source == source{string(schemas.Visits), 0}
	})]
	for {
		moved := l.moved.wait()
		halted := l.Ready()
		done := visits.settled.Load() == log.AllEnds()[visits.topic][0]
		if done && halted != nil && strings.Contains(halted.Error(), path) {
			break
		}
		select {
		case <-moved:
		case <-time.After(10 * time.Millisecond): // health raises no signal
		case <-t.Context().Done():
			t.Fatalf("the other partition is done: %t; this one says %v", done, halted)
		}
	}
	end()
	held.Wait()
}
