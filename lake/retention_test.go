package lake

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"
)

// Once a day is old enough its beacons, visits and bad beacons are dropped and counted, its files
// removed when their grace is over; all else stays.
func TestOldDaysAreDropped(t *testing.T) {
	log, dir := mixedLog(60, 1), t.TempDir() // 16 in a day
	log.Append(schemas.Contacts, 0, &schemas.Contact{ContactId: "c", UpdatedAtUs: 1})
	l, err := compacting(t, dir, log, nil, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	want := gotRows(t, dir)
	now := time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
	var gone []string
	rows := map[string]int64{}
	for _, p := range l.partitions {
		p.now, p.keep = func() time.Time { return now }, 9*24*time.Hour
		for _, f := range p.published.Files {
			if expires(f.Table) && f.Day <= "2026-01-02" {
				path := filepath.Join(l.layout.root(), f.Path)
				gone = append(gone, path)
				rows[f.Table] += f.Rows
				for _, row := range readRows(t, path, f) {
					want = slices.DeleteFunc(want, func(r string) bool { return r == row })
				}
			}
		}
	}
	if len(gone) == 0 || rows["beacons"] < 10 || rows["visits"] == 0 {
		t.Fatalf("of the first two days: %v, %v", gone, rows)
	}
	flush := func() (expired map[string]int64, manifests int64) {
		expired = map[string]int64{}
		for _, p := range l.partitions {
			if err := p.flush(); err != nil {
				t.Fatal(err)
			}
			for table, n := range p.published.Expired {
				expired[table] += n
			}
			manifests += p.published.Number
		}
		return expired, manifests
	}
	expired, first := flush()
	if got := gotRows(t, dir); !slices.Equal(got, want) {
		t.Errorf("left are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for table, n := range rows {
		if expired[table] != n {
			t.Errorf("%s: %d rows counted, %d dropped", table, expired[table], n)
		}
	}
	for _, path := range gone {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("within its grace: %v", err)
		}
	}
	if _, again := flush(); again != first {
		t.Error("a manifest that says nothing new")
	}
	// The catalog is without them from now on.
	if err := l.refresh(t.Context(), l.partitions); err != nil {
		t.Fatal(err)
	}
	now = now.Add(l.cfg.Grace)
	flush()
	for _, path := range gone {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	nothingLeft(t, dir)
}
