package match

import (
	"cmp"
	"fmt"
	"slices"
)

// Result says which records are one. Records are counted from 0 in the order they were added.
type Result struct {
	// Cluster is of each record the least record of its cluster: itself where it is alone.
	Cluster []int
	// Probability is of each record that of its likeliest pair in its cluster; 1 where it is alone.
	Probability []float64
	// Pairs are those worth a look or more, from the likeliest on.
	Pairs []Pair
	// Columns are those compared, Ignored those that were not.
	Columns, Ignored []Column
	// Dropped are keys that too many records share, the most frequent first.
	Dropped []DroppedBlock
	// Prior is the share of all pairs that are matches.
	Prior float64
	// Compared is how many pairs were looked at.
	Compared int

	index    *Index // where they came one by one; then there are no blocks
	set      *Set
	options  Options
	blocks   *blocks
	weights  *weights
	comparer *comparer
	place    []uint32 // canonical ordinal of each record
	refused  map[[2]uint32]string
	edges    []edge // all that were kept, those below Review, too
}

// Pair is two records, A before B, that may be one.
type Pair struct {
	A, B        int
	Weight      float64
	Probability float64
	// Refused says why a pair above the threshold did not join its clusters; else empty.
	Refused string
}

// PriorText is how the prior comes about.
func (r *Result) PriorText() string {
	pairs := r.weights.pairs()
	return fmt.Sprintf("%.3g: %.0f matches in %.0f pairs", r.Prior, r.Prior*pairs, pairs)
}

func newResult(w *weights, k *clusters, edges []edge, o Options) *Result {
	n := w.len()
	out := &Result{
		Cluster: make([]int, n), Probability: make([]float64, n), Ignored: w.ignored, Prior: w.prior,
		weights: w, comparer: k.c, place: make([]uint32, n), refused: map[[2]uint32]string{},
		edges: edges,
	}
	for _, c := range w.columns {
		out.Columns = append(out.Columns, c.Column)
	}
	least := map[uint32]int{}
	for canonical, at := range w.order {
		out.place[at] = uint32(canonical)
	}
	for at := range n {
		root := k.find(out.place[at])
		first, ok := least[root]
		if !ok {
			first, least[root] = at, at
		}
		out.Cluster[at] = first
	}
	for _, f := range k.refused {
		if k.find(f.i) != k.find(f.j) {
			out.refused[[2]uint32{f.i, f.j}] = f.reason
		}
	}
	out.pairs(w.records, edges, o)
	return out
}

func (r *Result) pairs(rec *records, edges []edge, o Options) {
	for _, e := range edges {
		p := probability(float64(e.weight))
		a, b := int(rec.order[e.i]), int(rec.order[e.j])
		r.likely(a, b, p)
		if p >= o.Review {
			r.Pairs = append(r.Pairs, Pair{
				min(a, b), max(a, b), float64(e.weight), p, r.refused[[2]uint32{e.i, e.j}],
			})
		}
	}
	r.settle()
}

// likely notes a pair's probability where it is in one cluster.
func (r *Result) likely(a, b int, p float64) {
	if r.Cluster[a] == r.Cluster[b] {
		r.Probability[a], r.Probability[b] = max(r.Probability[a], p), max(r.Probability[b], p)
	}
}

// settle sets what is left to say once all pairs are in.
func (r *Result) settle() {
	for at, p := range r.Probability {
		if p == 0 {
			r.Probability[at] = 1
		}
	}
	slices.SortFunc(r.Pairs, func(x, y Pair) int {
		return cmp.Or(cmp.Compare(y.Weight, x.Weight), x.A-y.A, x.B-y.B)
	})
}
