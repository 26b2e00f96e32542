package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"crumbtrail/ingest/spill"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// runSpill looks at the spill of a data directory, also while a process uses it.
func runSpill(_ context.Context, c *call) error {
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) != 1 {
		return usagef("want verify, which checks every segment, or show, which prints what waits")
	}
	dir := spill.Directory(filepath.Join(c.data, spillDir))
	switch c.args[0] {
	case "verify":
		return verifySpill(dir, c.stdout)
	case "show":
		return showSpill(dir, c.stdout)
	}
	return usagef("%q: want verify or show", c.args[0])
}

// verifySpill prints what the segments hold. That something does not verify is a failure.
func verifySpill(dir spill.FS, out io.Writer) error {
	report, err := spill.Inspect(dir, nil)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(out, "there is no spill: nothing waits")
		return nil
	}
	if err != nil {
		return err
	}
	frames, records := 0, 0
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "segment\tframes\trecords\twaiting\tsequences\tbytes\tcut off\t state")
	for _, s := range report.Segments {
		state := "fine"
		switch {
		case s.Err != nil:
			state = s.Err.Error()
		case s.Torn > 0:
			state = "its last write is unfinished"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d-%d\t%d\t%d\t %s\n", s.Name, s.Frames, s.Records,
			s.Pending, s.First, s.Last, s.Bytes, s.Torn, state)
		frames, records = frames+s.Frames, records+s.Records
	}
	if len(report.Segments) > 0 {
		_ = table.Flush()
	}
	for _, name := range report.PutAside {
		fmt.Fprintf(out, "%s did not verify and was put aside: look at it, then move it away\n", name)
	}
	if report.PositionErr != nil {
		fmt.Fprintf(out, "the position: %v\n", report.PositionErr)
	}
	fmt.Fprintf(out, "%s of %s, of which %d wait for Kafka\n", plural(frames, "frame"),
		plural(records, "record"), report.Waiting())
	if report.Corrupt() {
		return &reportedError{}
	}
	return nil
}

// spilled is a record that waits, as a line of JSON.
type spilled struct {
	Segment  string `json:"segment"`
	Sequence uint64 `json:"sequence"`
	Topic    string `json:"topic"`
	Key      string `json:"key"`
	Time     string `json:"time"`
	// Value is the record; Raw its bytes, where it cannot be read.
	Value json.RawMessage `json:"value,omitempty"`
	Raw   []byte          `json:"raw,omitempty"`
}

// showSpill prints what waits, in the order in which it goes to the log.
func showSpill(dir spill.FS, out io.Writer) error {
	lines := json.NewEncoder(out)
	_, err := spill.Inspect(dir, func(r spill.Record) error {
		for i := range r.Messages {
			if err := lines.Encode(spilledRecord(r, &r.Messages[i])); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func spilledRecord(r spill.Record, m *kafka.Message) spilled {
	s := spilled{
		Segment: r.Segment, Sequence: r.Sequence, Topic: m.Topic, Key: string(m.Key),
		Time: time.UnixMilli(m.Timestamp).UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	}
	var value proto.Message
	switch schemas.Topic(m.Topic) {
	case schemas.Beacons:
		value = &schemas.BeaconRecord{}
	case schemas.Submissions:
		value = &schemas.Submission{}
	case schemas.BadBeacons:
		value = &schemas.BadBeacon{}
	}
	if value != nil && proto.Unmarshal(m.Value, value) == nil {
		if text, err := protojson.Marshal(value); err == nil {
			s.Value = text
			return s
		}
	}
	s.Raw = m.Value
	return s
}
