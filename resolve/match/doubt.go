package match

import (
	"cmp"
	"slices"
)

// Bridge is a pair that alone holds two parts of its cluster together.
type Bridge struct {
	Pair
	// Left and Right are how many records of the cluster are on A's and on B's side.
	Left, Right int
}

// Bridges are the pairs above the threshold whose cut would part a cluster of three and more, the
// least likely first.
func (r *Result) Bridges() []Bridge {
	sizes := map[int]int{}
	for _, cluster := range r.Cluster {
		sizes[cluster]++
	}
	g := &bridging{
		near: map[int][]int{}, pairs: slices.Clip(r.Pairs), known: len(r.Pairs), sizes: sizes, r: r,
		seen: map[int]int{},
	}
	for _, l := range r.options.Links {
		if l.Link == Same {
			g.pairs = append(g.pairs, Pair{A: l.A, B: l.B, Probability: 1})
		}
	}
	for at, p := range g.pairs {
		if cluster := r.Cluster[p.A]; p.Probability >= r.options.Threshold && sizes[cluster] > 2 &&
			cluster == r.Cluster[p.B] {
			g.near[p.A], g.near[p.B] = append(g.near[p.A], at), append(g.near[p.B], at)
		}
	}
	for cluster := range r.Cluster {
		if g.seen[cluster] == 0 && len(g.near[cluster]) > 0 {
			g.visit(cluster, -1)
		}
	}
	slices.SortFunc(g.found, func(x, y Bridge) int {
		return cmp.Or(cmp.Compare(x.Weight, y.Weight), x.A-y.A, x.B-y.B)
	})
	return g.found
}

// bridging is a search of clusters, depth first (Tarjan 1974). No way is longer than a cluster.
type bridging struct {
	r     *Result
	pairs []Pair
	known int           // from there on pairs are links, which are in no doubt
	near  map[int][]int // of each record, its pairs
	sizes map[int]int   // by cluster
	seen  map[int]int   // of each record, when it was seen, from 1
	found []Bridge
}

// visit returns the earliest record that can be reached without the pair that led here, and how
// many records were first seen from here on.
func (g *bridging) visit(at, by int) (earliest, count int) {
	g.seen[at] = len(g.seen) + 1
	earliest, count = g.seen[at], 1
	for _, pair := range g.near[at] {
		p := g.pairs[pair]
		next := p.A + p.B - at
		switch {
		case pair == by:
		case g.seen[next] > 0:
			earliest = min(earliest, g.seen[next])
		default:
			reached, below := g.visit(next, pair)
			if reached > g.seen[at] && pair < g.known {
				b := Bridge{p, g.sizes[g.r.Cluster[at]] - below, below}
				if next == p.A {
					b.Left, b.Right = b.Right, b.Left
				}
				g.found = append(g.found, b)
			}
			earliest, count = min(earliest, reached), count+below
		}
	}
	return earliest, count
}
