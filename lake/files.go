package lake

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"crumbtrail/internal/fault"
)

// disk is what the lake asks of a file system, so that a test can fail or crash at every step.
type disk interface {
	mkdir(path string) error
	create(path string) (file, error)
	rename(from, to string) error
	// link fails with fs.ErrExist where to exists.
	link(from, to string) error
	remove(path string) error
	// sync makes the entries of a directory durable, or the bytes of a file.
	sync(path string) error
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

// osDisk is the file system.
type osDisk struct{}

func (osDisk) mkdir(path string) error          { return os.MkdirAll(path, 0o755) }
func (osDisk) create(path string) (file, error) { return os.Create(path) }
func (osDisk) rename(from, to string) error     { return os.Rename(from, to) }
func (osDisk) link(from, to string) error       { return os.Link(from, to) }
func (osDisk) remove(path string) error         { return os.Remove(path) }
func (osDisk) sync(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// tmpSuffix ends the name of whatever is not whole yet. No reader looks at such a file: DuckDB
// would take any name that ends in .parquet.
const tmpSuffix = ".tmp"

// uniqueTmp is a name for what will be path, which no other writer has: one that were shared could
// be cut off while it is being linked or renamed.
func uniqueTmp(path string) string {
	return fmt.Sprintf("%s.%016x%s", path, rand.Uint64(), tmpSuffix)
}

// writeFile makes a file that is whole and durable before it has its name, and whose name is
// durable when writeFile returns.
func writeFile(d disk, path string, write func(io.Writer) error) error {
	tmp := uniqueTmp(path)
	if err := writeTmp(d, tmp, write); err != nil {
		return err
	}
	if err := d.rename(tmp, path); err != nil {
		return err
	}
	return d.sync(filepath.Dir(path))
}

// writeTmp makes a file durable under its temporary name, or leaves none: each try on a full disk
// has a name of its own.
func writeTmp(d disk, tmp string, write func(io.Writer) error) (err error) {
	f, err := d.create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.remove(tmp) // err says what is wrong
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	fault.Point(fault.LakeWritten)
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	fault.Point(fault.LakeSynced)
	return f.Close()
}

// layout says where things are below a data directory.
type layout struct{ data string }

func (l layout) catalog() string    { return filepath.Join(l.data, "lake.duckdb") }
func (l layout) root() string       { return filepath.Join(l.data, "lake") }
func (l layout) manifests() string  { return filepath.Join(l.root(), "_manifests") }
func (l layout) generation() string { return filepath.Join(l.root(), "_catalog.json") }
func (l layout) lock() string       { return filepath.Join(l.root(), "_catalog.lock") }

// schema is an empty file with a table's columns: a view needs a file before there are rows.
func (l layout) schema(table string) string {
	return filepath.Join(l.root(), "_schema", table+".parquet")
}

func (l layout) manifestsOf(source source) string {
	return filepath.Join(l.manifests(), source.String())
}

// source is a partition of a topic.
type source struct {
	topic     string
	partition int32
}

// String is the source as in a path.
func (s source) String() string { return s.topic + "-" + strconv.Itoa(int(s.partition)) }

// parseSource is the inverse of String.
func parseSource(name string) (source, bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return source{}, false
	}
	n, err := strconv.ParseInt(name[at+1:], 10, 32)
	return source{name[:at], int32(n)}, err == nil && n >= 0
}

// dataPath is where a file lies below the lake. Its name says which records it was made from, and
// for which manifest at the earliest: a redo of the same work writes the same file, and what a
// later owner of the partition writes is another one.
func dataPath(table, day string, s source, first, last, number int64) string {
	return filepath.Join(table, "dt="+day, fmt.Sprintf("%s-%d-%d.r%d.parquet", s, first, last, number))
}

// file is where what a manifest names lies.
func (l layout) file(path string) string { return filepath.Join(l.root(), path) }

// paths are where files lie.
func (l layout) paths(files []dataFile) []string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = l.file(f.Path)
	}
	return paths
}

// clearedPath is where the rows of a file lie but for some that are erased, from the manifest with
// a number on. Of a day that is in several files it keeps which part it is.
func clearedPath(path string, number int64) string {
	return rewriting.ReplaceAllString(path, fmt.Sprintf(".r%d${1}e.parquet", number))
}

// rewriting is what clearedPath changes of a name.
var rewriting = regexp.MustCompile(`(?:\.r\d+)?((?:p\d+)?)e?\.parquet$`)

// dataName is what dataPath, compactedFile and clearedPath make of a source, offsets and a
// manifest's number. Files that were written before names had it are of number 0.
var dataName = regexp.MustCompile(`^(.+)-\d+-\d+(?:\.r(\d+)(?:p\d+)?e?)?$`)

// parseName reads a data file's name, or a temporary one's.
func parseName(name string) (s source, number int64, ok bool) {
	var err error
	base, rest, ok := strings.Cut(name, ".parquet")
	if !ok || rest != "" && !strings.HasSuffix(rest, tmpSuffix) {
		return source{}, 0, false
	}
	parts := dataName.FindStringSubmatch(base)
	if parts == nil {
		return source{}, 0, false
	}
	if s, ok = parseSource(parts[1]); ok && parts[2] != "" {
		number, err = strconv.ParseInt(parts[2], 10, 64)
	}
	return s, number, ok && err == nil
}

// sweep removes what a crash left behind: unfinished files, and files that no manifest names, as
// far as they are ours by partition and number of the manifest that they are for. What is of no
// partition is the catalog's. A symbolic link is an error: whoever may query the lake could read
// through it.
func sweep(
	d disk, l layout, own map[source]*manifest, ours func(source, int64) bool,
) (removed int, err error) {
	root, err := filepath.EvalSymlinks(l.root()) // the lake itself may lie elsewhere
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	named := map[string]bool{}
	for _, m := range own {
		for _, f := range m.Files {
			named[f.Path] = true
		}
		for _, f := range m.Retired {
			named[f.Path] = true
		}
	}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process has removed it
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%q is a symbolic link, through which a query could read what it points "+
				"to: remove it", path)
		}
		if e.IsDir() || named[relative] {
			return nil
		}
		if s, number, left := leftover(relative); !left || !ours(s, number) {
			return nil
		}
		removed++
		if err := d.remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("sweep %q: %w", root, err)
	}
	return removed, nil
}

// leftover says whether a file that no manifest names is one that somebody has left unfinished or
// unnamed, and of which partition and for which manifest; of none where it is the catalog's.
func leftover(relative string) (s source, number int64, ok bool) {
	dir, name := filepath.Split(relative)
	room, rest, _ := strings.Cut(filepath.ToSlash(dir), "/")
	unfinished := strings.HasSuffix(name, tmpSuffix)
	switch {
	case room == "_manifests":
		s, ok = parseSource(strings.Trim(rest, "/"))
		digits, _, _ := strings.Cut(name, ".")
		number, err := strconv.ParseInt(digits, 10, 64)
		return s, number, ok && unfinished && err == nil
	case strings.HasPrefix(relative, "_"):
		return source{}, 0, unfinished
	}
	return parseName(name)
}
