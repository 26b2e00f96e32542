package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crumbtrail/ingest/spill"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// callSpill runs the command and returns its exit code and what it printed.
func callSpill(args ...string) (code int, out string) {
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), append([]string{"spill"}, args...), nil, &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

func TestSpillCommand(t *testing.T) {
	data := t.TempDir()
	if code, out := callSpill("verify", "--data", data); code != exitDone ||
		!strings.Contains(out, "no spill") {
		t.Errorf("%d %s", code, out)
	}
	fs, err := spill.Make(filepath.Join(data, spillDir))
	if err != nil {
		t.Fatal(err)
	}
	log, err := spill.Open(fs, spill.Config{Capacity: spill.LeastCapacity},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	beacon := &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{
		Beacon: &schemas.Beacon{EventId: "e1", Site: "acme"},
	}}
	value, err := beacon.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	frame := spill.Frame{LowUs: 1, Messages: []kafka.Message{
		{Topic: "beacons", Key: []byte("acme\x00v"), Value: value, Timestamp: 1767225600000},
		{Topic: "submissions", Key: []byte("acme"), Value: []byte{0xff}},
	}}
	if _, _, err := log.Append([]spill.Frame{frame, frame}); err != nil {
		t.Fatal(err)
	}
	code, out := callSpill("verify", "--data", data)
	if code != exitDone || !strings.Contains(out, "2 frames of 4 records, of which 4 wait") {
		t.Errorf("%d %s", code, out)
	}
	code, out = callSpill("show", "--data", data)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitDone || len(lines) != 4 {
		t.Fatalf("%d %s", code, out)
	}
	var first struct {
		Sequence         int
		Topic, Key, Time string
		Value            struct{ Beacon struct{ EventID string } }
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Sequence != 1 || first.Topic != "beacons" || first.Key != "acme\x00v" ||
		first.Time != "2026-01-01T00:00:00.000Z" || first.Value.Beacon.EventID != "e1" {
		t.Errorf("%+v", first)
	}
	if !strings.Contains(lines[1], `"raw":"/w=="`) {
		t.Errorf("what cannot be read: %s", lines[1])
	}

	segment := filepath.Join(data, spillDir, "0000000000000001.spill")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[80] ^= 1
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out = callSpill("verify", "--data", data)
	if code != exitFailed || !strings.Contains(out, "damaged") ||
		!strings.Contains(out, "1 frame of") {
		t.Errorf("%d %s", code, out)
	}
	for _, args := range [][]string{{}, {"repair"}, {"verify", "show"}} {
		if code, _ := callSpill(append(args, "--data", data)...); code != exitUsage {
			t.Errorf("spill %v: exit code %d", args, code)
		}
	}
}
