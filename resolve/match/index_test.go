package match

import (
	"cmp"
	"fmt"
	"maps"
	"math"
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
		p.rows = append(p.rows, row)
	}
	return p
}

// history is a story of an index: records and links in some order.
type history struct {
	*contacts
	x     *Index
	order []int          // of each record, the row that it is
	place map[int]uint32 // of each row, its record
	links map[[2]int]Link
	gone  map[int]bool
	found []Edge   // all that there ever were
	least []uint32 // as Moved tells it
}

func newHistory(t *testing.T, p *contacts, m Model) *history {
	t.Helper()
	return &history{
		contacts: p, x: newIndex(t, m), place: map[int]uint32{}, links: map[[2]int]Link{},
		gone: map[int]bool{},
	}
}

func (h *history) add(t *testing.T, row int) {
	t.Helper()
	f := h.x.Add(h.rows[row])
	if int(f.Number) != len(h.order) {
		t.Fatalf("record %d is called %d", len(h.order), f.Number)
	}
	h.order, h.place[row] = append(h.order, row), f.Number
	h.least = append(h.least, f.Number)
	h.found = append(h.found, f.Edges...)
	h.moved(t, f.Moved)
}

// remove takes a row out again, if it is there.
func (h *history) remove(t *testing.T, row int) {
	t.Helper()
	i, ok := h.place[row]
	if !ok || h.gone[row] {
		return
	}
	h.gone[row] = true
	maps.DeleteFunc(h.links, func(pair [2]int, _ Link) bool {
		return pair[0] == row || pair[1] == row
	})
	h.least[i] = i
	h.moved(t, h.x.Remove(i))
}

// link links two rows, if both are there.
func (h *history) link(t *testing.T, a, b int, v Link) {
	t.Helper()
	i, ok := h.place[a]
	j, both := h.place[b]
	if !ok || !both || a == b || h.gone[a] || h.gone[b] {
		return
	}
	h.links[[2]int{min(a, b), max(a, b)}] = v
	h.moved(t, h.x.Link(i, j, v))
}

// moved holds that exactly those records are named whose cluster has another least one.
func (h *history) moved(t *testing.T, moved []uint32) {
	t.Helper()
	if !slices.IsSorted(moved) {
		t.Fatalf("moved %v", moved)
	}
	var want []uint32
	for i, before := range h.least {
		if now := h.x.Members(uint32(i))[0]; now != before {
			want = append(want, uint32(i))
			h.least[i] = now
		}
	}
	if !slices.Equal(moved, want) {
		t.Fatalf("after %d records: moved %v, want %v", len(h.order), moved, want)
	}
}

// partition is of each row the least row of its cluster.
func (h *history) partition(x *Index) []int {
	out := make([]int, len(h.rows))
	for row, i := range h.place {
		out[row] = len(h.rows)
		for _, member := range x.Members(i) {
			out[row] = min(out[row], h.order[member])
		}
	}
	return out
}

// naive makes the clusters of rows at once: it compares all pairs that share a key which is not too
// frequent, then joins them.
func (h *history) naive(t *testing.T) (partition []int, edges map[[2]int]float64) {
	t.Helper()
	x := newIndex(t, h.x.options.Model)
	counts := make([]map[uint64]int, len(x.rules))
	for at, row := range h.rows {
		if h.gone[at] {
			row = nil
		}
		x.Restore(row)
	}
	for k, b := range x.rules {
		counts[k] = map[uint64]int{}
		for i := range h.rows {
			counts[k][x.keyOf(b, uint32(i))]++
		}
	}
	sum := make([]uint64, len(h.rows))
	for pair, v := range h.links {
		if v != Unset {
			sum[pair[0]] += mix(x.hashes[pair[1]], uint64(v))
			sum[pair[1]] += mix(x.hashes[pair[0]], uint64(v))
		}
	}
	order := make([]uint32, len(h.rows))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(x.hashes[a], x.hashes[b]), cmp.Compare(sum[a], sum[b]),
			cmp.Compare(a, b))
	})
	g := &greedy{x: x, order: order, partition: inOrder(len(h.rows)), apart: map[[2]int]bool{}}
	edges = map[[2]int]float64{}
	for p, i := range order {
		for q, j := range order[p+1:] {
			e := edge{uint32(p), uint32(p + 1 + q), float32(x.weight(i, j))}
			pair := [2]int{int(min(i, j)), int(max(i, j))}
			switch h.links[pair] {
			case Same:
				g.same = append(g.same, e)
			case Apart:
				g.apart[pair] = true
			}
			for k, b := range x.rules {
				key := x.keyOf(b, i)
				if key == 0 || key != x.keyOf(b, j) || counts[k][key] > b.most() {
					continue
				}
				if float64(e.weight) >= x.threshold {
					g.edges = append(g.edges, e)
				}
				if float64(e.weight) >= x.review {
					edges[pair] = float64(e.weight)
				}
				break
			}
		}
	}
	g.join(g.same, math.Inf(-1))
	g.join(g.edges, x.review)
	return g.partition, edges
}

// greedy joins pairs one after another and sums anew each time.
type greedy struct {
	x           *Index
	order       []uint32
	same, edges []edge
	apart       map[[2]int]bool
	partition   []int // of each record, the least of its cluster
}

func (g *greedy) join(edges []edge, mean float64) {
	slices.SortStableFunc(edges, func(a, b edge) int { return cmp.Compare(b.weight, a.weight) })
	for _, e := range edges {
		a, b := g.partition[g.order[e.i]], g.partition[g.order[e.j]]
		if a == b {
			continue
		}
		var left, right []int
		for i, cluster := range g.partition {
			switch cluster {
			case a:
				left = append(left, i)
			case b:
				right = append(right, i)
			}
		}
		sum, allowed := int64(0), len(left)+len(right) <= MaxCluster
		for _, i := range left {
			for _, j := range right {
				weight := max(-clipped, min(clipped, g.x.weight(uint32(i), uint32(j))))
				sum += int64(math.Round(weight * unit))
				allowed = allowed && !g.apart[[2]int{min(i, j), max(i, j)}]
			}
		}
		if allowed && float64(sum) >= mean*float64(len(left)*len(right))*unit {
			for _, i := range append(left, right...) {
				g.partition[i] = min(a, b)
			}
		}
	}
}

// tell lets the rows come in an order of its own, with links now and then.
func (h *history) tell(t *testing.T, r *rand.Rand, links bool) {
	t.Helper()
	for _, row := range r.Perm(len(h.rows)) {
		h.add(t, row)
		if !links || r.IntN(4) > 0 {
			continue
		}
		if r.IntN(3) == 0 {
			h.remove(t, r.IntN(len(h.rows)))
		}
		other := r.IntN(len(h.rows))
		if near := h.x.Edges(h.place[row]); len(near) > 0 && r.IntN(2) == 0 {
			e := near[r.IntN(len(near))]
			other = h.order[e.I^e.J^h.place[row]]
		}
		h.link(t, row, other, []Link{Same, Apart}[r.IntN(2)])
		set := slices.SortedFunc(maps.Keys(h.links), func(a, b [2]int) int {
			return slices.Compare(a[:], b[:])
		})
		if len(set) > 0 && r.IntN(2) == 0 {
			pair := set[r.IntN(len(set))]
			h.link(t, pair[0], pair[1], Link(r.IntN(3)))
		}
	}
}

// edges are those of an index, by rows.
func (h *history) edges(x *Index) map[[2]int]float64 {
	all := map[[2]int]float64{}
	for i, row := range h.order {
		for _, e := range x.Edges(uint32(i)) {
			other := h.order[e.I^e.J^uint32(i)]
			all[[2]int{min(row, other), max(row, other)}] += e.Weight / 2 // both have it
		}
	}
	return all
}

// restored is the same index from what was kept of it, settled half-way and at the end.
func (h *history) restored(t *testing.T, r *rand.Rand) *Index {
	t.Helper()
	x := newIndex(t, h.x.options.Model)
	edges := h.found
	for i := range h.order {
		edges = append(edges, h.x.Edges(uint32(i))...)
	}
	r.Shuffle(len(edges), func(i, j int) { edges[i], edges[j] = edges[j], edges[i] })
	for _, most := range []int{len(h.order) / 2, len(h.order)} {
		for _, row := range h.order[x.Len():most] {
			texts := h.rows[row]
			if h.gone[row] {
				texts = nil
			}
			x.Restore(texts)
		}
		for _, e := range edges {
			if int(e.J) < most && !h.gone[h.order[e.I]] && !h.gone[h.order[e.J]] {
				x.RestoreEdge(e.I, e.J, e.Weight)
			}
		}
		for pair, v := range h.links {
			if i, j := h.place[pair[0]], h.place[pair[1]]; int(max(i, j)) < most {
				x.RestoreLink(i, j, v)
			}
		}
		x.Settle()
	}
	return x
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
	shipped.Prior = 0.003
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
