package match

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

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
				p, q := uint32(i), uint32(j)
				weight := max(-clipped, min(clipped, g.x.weight(p, q)))
				sum += int64(math.Round(weight * unit))
				allowed = allowed && !g.apart[[2]int{min(i, j), max(i, j)}] &&
					g.x.weights.conflict(g.x.comparer.compare(p, q), p, q) < 0
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
