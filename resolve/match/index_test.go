package match

import (
	"cmp"
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
	least []uint32 // as Moved tells it
}

func (h *history) add(t *testing.T, row int) {
	t.Helper()
	f := h.x.Add(h.rows[row])
	if int(f.Number) != len(h.order) {
		t.Fatalf("record %d is called %d", len(h.order), f.Number)
	}
	h.order, h.place[row] = append(h.order, row), f.Number
	h.least = append(h.least, f.Number)
	h.moved(t, f.Moved)
}

// link links two rows, if both are there.
func (h *history) link(t *testing.T, a, b int, v Link) {
	t.Helper()
	i, ok := h.place[a]
	j, both := h.place[b]
	if !ok || !both || a == b {
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
func (h *history) partition() []int {
	out := make([]int, len(h.rows))
	for row, i := range h.place {
		out[row] = len(h.rows)
		for _, member := range h.x.Members(i) {
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
	for _, row := range h.rows {
		x.Restore(row)
	}
	for k, b := range x.rules {
		counts[k] = map[uint64]int{}
		for i := range h.rows {
			counts[k][x.keyOf(b, uint32(i))]++
		}
	}
	g := joining{n: len(h.rows)}
	for i := range h.rows {
		g.records = append(g.records, uint32(i))
	}
	sum := make([]uint64, len(h.rows))
	for pair, v := range h.links {
		if v != Unset {
			sum[pair[0]] += mix(x.hashes[pair[1]], uint64(v))
			sum[pair[1]] += mix(x.hashes[pair[0]], uint64(v))
		}
	}
	slices.SortFunc(g.records, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(x.hashes[a], x.hashes[b]), cmp.Compare(sum[a], sum[b]),
			cmp.Compare(a, b))
	})
	edges = map[[2]int]float64{}
	for p, i := range g.records {
		for q, j := range g.records[p+1:] {
			e := edge{uint32(p), uint32(p + 1 + q), float32(x.weight(i, j))}
			pair := [2]int{int(min(i, j)), int(max(i, j))}
			switch h.links[pair] {
			case Same:
				g.same = append(g.same, e)
			case Apart:
				g.apart = append(g.apart, e)
			}
			for k, b := range x.rules {
				key := x.keyOf(b, i)
				if key == 0 || key != x.keyOf(b, j) || counts[k][key] > b.most() {
					continue
				}
				g.edges = append(g.edges, e)
				if float64(e.weight) >= x.review {
					edges[pair] = float64(e.weight)
				}
				break
			}
		}
	}
	k := join(x.comparer, x.weights, g, x.options)
	least := map[uint32]int{}
	for p, i := range g.records {
		root := k.find(uint32(p))
		if first, ok := least[root]; !ok || int(i) < first {
			least[root] = int(i)
		}
	}
	partition = make([]int, len(h.rows))
	for p, i := range g.records {
		partition[i] = least[k.find(uint32(p))]
	}
	return partition, edges
}

// tell lets the rows come in an order of its own, with links now and then.
func (h *history) tell(t *testing.T, r *rand.Rand, links bool) {
	t.Helper()
	for _, row := range r.Perm(len(h.rows)) {
		h.add(t, row)
		if !links || r.IntN(4) > 0 {
			continue
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

// TestIndexOrder holds that clusters and edges are those of all records at once, in whatever order
// these came in and links were set, and that Moved tells every change.
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
			h := &history{
				contacts: c.rows, x: newIndex(t, c.model), place: map[int]uint32{},
				links: map[[2]int]Link{},
			}
			h.tell(t, rand.New(rand.NewPCG(seed, 3)), seed > 0)
			partition, edges := h.naive(t)
			wrong := 0
			for row, got := range h.partition() {
				if got != partition[row] {
					wrong++
				}
			}
			got := map[[2]int]float64{}
			for i, row := range h.order {
				for _, e := range h.x.Edges(uint32(i)) {
					other := h.order[e.I^e.J^uint32(i)]
					got[[2]int{min(row, other), max(row, other)}] = e.Weight
				}
			}
			t.Logf("%s, seed %d: %d edges, %d hot keys, %d links", c.name, seed, len(got),
				len(h.x.Hot()), len(h.links))
			if wrong > 0 || !maps.Equal(got, edges) || len(h.x.Hot()) == 0 {
				t.Errorf("%s, seed %d: %d of %d rows are in another cluster; %d edges, want %d", c.name,
					seed, wrong, len(h.rows), len(got), len(edges))
			}
		}
	}
}
