package spill

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
)

// Report is what Inspect finds in a directory.
type Report struct {
	// Position is the sequence number of the first frame that has not been delivered; 1 where the
	// directory does not say.
	Position uint64
	// PositionErr is why the position cannot be used, or nil.
	PositionErr error
	Segments    []SegmentReport
	// PutAside are files that did not verify at an earlier start or in a drain.
	PutAside []string
}

// Corrupt says that something in the directory does not verify, other than a write that was cut
// off or is under way.
func (r Report) Corrupt() bool {
	return r.PositionErr != nil || len(r.PutAside) > 0 ||
		slices.ContainsFunc(r.Segments, func(s SegmentReport) bool { return s.Err != nil })
}

// Waiting is how many records are not delivered.
func (r Report) Waiting() (records int) {
	for _, s := range r.Segments {
		records += s.Pending
	}
	return records
}

// SegmentReport is what a segment holds.
type SegmentReport struct {
	Name string
	// Frames and Records count what verifies, Pending the records that are not delivered.
	Frames, Records, Pending int
	// First and Last are the sequence numbers of its frames.
	First, Last uint64
	// Bytes is how long it is; Torn is how many at its end are no frame.
	Bytes, Torn int64
	// Err is what is wrong with it, or nil.
	Err error
}

// Record is a frame in a segment.
type Record struct {
	Segment  string
	Sequence uint64
	Frame
}

// Inspect reads a directory without changing it, also beside a process that writes to it. Each
// frame that is not delivered goes to yield, in order, which may be nil.
func Inspect(dir FS, yield func(Record) error) (Report, error) {
	r := Report{Position: 1}
	names, err := dir.ReadDir()
	if err != nil {
		return r, fmt.Errorf("spill: %w", err)
	}
	slices.Sort(names)
	if slices.Contains(names, positionName) {
		r.position(dir)
	}
	for _, name := range names {
		id, corrupt, ok := segmentOf(name)
		switch {
		case corrupt:
			r.PutAside = append(r.PutAside, name)
		case ok:
			if err := r.segment(dir, name, id, yield); err != nil {
				return r, err
			}
		}
	}
	if n := len(r.Segments); n > 0 && r.PositionErr == nil && r.Position > r.Segments[n-1].Last+1 &&
		r.Segments[n-1].Frames > 0 {
		r.PositionErr = fmt.Errorf("it says frame %d, and the last one is %d: at the next start all "+
			"frames are delivered again", r.Position, r.Segments[n-1].Last)
	}
	return r, nil
}

func (r *Report) position(dir FS) {
	b, err := readFile(dir, positionName, 2*positionBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var sequence uint64
	if err == nil {
		sequence, err = decodePosition(b)
	}
	r.Position, r.PositionErr = max(1, sequence), err
}

func (r *Report) segment(dir FS, name string, id uint64, yield func(Record) error) error {
	data, err := readFile(dir, name, math.MaxInt64)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // delivered meanwhile
	}
	s := SegmentReport{Name: name, Bytes: int64(len(data)), Err: err}
	if preamble := checkPreamble(data, segmentMagic); err == nil && errors.Is(preamble, errNewer) {
		s.Err = preamble
	}
	if s.Err != nil {
		r.Segments = append(r.Segments, s)
		return nil
	}
	read := readSegment(id, data)
	s.Frames, s.First, s.Last = read.frames, read.first, read.last
	s.Torn = max(0, s.Bytes-read.end)
	switch {
	case read.empty() && read.holdsNothing():
	case read.damaged:
		s.Err = errDamaged
	}
	read.each(func(f *Frame, sequence uint64, _ int64, _ int) {
		s.Records += len(f.Messages)
		if sequence < r.Position {
			return
		}
		s.Pending += len(f.Messages)
		if yield != nil && err == nil {
			err = yield(Record{name, sequence, *f})
		}
	})
	r.Segments = append(r.Segments, s)
	return err
}
