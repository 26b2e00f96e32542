package spill

import (
	"errors"
	"fmt"
	"io"
	"time"

	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
)

// Batch is frames that are next to be delivered.
type Batch struct {
	// Messages are theirs, in order.
	Messages []kafka.Message
	// End is the mark behind them.
	End Mark
}

// Next returns frames of about most bytes, or an empty batch where nothing is pending. It returns
// the same ones until they are delivered.
func (l *Log) Next(most int64) (b Batch, err error) {
	defer l.publish()
	for at := l.segmentOf(l.read); at < len(l.segments); at++ {
		s := l.segments[at]
		m := l.read
		if m.segment != s.id {
			m.segment, m.offset = s.id, headerBytes
		}
		if s.last < m.next {
			continue
		}
		if b, err = l.frames(s, m, most); err != nil {
			return Batch{}, fmt.Errorf("spill: read segment %s: %w", s.name, err)
		}
		if len(b.Messages) > 0 {
			return b, nil
		}
		// Nothing of what is left of it verifies.
		l.damage(s)
		s.last = m.next - 1
	}
	return Batch{}, nil
}

// segmentOf returns the index of the segment that a mark lies in, or of the first one after it.
func (l *Log) segmentOf(m Mark) int {
	for at, s := range l.segments {
		if s.id >= m.segment {
			return at
		}
	}
	return len(l.segments)
}

// frames reads what verifies after a mark, up to about most bytes, or one frame.
func (l *Log) frames(s *segment, m Mark, most int64) (b Batch, err error) {
	f, err := l.fs.Open(s.name)
	if err != nil {
		return b, err
	}
	defer f.Close()
	for {
		data := make([]byte, min(most, s.end-m.offset))
		if n, err := f.ReadAt(data, m.offset); err != nil && !errors.Is(err, io.EOF) {
			return b, err
		} else if n < len(data) {
			data, s.end = data[:n], m.offset+int64(n) // somebody has cut it off
		}
		w := walker{data: data, marker: s.marker, last: m.next - 1}
		for {
			before := w.at
			frame, sequence, ok := w.next()
			if !ok {
				break
			}
			if len(b.Messages) == 0 {
				l.lowUs = frame.LowUs
			}
			b.Messages = append(b.Messages, frame.Messages...)
			m.next, m.lowUs = sequence+1, frame.LowUs
			m.total.records += int64(len(frame.Messages))
			m.total.bytes += int64(w.at - before)
		}
		if w.skipped {
			l.damage(s)
		}
		if w.at > 0 || m.offset+int64(len(data)) >= s.end {
			m.offset += int64(w.at)
			b.End = m
			return b, nil
		}
		most *= 4 // not one frame is whole in it
	}
}

// damage notes, once, that a segment holds what does not verify.
func (l *Log) damage(s *segment) {
	if s.damaged {
		return
	}
	s.damaged = true
	l.corrupt++
	l.log.Error("a segment of the spill is damaged: what verifies of it is delivered, then it is "+
		"kept under another name; see `crumbtrail spill verify`", "segment", s.name)
}

// Delivered says that the log has everything before a mark of Next or Append. Nothing is lost where
// that cannot be written down: it comes out again after a restart.
func (l *Log) Delivered(m Mark) {
	defer l.publish()
	if m.next <= l.read.next {
		return
	}
	fault.Point(fault.Delivered)
	l.read, l.lowUs = m, m.lowUs
	if err := l.savePosition(); err != nil {
		l.log.Warn("write the spill's position", "err", err)
	}
	l.drop()
}

func (l *Log) savePosition() error {
	const tmp = positionName + tmpSuffix
	f, err := l.fs.Create(tmp)
	if err != nil {
		// One that was left behind stands in the way.
		return errors.Join(err, l.fs.Remove(tmp))
	}
	_, err = f.Write(encodePosition(l.read.next))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, l.fs.Remove(tmp))
	}
	// Without an fsync of the directory: until then the earlier position holds, which is only older.
	return l.fs.Rename(tmp, positionName)
}

// drop gives up the segments that are delivered. The last one goes once there is one after it.
func (l *Log) drop() {
	gone := 0
	for gone < len(l.segments)-1 && l.segments[gone].last < l.read.next {
		gone++
	}
	if n := len(l.segments); gone == n-1 && n > 0 && !l.Pending() &&
		l.segments[n-1].size > headerBytes {
		if err := l.begin(); err != nil {
			l.log.Warn("begin a segment of the spill", "err", err)
		} else {
			gone++
		}
	}
	if gone > 0 {
		fault.Point(fault.Position)
	}
	for _, s := range l.segments[:gone] {
		if err := l.discard(s); err != nil {
			l.log.Warn("give up a segment of the spill", "segment", s.name, "err", err)
		}
	}
	l.segments = append([]*segment(nil), l.segments[gone:]...)
}

// discard removes a segment, or puts a damaged one aside.
func (l *Log) discard(s *segment) error {
	if s.damaged {
		return l.fs.Rename(s.name, corruptName(s.name))
	}
	return l.fs.Remove(s.name)
}

// corruptName is what a file is called from now on that does not verify.
func corruptName(name string) string {
	return name + corruptInfix + time.Now().UTC().Format("20060102T150405.000000000")
}
