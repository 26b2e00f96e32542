package lake

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/schemas"
)

// newestOf is the path of the newest manifest of the first partition of beacons.
func newestOf(t *testing.T, dir string) string {
	t.Helper()
	p := linkPublisher{layout{dir}, osDisk{}}
	s := source{string(schemas.Beacons), 0}
	n, err := p.newest(s)
	if err != nil {
		t.Fatal(err)
	}
	return p.path(s, n)
}

// damage changes a file's bytes.
func damage(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(data), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func tornInHalf(b []byte) []byte { return b[:len(b)/2] }
func empty([]byte) []byte        { return nil }
func garbage(b []byte) []byte    { return bytes.Repeat([]byte{0xa5}, len(b)) }

// A manifest that is torn, empty or garbage costs nothing: the lake goes back to the one before it,
// reads its records again, and what is damaged lies aside.
func TestDamagedManifestIsPutAside(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"torn": tornInHalf, "empty": empty, "garbage": garbage,
	} {
		t.Run(name, func(t *testing.T) {
			log, dir := mixedLog(40, 2), t.TempDir()
			log.Batch = 5
			if err := copyAll(t, dir, log, fastDisk{}); err != nil {
				t.Fatal(err)
			}
			files := dataFiles(t, dir)
			newest := newestOf(t, dir)
			damage(t, newest, change)
			finish(t, dir, log)
			if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
				t.Error(diff)
			}
			aside, err := filepath.Glob(newest + ".corrupt-*")
			if err != nil || len(aside) != 1 {
				t.Fatalf("put aside: %v, %v", aside, err)
			}
			for _, path := range files {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("swept, though the manifest that named it may be all there is: %v", err)
				}
			}
			if err := os.Remove(aside[0]); err != nil {
				t.Fatal(err)
			}
			finish(t, dir, log)
			nothingLeft(t, dir)
		})
	}
}

// Without one before it nobody knows which files count: nothing is touched, and the error says what
// to do.
func TestOnlyManifestDamaged(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	log.Batch = 1000
	if err := copyAll(t, dir, log, fastDisk{}); err != nil {
		t.Fatal(err)
	}
	newest := newestOf(t, dir)
	damage(t, newest, tornInHalf)
	before := dataFiles(t, dir)
	_, err := openTest(t, dir, log, fastDisk{})
	if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), newest) ||
		!strings.Contains(err.Error(), "copy of the data directory") {
		t.Errorf("opened: %v", err)
	}
	if diff := cmp.Diff(before, dataFiles(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// A file of rows that is cut off, gone or garbage is told with its path, before a query finds it,
// and the lake goes on without it only if that is asked for.
func TestDamagedFile(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"torn":    func(t *testing.T, path string) { damage(t, path, tornInHalf) },
		"garbage": func(t *testing.T, path string) { damage(t, path, garbage) },
		"middle": func(t *testing.T, path string) {
			damage(t, path, func(b []byte) []byte {
				return slices.Concat(b[:4], garbage(b[4:len(b)-200]), b[len(b)-200:])
			})
		},
		"gone": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, dir := oneDay(30), t.TempDir()
			log.Batch = 10
			lake, err := openTest(t, dir, log, fastDisk{})
			if err != nil {
				t.Fatal(err)
			}
			p := lake.partitions[slices.IndexFunc(lake.partitions, func(p *partition) bool {
				return p.topic == string(schemas.Beacons)
			})]
			for range 3 {
				read(t, log, p)
				wantPublished(t, p, false)
			}
			path := filepath.Join(dir, "lake", p.published.Files[1].Path)
			harm(t, path)
			_, err = openTest(t, dir, log, fastDisk{})
			if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) ||
				!strings.Contains(err.Error(), "--skip-missing") {
				t.Fatalf("opened: %v", err)
			}
			var said bytes.Buffer
			_, err = open(t.Context(), Config{Dir: dir, SkipMissing: true}, log, textCatalog{},
				slog.New(slog.NewTextHandler(&said, nil)), prometheus.NewRegistry(), fastDisk{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said.String(), path) {
				t.Errorf("nobody was told: %s", &said)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("it is still there under its name")
			}
			want := slices.DeleteFunc(wantRows(log), func(row string) bool {
				return len(row) == len("beacons 0@10") && strings.HasPrefix(row, "beacons 0@1")
			})
			if diff := cmp.Diff(want, gotRows(t, dir)); diff != "" {
				t.Error(diff)
			}
			finish(t, dir, log) // from now on all is well
		})
	}
}

// A file that cannot be read back is merged into no other, and what comes new is published.
func TestDamagedFileHoldsNothingUp(t *testing.T) {
	log, dir := oneDay(40), t.TempDir()
	log.Batch = 5
	lake, err := openTest(t, dir, log, fastDisk{})
	if err != nil {
		t.Fatal(err)
	}
	p := lake.partitions[slices.IndexFunc(lake.partitions, func(p *partition) bool {
		return p.topic == string(schemas.Beacons)
	})]
	for i := range 8 {
		read(t, log, p)
		wantPublished(t, p, false)
		if i == 2 {
			damage(t, filepath.Join(dir, "lake", p.published.Files[0].Path), garbage)
		}
	}
	if p.published.NextOffset != 40 || len(p.published.Files) != 8 {
		t.Errorf("published up to %d in %d files, want 40 in 8", p.published.NextOffset,
			len(p.published.Files))
	}
}

// What others have put into the lake's directories counts for nothing, and is left alone.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	log, dir := mixedLog(20, 1), t.TempDir()
	finish(t, dir, log)
	root := filepath.Join(dir, "lake")
	foreign := []string{
		"_manifests/readme.txt", "_manifests/beacons-0/7.json", "_manifests/beacons-0/notes.json",
		"_manifests/beacons-0/.0000000000000000009.json.swp", "_manifests/x-1/what.json",
		"beacons/dt=2026-01-01/copy.parquet", "beacons/dt=2026-01-01/beacons-0-x-1.parquet",
		"beacons/dt=2026-01-01/_SUCCESS", "stray.parquet",
	}
	for _, name := range foreign {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, dir, log)
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "lake.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "copy.parquet") || strings.Contains(string(text), "stray") {
		t.Error("the catalog shows a file of somebody else")
	}
}

// Whoever stands still with the catalog's lock holds up what is shown, not what is published, and a
// stop does not wait for it.
func TestLockedCatalogHoldsNothingUp(t *testing.T) {
	log, dir := oneDay(20), t.TempDir()
	l := member(t, dir, log, nil)
	p := takeOver(t, l)
	locked, unlock := make(chan struct{}), make(chan struct{})
	var holder sync.WaitGroup
	holder.Go(func() {
		err := l.withCatalog(t.Context(), func() error {
			close(locked)
			<-unlock
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-locked
	for p.next < log.AllEnds()[p.topic][0] {
		read(t, log, p)
		wantPublished(t, p, false)
	}
	if diff := cmp.Diff(wantRows(log), gotRows(t, dir)); diff != "" {
		t.Error(diff)
	}
	stopped, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	err := l.refresh(stopped, l.partitions)
	if err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a catalog was built under another one's lock: %v", err)
	}
	if l.Notice() == "" {
		t.Error("nothing is told of it")
	}
	close(unlock)
	holder.Wait()
	if err := l.refresh(t.Context(), l.partitions); err != nil {
		t.Error(err)
	}
}
