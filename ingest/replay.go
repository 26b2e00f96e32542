package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/unpack"
	"crumbtrail/schemas"
)

// The formats of recorded traffic.
const (
	// FormatNDJSON is one beacon's JSON a line.
	FormatNDJSON = "ndjson"
	// FormatCombined is the access log format "combined" of Apache and nginx.
	FormatCombined = "combined"
)

// RecordedConfig says how recorded traffic is read.
type RecordedConfig struct {
	// Format is FormatNDJSON, FormatCombined, or empty: told by the first lines.
	Format string
	// Site is whose traffic it is. In NDJSON it overrides the beacon's own; empty leaves that, and
	// takes an access log for DefaultKey's.
	Site string
	// Consent is the mode of a beacon that has none of its own, by site; nil is identified.
	Consent func(site string) schemas.Consent
	// Collector is the name under which the beacons are taken.
	Collector string
	// Sites say what is kept of their addresses; any other site has the rules of "default".
	Sites []Site
	// Countries tell where an address is; nil knows nothing of it.
	Countries *enrich.Countries
	// Limits with no field set are DefaultLimits.
	Limits Limits
	// Forms are read by their mappings; others by the fields' own names.
	Forms []Form
	// Lines and ClockUs go on from an earlier file of the same replay: the lines that were read,
	// and its clock.
	Lines   int64
	ClockUs int64
}

// Entry is what one line of recorded traffic holds: either Bad, or a Beacon, of which a form also
// has a Submission.
type Entry struct {
	Line       int64
	Beacon     *schemas.Beacon
	Submission *schemas.Submission
	Bad        *schemas.BadBeacon
}

const (
	// chunkBytes and chunkLines bound what is parsed, and handed over, at once.
	chunkBytes = 128 << 10
	chunkLines = 2048
	// chunksAhead bounds the chunks that wait for Next.
	chunksAhead = 8
	// lineBytes is the longest line that is read whole.
	lineBytes = 1 << 20
)

// Recorded reads recorded traffic in the order of its lines; it parses ahead on all cores. It is
// not for concurrent use, except for BytesRead.
type Recorded struct {
	cfg    RecordedConfig
	sites  *sites
	path   string
	file   *os.File
	input  *bufio.Reader
	closer func()
	size   int64
	read   atomic.Int64

	clockUs int64
	lines   int64
	err     error

	// order holds the chunks as they were read, each a promise that a worker fulfils; work is
	// what no worker has taken yet.
	order, work chan *chunk
	free        chan *chunk
	stop        chan struct{}
	running     sync.WaitGroup
}

// chunk is some whole lines, and what they came to.
type chunk struct {
	data  []byte
	lines []line
	// first is the number of the first line.
	first int64
	done  chan []Entry
	// err is why nothing follows this chunk, io.EOF at the end.
	err error
}

// line is where a line ends in its chunk, its line end included; cut says that it was too long
// and is not all there.
type line struct {
	end int
	cut bool
}

// OpenRecorded opens a file of recorded traffic, - being standard input; gzip and zstd are told by
// their first bytes.
func OpenRecorded(path string, cfg RecordedConfig) (*Recorded, error) {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	sites, err := newSites(cfg.Sites, true)
	if err != nil {
		return nil, fmt.Errorf("open recorded traffic: %w", err)
	}
	r := &Recorded{
		cfg: cfg, sites: sites, path: path, file: os.Stdin, closer: func() {},
		clockUs: max(cfg.ClockUs, 0), lines: cfg.Lines,
		order: make(chan *chunk, chunksAhead), work: make(chan *chunk, chunksAhead),
		free: make(chan *chunk, 2*chunksAhead), stop: make(chan struct{}),
	}
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open recorded traffic: %w", err)
		}
		r.file = file
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			r.size = info.Size()
		}
	}
	if err := r.unpack(); err != nil {
		_ = r.file.Close()
		return nil, fmt.Errorf("open recorded traffic %s: %w", path, err)
	}
	if err := r.start(); err != nil {
		r.closer()
		_ = r.file.Close()
		return nil, err
	}
	return r, nil
}

// unpack puts the decompression, if any, before the file.
func (r *Recorded) unpack() error {
	plain, done, err := unpack.Reader(bufio.NewReaderSize(counted{r.file, &r.read}, chunkBytes))
	if err != nil {
		return err
	}
	r.input, r.closer = bufio.NewReaderSize(plain, chunkBytes), done
	return nil
}

// start finds out the format and sets the parsers to work.
func (r *Recorded) start() error {
	r.skipMark()
	if r.cfg.Format == "" {
		r.cfg.Format = r.detect()
	}
	if r.cfg.Format != FormatNDJSON && r.cfg.Format != FormatCombined {
		return fmt.Errorf("format %q of %s: want %s or %s",
			r.cfg.Format, r.path, FormatNDJSON, FormatCombined)
	}
	enricher := enrich.New(r.cfg.Countries)
	r.running.Go(r.split)
	for range runtime.GOMAXPROCS(0) {
		r.running.Go(func() {
			parser := newLineParser(r.cfg, r.sites, filepath.Base(r.path), enricher)
			for c := range r.work {
				c.done <- parser.parse(c)
			}
		})
	}
	return nil
}

// skipMark skips the byte order mark that some editors put first.
func (r *Recorded) skipMark() {
	if mark, _ := r.input.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = r.input.Discard(3)
	}
}

// detectBytes is how much of an input is looked at for its format.
const detectBytes = 4 << 10

// detect tells the format by how most of the first lines begin: a beacon's with a brace. Any one
// line may be damaged.
func (r *Recorded) detect() string {
	head, _ := r.input.Peek(detectBytes) // an error comes again when the input is read
	beacons, others := 0, 0
	for line := range bytes.Lines(head) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line[0] == '{' {
			beacons++
		} else {
			others++
		}
	}
	if beacons > others {
		return FormatNDJSON
	}
	return FormatCombined
}

// Next returns what the next lines hold, at most some thousand, and io.EOF after the last. The
// entries are the caller's.
func (r *Recorded) Next() ([]Entry, error) {
	for r.err == nil {
		c := <-r.order
		entries := <-c.done
		r.lines = c.first + int64(len(c.lines)) - 1
		if c.err != nil && !errors.Is(c.err, io.EOF) {
			c.err = fmt.Errorf("read recorded traffic %s after line %d: %w", r.path, r.lines, c.err)
		}
		r.err = c.err
		r.recycle(c)
		r.stamp(entries)
		if len(entries) > 0 {
			return entries, nil
		}
	}
	return nil, r.err
}

// stamp moves the replay's clock, the running maximum of received_at, over the entries. A bad line
// is taken to have come when the clock stood there, or when it first went.
func (r *Recorded) stamp(entries []Entry) {
	for i := 0; r.clockUs == 0 && i < len(entries); i++ {
		if b := entries[i].Beacon; b != nil {
			r.clockUs = max(b.ReceivedAtUs, 0)
		}
	}
	for _, e := range entries {
		if e.Bad != nil {
			e.Bad.ReceivedAtUs = r.clockUs
			continue
		}
		r.clockUs = max(r.clockUs, e.Beacon.ReceivedAtUs)
		e.Beacon.ClockUs = r.clockUs
	}
}

// ClockUs is the greatest received_at of what Next has returned.
func (r *Recorded) ClockUs() int64 { return r.clockUs }

// Lines is the number of the last line that Next has gone past.
func (r *Recorded) Lines() int64 { return r.lines }

// BytesRead is how far the file was read, compressed as it is.
func (r *Recorded) BytesRead() int64 { return r.read.Load() }

// Size is the size of the file, 0 where it is not known.
func (r *Recorded) Size() int64 { return r.size }

// Format is the format that is read.
func (r *Recorded) Format() string { return r.cfg.Format }

// Close stops reading. It waits for what it started, except for a read of standard input, which
// nothing can interrupt.
func (r *Recorded) Close() error {
	close(r.stop)
	err := r.file.Close()
	if r.path != "-" {
		r.running.Wait()
		r.closer()
	}
	return err
}

// split reads chunks until the end, an error, or Close.
func (r *Recorded) split() {
	defer close(r.work)
	for at, err := r.cfg.Lines+1, error(nil); err == nil; {
		c := r.empty()
		c.first = at
		err = r.fill(c)
		c.err = err
		at += int64(len(c.lines))
		for _, to := range []chan *chunk{r.order, r.work} {
			select {
			case to <- c:
			case <-r.stop:
				return
			}
		}
	}
}

func (r *Recorded) empty() *chunk {
	select {
	case c := <-r.free:
		return c
	default:
		return &chunk{
			data: make([]byte, 0, chunkBytes+chunkBytes/4), done: make(chan []Entry, 1),
		}
	}
}

func (r *Recorded) recycle(c *chunk) {
	if cap(c.data) > 2*chunkBytes {
		return
	}
	c.data, c.lines, c.err = c.data[:0], c.lines[:0], nil
	select {
	case r.free <- c:
	default:
	}
}

// fill reads lines into a chunk; of a line that is too long, the beginning.
func (r *Recorded) fill(c *chunk) error {
	for len(c.data) < chunkBytes && len(c.lines) < chunkLines {
		start, cut := len(c.data), false
		for {
			part, err := r.input.ReadSlice('\n')
			room := lineBytes - (len(c.data) - start)
			if len(part) > room {
				part, cut = part[:room], true
			}
			c.data = append(c.data, part...)
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			// A last line without a line end counts; half a line before a broken end does not.
			if err == nil || errors.Is(err, io.EOF) && len(c.data) > start {
				c.lines = append(c.lines, line{len(c.data), cut})
			}
			if err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// counted counts what is read.
type counted struct {
	from io.Reader
	read *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.read.Add(int64(n))
	return n, err
}
