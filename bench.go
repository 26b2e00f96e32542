package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"crumbtrail/benchmarks/traffic"
)

// measurement is what a bench prints with --json.
type measurement struct {
	Name   string `json:"name"`
	Events int    `json:"events"`
	// Seconds is the wall time of the process under test, from start to exit.
	Seconds             float64 `json:"seconds"`
	EventsPerSecond     float64 `json:"events_per_second"`
	EventsPerCoreSecond float64 `json:"events_per_core_second"`
	UserSeconds         float64 `json:"user_seconds"`
	SystemSeconds       float64 `json:"system_seconds"`
	PeakRSSBytes        int64   `json:"peak_rss_bytes"`
}

const benchNames = "replay: recorded beacons through every stage, embedded broker included"

// runBench measures one thing in a scratch directory.
func runBench(ctx context.Context, c *call) error {
	events := c.flags.Int("events", 1_000_000, "how many beacons")
	asJSON := c.flags.Bool("json", false, "print one JSON object")
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) != 1 || c.args[0] != "replay" {
		return usagef("want the name of a bench:\n  %s", benchNames)
	}
	if *events < 1 {
		return usagef("--events %d: want at least 1", *events)
	}
	m, err := benchReplay(ctx, c, *events)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(c.stdout).Encode(m)
	}
	fmt.Fprintf(c.stdout, "%s: %d beacons in %.1f s: %.0f/s, %.0f per core-second, peak "+
		"memory %d MB\n",
		m.Name, m.Events, m.Seconds, m.EventsPerSecond, m.EventsPerCoreSecond, m.PeakRSSBytes>>20)
	return nil
}

// benchReplay times `crumbtrail replay` as a whole process on input made beforehand.
func benchReplay(ctx context.Context, c *call, events int) (m measurement, err error) {
	scratch, err := os.MkdirTemp("", "crumbtrail-bench-")
	if err != nil {
		return m, fmt.Errorf("scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	input := filepath.Join(scratch, "beacons.ndjson")
	if err := writeBeacons(input, events); err != nil {
		return m, err
	}
	exe, err := os.Executable()
	if err != nil {
		return m, fmt.Errorf("find this program's own file: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe, "replay", "--data", filepath.Join(scratch, "data"),
		"--config", filepath.Join(scratch, "absent.yaml"), input)
	cmd.Stderr = c.stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return m, fmt.Errorf("replay of %s: %w", strconv.Itoa(events), err)
	}
	m = measurement{Name: "replay", Events: events, Seconds: time.Since(began).Seconds()}
	m.UserSeconds = cmd.ProcessState.UserTime().Seconds()
	m.SystemSeconds = cmd.ProcessState.SystemTime().Seconds()
	m.EventsPerSecond = float64(events) / m.Seconds
	m.EventsPerCoreSecond = float64(events) / (m.UserSeconds + m.SystemSeconds)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.PeakRSSBytes = usage.Maxrss << 10 // Linux counts KiB
	}
	return m, nil
}

func writeBeacons(path string, events int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("input of the bench: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := traffic.NDJSON(w, traffic.Config{}, events); err != nil {
		return fmt.Errorf("input of the bench: %w", err)
	}
	return w.Flush()
}
