package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/sys/unix"

	"crumbtrail/internal/datadir"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// TestCheck checks a directory that each script fills. Commands: file NAME writes its input,
// check prints what is reported. Arguments of check: free=MB, taken=ADDRESS, brokers=ADDRESS,
// partitions=N (on those brokers), listen=ADDRESS, data=DIR, lock.
func TestCheck(t *testing.T) {
	datadriven.Walk(t, "testdata/check", func(t *testing.T, path string) {
		dir := t.TempDir()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "file" {
				file := filepath.Join(dir, d.CmdArgs[0].Key)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(d.Input), 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			}
			var out strings.Builder
			clean := check(t.Context(), scriptedCheck(t, dir, d), &out)
			fmt.Fprintf(&out, "clean=%v\n", clean)
			text := strings.ReplaceAll(out.String(), dir, "DIR")
			return strings.ReplaceAll(text, strconv.Itoa(os.Getpid()), "PID")
		})
	})
}

func scriptedCheck(t *testing.T, dir string, d *datadriven.TestData) checkOptions {
	o := checkOptions{
		config: filepath.Join(dir, "crumbtrail.yaml"), data: filepath.Join(dir, "data"),
		listen: "127.0.0.1:8080", adminListen: "127.0.0.1:8081",
	}
	free, partitions, taken := uint64(2000), 0, ""
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "free":
			arg.Scan(t, 0, &free)
		case "taken":
			arg.Scan(t, 0, &taken)
		case "brokers":
			o.brokers = arg.Vals
		case "partitions":
			arg.Scan(t, 0, &partitions)
		case "listen":
			arg.Scan(t, 0, &o.listen)
		case "data":
			o.data = filepath.Join(dir, arg.Vals[0])
		case "lock":
			lock, err := datadir.Acquire(o.data)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = lock.Release() })
			if err := lock.Publish(datadir.Holder{
				PID: os.Getpid(), Command: "up", Brokers: []string{"127.0.0.1:9"},
			}); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("unknown argument %s", arg.Key)
		}
	}
	o.world = surroundings{
		free: func(string) (uint64, error) { return free << 20, nil },
		listen: func(address string) error {
			if address == taken {
				return &net.OpError{Op: "listen", Net: "tcp", Err: unix.EADDRINUSE}
			}
			return nil
		},
		model: modelName,
		partitions: func(_ context.Context, cfg kafka.Config, topic schemas.Topic) (int, error) {
			if topic != schemas.Beacons {
				return 0, fmt.Errorf("asked for topic %q", topic)
			}
			if cfg.Brokers[0] == "down:9092" {
				return 0, errors.New("connection refused")
			}
			return partitions, nil
		},
	}
	return o
}

// check looks and touches nothing.
func TestCheckMakesNothing(t *testing.T) {
	dir := t.TempDir()
	o := checkOptions{
		config: filepath.Join(dir, "crumbtrail.yaml"), data: filepath.Join(dir, "a", "b"),
		listen: "127.0.0.1:0", adminListen: "localhost:0",
		world: surroundings{
			free: freeBytes, listen: listenOnce, model: modelName, partitions: partitionsOn,
		},
	}
	var out strings.Builder
	if !check(t.Context(), o, &out) {
		t.Errorf("check of an empty directory found:\n%s", out.String())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("check left %v, %v behind", entries, err)
	}
}

func TestListenOnceFindsATakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listenOnce(l.Addr().String()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("taken port: %v, want address in use", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := listenOnce(l.Addr().String()); err != nil {
		t.Errorf("free port: %v", err)
	}
}

// The layout is read from a cluster that runs and from the files of one that does not.
func TestPartitionsThatAreThere(t *testing.T) {
	dir := t.TempDir()
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := kafka.Config{Brokers: []string{broker.Addr()}, Prefix: "t."}
	client, err := kafka.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = client.EnsureTopics(t.Context(), []kafka.TopicSpec{
		{Name: string(schemas.Beacons), Partitions: 3, Replication: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if n, err := partitionsOn(t.Context(), cfg, schemas.Beacons); n != 3 || err != nil {
		t.Errorf("running: %d, %v, want 3", n, err)
	}
	broker.Close()
	for topic, want := range map[string]int{"t.beacons": 3, "beacons": 0} {
		if n, err := kafka.PartitionsAtRest(dir, topic); n != want || err != nil {
			t.Errorf("at rest: topic %s has %d, %v, want %d", topic, n, err, want)
		}
	}
}
