package benchmarks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"crumbtrail/benchmarks/people"
)

// DedupeOptions say what is matched.
type DedupeOptions struct {
	// Rows are made, from Seed.
	Rows int
	Seed uint64
}

// Matching is how good what was found is, over all true pairs.
type Matching struct {
	// Pairs are those from the default threshold on, Best those from the threshold on that would
	// have been best, Clusters all pairs within clusters.
	Pairs    Quality `json:"pairs"`
	Best     Quality `json:"best"`
	Clusters Quality `json:"clusters"`
	// Largest is how many rows the greatest cluster has.
	Largest int `json:"largest"`
}

// Quality holds found pairs against the true ones.
type Quality struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

func quality(right, found, all int) Quality {
	return Quality{
		Precision: float64(right) / float64(max(found, 1)), Recall: float64(right) / float64(max(all, 1)),
		F1: 2 * float64(right) / float64(max(found+all, 1)),
	}
}

// Dedupe measures the matching of a file of made-up contacts, from the file to the clusters.
func Dedupe(ctx context.Context, cfg Config, o DedupeOptions) (r Result, err error) {
	scratch, err := os.MkdirTemp("", "crumbtrail-bench-")
	if err != nil {
		return r, fmt.Errorf("scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	input, output := filepath.Join(scratch, "people.csv"), filepath.Join(scratch, "clusters.csv")
	made := people.Config{Rows: o.Rows, Seed: o.Seed}
	if err := writePeople(input, made); err != nil {
		return r, err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, cfg.Exe, "dedupe", input, "--truth", people.Truth, "--out", output)
	cmd.Stdout, cmd.Stderr = &said, cfg.Progress
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("dedupe of %d rows: %w", o.Rows, err)
	}
	r = Result{Name: "dedupe", Events: o.Rows, Seconds: time.Since(began).Seconds()}
	r.took(usageOf(cmd.ProcessState))
	truth, err := owners(input)
	if err != nil {
		return r, err
	}
	r.Matching, err = judged(output, truth, said.String())
	return r, err
}

// owners reads whose each row of a file of people is.
func owners(name string) ([]string, error) {
	var all []string
	err := eachLine(name, func(line []string) error {
		all = append(all, line[0])
		return nil
	})
	return all, err
}

// judged holds the clusters in a file against the truth, and what the program said of them against
// that.
func judged(clusters string, truth []string, said string) (*Matching, error) {
	m := &Matching{}
	found, right, all := map[string]int{}, map[string]int{}, map[string]int{}
	rows := 0
	err := eachLine(clusters, func(line []string) error {
		if rows++; line[0] != strconv.Itoa(rows) || rows > len(truth) {
			return fmt.Errorf("line %d is of row %s", rows, line[0])
		}
		found[line[1]]++
		m.Largest = max(m.Largest, found[line[1]])
		right[line[1]+" "+truth[rows-1]]++
		all[truth[rows-1]]++
		return nil
	})
	if err == nil && rows < len(truth) {
		err = fmt.Errorf("the clusters are of %d rows, want %d", rows, len(truth))
	}
	if err != nil {
		return nil, err
	}
	m.Clusters = quality(pairsOf(right), pairsOf(found), pairsOf(all))
	for name, to := range map[string]*Quality{"threshold": &m.Pairs, "best": &m.Best} {
		if *to, err = saidOf(said, "pairs at", "("+name+")"); err != nil {
			return nil, err
		}
	}
	told, err := saidOf(said, "clusters", "")
	if err == nil && fmt.Sprintf("%.4f", told) != fmt.Sprintf("%.4f", m.Clusters) {
		err = fmt.Errorf("dedupe says %.4f of its clusters, they are %.4f", told, m.Clusters)
	}
	return m, err
}

// pairsOf counts the pairs within groups.
func pairsOf(sizes map[string]int) (pairs int) {
	for _, n := range sizes {
		pairs += n * (n - 1) / 2
	}
	return pairs
}

// saidOf finds precision, recall and F1 in a line of what dedupe prints of the truth.
func saidOf(said, start, with string) (q Quality, err error) {
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, start) || !strings.Contains(line, with) {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 6 {
			break
		}
		var problems [3]error
		for i, to := range []*float64{&q.Precision, &q.Recall, &q.F1} {
			*to, problems[i] = strconv.ParseFloat(fields[len(fields)-6+i], 64)
		}
		return q, errors.Join(problems[:]...)
	}
	return q, fmt.Errorf("dedupe says nothing of %q %s in\n%s", start, with, said)
}

// eachLine reads a CSV file behind its header.
func eachLine(name string, each func(line []string) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	in.ReuseRecord = true
	for header := true; ; header = false {
		line, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && !header {
			err = each(line)
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", name, err)
		}
	}
}

// People writes made-up contacts to a file, for other programs.
func People(_ context.Context, _ Config, o DedupeOptions, name string) (r Result, err error) {
	began := time.Now()
	if err := writePeople(name, people.Config{Rows: o.Rows, Seed: o.Seed}); err != nil {
		return r, err
	}
	r = Result{Name: "people", Events: o.Rows, Seconds: time.Since(began).Seconds()}
	r.took(ownUsage())
	return r, nil
}

// ownUsage is what this process has taken so far.
func ownUsage() usage {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it fails for no process of its own
	return usage{
		user: time.Duration(u.Utime.Nano()), system: time.Duration(u.Stime.Nano()),
		peakRSSBytes: u.Maxrss << 10,
	}
}

func writePeople(name string, c people.Config) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("contacts of the bench: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = errors.Join(people.CSV(w, c), w.Flush(), f.Close())
	if err != nil {
		return fmt.Errorf("contacts of the bench: %w", err)
	}
	return nil
}
