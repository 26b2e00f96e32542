package benchmarks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const saidOfFour = `                          precision  recall  F1      true   found  right
pairs at 0.5 (threshold)  0.5000     1.0000  0.6667  1  2  1
pairs at 0.9 (best)       1.0000     1.0000  1.0000  1  1  1
clusters                  0.3333     1.0000  0.5000  1  3  1
`

func TestJudged(t *testing.T) {
	truth := []string{"a", "a", "b", "c"}
	judge := func(clusters, said string) (*Matching, error) {
		name := filepath.Join(t.TempDir(), "clusters.csv")
		text := "row,cluster_id,match_probability\n" + clusters
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return judged(name, truth, said)
	}
	const good = "1,1,1\n2,1,1\n3,1,1\n4,4,1\n"
	got, err := judge(good, saidOfFour)
	want := &Matching{
		Pairs: Quality{0.5, 1, 0.6667}, Best: Quality{1, 1, 1}, Clusters: Quality{1. / 3, 1, 0.5},
		Largest: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	for _, c := range []struct{ clusters, said, want string }{
		{"1,1,1\n3,1,1\n2,1,1\n4,4,1\n", saidOfFour, "line 2 is of row 3"},
		{"1,1,1\n2,1,1\n3,1,1\n", saidOfFour, "of 3 rows, want 4"},
		{good + "5,5,1\n", saidOfFour, "row 5"},
		{good, "nothing", "says nothing"},
		{"1,1,1\n2,1,1\n3,3,1\n4,4,1\n", saidOfFour, "they are"},
	} {
		if _, err := judge(c.clusters, c.said); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q in %v", c.want, err)
		}
	}
}

// TestPeople holds that the file has an owner for each row, and that what it took is told.
func TestPeople(t *testing.T) {
	name := filepath.Join(t.TempDir(), "people.csv")
	r, err := People(t.Context(), Config{}, DedupeOptions{Rows: 40, Seed: 1}, name)
	if err != nil || r.Events != 40 || r.PeakRSSBytes < 1<<20 {
		t.Fatalf("%+v, %v", r, err)
	}
	all, err := owners(name)
	if err != nil || len(all) != 40 || all[0] == "" {
		t.Errorf("%v, %v", all, err)
	}
}
