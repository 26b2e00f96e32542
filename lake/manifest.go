package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"crumbtrail/internal/fault"
)

// manifestFormat is the version of the format that is written. One more than that is refused.
const manifestFormat = 1

// manifest says, for one partition of a topic, which files count and up to which offset of the
// partition they reach. Publishing one is what commits the files: they and the offset are one.
type manifest struct {
	Format int `json:"format"`
	// Number grows by one with each manifest of the partition.
	Number    int64  `json:"number"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Owner is the process that has published it, by a name that no other run has.
	Owner string `json:"owner,omitempty"`
	// NextOffset is where to go on: all before it is in the files, or has no rows.
	NextOffset int64 `json:"next_offset"`
	// ClockUs is the greatest received_at among the beacons before NextOffset.
	ClockUs int64 `json:"clock_us,omitempty"`
	// Fresh is of the newest records with rows; nil: there were none yet.
	Fresh *fresh `json:"fresh,omitempty"`
	// Duplicates is how many beacons before NextOffset were in the lake already.
	Duplicates int64 `json:"duplicates,omitempty"`
	// Undecodable is how many records before NextOffset went to bad_beacons as they were.
	Undecodable int64 `json:"undecodable,omitempty"`
	// Expired is how many rows were dropped by their age, by table.
	Expired map[string]int64 `json:"expired,omitempty"`
	// Erased is how many rows before NextOffset were taken out again, or never written, by request
	// and table.
	Erased map[string]tableRows `json:"erased,omitempty"`
	// ErasedTo is the offset of the topic erasures before which all is gone from the files, retired
	// ones included.
	ErasedTo int64 `json:"erased_to,omitempty"`
	// Columns is the greatest field id of each table as the writer knew it. Who knows fewer would
	// lose columns with each merge, and does not begin.
	Columns map[string]int `json:"columns,omitempty"`
	Files   []dataFile     `json:"files"`
	// Retired files have gone into others and wait to be removed.
	Retired []retiredFile `json:"retired,omitempty"`
}

// fresh is when records came on their topic, and when their rows were published, microseconds since
// the epoch.
type fresh struct {
	OldestUs    int64 `json:"oldest_us"`
	NewestUs    int64 `json:"newest_us"`
	PublishedUs int64 `json:"published_us"`
}

// dataFile is a Parquet file that counts.
type dataFile struct {
	Table string `json:"table"`
	// Path is relative to the lake.
	Path string `json:"path"`
	// Day is the rows' own UTC day.
	Day string `json:"dt"`
	// Level is how often its rows were merged.
	Level int `json:"level,omitempty"`
	// Compacted is true where its rows are sorted and it is merged no more.
	Compacted bool  `json:"compacted,omitempty"`
	Rows      int64 `json:"rows"`
	Bytes     int64 `json:"bytes"`
	// First and Last are the offsets that it was made from, both included.
	First int64 `json:"first_offset"`
	Last  int64 `json:"last_offset"`
	// ClockUs is the partition's clock when it was written: no row was received later.
	ClockUs int64 `json:"clock_us,omitempty"`
}

// columnsKnown is the greatest field id of each table.
var columnsKnown = sync.OnceValue(func() map[string]int {
	known := map[string]int{}
	for _, t := range newTables().all() {
		for _, c := range t.columns {
			known[t.name] = max(known[t.name], c.id)
		}
	}
	return known
})

// publisher keeps the manifests of partitions. On an object store it would be a PUT on condition
// that the name is free.
type publisher interface {
	// latest returns the newest manifest, or one without files where there is none.
	latest(s source) (*manifest, error)
	// publish makes m the newest manifest of its partition, and durable. It returns errStale where
	// another writer has published that number or a later one.
	publish(m *manifest) error
	// putAside takes a damaged newest manifest away, so that the one before it is the newest.
	putAside(s source, now time.Time) (aside string, err error)
}

// errStale means that another process writes the same partition.
var errStale = errors.New("another process has written this partition of the lake: if they do " +
	"not share its partitions out, stop one of them, or give each its own data directory")

// keptManifests is how many manifests of a partition stay, for people who look into what happened.
const keptManifests = 3

// linkPublisher keeps manifests as files, and makes the next with link(2), which fails where the
// name exists.
type linkPublisher struct {
	layout layout
	disk   disk
}

func (p linkPublisher) latest(s source) (*manifest, error) {
	numbers, err := p.numbers(s)
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		return &manifest{Format: manifestFormat, Topic: s.topic, Partition: s.partition}, nil
	}
	return readManifest(p.path(s, numbers[len(numbers)-1]), s)
}

func readManifest(path string, s source) (*manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return parseManifest(data, path, s)
}

func parseManifest(data []byte, path string, s source) (*manifest, error) {
	m := &manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: manifest %q: %w; whoever writes its partition goes back to the one "+
			"before it at its next start", errDamaged, path, err)
	}
	if m.Format > manifestFormat || m.Format < 1 {
		return nil, fmt.Errorf("manifest %q has format %d, this program knows 1 to %d: a newer "+
			"version of it has written this lake; use that one, nothing was changed",
			path, m.Format, manifestFormat)
	}
	known := columnsKnown()
	for table, id := range m.Columns {
		if known[table] < id {
			return nil, fmt.Errorf("manifest %q has a column %d in table %s, this program knows up to %d: "+
				"a newer version of it has written this lake; use that one, nothing was changed",
				path, id, table, known[table])
		}
	}
	if m.Topic != s.topic || m.Partition != s.partition {
		return nil, fmt.Errorf("manifest %q is of %s-%d: it was moved here from elsewhere",
			path, m.Topic, m.Partition)
	}
	return m, nil
}

func (p linkPublisher) publish(m *manifest) error {
	s := source{m.Topic, m.Partition}
	if err := p.put(s, m); err != nil {
		return fmt.Errorf("publish manifest %d of %s: %w", m.Number, s, err)
	}
	return nil
}

func (p linkPublisher) put(s source, m *manifest) error {
	dir := p.layout.manifestsOf(s)
	if err := p.disk.mkdir(dir); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := p.path(s, m.Number)
	tmp := uniqueTmp(path)
	if err := writeTmp(p.disk, tmp, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	}); err != nil {
		return err
	}
	err = p.disk.link(tmp, path)
	if errors.Is(err, fs.ErrExist) {
		err = errStale
	}
	if err != nil {
		return errors.Join(err, p.disk.remove(tmp))
	}
	fault.Point(fault.LakeLinked)
	if err := p.disk.sync(dir); err != nil {
		return err
	}
	if err := p.disk.remove(tmp); err != nil {
		return err
	}
	return p.prune(s, m.Number)
}

// prune removes old manifests. Where there is a newer one than ours, an old number was free only
// because it had been pruned.
func (p linkPublisher) prune(s source, ours int64) error {
	numbers, err := p.numbers(s)
	if err != nil {
		return err
	}
	if last := numbers[len(numbers)-1]; last != ours {
		return errors.Join(errStale, p.disk.remove(p.path(s, ours)))
	}
	for _, n := range numbers[:max(0, len(numbers)-keptManifests)] {
		if err := p.disk.remove(p.path(s, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (p linkPublisher) path(s source, number int64) string {
	return filepath.Join(p.layout.manifestsOf(s), manifestName(number))
}

func manifestName(number int64) string { return fmt.Sprintf("%019d.json", number) }

// numbers lists the manifests of a partition, in order.
func (p linkPublisher) numbers(s source) ([]int64, error) {
	entries, err := os.ReadDir(p.layout.manifestsOf(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list manifests of %s: %w", s, err)
	}
	var numbers []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			if n, err := strconv.ParseInt(name, 10, 64); err == nil && e.Name() == manifestName(n) {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// newest returns the number of the newest manifest, 0 where there is none.
func (p linkPublisher) newest(s source) (int64, error) {
	numbers, err := p.numbers(s)
	if err != nil || len(numbers) == 0 {
		return 0, err
	}
	return numbers[len(numbers)-1], nil
}

// sources lists the partitions that have manifests.
func (p linkPublisher) sources() (list []source, err error) {
	entries, err := os.ReadDir(p.layout.manifests())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list manifests: %w", err)
	}
	for _, e := range entries {
		if s, ok := parseSource(e.Name()); ok && e.IsDir() {
			list = append(list, s)
		}
	}
	return list, nil
}

// all returns the newest manifest of every partition that has one, by source.
func (p linkPublisher) all() ([]*manifest, error) {
	sources, err := p.sources()
	if err != nil {
		return nil, err
	}
	var all []*manifest
	for _, s := range sources {
		m, err := p.latest(s)
		if err != nil {
			return nil, err
		}
		if m.Number > 0 {
			all = append(all, m)
		}
	}
	return all, nil
}
