package lake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openTest opens a lake without DuckDB.
func openTest(t testing.TB, dir string, from Source, d disk) (*Lake, error) {
	t.Helper()
	return open(t.Context(), Config{Dir: dir, Flush: time.Hour}, from, textCatalog{}, quiet(),
		prometheus.NewRegistry(), d)
}

func TestStaleWriterStops(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	var two []*partition
	for range 2 {
		l, err := openTest(t, dir, log, fastDisk{})
		if err != nil {
			t.Fatal(err)
		}
		two = append(two, l.partitions[0])
	}
	write := func(p *partition, n int) error {
		log.Batch = n
		batch, err := log.Fetch(t.Context(), p.topic, p.partition, p.next, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.apply(batch)
		return p.flush()
	}
	if err := write(two[0], 3); err != nil {
		t.Fatal(err)
	}
	if err := write(two[1], 2); !errors.Is(err, errStale) {
		t.Errorf("a writer of the same number: %v", err)
	}
	// Even where the number it wants has been pruned long since.
	for range 2 * keptManifests {
		if err := write(two[0], 2); err != nil {
			t.Fatal(err)
		}
	}
	if err := two[1].flush(); err != nil { // its rows are gone; it has nothing to publish
		t.Fatal(err)
	}
	two[1].next = two[1].published.NextOffset
	if err := write(two[1], 2); !errors.Is(err, errStale) {
		t.Errorf("a writer of a pruned number: %v", err)
	}
	last, err := two[0].publish.latest(two[0].source)
	if err != nil || last.NextOffset != two[0].next {
		t.Errorf("the newest manifest reaches %d, %v; want %d", last.NextOffset, err, two[0].next)
	}
}

func TestNewerFormatIsRefusedAndNothingTouched(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	finish(t, dir, log)
	path := filepath.Join(layout{dir}.manifestsOf(source{"visits", 0}), fmt.Sprintf("%019d.json", 99))
	if err := os.WriteFile(path, []byte(`{"format":2,"number":99,"later":true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	orphan := filepath.Join(dir, "lake", "visits", "dt=2026-01-01", "visits-0-7-9.parquet")
	if err := os.WriteFile(orphan, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	_, err := openTest(t, dir, log, fastDisk{})
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("opened: %v", err)
	}
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func listing(t *testing.T, dir string) (all []string) {
	walk(t, dir, func(path string) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(path, info.Size(), info.ModTime()))
	})
	return all
}

func TestSweepRemovesOrphansAndLeavesTheRest(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	finish(t, dir, log)
	day := filepath.Join(dir, "lake", "visits", "dt=2026-01-01")
	gone := []string{"visits-0-900-901.parquet", "visits-0-1-2.parquet.0123456789abcdef.tmp"}
	stay := []string{
		"visits-7-1-2.parquet", "visits-7-1-2.parquet.tmp", // another process's partition
		"mine.parquet.tmp", "notes.txt",
	}
	for _, name := range append(gone, stay...) {
		if err := os.WriteFile(filepath.Join(day, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		"_manifests/visits-0/0000000000000000009.json.abc.tmp", "_schema/x.parquet.tmp",
	} {
		if err := os.WriteFile(filepath.Join(dir, "lake", path), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openTest(t, dir, log, fastDisk{}); err != nil {
		t.Fatal(err)
	}
	walk(t, dir, func(path string) {
		if strings.HasSuffix(path, tmpSuffix) && !strings.HasPrefix(path, day) {
			t.Errorf("%s is still there", path)
		}
	})
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(day, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range stay {
		if _, err := os.Stat(filepath.Join(day, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestSymlinkIsRefused(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	finish(t, dir, log)
	link := filepath.Join(dir, "lake", "visits", "all.parquet")
	if err := os.Symlink(os.Args[0], link); err != nil {
		t.Fatal(err)
	}
	if _, err := openTest(t, dir, log, fastDisk{}); err == nil {
		t.Error("opened with a way out of the lake")
	}
}

// fullDisk has no room for all of a data file, so many times.
type fullDisk struct {
	fastDisk
	refusals atomic.Int64
}

func (d *fullDisk) create(path string) (file, error) {
	f, err := d.fastDisk.create(path)
	if err != nil || !strings.Contains(path, "dt=") || d.refusals.Add(-1) < 0 {
		return f, err
	}
	return fullFile{f}, nil
}

// fullFile takes half of what is written.
type fullFile struct{ file }

func (f fullFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p[:len(p)/2])
	if err == nil {
		err = &os.PathError{Op: "write", Path: "file", Err: syscall.ENOSPC}
	}
	return n, err
}

func TestFullDiskIsTriedAgain(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	d := &fullDisk{}
	d.refusals.Store(3)
	l, err := openTest(t, dir, log, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	refused := 0
	for {
		err := l.Drain(t.Context(), log.AllEnds())
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if refused == 0 && !errors.Is(l.Ready(), syscall.ENOSPC) {
			t.Errorf("the disk is full, and it says %v", l.Ready())
		}
		log.Append(schemas.Visits, 0, &schemas.Visit{VisitId: fmt.Sprint("r", refused), StartedAtUs: 1})
		refused++
	}
	if err := l.Ready(); err != nil {
		t.Errorf("the disk has room again: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if refused == 0 {
		t.Error("the disk was never full")
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	nothingLeft(t, dir)
}

// gone is a source whose records retention has removed.
type gone struct{ *Log }

func (gone) Fetch(context.Context, string, int32, int64, time.Duration) (kafka.Fetched, error) {
	return kafka.Fetched{}, kafka.ErrOffsetOutOfRange
}

func TestLostRecordsStopTheLake(t *testing.T) {
	l, err := openTest(t, t.TempDir(), gone{NewLog(1)}, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); !errors.Is(err, kafka.ErrOffsetOutOfRange) {
		t.Errorf("ran on: %v", err)
	}
	if err := l.Drain(t.Context(), map[string][]int64{"visits": {1}}); !errors.Is(err, errEnded) {
		t.Errorf("drain of a lake that has ended: %v", err)
	}
}

func TestCountsAndGeneration(t *testing.T) {
	log, dir := mixedLog(24, 2), t.TempDir()
	finish(t, dir, log)
	l, err := openTest(t, dir, log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	counts, err := l.Counts()
	if err != nil {
		t.Fatal(err)
	}
	want := Counts{
		Rows: map[string]int64{
			"beacons": 21, "visits": 5, "bad_beacons": 9, "scores": 5, "score_explanations": 10,
		},
		Duplicates: 3, Undecodable: 5,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
	// New scores are no new facts, or scoring would never come to rest.
	facts := l.Generation()
	next := func(topic schemas.Topic, m Message) {
		log.Append(topic, 0, m)
		for _, p := range l.partitions {
			if p.topic != string(topic) || p.partition != 0 {
				continue
			}
			batch, err := log.Fetch(t.Context(), p.topic, 0, p.next, 0)
			if err != nil {
				t.Fatal(err)
			}
			p.apply(batch)
			if err := errors.Join(p.flush(), l.refresh(t.Context(), l.partitions)); err != nil {
				t.Fatal(err)
			}
		}
	}
	next(schemas.Scores, &schemas.Score{Model: "m"})
	if l.Generation() != facts {
		t.Error("a score counts as a fact")
	}
	next(schemas.Visits, &schemas.Visit{VisitId: "new"})
	if l.Generation() <= facts {
		t.Error("a visit does not count as a fact")
	}
}

// TestSeen compares the table of ids with what it stands for.
func TestSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, restored seen
		type entry struct{ hour int64 }
		model, clock := map[uint64]entry{}, int64(0)
		now := int64(1_767_225_600_000_000)
		for range rapid.IntRange(1, 400).Draw(t, "beacons") {
			now += rapid.OneOf(rapid.Int64Range(0, hourMicros), rapid.Int64Range(0, 48*hourMicros),
				rapid.Int64Range(0, 300*hourMicros)).Draw(t, "later")
			at := now - rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 60*hourMicros)).
				Draw(t, "earlier")
			id := rapid.Uint64Range(1, 40).Draw(t, "id")
			clock = max(clock, at)
			e, there := model[id]
			want := there && hourOf(clock)-e.hour <= windowHours
			if !want && hourOf(clock)-hourOf(at) <= windowHours {
				model[id] = entry{hourOf(at)}
			}
			if got := s.add(id, at); got != want {
				t.Fatalf("id %d at hour %d, clock at hour %d: known is %t, want %t",
					id, hourOf(at), hourOf(clock), got, want)
			}
		}
		// What is read back from files after a restart knows the same.
		restored.clock = s.clock
		for id, e := range model {
			restored.put(id, e.hour*hourMicros)
		}
		for id := range uint64(41) {
			e, there := model[id]
			want := there && hourOf(clock)-e.hour <= windowHours
			if id > 0 && restored.put(id, 0) != want {
				t.Fatalf("id %d after a restart: want known %t", id, want)
			}
		}
	})
}

// TestAnyRowsCanBeWritten writes rows of every table with any values: Arrow has panicked on some.
func TestAnyRowsCanBeWritten(t *testing.T) {
	e := newEncoder()
	rapid.Check(t, func(t *rapid.T) {
		tables := newTables()
		var r record
		for range rapid.IntRange(1, 1+2*rapid.IntRange(0, 100).Draw(t, "size")).Draw(t, "rows") {
			r.fill(t, tables)
		}
		want := tables.rows
		for _, p := range tables.take() {
			want -= p.rows
			if _, err := e.encode(p); err != nil {
				t.Fatal(err)
			}
		}
		if want != 0 {
			t.Fatalf("%d rows went missing", want)
		}
	})
}

// record makes messages of any content and puts them through the decoders.
type record struct{ offset int64 }

func (r *record) fill(t *rapid.T, to *tables) {
	text := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 8, 30), rapid.Just("\xff\x00"))
	us := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-1, 1), rapid.Int64())
	s, n := func() string { return text.Draw(t, "text") }, func() int64 { return us.Draw(t, "us") }
	beacon := &schemas.Beacon{
		EventId: s(), Site: s(), VisitorId: s(), OccurredAtUs: n(), ReceivedAtUs: n(), SentAtUs: n(),
		Url: s(), Props: []byte(s()), Type: schemas.BeaconType(n()),
		Agent: &schemas.Agent{BotRule: s()},
	}
	m := rapid.SampledFrom([]struct {
		topic schemas.Topic
		Message
	}{
		{schemas.Beacons, &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{Beacon: beacon}}},
		{schemas.Visits, &schemas.Visit{VisitId: s(), StartedAtUs: n(), Beacons: n(), ExitUrl: s()}},
		{schemas.Submissions, &schemas.Submission{OccurredAtUs: n(), Email: s(), Fields: []byte(s())}},
		{schemas.Contacts, &schemas.Contact{ContactId: s(), UpdatedAtUs: n(), CreatedAtUs: n()}},
		{schemas.Identities, &schemas.Identity{Site: s(), ValidFromUs: n(), LinkedAtUs: n()}},
		{schemas.Decisions, &schemas.Decision{SubmissionId: s(), DecidedAtUs: n(), Reason: s()}},
		{schemas.BadBeacons, &schemas.BadBeacon{BadBeaconId: s(), Raw: []byte(s()), ReceivedAtUs: n()}},
		{schemas.Scores, &schemas.Score{
			Model: s(), AsOfUs: n(), ScoreHundredths: n() % 1e9,
			Contributions: []*schemas.Contribution{{EventId: s(), PointsMicros: n() % 1e18}},
		}},
	}).Draw(t, "message")
	value, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	r.offset++
	if err := decoders()[m.topic](to, place{0, r.offset}, kafka.Record{Value: value}); err != nil {
		t.Fatal(err)
	}
}

func TestSplitURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want urlParts
	}{
		{"", urlParts{}},
		{"https://Acme.Example", urlParts{"acme.example", "/", ""}},
		{"https://acme.example:8443/a/b?c=d?e#f?g", urlParts{"acme.example", "/a/b", "c=d?e"}},
		{"https://u:p@acme.example/@x:y", urlParts{"acme.example", "/@x:y", ""}},
		{"http://[::1]:80/a", urlParts{"[::1]", "/a", ""}},
		{"http://[::1]", urlParts{"[::1]", "/", ""}},
		{"/only/a/path?q", urlParts{"", "/only/a/path", "q"}},
		{"https://acme.example?q", urlParts{"acme.example", "/", "q"}},
	} {
		if got := splitURL(c.url); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.url, got, c.want)
		}
	}
}

func TestDays(t *testing.T) {
	for _, c := range []struct {
		us   int64
		want string
	}{
		{0, "1970-01-01"},
		{-1, "1969-12-31"},
		{1_767_225_599_999_999, "2025-12-31"},
		{1_767_225_600_000_000, "2026-01-01"},
		{1<<63 - 1, "9999-12-31"},
		{-1 << 63, "0001-01-01"},
	} {
		if got := dayName(dayOf(c.us)); got != c.want {
			t.Errorf("%d: %s, want %s", c.us, got, c.want)
		}
	}
}

// Hours are told apart by one byte, which comes round after 256 of them.
func TestSeenForgetsWhereHoursLookAlike(t *testing.T) {
	var s seen
	const first = 490_000 * hourMicros
	s.add(1, first)
	for hour := int64(1); hour < 600; hour++ {
		s.add(uint64(1000+hour), first+hour*hourMicros)
		s.advance(first + hour*hourMicros)
		if slot := s.find(1); hour > windowHours && s.hashes[slot] == 1 && !s.expired(s.hours[slot]) {
			t.Fatalf("an id is known again after %d hours", hour)
		}
	}
}

// A decision that regroups contacts is told of once the lake has it, and one that does not is not.
func TestRegroupedIsToldOf(t *testing.T) {
	log := NewLog(1)
	log.Append(schemas.Decisions, 0, &schemas.Decision{SubmissionId: "u1", ContactId: "c1"})
	l, err := openTest(t, t.TempDir(), log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for i, d := range []*schemas.Decision{
		{SubmissionId: "u2", ContactId: "c1"},
		{SubmissionId: "u3", ContactId: "c1", Merged: []string{"c2"}},
		{SubmissionId: "u4", ContactId: "c1", Parted: []string{"c2"}},
	} {
		log.Append(schemas.Decisions, 0, d)
		if err := l.Drain(t.Context(), log.AllEnds()); err != nil {
			t.Fatal(err)
		}
		told := false
		select {
		case <-l.Regrouped():
			told = true
		default:
		}
		if told != (i > 0) {
			t.Errorf("%v: told %t", d, told)
		}
	}
}
