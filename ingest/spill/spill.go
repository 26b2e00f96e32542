// Package spill keeps what the log does not take for now: it writes frames to segments in one
// directory, reads them back in order, and guarantees that a frame is durable once Append has
// returned, that no kill, power cut, full disk or failing fsync loses or changes it, and that
// nothing else ever comes out (V1, V5, V7). A frame may come out again after a restart.
//
// No segment that was there at a start, or that a write has failed on, is written to again: what
// lies at its end is not known. A segment goes once all of it is delivered, and before it does a
// newer one is there, so that what the position says is never past the newest segment; a position
// that is past it belongs elsewhere, and everything comes out again.
package spill

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"crumbtrail/internal/fault"
)

// Config says how a spill works.
type Config struct {
	// Capacity is the most bytes that its segments take.
	Capacity int64
	// Observe is told how long each fsync of frames took; nil where nobody wants to know.
	Observe func(time.Duration)
}

const (
	// LeastCapacity is the least that a spill can do with, in bytes.
	LeastCapacity = 1 << 20
	mostReserve   = 64 << 20
	mostSegment   = 16 << 20
	// failurePause is how long nothing is written after a write or fsync has failed.
	failurePause = time.Second
)

// reserve is how much of the disk is left to others, so that a process can still stop in order on a
// disk that the spill has filled.
func (c Config) reserve() int64 { return min(mostReserve, c.Capacity/16) }

// segmentBytes is about how large a segment grows, and so how much is freed at a time.
func (c Config) segmentBytes() int64 { return min(mostSegment, c.Capacity/16) }

var (
	// ErrFull says that the spill has taken as many bytes as it may, or that the disk is full.
	ErrFull = errors.New("full")
	// ErrPaused says that a write has failed just now.
	ErrPaused = errors.New("a write has failed just now")
)

// Log is an open spill. Its methods, but for Stats, are for one goroutine.
type Log struct {
	fs  FS
	cfg Config
	log *slog.Logger

	// segments are in order, the one that is written to last.
	segments    []*segment
	nextSegment uint64
	// next is the sequence number of the next frame.
	next uint64
	// active is the last of segments, open for writing, or nil.
	active File
	buf    []byte
	// appended and read are how far frames have come in and have been delivered.
	appended amount
	read     Mark
	lowUs    int64
	corrupt  int64

	// wanted is how large the frame is that found no room last, 0 once one has.
	wanted   int64
	failed   error
	failedAt time.Time

	mu        sync.Mutex
	published Stats
}

// segment is one file of frames.
type segment struct {
	id     uint64
	name   string
	marker marker
	// last is the sequence number of its last frame, 0 where it has none.
	last uint64
	// end is where the frames end that can be read, size how long the file is.
	end, size int64
	// damaged segments are kept under another name once what verifies of them is delivered.
	damaged bool
}

// amount counts messages and the bytes of their frames.
type amount struct{ records, bytes int64 }

// Mark is a place between two frames.
type Mark struct {
	segment uint64
	offset  int64
	// next is the sequence number of the frame after it.
	next  uint64
	total amount
	lowUs int64
}

// Stats is what a spill holds.
type Stats struct {
	// Records and Bytes are the messages that have not been delivered, and their frames.
	Records, Bytes int64
	// LowUs is no later than when the oldest of them came in, in microseconds since the epoch; 0
	// where there is none.
	LowUs int64
	// Used and Capacity are in bytes, delivered frames included until their segment goes.
	Used, Capacity int64
	// Corrupt counts the segments and positions since the start that did not verify.
	Corrupt int64
	// Err is why nothing can be appended, as far as is known, or nil.
	Err error
}

// Stats may be called at any time.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.published
}

// publish has Stats say how things are now.
func (l *Log) publish() {
	s := Stats{Used: l.used(), Capacity: l.cfg.Capacity, Corrupt: l.corrupt, Err: l.failed}
	if l.Pending() {
		s.Records = max(1, l.appended.records-l.read.total.records)
		s.Bytes = max(frameBytes, l.appended.bytes-l.read.total.bytes)
		s.LowUs = l.lowUs
	}
	if s.Err == nil {
		_, s.Err = l.room()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published = s
}

func (l *Log) used() (bytes int64) {
	for _, s := range l.segments {
		bytes += s.size
	}
	return bytes
}

// Pending says whether there are frames that have not been delivered.
func (l *Log) Pending() bool { return l.Beyond(l.read) }

// Beyond says whether there are frames after a mark.
func (l *Log) Beyond(m Mark) bool {
	for at := len(l.segments) - 1; at >= 0; at-- {
		if last := l.segments[at].last; last > 0 {
			return last >= m.next
		}
	}
	return false
}

// room returns how many bytes may be appended now, or why none.
func (l *Log) room() (int64, error) {
	free, err := l.fs.Free()
	if err != nil {
		return 0, err
	}
	room := min(l.cfg.Capacity-l.used(), free-l.cfg.reserve()) - headerBytes
	switch {
	case room > max(frameBytes, l.wanted):
		return room, nil
	case free-l.cfg.reserve() < l.cfg.Capacity-l.used():
		return 0, fmt.Errorf("%w: %d MB are left on the disk, of which %d are kept free", ErrFull,
			free>>20, l.cfg.reserve()>>20)
	}
	return 0, fmt.Errorf("%w: %d of %d MB wait for the log", ErrFull, l.used()>>20, l.cfg.Capacity>>20)
}

// Append makes frames durable, all of them with one fsync, and returns how many, from the first on,
// and the mark behind them. With fewer than all there is an error. The others may come out after a
// restart nevertheless.
func (l *Log) Append(frames []Frame) (n int, m Mark, err error) {
	defer l.publish()
	if l.failed != nil && time.Since(l.failedAt) < failurePause {
		return 0, m, fmt.Errorf("spill: %w: %w", ErrPaused, l.failed)
	}
	n, err = l.fitting(frames)
	if n == 0 {
		return 0, m, err
	}
	if err := l.ready(); err != nil {
		return 0, m, l.fail(err)
	}
	if m, err := l.write(frames[:n]); err != nil {
		return 0, m, l.fail(err)
	}
	l.failed = nil
	return n, l.end(frames[n-1].LowUs), err
}

// fitting returns how many of the frames there is room for, with an error where it is not for all.
func (l *Log) fitting(frames []Frame) (int, error) {
	l.wanted = 0
	room, err := l.room()
	if err != nil {
		return 0, fmt.Errorf("spill: %w", err)
	}
	for n := range frames {
		size := sizeOf(&frames[n])
		if room -= size; room < 0 {
			l.wanted = size
			return n, fmt.Errorf("spill: %w: a frame of %d bytes finds no room", ErrFull, size)
		}
	}
	return len(frames), nil
}

// ready has a segment to write to.
func (l *Log) ready() error {
	if l.active != nil && l.segments[len(l.segments)-1].size < l.cfg.segmentBytes() {
		return nil
	}
	return l.begin()
}

// begin makes the next segment and has it durable, empty, before anything goes into it.
func (l *Log) begin() error {
	h := header{segment: l.nextSegment, first: l.next}
	_, _ = rand.Read(h.marker[:]) // never fails, as documented
	l.nextSegment++               // whatever is left behind of it by an error
	name := segmentName(h.segment)
	f, err := l.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(appendHeader(nil, h))
	if err == nil {
		err = f.Sync()
	}
	fault.Point(fault.Created)
	if err == nil {
		err = l.fs.SyncDir()
	}
	if err != nil {
		return errors.Join(err, f.Close(), l.fs.Remove(name))
	}
	l.leave()
	l.active = f
	l.segments = append(l.segments, &segment{
		id: h.segment, name: name, marker: h.marker, end: headerBytes, size: headerBytes,
	})
	return nil
}

// leave closes the active segment, which has been synced as far as it counts.
func (l *Log) leave() {
	if l.active != nil {
		_ = l.active.Close() // what it could tell of, the fsync has told
		l.active = nil
	}
}

// write appends frames to the active segment.
func (l *Log) write(frames []Frame) (m Mark, err error) {
	s := l.segments[len(l.segments)-1]
	pending := l.Pending()
	l.buf = l.buf[:0]
	var records int64
	for i := range frames {
		l.buf = appendFrame(l.buf, s.marker, l.next, &frames[i])
		l.next++
		records += int64(len(frames[i].Messages))
	}
	if n, err := l.active.Write(l.buf); err != nil {
		s.size += int64(n)
		// Gives a full disk back what it holds of them. If not, they may come out after a restart.
		if l.fs.Truncate(s.name, s.end) == nil {
			s.size = s.end
		}
		return m, err
	}
	s.size += int64(len(l.buf))
	fault.Point(fault.Written)
	began := time.Now()
	err = l.active.Sync()
	if l.cfg.Observe != nil {
		l.cfg.Observe(time.Since(began))
	}
	if err != nil {
		return m, err
	}
	fault.Point(fault.Synced)
	s.end, s.last = s.size, l.next-1
	l.appended.records += records
	l.appended.bytes += int64(len(l.buf))
	if !pending {
		l.lowUs = frames[0].LowUs
	}
	if cap(l.buf) > mostSegment {
		l.buf = nil
	}
	return m, nil
}

// end is the mark behind all frames.
func (l *Log) end(lowUs int64) Mark {
	s := l.segments[len(l.segments)-1]
	return Mark{segment: s.id, offset: s.end, next: l.next, total: l.appended, lowUs: lowUs}
}

// fail gives the active segment up: after a failed write or fsync the system's idea of the file
// and the disk's may differ, and a second fsync would say that all is well.
func (l *Log) fail(err error) error {
	if n := len(l.segments) - 1; l.active != nil && l.segments[n].end == headerBytes &&
		l.fs.Remove(l.segments[n].name) == nil {
		l.segments = l.segments[:n] // or each second would leave an empty one
	}
	l.leave()
	if l.failed == nil {
		l.log.Error("the spill takes nothing; it is tried again each second", "err", err)
	}
	l.failed, l.failedAt = err, time.Now()
	return fmt.Errorf("spill: %w", err)
}

// Check finds out, where the last append failed, whether one would work now, and has Stats say how
// much room there is.
func (l *Log) Check() {
	defer l.publish()
	if l.failed == nil || time.Since(l.failedAt) < failurePause {
		return
	}
	_, err := l.room()
	if err == nil {
		err = l.begin()
	}
	if err != nil {
		_ = l.fail(err) // Stats tell it
		return
	}
	l.failed = nil
	l.log.Info("the spill takes records again")
}

// Close gives up the files. What has not been delivered comes out after the next Open.
func (l *Log) Close() { l.leave() }
