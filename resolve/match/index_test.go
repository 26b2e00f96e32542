package match

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"crumbtrail/benchmarks/people"
)

// learnt is what a batch learns from contacts.
func learnt(t testing.TB, p *contacts) Model {
	t.Helper()
	return run(t, p.set(inOrder(len(p.rows))), defaults()).Learnt()
}

func newIndex(t testing.TB, m Model) *Index {
	t.Helper()
	o := defaults()
	o.Model = m
	x, err := NewIndex(m.ColumnsOf(people.Columns()), o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// crowd is a few hundred contacts among whom some keys are too frequent and some records say the
// very same.
func crowd(seed uint64) *contacts {
	p := newPeople(seed, 500)
	for at := range maxBlock + 20 {
		p.rows[at][people.Phone] = "+44 161 555 0000"
		p.rows[at+100][people.Company] = "Brandvold Ltd"
		p.rows[at+100][people.Given] = "Maria"
	}
	for at := range 30 {
		p.rows = append(p.rows, p.rows[at*7])
	}
	return p
}

// tangle has few names, addresses and numbers, so that all hangs together and many keys are about
// as frequent as they may be.
func tangle(seed uint64) *contacts {
	r := rand.New(rand.NewPCG(seed, 5))
	pick := func(of string, n int) string {
		if at := r.IntN(n + n/4 + 1); at < n {
			return fmt.Sprintf(of, 'a'+rune(at%26), at)
		}
		return ""
	}
	p := &contacts{}
	for range 220 {
		row := make([]string, len(people.Columns()))
		row[people.Given] = pick("%[1]corin", 8)
		row[people.Family] = pick("%[1]cander the %[2]d", 50)
		row[people.Email] = pick("box%[2]d@%[1]c.example", 6)
		row[people.Phone] = pick("+44 20 7946 %[2]d%04[2]d", 5)
		row[people.Company] = pick("%[1]corp %[1]c%[2]d", 30)
		if r.IntN(6) == 0 {
			row[people.Born] = []string{"1971-06-24", "1988-11-02"}[r.IntN(2)]
		}
		p.rows = append(p.rows, row)
	}
	return p
}

// contact is a record of contacts that says only this.
func contact(said map[int]string) []string {
	texts := make([]string, len(people.Columns()))
	for column, text := range said {
		texts[column] = text
	}
	return texts
}

// TestHotKey holds that a key which too many share joins nobody, from which record on it does not,
// and that it does again once fewer share it.
func TestHotKey(t *testing.T) {
	m := DefaultModel()
	m.Prior = 0.003
	x := newIndex(t, m)
	row := contact(map[int]string{people.Phone: "+44 161 555 0000"})
	var f Found
	for range maxBlockOfOne {
		f = x.Add(row)
	}
	if got := len(x.Members(3)); got != maxBlockOfOne || len(f.Moved) != 1 || len(f.Hot) != 0 {
		t.Fatalf("%d records are one, %+v", got, f)
	}
	edges := x.Edges(5)
	f = x.Add(row)
	want := DroppedBlock{"same phone", "+441615550000", maxBlockOfOne + 1}
	if len(x.Members(3)) != 1 || len(f.Moved) != maxBlockOfOne-1 || len(f.Edges) != 0 ||
		len(f.Hot) != 1 || f.Hot[0] != want || x.Hot()[0] != want {
		t.Errorf("one too many: %+v, hot %+v", f, x.Hot())
	}
	moved := x.Remove(0)
	if got := len(x.Members(3)); got != maxBlockOfOne || len(moved) != maxBlockOfOne-1 ||
		len(x.Hot()) != 0 {
		t.Errorf("after one has left %d are one, %d moved, hot %+v", got, len(moved), x.Hot())
	}

	x = newIndex(t, m)
	for range maxBlockOfOne {
		x.Restore(row)
	}
	for _, e := range edges {
		x.RestoreEdge(e.I, e.J, e.Weight)
	}
	if moved := x.Settle(); len(moved) != maxBlockOfOne-1 {
		t.Errorf("restored: %d moved", len(moved))
	}
	x.Restore(row)
	if moved := x.Settle(); len(moved) != maxBlockOfOne-1 || len(x.Members(3)) != 1 {
		t.Errorf("restored one too many: %d moved", len(moved))
	}
}

// TestRemoveForgets holds that nothing of what a removed record alone said is left, and that what
// others say, too, still counts.
func TestRemoveForgets(t *testing.T) {
	m := DefaultModel()
	m.Prior = 0.003
	x := newIndex(t, m)
	x.Add(contact(map[int]string{people.Email: "ada@mail.example", people.Given: "Ada"}))
	x.Add(contact(map[int]string{people.Email: "ada@mail.example", people.Family: "Lace"}))
	if len(x.Edges(1)) != 1 {
		t.Fatal("the two are not alike")
	}
	x.Remove(0)
	for _, p := range x.pools {
		for _, v := range p.values {
			if v.text == "ada" {
				t.Error("the given name is still there")
			}
		}
	}
	if x.Explain(0, 1).Weight != logit(m.Prior) || len(x.Edges(1)) != 0 {
		t.Errorf("it is still compared: %+v", x.Explain(0, 1))
	}
	f := x.Add(contact(map[int]string{people.Email: "ada@mail.example", people.Given: "Ada"}))
	if len(f.Edges) != 1 || f.Edges[0].I != 1 || len(x.Members(0)) != 1 {
		t.Errorf("who comes again is %+v", f)
	}
}

// TestMemory holds that the estimate follows the records.
func TestMemory(t *testing.T) {
	const rows = 2000
	p := newPeople(12, rows)
	x := newIndex(t, learnt(t, p))
	before := x.Memory()
	for _, row := range p.rows {
		x.Restore(row)
	}
	if each := (x.Memory() - before) / rows; each < 300 || each > 3000 {
		t.Errorf("%d bytes a record", each)
	} else {
		t.Logf("%d bytes a record of %d columns", each, len(x.columns))
	}
}

// TestSameWithConflict holds that two records with different verified values are never one, also
// where they are known to be.
func TestSameWithConflict(t *testing.T) {
	m := DefaultModel()
	m.Prior, m.Verified = 0.003, []string{"date_of_birth"}
	x := newIndex(t, m)
	x.Add(contact(map[int]string{people.Born: "1971-06-24", people.Given: "Ada"}))
	x.Add(contact(map[int]string{people.Born: "1988-11-02", people.Given: "Ada"}))
	x.Add(contact(map[int]string{people.Given: "Ada"}))
	if moved := x.Link(0, 1, Same); len(moved) != 0 {
		t.Errorf("%v joined", moved)
	}
	if e := x.Explain(0, 1); e.Verdict != Refused {
		t.Errorf("%s: %s", e.Verdict, e.Decision)
	}
	if x.Link(0, 2, Same); len(x.Members(0)) != 2 {
		t.Errorf("who has none may join either: %v", x.Members(0))
	}
	if moved := x.Link(1, 2, Same); len(moved) != 0 || len(x.Members(1)) != 1 {
		t.Errorf("they are one through another: %v", x.Members(0))
	}
}

// TestNoAllocations holds that comparing a pair takes nothing from the heap.
func TestNoAllocations(t *testing.T) {
	p := newPeople(13, 200)
	x := newIndex(t, learnt(t, p))
	for _, row := range p.rows {
		x.Restore(row)
	}
	every := func() {
		for i := range uint32(len(p.rows)) {
			x.weight(i, (i*7+1)%uint32(len(p.rows)))
		}
	}
	every() // breakdowns are made once
	if n := testing.AllocsPerRun(5, every); n > 0 {
		t.Errorf("%v allocations for %d pairs", n, len(p.rows))
	}
}

// TestIndexTwins holds that of two records which say the same, and of which different things are
// known, it is always the same one that gets what either could have, whichever came first.
func TestIndexTwins(t *testing.T) {
	m := DefaultModel()
	m.Prior = 0.003
	twin := contact(map[int]string{people.Email: "ada@mail.example"})
	rows := [][]string{
		twin, twin, contact(map[int]string{people.Email: "ada@mail.example", people.Given: "Ada"}),
		contact(map[int]string{people.Phone: "+44 161 555 0000"}),
	}
	var want []int
	for seed := range uint64(24) {
		h := newHistory(t, &contacts{rows: rows}, m)
		for _, row := range rand.New(rand.NewPCG(seed, 4)).Perm(len(rows)) {
			h.add(t, row)
		}
		h.link(t, 0, 1, Apart)
		h.link(t, 1, 3, Same)
		got := h.partition(h.x)
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) || got[0] == got[1] || got[1] != got[3] {
			t.Errorf("in the order %v: %v, want %v", h.order, got, want)
		}
	}
}

// TestIndexOrder holds that clusters and edges are those of all records at once, in whatever order
// these came in, left and were linked, that Moved tells every change, and that an index is the same
// when it is restored.
func TestIndexOrder(t *testing.T) {
	shipped := DefaultModel()
	shipped.Prior, shipped.Verified = 0.003, []string{"date_of_birth"}
	people := crowd(11)
	for _, c := range []struct {
		name  string
		rows  *contacts
		model Model
	}{{"people", people, learnt(t, people)}, {"tangle", tangle(1), shipped}} {
		for seed := range uint64(3) {
			h, r := newHistory(t, c.rows, c.model), rand.New(rand.NewPCG(seed, 3))
			h.tell(t, r, seed > 0)
			partition, edges := h.naive(t)
			t.Logf("%s, seed %d: %d edges, %d hot keys, %d links, %d gone", c.name, seed, len(edges),
				len(h.x.Hot()), len(h.links), len(h.gone))
			if len(h.x.Hot()) == 0 {
				t.Error("no key is hot")
			}
			for what, x := range map[string]*Index{"told": h.x, "restored": h.restored(t, r)} {
				wrong := 0
				for row, got := range h.partition(x) {
					if got != partition[row] {
						wrong++
					}
				}
				got := h.edges(x)
				if wrong > 0 || !maps.Equal(got, edges) {
					t.Errorf("%s, seed %d, %s: %d of %d rows are in another cluster; %d edges, want %d",
						c.name, seed, what, wrong, len(h.rows), len(got), len(edges))
				}
			}
		}
	}
}
