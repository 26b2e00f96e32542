package match

import (
	"maps"
	"slices"
)

// low is the weight down to which pairs are kept: what is learnt from the clusters may lift them.
const low = -8

// relearned is how often the weights are learnt again from the clusters.
const relearned = 2

// told is after how many pairs progress is told.
const told = 1 << 16

// Run finds which records are one.
func (s *Set) Run(o Options) (*Result, error) {
	r, err := s.normalise(o)
	if err != nil {
		return nil, err
	}
	if err := o.Model.fits(r.columns); err != nil {
		return nil, err
	}
	c, b := newComparer(r, o), newBlocks(r, o)
	hands := c.hands(o)
	rates := c.measure()
	w := train(c, o.Model, rates, hands.count(b, o))
	edges, compared := hands.edges(b, w, o)
	k := join(c, w, r.joining(c, w, edges, o.Links), o)
	for range relearned {
		w.relearn(c, o.Model, rates, k)
		hands.weigh(edges, w, o)
		k = join(c, w, r.joining(c, w, edges, o.Links), o)
	}
	out := newResult(w, k, edges, o)
	out.Compared, out.set, out.blocks, out.options = compared, s, b, o
	out.Dropped = mostDropped(b.dropped)
	return out, nil
}

// hands are what the workers compare with, each with one of its own: a comparer remembers levels.
type hands []*comparer

func (c *comparer) hands(o Options) hands {
	h := hands{c}
	for len(h) < o.workers() {
		h = append(h, c.another())
	}
	return h
}

// weights are w for each worker: weights remember breakdowns.
func (h hands) weights(w *weights) []*weights {
	all := make([]*weights, len(h))
	for i := range all {
		own := *w
		own.known = map[vector]*breakdown{}
		all[i] = &own
	}
	return all
}

// count tallies the vectors of the candidates, or of a sample of them that stands for all.
func (h hands) count(b *blocks, o Options) tally {
	tallies := make([]tally, len(h))
	for i := range tallies {
		tallies[i] = tally{}
	}
	most := max(1, b.size()/trainedPairs)
	stretches := h[0].stretches(b)
	o.spread(len(stretches), func(worker, piece int) {
		c, t := h[worker], tallies[worker]
		c.eachPair(b, stretches[piece], func(i, j uint32) {
			if most == 1 || mix(uint64(i), uint64(j))%most == 0 {
				t[c.compare(i, j)] += float64(most)
			}
		})
	})
	for _, t := range tallies[1:] {
		for v, n := range t {
			tallies[0][v] += n
		}
	}
	return tallies[0]
}

// edges are the candidates that may be one. It says how many candidates there are, too.
func (h hands) edges(b *blocks, w *weights, o Options) (edges []edge, compared int) {
	stretches, weights := h[0].stretches(b), h.weights(w)
	found, counts := make([][]edge, len(stretches)), make([]int, len(h))
	most := h[0].most(b)
	o.spread(len(stretches), func(worker, piece int) {
		c, w := h[worker], weights[worker]
		c.eachPair(b, stretches[piece], func(i, j uint32) {
			if counts[worker]++; worker == 0 && counts[0]%told == 0 && o.Progress != nil {
				o.Progress(min(most, uint64(counts[0]*len(h))), most) // the others are about as far
			}
			if weight := w.score(c.compare(i, j), i, j); weight >= low {
				found[piece] = append(found[piece], edge{i, j, float32(weight)})
			}
		})
	})
	for _, n := range counts {
		compared += n
	}
	return slices.Concat(found...), compared
}

// weigh weighs edges again.
func (h hands) weigh(edges []edge, w *weights, o Options) {
	weights := h.weights(w)
	o.spread(chunks(len(edges)), func(worker, piece int) {
		from, to := chunkOf(piece, len(edges))
		for at, e := range edges[from:to] {
			weight := weights[worker].score(h[worker].compare(e.i, e.j), e.i, e.j)
			edges[from+at].weight = float32(weight)
		}
	})
}

// relearn takes the clusters for the truth: pairs within them are the matches, those that the
// model alone would not have found included.
func (w *weights) relearn(c *comparer, model Model, r rates, k *clusters) {
	m := newMatched(c.records, doubtOfClusters)
	for _, root := range slices.Sorted(maps.Keys(k.members)) {
		members := k.members[root]
		for x, a := range members {
			for _, b := range members[x+1:] {
				if c.across(a, b) {
					m.add(c.compare(a, b), 1)
				}
			}
		}
	}
	w.learn(model, r, m)
	own := w.ownCounts(k)
	w.commonness(func(c int, id uint32) float64 {
		n := float64(w.columns[c].counts[id])
		return n - own[c][id]/n
	})
}

// ownCounts sums, by comparison and value, the squares of how many records of one cluster have it.
func (w *weights) ownCounts(k *clusters) [][]float64 {
	alone := make([]bool, w.len())
	for i := range alone {
		alone[i] = k.members[k.find(uint32(i))] == nil
	}
	sums := make([][]float64, len(w.columns))
	for c, col := range w.columns {
		own := make([]float64, len(col.values))
		for i, id := range col.rows {
			if alone[i] {
				own[id]++
			}
		}
		for _, members := range k.members {
			for _, a := range members {
				for _, b := range members {
					if col.rows[a] == col.rows[b] {
						own[col.rows[a]]++
					}
				}
			}
		}
		sums[c] = own
	}
	return sums
}
