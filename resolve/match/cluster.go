package match

import (
	"cmp"
	"slices"
)

// edge is a pair that may be a match, in canonical ordinals.
type edge struct {
	i, j   uint32
	weight float32
}

// maxCluster is how many records a cluster may have: a greater one is a sign of chaining.
const maxCluster = 100

// clusters join the records that are one.
type clusters struct {
	w       *weights
	c       *comparer
	parent  []uint32
	members map[uint32][]uint32 // of clusters of two and more
	refused []refusal
}

// refusal is a pair above the threshold whose clusters did not become one.
type refusal struct {
	edge
	reason string
}

func (k *clusters) find(i uint32) uint32 {
	for k.parent[i] != i {
		k.parent[i] = k.parent[k.parent[i]]
		i = k.parent[i]
	}
	return i
}

func (k *clusters) of(root uint32) []uint32 {
	if m := k.members[root]; m != nil {
		return m
	}
	return []uint32{root}
}

// clipped bounds what one pair says in a mean: one great weight must not outvote the others.
const clipped = 12

// join makes clusters of the edges from the heaviest on. Two clusters become one where the pairs
// across agree on the whole: a chain of likenesses does not suffice.
func join(c *comparer, w *weights, edges []edge, o Options) *clusters {
	threshold, mean := logit(o.Threshold), logit(min(o.Review, o.Threshold))
	k := &clusters{
		w: w, c: c, parent: make([]uint32, c.len()), members: map[uint32][]uint32{},
	}
	for i := range k.parent {
		k.parent[i] = uint32(i)
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.i, b.i), cmp.Compare(a.j, b.j))
	})
	for _, e := range edges {
		if float64(e.weight) < threshold {
			break
		}
		a, b := k.find(e.i), k.find(e.j)
		if a == b {
			continue
		}
		if reason := k.against(a, b, mean); reason != "" {
			k.refused = append(k.refused, refusal{e, reason})
			continue
		}
		root, other := min(a, b), max(a, b)
		k.parent[other] = root
		k.members[root] = append(slices.Clone(k.of(root)), k.of(other)...)
		delete(k.members, other)
	}
	return k
}

// against says why two clusters are not one; empty where they are.
func (k *clusters) against(a, b uint32, mean float64) string {
	left, right := k.of(a), k.of(b)
	if len(left)+len(right) > maxCluster {
		return "the cluster would have more than 100 records"
	}
	sum, pairs := 0.0, 0.0
	for _, i := range left {
		for _, j := range right {
			if k.w.across(i, j) {
				pairs++
				weight := k.w.score(k.c.compare(i, j), i, j)
				sum += min(max(weight, -clipped), clipped)
			}
		}
	}
	if sum < mean*pairs {
		return "the records of the two clusters do not agree on the whole"
	}
	return ""
}
