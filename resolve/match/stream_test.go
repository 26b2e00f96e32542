package match

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// nearBatch holds that clusters of rows that come one by one, as they are and shuffled, are as good
// as those of all at once, and the same in both orders.
func nearBatch(t *testing.T, s *Set, entity []string, o Options) {
	t.Helper()
	const near = 0.01
	batch := run(t, s, o)
	want := batch.Judge(entity, DefaultThreshold).Clusters.F1()
	o.Model = batch.Learnt()
	var first []int
	for _, order := range [][]int{
		inOrder(s.Len()), rand.New(rand.NewPCG(1, 9)).Perm(s.Len()),
	} {
		names := make([]string, len(s.columns))
		for k, c := range s.columns {
			names[k] = c.name
		}
		again, texts, truth := NewSet(names), make([]string, len(names)), []string(nil)
		for _, at := range order {
			for k := range texts {
				texts[k] = s.Text(at, k)
			}
			if err := again.Add(texts, 0); err != nil {
				t.Fatal(err)
			}
			truth = append(truth, entity[at])
		}
		stream, err := again.Stream(o)
		if err != nil {
			t.Fatal(err)
		}
		got := stream.Judge(truth, DefaultThreshold).Clusters.F1()
		t.Logf("clusters %.4f, of all at once %.4f", got, want)
		if math.Abs(got-want) > near {
			t.Errorf("F1 of the clusters is %.4f, of all at once %.4f", got, want)
		}
		p := partition(stream, order)
		if first == nil {
			first = p
		}
		if !slices.Equal(p, first) {
			t.Error("shuffled rows gave other clusters")
		}
	}
}

func TestStream(t *testing.T) {
	for _, rows := range []int{1200, 5000} {
		p := newPeople(1, rows)
		nearBatch(t, p.set(inOrder(rows)), p.entity, defaults())
	}
}

// TestStreamGoals holds it on the public labelled sets.
func TestStreamGoals(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "resolve")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the public sets are not on this machine: %v", err)
	}
	for file, truth := range map[string]string{
		"febrl1.csv": "rec_id", "febrl2.csv": "rec_id", "fake_1000.csv": "cluster",
		"fake_1000_from_splink_demos.csv": "cluster", "early_childhood_sites.csv": "True Id",
		"historical_50k.csv": "cluster",
	} {
		t.Run(file, func(t *testing.T) {
			if testing.Short() && file == "historical_50k.csv" {
				t.Skip("it takes half a minute")
			}
			s, entity := labelled(t, filepath.Join(dir, file), truth)
			o := defaults()
			o.Skip = []string{truth}
			nearBatch(t, s, entity, o)
		})
	}
}

// TestLearntModel holds that a learnt model is the same once written and read, and says what a
// stream needs.
func TestLearntModel(t *testing.T) {
	p := newPeople(8, 1600)
	m := learnt(t, p)
	m.Name, m.MonthFirst = "people", []string{"date_of_birth"}
	again, err := ReadModel("people.yaml", m.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, m) {
		t.Errorf("read again it is %+v", again)
	}
	if m.Version() != again.Version() || m.Version()[:7] != "people-" {
		t.Errorf("versions %s and %s", m.Version(), again.Version())
	}
	given := m.Frequencies["first_name"]
	common := given.commonest()
	if len(common) == 0 || given.Common[common[0]] < 4*given.Rare {
		t.Errorf("frequencies of given names: %+v", given)
	}
	if len(m.Together) == 0 || m.Columns["contact_no"] != Ignored || m.Columns["email"] != EmailKind {
		t.Errorf("together %v, columns %v", m.Together, m.Columns)
	}
	again.Prior *= 2
	if again.Version() == m.Version() {
		t.Error("another prior gives the same version")
	}
}

// TestReadModel holds that every problem of a model is told with its line.
func TestReadModel(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"prior: 2\n", "m.yaml:1: prior: prior 2: it is a share of all pairs"},
		{"prior: 0.1\ncolumns:\n  a: colour\n", `m.yaml:3: columns.a: column "a": there is no kind`},
		{"priro: 0.1\n", `m.yaml:1: unknown key "priro"; did you mean "prior"?`},
		{
			"comparisons:\n  text:\n    - {level: exact, m: 0, u: 1}\n",
			`m.yaml:3: comparisons.text[0]: comparison "text", level "exact": m and u are shares`,
		},
		{
			"together:\n  - {given: a, column: b, level: exact, bits: 1000}\n",
			"m.yaml:2: together[0].bits: b given a: bits are from 0 to 100",
		},
		{
			"frequencies:\n  email:\n    rare: 0.1\n    common: {x: 2}\n",
			`m.yaml:4: frequencies.email.common.x: frequency of "x" in "email": it is a share`,
		},
	} {
		_, err := ReadModel("m.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}
