package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/schemas"
)

// oneDay is a log of beacons of one day in one partition.
func oneDay(beacons int) *Log {
	l := NewLog(1)
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range beacons {
		us := at.Add(time.Duration(i) * time.Second).UnixMicro()
		b := &schemas.Beacon{
			EventId: fmt.Sprint("e", i), Site: "acme", VisitorId: fmt.Sprint("v", i%7),
			OccurredAtUs: us, ReceivedAtUs: us, Url: fmt.Sprintf("https://acme.example/%d", i),
			Props: fmt.Appendf(nil, `{"i":%d}`, i), EngagedMs: int32(i),
		}
		if i%3 > 0 {
			b.CreatedAtUs, b.Title = us, "a title"
		}
		l.Append(schemas.Beacons, 0, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
		})
	}
	return l
}

// What a hundred flushes write is in a few files, no row is lost or moved, and what was replaced
// stays for whoever still reads it, but not for ever.
func TestMergeKeepsFilesFew(t *testing.T) {
	const flushes, each = 100, 5
	log := oneDay(flushes * each)
	log.Batch = each
	dir := t.TempDir()
	lake, err := openTest(t, dir, log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for _, p := range lake.partitions {
		p.now = func() time.Time { return now }
		for p.topic == string(schemas.Beacons) && p.next < flushes*each {
			batch, err := log.Fetch(t.Context(), p.topic, p.partition, p.next, 0)
			if err != nil {
				t.Fatal(err)
			}
			p.apply(batch)
			if err := errors.Join(p.flush(), lake.refresh(t.Context(), lake.partitions)); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Minute)
		}
	}
	all, err := lake.publisher.all()
	if err != nil {
		t.Fatal(err)
	}
	m := all[0]
	// 100 = 1·64 + 4·8 + 4.
	if n := len(m.Files); n != 1+4+4 {
		t.Errorf("%d files, want 9", n)
	}
	if len(m.Retired) == 0 || len(m.Retired) > 70 {
		t.Errorf("%d files wait to be removed after 100 minutes, want those of the last hour",
			len(m.Retired))
	}
	for _, f := range m.Retired {
		if _, err := os.Stat(filepath.Join(dir, "lake", f.Path)); err != nil {
			t.Errorf("replaced less than an hour ago: %v", err)
		}
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	nothingLeft(t, dir)
	for i, f := range m.Files[1:] {
		if f.First != m.Files[i].Last+1 {
			t.Errorf("file %d begins at %d, the one before it ends at %d", i+1, f.First, m.Files[i].Last)
		}
	}
}

// catalogFiles finds the files that a catalog's statements read.
func catalogFiles() *regexp.Regexp { return regexp.MustCompile(`'(/[^'\n]+\.parquet)'`) }

// However long no catalog could be built, what the one in place shows is there, and what it
// replaced stays for the grace from then on.
func TestReplacedFilesStayWhileACatalogShowsThem(t *testing.T) {
	log := oneDay(8)
	log.Batch = 2
	dir := t.TempDir()
	lake, err := openTest(t, dir, log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	at := slices.IndexFunc(lake.partitions, func(p *partition) bool {
		return p.topic == string(schemas.Beacons)
	})
	p := lake.partitions[at]
	p.now, p.fanIn = func() time.Time { return now }, fewFiles
	flush := func() {
		t.Helper()
		batch, err := log.Fetch(t.Context(), p.topic, p.partition, p.next, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.apply(batch)
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
	}
	show := func() {
		t.Helper()
		if err := lake.refresh(t.Context(), lake.partitions); err != nil {
			t.Fatal(err)
		}
	}
	there := func() (n int) {
		t.Helper()
		text, err := os.ReadFile(lake.layout.catalog())
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range catalogFiles().FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(path[1]); err != nil {
				t.Errorf("the catalog shows what is not there: %v", err)
			}
		}
		return len(p.published.Retired)
	}
	flush()
	show()
	flush() // merges what the catalog shows
	now = now.Add(5 * p.grace)
	flush()
	if there() != 2 {
		t.Errorf("%d replaced files are kept while no catalog can be built, want 2", there())
	}
	show()
	now = now.Add(p.grace - time.Second)
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	if there() != 2 {
		t.Errorf("%d replaced files are kept just before their grace is over, want 2", there())
	}
	now = now.Add(time.Second)
	if err := p.flush(); err != nil { // without anything new
		t.Fatal(err)
	}
	if there() != 0 {
		t.Errorf("%d replaced files are left after their grace, want none", there())
	}
	nothingLeft(t, dir)
}

// A merged file has the values of those that it was made from, NULLs included.
func TestMergeKeepsValues(t *testing.T) {
	log := oneDay(24)
	dir, apart := t.TempDir(), t.TempDir()
	log.Batch = 24
	if err := copyAll(t, apart, log, fastDisk{}); err != nil {
		t.Fatal(err)
	}
	log.Batch = 3
	if err := copyAll(t, dir, log, fastDisk{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values(t, apart), values(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// values are all rows of the beacons' files, as text, in order.
func values(t *testing.T, dir string) (rows []string) {
	t.Helper()
	all, err := linkPublisher{layout{dir}, osDisk{}}.all()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		for _, f := range m.Files {
			rows = append(rows, rowsOf(t, filepath.Join(dir, "lake", f.Path))...)
		}
	}
	return rows
}

// rowsOf are the rows of a file as Arrow reads them, as text; decimals as their last place's units.
func rowsOf(t rapid.TB, path string) (rows []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := pqarrow.ReadTable(context.Background(), f,
		parquet.NewReaderProperties(memory.DefaultAllocator), pqarrow.ArrowReadProperties{},
		memory.DefaultAllocator)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		batch := batches.Record()
		for i := range int(batch.NumRows()) {
			row := ""
			for _, column := range batch.Columns() {
				value := column.ValueStr(i)
				if d, ok := column.(*array.Decimal128); ok { // Arrow writes it as a float
					value = d.Value(i).BigInt().String()
				}
				row += value + "|"
			}
			rows = append(rows, row)
		}
	}
	return rows
}
