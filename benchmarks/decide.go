package benchmarks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/people"
	"crumbtrail/internal/stage"
	"crumbtrail/resolve"
)

// timed is how many of the last submissions are timed, at most half of all.
const timed = 10_000

// measureCore lets a child decide submissions one by one, with no log around it.
func measureCore(ctx context.Context, cfg Config, submissions int) (c Core, err error) {
	cmd := exec.CommandContext(ctx, cfg.Exe, ChildCommand, childDecide, strconv.Itoa(submissions))
	cmd.Stderr = cfg.Progress
	text, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("decide %d submissions: %w", submissions, err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("decide %d submissions: %w", submissions, err)
	}
	c.PeakRSSBytes = usageOf(cmd.ProcessState).peakRSSBytes
	return c, nil
}

// decide is that child: it writes how long its decisions took. Its memory has the submissions in
// it, too.
func decide(args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("%s: want how many submissions", childDecide)
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("%s: %w", childDecide, err)
	}
	rows := people.Make(people.Config{Rows: n, Seed: 1})
	m, out := resolve.New(resolve.DefaultConfig()), &stage.Output{}
	now := time.Now()
	took := make([]time.Duration, 0, timed)
	before := ownUsage()
	for i, row := range rows {
		value, err := submission(row, now).MarshalVT()
		if err != nil {
			return err
		}
		rows[i] = people.Row{}
		record := []stage.Record{{Offset: int64(i), Timestamp: now.UnixMilli(), Value: value}}
		began := time.Now()
		m.Apply(record, out)
		if i >= n-min(timed, n/2) {
			took = append(took, time.Since(began))
		}
		out.Reset()
	}
	used := ownUsage()
	return json.NewEncoder(stdout).Encode(Core{
		DecisionMS:  edge.QuantilesOf(took),
		CoreSeconds: (used.core() - before.core()).Seconds(),
	})
}
