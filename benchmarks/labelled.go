package benchmarks

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"text/template"
	"time"

	"crumbtrail/resolve/match"
	"crumbtrail/resolve/report"
)

// LabelledSet is a public file of records of which it is known who they are of.
type LabelledSet struct {
	// Name is what it is called where it is published, Truth its column with the answers.
	Name, File, Truth string
}

// judgement is what dedupe says of a set.
type judgement struct {
	Rows     int      `json:"rows"`
	Pairs    measured `json:"pairs"`
	Best     measured `json:"best"`
	Clusters measured `json:"clusters"`
	Bins     []struct {
		From  float64 `json:"from"`
		To    float64 `json:"to"`
		Pairs int     `json:"pairs"`
		Mean  float64 `json:"mean"`
		True  int     `json:"true"`
	} `json:"calibration"`
}

type measured struct {
	Quality
	Threshold float64 `json:"threshold"`
	True      int     `json:"true"`
}

// bins are those of a judgement.
func (j judgement) bins() []match.Bin {
	out := make([]match.Bin, len(j.Bins))
	for i, b := range j.Bins {
		out[i] = match.Bin{From: b.From, To: b.To, Mean: b.Mean, Pairs: b.Pairs, True: b.True}
	}
	return out
}

// off is by how much the probabilities from 0.1 on are off, on average over the pairs.
func (j judgement) off() float64 {
	sum, pairs := 0.0, 0.0
	for _, b := range j.bins()[1:] {
		sum += float64(b.Pairs) * math.Abs(b.Mean-b.Share())
		pairs += float64(b.Pairs)
	}
	return sum / max(1, pairs)
}

// Labelled measures how good the matching of labelled sets is, and writes a page and a picture of
// it into a folder.
func Labelled(
	ctx context.Context, cfg Config, sets []LabelledSet, folder string,
) (r Result, err error) {
	scratch, err := os.MkdirTemp("", "crumbtrail-bench-")
	if err != nil {
		return r, fmt.Errorf("scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	r = Result{Name: "matching"}
	began := time.Now()
	page := labelledPage{Date: began.UTC().Format(time.DateOnly), Commit: commit()}
	var plots []report.Calibration
	for _, set := range sets {
		row, j, err := set.match(ctx, cfg, filepath.Join(scratch, "clusters.csv"), &r)
		if err != nil {
			return r, err
		}
		page.Rows = append(page.Rows, row)
		plots = append(plots, report.Calibration{Name: set.Name, Bins: j.bins()})
	}
	r.Seconds = time.Since(began).Seconds()
	r.took(usage{})
	return r, errors.Join(
		write(filepath.Join(folder, "matching.md"), page.write),
		write(filepath.Join(folder, "calibration.svg"), func(w io.Writer) error {
			return report.WriteCalibrations(w, plots)
		}),
	)
}

func (s LabelledSet) match(
	ctx context.Context, cfg Config, clusters string, r *Result,
) (row labelledRow, j judgement, err error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, cfg.Exe, "dedupe", s.File, "--truth", s.Truth, "--out", clusters,
		"--format", "json")
	cmd.Stdout, cmd.Stderr = &said, cfg.Progress
	if err := cmd.Run(); err != nil {
		return row, j, fmt.Errorf("dedupe of %s: %w", s.Name, err)
	}
	if err := json.Unmarshal(said.Bytes(), &j); err != nil || len(j.Bins) == 0 {
		return row, j, errors.Join(fmt.Errorf("what dedupe says of %s: %q", s.Name, said.String()), err)
	}
	took := usageOf(cmd.ProcessState)
	r.Events += j.Rows
	r.UserSeconds += took.user.Seconds()
	r.SystemSeconds += took.system.Seconds()
	r.PeakRSSBytes = max(r.PeakRSSBytes, took.peakRSSBytes)
	return labelledRow{
		Name: s.Name, J: j, Off: j.off(), CPU: (took.user + took.system).Seconds(),
		MB: took.peakRSSBytes >> 20, Splink: splink()[s.Name],
	}, j, nil
}

// write makes a file of what a function writes.
func write(name string, each func(io.Writer) error) error {
	var b bytes.Buffer
	if err := each(&b); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

// commit is what the program was built from, as far as it knows.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 7 {
			return s.Value[:7]
		}
	}
	return ""
}

// splinkFigures are F1 by Splink: best threshold in hindsight, 0.95, clusters at 0.95; CPU in
// seconds.
type splinkFigures struct{ Best, Pairs, Clusters, CPU float64 }

// splink are figures of Splink 4.0.17 with the settings of its tutorials, measured on another day
// with these sets.
func splink() map[string]*splinkFigures {
	return map[string]*splinkFigures{
		"febrl1":                      {1.000, 0.995, 0.995, 6.9},
		"febrl2":                      {0.998, 0.995, 0.998, 10.6},
		"fake_1000 (splink_datasets)": {0.856, 0.725, 0.855, 3.3},
		"fake_1000 (splink)":          {0.950, 0.845, 0.951, 3.7},
		"historical_50k":              {0.766, 0.697, 0.828, 44.4},
	}
}

type labelledPage struct {
	Date, Commit string
	Rows         []labelledRow
}

type labelledRow struct {
	Name   string
	J      judgement
	Off    float64
	CPU    float64
	MB     int64
	Splink *splinkFigures
}

//go:embed matching.gomd
var labelledText string

func (p labelledPage) write(w io.Writer) error {
	t, err := template.New("matching.md").Parse(labelledText)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}
