package match

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"crumbtrail/benchmarks/people"
)

func defaults() Options {
	return Options{Model: DefaultModel(), Threshold: DefaultThreshold, Review: DefaultReview}
}

func run(t testing.TB, s *Set, o Options) *Result {
	t.Helper()
	r, err := s.Run(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// setOf reads rows whose fields are separated by |.
func setOf(t testing.TB, columns string, rows ...string) *Set {
	t.Helper()
	s := NewSet(strings.Split(columns, "|"))
	for _, row := range rows {
		if err := s.Add(strings.Split(row, "|"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestPeople holds the quality on made-up contacts: every pair compared, and with blocking.
func TestPeople(t *testing.T) {
	for _, rows := range []int{1200, 5000} {
		p := newPeople(1, rows)
		j := run(t, p.set(inOrder(rows)), defaults()).Judge(p.entity, DefaultThreshold)
		t.Logf("%d rows: pairs %.4f, best %.4f at %.3f, clusters %.4f (precision %.4f, recall %.4f)",
			rows, j.Default.F1(), j.Best.F1(), j.Threshold, j.Clusters.F1(), j.Clusters.Precision(),
			j.Clusters.Recall())
		if j.Default.F1() < 0.92 || j.Clusters.F1() < 0.92 || j.Clusters.Precision() < 0.92 {
			t.Errorf("%d rows: %+v", rows, j)
		}
		for _, b := range j.Bins {
			if b.Pairs > 200 && math.Abs(b.Mean-b.Share()) > 0.05 {
				t.Errorf("of %d pairs with a probability of %.3f, %.3f are true", b.Pairs, b.Mean,
					b.Share())
			}
		}
	}
}

// TestOrder holds that shuffled rows give the same clusters, and the same rows the same result.
func TestOrder(t *testing.T) {
	const rows = 2000
	p := newPeople(2, rows)
	order := inOrder(rows)
	first := run(t, p.set(order), defaults())
	again := run(t, p.set(order), defaults())
	if !slices.Equal(first.Cluster, again.Cluster) || !slices.Equal(first.Pairs, again.Pairs) {
		t.Error("the same rows gave another result")
	}
	want := partition(first, order)
	for seed := range uint64(2) {
		rand.New(rand.NewPCG(seed, 7)).Shuffle(rows, func(i, j int) {
			order[i], order[j] = order[j], order[i]
		})
		if got := partition(run(t, p.set(order), defaults()), order); !slices.Equal(got, want) {
			t.Errorf("the same rows in another order, of seed %d, gave other clusters", seed)
		}
	}
}

// partition is of each original row the least original row of its cluster.
func partition(r *Result, order []int) []int {
	least := map[int]int{}
	for at, c := range r.Cluster {
		if first, ok := least[c]; !ok || order[at] < first {
			least[c] = order[at]
		}
	}
	out := make([]int, len(order))
	for at, c := range r.Cluster {
		out[order[at]] = least[c]
	}
	return out
}

// TestExplanationSums holds that an explanation adds up to the weight that decided, and that a
// missing value is neither for nor against.
func TestExplanationSums(t *testing.T) {
	const rows = 1000
	p := newPeople(3, rows)
	r := run(t, p.set(inOrder(rows)), defaults())
	if len(r.Pairs) < 100 {
		t.Fatalf("only %d pairs", len(r.Pairs))
	}
	for _, pair := range r.Pairs {
		e := r.Explain(pair.A, pair.B)
		sum := e.Prior
		for _, l := range e.Lines {
			sum += l.Weight + l.Rarity
			if math.Abs(l.Total-sum) > 1e-6 {
				t.Fatalf("rows %d and %d: %s leaves %v, the sum is %v", pair.A, pair.B, l.Column.Name,
					l.Total, sum)
			}
			if (l.Left == "" || l.Right == "") && l.Column.Name != "" && l.Weight+l.Rarity != 0 {
				t.Fatalf("rows %d and %d: a missing %s weighs %v", pair.A, pair.B, l.Column.Name,
					l.Weight)
			}
		}
		if math.Abs(sum-pair.Weight) > 1e-4 || math.Abs(e.Weight-pair.Weight) > 1e-4 {
			t.Fatalf("rows %d and %d: sum %v, explained %v, weight %v", pair.A, pair.B, sum, e.Weight,
				pair.Weight)
		}
	}
}

// TestEmptyRecords holds that rows that say nothing, or only placeholders, match nobody.
func TestEmptyRecords(t *testing.T) {
	p := newPeople(4, 300)
	for range 5 {
		p.rows = append(p.rows, []string{"", "", "", "", "", "", "", "", "", ""},
			[]string{"", "", "n/a", "test@test.com", "0000000000", "-", "unknown", "null", "n/a", "none"})
	}
	r := run(t, p.set(inOrder(len(p.rows))), defaults())
	for at := 300; at < len(p.rows); at++ {
		if r.Cluster[at] != at {
			t.Errorf("empty row %d is in the cluster of row %d", at, r.Cluster[at])
		}
	}
}

// TestDecisions holds what is told of a match, a household, a pair of strangers.
func TestDecisions(t *testing.T) {
	p := newPeople(5, 1200)
	home := "|marlow|%s|%s|%s|7 elm street|bristol|bs1 2ab|"
	rows := []string{
		fmt.Sprintf("x1|Robert"+home, "rob.marlow@mail.example", "+44 20 7946 0123", "1971-06-24"),
		fmt.Sprintf("x2|Bob"+home, "rob.marlow@mail.example", "020 7946 0123", ""),
		fmt.Sprintf("x3|Victoria"+home, "vm@post.example", "+44 20 7946 0123", "1974-11-02"),
	}
	first := len(p.rows)
	for _, row := range rows {
		p.rows = append(p.rows, strings.Split(row, "|"))
	}
	r := run(t, p.set(inOrder(len(p.rows))), defaults())
	match := r.Explain(first, first+1)
	if match.Probability < 0.99 || !strings.HasPrefix(match.Decision, "match") {
		t.Errorf("Robert and Bob: %v, %s", match.Probability, match.Decision)
	}
	if l := match.Lines[0]; l.Level != "short form of it" || l.Left != "robert" || l.Right != "bob" {
		t.Errorf("Robert and Bob: %+v", l)
	}
	house := r.Explain(first, first+2)
	last := house.Lines[len(house.Lines)-1]
	if house.Decision != "no match" || house.Weight != vetoWeight && last.Column.Name == "" {
		t.Errorf("two of one household: %v, %s, %+v", house.Weight, house.Decision, last)
	}
	if r.Cluster[first+2] != first+2 {
		t.Errorf("Victoria is in the cluster of row %d", r.Cluster[first+2])
	}
}

// TestFixedLevels holds that what a model fixes is not learnt.
func TestFixedLevels(t *testing.T) {
	p := newPeople(6, 800)
	o := defaults()
	levels := slices.Clone(defaultLevels()[EmailKind])
	levels[0] = Level{Name: levels[0].Name, M: 0.5, U: 0.25, Fixed: true}
	o.Model.Comparisons["email"] = levels
	o.Model.Prior = 0.001
	learnt := run(t, p.set(inOrder(800)), o).Learnt()
	if got := learnt.Comparisons["email"][0]; got != levels[0] {
		t.Errorf("the fixed level is %+v", got)
	}
	if got := learnt.Comparisons["email"][8]; got.M == levels[8].M {
		t.Errorf("a level that is not fixed was not learnt: %+v", got)
	}
	if learnt.Prior != 0.001 {
		t.Errorf("the given prior is %v", learnt.Prior)
	}
	o.Model.Comparisons["email"] = levels[:3]
	if _, err := p.set(inOrder(800)).Run(o); err == nil || !strings.Contains(err.Error(), "9 levels") {
		t.Errorf("three levels of nine: %v", err)
	}
}

func TestModelValidate(t *testing.T) {
	if err := DefaultModel().Validate(); err != nil {
		t.Error(err)
	}
	err := Model{
		Prior: 1, Columns: map[string]Kind{"a": "colour"},
		Comparisons: map[string][]Level{"text": {{Name: "exact", M: 0, U: 0.5}}},
	}.Validate()
	for _, want := range []string{"prior 1", `"colour"`, `level "exact"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}

func TestTooLittle(t *testing.T) {
	if _, err := setOf(t, "email", "a@x.example").Run(defaults()); err == nil {
		t.Error("one record was compared")
	}
	if _, err := setOf(t, "id", "1", "2").Run(defaults()); err == nil ||
		!strings.Contains(err.Error(), "first_name") {
		t.Errorf("nothing to compare: %v", err)
	}
	if err := NewSet([]string{"a", "b"}).Add([]string{"1"}, 0); err == nil {
		t.Error("a record with one field of two was taken")
	}
}

// TestLink holds that across two files only pairs across count.
func TestLink(t *testing.T) {
	p := newPeople(7, 1000)
	s := NewSet(people.Columns())
	files := make([]uint8, len(p.rows))
	for at, row := range p.rows {
		files[at] = uint8(at % 2)
		if err := s.Add(row, files[at]); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, s, defaults())
	for _, pair := range r.Pairs {
		if files[pair.A] == files[pair.B] {
			t.Fatalf("rows %d and %d are in one file", pair.A, pair.B)
		}
	}
	if j := r.Judge(p.entity, DefaultThreshold); j.Default.F1() < 0.9 || j.Default.True == 0 {
		t.Errorf("across files: %+v", j.Default)
	}
}

// TestBridge holds that one record between two people does not make them one, and that this is
// told of.
func TestBridge(t *testing.T) {
	var rows []string
	for range 3 {
		rows = append(rows, "alpha1||stone", "|beta2|feather")
	}
	rows = append(rows, "alpha1|beta2|")
	o := defaults()
	o.Model.Prior = 0.03
	o.Model.Columns = map[string]Kind{"alpha": Code, "beta": Code, "gamma": Code}
	levels := slices.Clone(defaultLevels()[Code])
	for i, weight := range []float64{10, 0, 0, -10} {
		levels[i].U = 0.0005
		levels[i].M = levels[i].U * math.Exp2(weight)
		levels[i].Fixed = true
	}
	for name := range o.Model.Columns {
		o.Model.Comparisons[name] = levels
	}
	r := run(t, setOf(t, "alpha|beta|gamma", rows...), o)
	if r.Cluster[0] != r.Cluster[2] || r.Cluster[1] != r.Cluster[3] {
		t.Errorf("equal records are apart: %v", r.Cluster)
	}
	if r.Cluster[0] == r.Cluster[1] {
		t.Errorf("a record that is like both joined two people: %v", r.Cluster)
	}
	last, refused := len(rows)-1, 0
	for _, other := range []int{0, 1} {
		if strings.HasPrefix(r.Explain(other, last).Decision, "refused") {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d of the two refusals are told of", refused)
	}
}

// TestDroppedBlocks holds that a key that very many share is reported, and not compared by.
func TestDroppedBlocks(t *testing.T) {
	p := newPeople(9, 2000)
	for at := range p.rows[:400] {
		p.rows[at][people.Phone] = "+44 161 555 0000"
	}
	r := run(t, p.set(inOrder(2000)), defaults())
	found := slices.ContainsFunc(r.Dropped, func(d DroppedBlock) bool {
		return d.Value == "+441615550000" && d.Records >= 400 && d.Rule == "same phone"
	})
	if !found {
		t.Errorf("the switchboard is not told of: %+v", r.Dropped)
	}
}

func BenchmarkRun(b *testing.B) {
	const rows = 20_000
	p := newPeople(1, rows)
	for b.Loop() {
		run(b, p.set(inOrder(rows)), defaults())
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/rows, "µs/row")
}

// TestProgress holds that a small set, whose pairs are all compared, tells how many they are.
func TestProgress(t *testing.T) {
	s := NewSet([]string{"first_name", "phone"})
	for i := range 600 {
		if err := s.Add([]string{fmt.Sprint("n", i%7), fmt.Sprint("020 79460", 100+i)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	o := defaults()
	o.Progress = func(done, most uint64) {
		if told++; most != 600*599/2 || done > most {
			t.Errorf("%d of %d pairs", done, most)
		}
	}
	if run(t, s, o); told == 0 {
		t.Error("nothing told")
	}
}
