package match

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
	c, b := newComparer(r), newBlocks(r)
	rates, compared := c.measure(), 0
	w := train(c, o.Model, rates, c.count(b))
	var edges []edge
	most := r.most(b)
	r.eachPair(b, func(i, j uint32) {
		if compared++; compared%told == 0 && o.Progress != nil {
			o.Progress(uint64(compared), most)
		}
		if weight := w.score(c.compare(i, j), i, j); weight >= low {
			edges = append(edges, edge{i, j, float32(weight)})
		}
	})
	k := join(c, w, joining{n: c.len(), edges: edges}, o)
	for range relearned {
		w.relearn(c, o.Model, rates, k)
		for at, e := range edges {
			edges[at].weight = float32(w.score(c.compare(e.i, e.j), e.i, e.j))
		}
		k = join(c, w, joining{n: c.len(), edges: edges}, o)
	}
	out := newResult(w, k, edges, o)
	out.Compared, out.set, out.blocks, out.options = compared, s, b, o
	out.Dropped = mostDropped(b.dropped)
	return out, nil
}

// relearn takes the clusters for the truth: pairs within them are the matches, those that the
// model alone would not have found included.
func (w *weights) relearn(c *comparer, model Model, r rates, k *clusters) {
	m := newMatched(len(w.columns))
	for i := range uint32(c.len()) {
		members := k.members[i]
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
	sums := make([][]float64, len(w.columns))
	for c, col := range w.columns {
		sums[c] = make([]float64, len(col.values))
		for i, id := range col.rows {
			root := k.find(uint32(i))
			if k.members[root] == nil {
				sums[c][id]++
			}
		}
		for root := range uint32(len(col.rows)) {
			for _, a := range k.members[root] {
				for _, b := range k.members[root] {
					if col.rows[a] == col.rows[b] {
						sums[c][col.rows[a]]++
					}
				}
			}
		}
	}
	return sums
}
