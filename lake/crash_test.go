package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	pqfile "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/schemas"
)

var errCrash = errors.New("the process is gone")

// crashDisk is a disk whose process dies at the n-th operation: that one and all after it fail, a
// write gets half way, and what was not made durable by then is lost.
type crashDisk struct {
	left int
	// undo is what a crash takes back, by the directory that has to be synced to keep it.
	undo map[string][]func()
	ops  []string
}

// step counts an operation, and is where the process dies.
func (d *crashDisk) step(op, path string) error {
	if d.left--; d.left == 0 {
		for _, undo := range d.undo {
			for _, u := range slices.Backward(undo) {
				u()
			}
		}
	}
	if d.left <= 0 {
		return errCrash
	}
	d.ops = append(d.ops, op+" "+filepath.Base(path))
	return nil
}

func (d *crashDisk) later(path string, undo func()) {
	if d.undo == nil {
		d.undo = map[string][]func(){}
	}
	dir := filepath.Dir(path)
	d.undo[dir] = append(d.undo[dir], undo)
}

func (d *crashDisk) mkdir(path string) error {
	if err := d.step("mkdir", path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o755)
}

func (d *crashDisk) create(path string) (file, error) {
	if err := d.step("create", path); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &crashFile{d, f, false}, nil
}

func (d *crashDisk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	old, err := os.ReadFile(to)
	d.later(to, func() {
		_ = os.Rename(to, from)
		if err == nil {
			_ = os.WriteFile(to, old, 0o644)
		}
	})
	return os.Rename(from, to)
}

func (d *crashDisk) link(from, to string) error {
	if err := d.step("link", to); err != nil {
		return err
	}
	err := os.Link(from, to)
	if err == nil {
		d.later(to, func() { _ = os.Remove(to) })
	}
	return err
}

func (d *crashDisk) remove(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	return os.Remove(path)
}

func (d *crashDisk) sync(dir string) error {
	if err := d.step("sync", dir); err != nil {
		return err
	}
	delete(d.undo, dir)
	return nil
}

type crashFile struct {
	disk   *crashDisk
	f      *os.File
	synced bool
}

func (c *crashFile) Write(p []byte) (int, error) {
	if err := c.disk.step("write", c.f.Name()); err != nil {
		n, _ := c.f.Write(p[:len(p)/2])
		return n, err
	}
	if !c.synced {
		c.synced = true // once per file is enough
		name := c.f.Name()
		c.disk.later(name+"/", func() { _ = os.Truncate(name, 1) })
	}
	return c.f.Write(p)
}

func (c *crashFile) Sync() error {
	if err := c.disk.step("fsync", c.f.Name()); err != nil {
		return err
	}
	delete(c.disk.undo, c.f.Name())
	return nil
}

func (c *crashFile) Close() error { return c.f.Close() }

// fastDisk is the file system without waiting for it.
type fastDisk struct{ osDisk }

func (fastDisk) sync(string) error { return nil }
func (d fastDisk) create(path string) (file, error) {
	f, err := os.Create(path)
	return fastFile{f}, err
}

type fastFile struct{ *os.File }

func (fastFile) Sync() error { return nil }

// textCatalog keeps the statements themselves.
type textCatalog struct{}

func (textCatalog) Build(_ context.Context, path string, statements []string) error {
	return os.WriteFile(path, []byte(strings.Join(statements, ";\n")), 0o644)
}

// mixedLog is a log with some of everything: several days, duplicates, ticks and records that
// nobody can read.
func mixedLog(beacons, partitions int) *Log {
	l := NewLog(partitions)
	const begin = 1_767_225_600_000_000
	for i := range beacons {
		at, p := int64(begin+i*3*int(hourMicros)/2), i%partitions
		b := &schemas.Beacon{
			EventId: fmt.Sprint("e", i), Site: "acme", VisitorId: "v", OccurredAtUs: at,
			ReceivedAtUs: at, Url: "https://acme.example/\xff", Props: []byte("{}"),
		}
		if i%7 == 6 { // the one before it in this partition, again
			b.EventId = fmt.Sprint("e", i-partitions)
		}
		l.Append(schemas.Beacons, p, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
		})
		switch i % 5 {
		case 0:
			l.Append(schemas.Beacons, p, &schemas.BeaconRecord{
				Entry: &schemas.BeaconRecord_Tick{Tick: &schemas.Tick{ClockUs: at}},
			})
		case 1:
			l.Append(schemas.Visits, p, &schemas.Visit{
				VisitId: fmt.Sprint("s", i), StartedAtUs: at, EndedAtUs: at,
			})
		case 2:
			l.AppendRaw(schemas.Beacons, p, []byte{0xff})
		case 3:
			l.Append(schemas.Scores, p, &schemas.Score{
				Model: "m", SubjectId: fmt.Sprint(i), AsOfUs: at,
				Contributions: []*schemas.Contribution{{Rule: "a"}, {Rule: "b"}},
			})
		case 4:
			l.Append(schemas.BadBeacons, p, &schemas.BadBeacon{BadBeaconId: fmt.Sprint("b", i)})
		}
	}
	return l
}

// wantRows is what the lake has to hold of a log: table, topic's partition and offset of each row.
func wantRows(l *Log) []string {
	var want []string
	add := func(table string, partition, offset int) {
		want = append(want, fmt.Sprintf("%s %d@%d", table, partition, offset))
	}
	for _, topic := range Topics() {
		for p, records := range l.topics[topic] {
			ids := map[string]bool{}
			for o, r := range records {
				switch schemas.Topic(topic) {
				case schemas.Beacons:
					var entry schemas.BeaconRecord
					if entry.UnmarshalVT(r.Value) != nil {
						add("bad_beacons", p, o)
					} else if b := entry.GetBeacon(); b != nil && !ids[b.EventId] {
						ids[b.EventId] = true
						add("beacons", p, o)
					}
				case schemas.Scores:
					add("scores", p, o)
					add("score_explanations", p, o)
					add("score_explanations", p, o)
				case schemas.BadBeacons:
					add("bad_beacons", p, o)
				default:
					add(topic, p, o)
				}
			}
		}
	}
	slices.Sort(want)
	return want
}

// gotRows reads the same from the files that the manifests name.
func gotRows(t *testing.T, dir string) []string {
	t.Helper()
	l := layout{dir}
	all, err := linkPublisher{l, osDisk{}}.all()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all {
		for _, f := range m.Files {
			rows := readRows(t, filepath.Join(l.root(), f.Path), f)
			if int64(len(rows)) != f.Rows {
				t.Errorf("%s has %d rows, its manifest says %d", f.Path, len(rows), f.Rows)
			}
			got = append(got, rows...)
		}
	}
	slices.Sort(got)
	return got
}

func readRows(t *testing.T, path string, f dataFile) []string {
	t.Helper()
	in, err := pqfile.OpenParquetFile(path, false)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	defer in.Close()
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	partition := table.Schema().FieldIndices("topic_partition")[0]
	offset := table.Schema().FieldIndices("topic_offset")[0]
	var got []string
	records := array.NewTableReader(table, 0)
	defer records.Release()
	for records.Next() {
		r := records.Record()
		partitions, offsets := r.Column(partition).(*array.Int32), r.Column(offset).(*array.Int64)
		for i := range int(r.NumRows()) {
			got = append(got, fmt.Sprintf("%s %d@%d", f.Table, partitions.Value(i), offsets.Value(i)))
		}
	}
	return got
}

// finish opens a lake after a crash and lets it copy the rest.
func finish(t *testing.T, dir string, l *Log) {
	t.Helper()
	lake, err := open(t.Context(), Config{Dir: dir, Flush: time.Hour}, l, textCatalog{},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry(), fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- lake.Run(ctx) }()
	if err := lake.Drain(t.Context(), l.AllEnds()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// copyAll drives every partition in turn, as Run does, with a flush after each batch.
func copyAll(t *testing.T, dir string, l *Log, d disk) error {
	t.Helper()
	lake, err := open(t.Context(), Config{Dir: dir}, l, textCatalog{},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry(), d)
	if err != nil {
		return err
	}
	for _, p := range lake.partitions {
		p.fanIn = fewFiles
	}
	if err := copyLog(t, lake, l); err != nil {
		return err
	}
	return lake.refresh(t.Context(), lake.partitions)
}

// copyLog has every partition in turn copy what there is, with a flush after each batch.
func copyLog(t *testing.T, lake *Lake, l *Log) error {
	t.Helper()
	ends := l.AllEnds()
	for _, p := range lake.partitions {
		for p.next < ends[p.topic][p.partition] {
			batch, err := l.Fetch(t.Context(), p.topic, p.partition, p.next, 0)
			if err != nil {
				return err
			}
			p.apply(batch)
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// fewFiles makes every second flush of a test merge.
const fewFiles = 2

// Whatever step the process dies at, every record is in one row afterwards, and in one only.
func TestCrashAtEveryStep(t *testing.T) {
	log := mixedLog(24, 1)
	log.Batch = 12
	want := wantRows(log)
	whole := &crashDisk{left: 1 << 30}
	if err := copyAll(t, t.TempDir(), log, whole); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for n, op := range whole.ops {
		// Steps of a kind come again with each file: the first, second, fourth, ... are tried.
		kind := stepKind(op)
		if kinds[kind]++; bits.OnesCount(uint(kinds[kind])) > 1 {
			continue
		}
		dir := t.TempDir()
		err := copyAll(t, dir, log, &crashDisk{left: n + 1})
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d: %v", n, err)
		}
		wholeFilesOnly(t, dir)
		finish(t, dir, log)
		if diff := cmp.Diff(want, gotRows(t, dir)); diff != "" {
			t.Fatalf("died at step %d, %s:\n%s", n, op, diff)
		}
		nothingLeft(t, dir)
	}
	t.Logf("%d kinds of steps among %d", len(kinds), len(whole.ops))
}

// stepKind is an operation and what kind of file it is on.
func stepKind(op string) string {
	verb, name, _ := strings.Cut(op, " ")
	switch _, _, data := parseName(name); {
	case data:
		return verb + " data"
	case strings.HasPrefix(name, "0"):
		return verb + " manifest"
	}
	return verb
}

// wholeFilesOnly checks that whatever has a reader's name can be read, at any moment.
func wholeFilesOnly(t *testing.T, dir string) {
	t.Helper()
	walk(t, dir, func(path string) {
		if filepath.Ext(path) == ".parquet" {
			in, err := pqfile.OpenParquetFile(path, false)
			if err != nil {
				t.Fatalf("open %s: %v", path, err)
			}
			in.Close()
		}
	})
}

// nothingLeft checks that every data file is named by a manifest, and nothing is unfinished.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	l := layout{dir}
	all, err := linkPublisher{l, osDisk{}}.all()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range all {
		for _, f := range m.Files {
			named[filepath.Join(l.root(), f.Path)] = true
		}
		for _, f := range m.Retired {
			named[filepath.Join(l.root(), f.Path)] = true
		}
	}
	walk(t, dir, func(path string) {
		data := filepath.Ext(path) == ".parquet" && !strings.Contains(path, "_schema")
		if data && !named[path] {
			t.Errorf("%s is in no manifest", path)
		}
		if strings.HasSuffix(path, tmpSuffix) {
			t.Errorf("%s was left behind", path)
		}
	})
}

func walk(t *testing.T, dir string, each func(path string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			each(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
