package benchmarks

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"crumbtrail/benchmarks/traffic"
)

// Replay measures recorded beacons through every stage, from a file to the scored lake.
func Replay(ctx context.Context, cfg Config, events int) (r Result, err error) {
	scratch, err := os.MkdirTemp("", "crumbtrail-bench-")
	if err != nil {
		return r, fmt.Errorf("scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	input := filepath.Join(scratch, "beacons.ndjson")
	if err := writeBeacons(input, events); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, cfg.Exe, "replay", "--data", filepath.Join(scratch, "data"),
		"--config", filepath.Join(scratch, "absent.yaml"), input)
	cmd.Stderr = cfg.Progress
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("replay of %d beacons: %w", events, err)
	}
	r = Result{Name: "replay", Events: events, Seconds: time.Since(began).Seconds()}
	r.took(usageOf(cmd.ProcessState))
	return r, nil
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
