package match

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoals holds the quality on public labelled sets, with what is shipped and no setting for any
// of them. Each line has what is expected of pairs and of clusters at the default threshold.
func TestGoals(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "resolve")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the public sets are not on this machine: %v", err)
	}
	for _, c := range []struct {
		file, truth     string
		pairs, clusters float64
	}{
		{"febrl1.csv", "rec_id", 0.998, 0.998},
		{"febrl2.csv", "rec_id", 0.998, 0.998},
		{"fake_1000.csv", "cluster", 0.94, 0.97},
		{"fake_1000_from_splink_demos.csv", "cluster", 0.96, 0.98},
		{"early_childhood_sites.csv", "True Id", 0.84, 0.86},
		{"historical_50k.csv", "cluster", 0.83, 0.92},
	} {
		if testing.Short() && c.file == "historical_50k.csv" {
			continue
		}
		s, entity := labelled(t, filepath.Join(dir, c.file), c.truth)
		o := defaults()
		o.Skip = []string{c.truth}
		j := run(t, s, o).Judge(entity, DefaultThreshold)
		t.Logf("%s: pairs %.4f (best %.4f at %.3f), clusters %.4f", c.file, j.Default.F1(),
			j.Best.F1(), j.Threshold, j.Clusters.F1())
		if j.Default.F1() < c.pairs || j.Clusters.F1() < c.clusters {
			t.Errorf("%s: %+v", c.file, j)
		}
	}
}

func labelled(t *testing.T, path, truth string) (*Set, []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.TrimLeadingSpace = true
	head, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	s, at := NewSet(head), 0
	for i, name := range head {
		if strings.TrimSpace(name) == truth {
			at = i
		}
	}
	var entity []string
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s, entity
		}
		if err == nil {
			err = s.Add(row, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		one, _, _ := strings.Cut(strings.TrimPrefix(row[at], "rec-"), "-") // rec-12-dup-0
		entity = append(entity, one)
	}
}
