package match

import (
	"cmp"
	"math"
	"slices"
)

// edge is a pair that may be a match, in the ordinals of a joining.
type edge struct {
	i, j   uint32
	weight float32
}

// MaxCluster is how many records a cluster may have: a greater one is a sign of chaining.
const MaxCluster = 100

// joining is what clusters are made of. Its records have ordinals of their own, in an order that
// depends on what they say alone.
type joining struct {
	// records are those that the ordinals stand for; nil where they stand for themselves.
	records []uint32
	n       int
	edges   []edge
	// same are the pairs that are one whatever the model says, apart those that are two; their
	// weight is the model's.
	same  []edge
	apart []edge
}

// clusters join the records that are one.
type clusters struct {
	w       *weights
	c       *comparer
	records []uint32
	apart   map[uint32][]uint32 // of each record, those that it is apart from
	parent  []uint32
	members map[uint32][]uint32 // of clusters of two and more
	across  map[[2]uint32]cross // of clusters that did not become one
	refused []refusal
}

// cross is what the pairs across two clusters weigh, as they were when it was summed: a cluster
// only ever gets more members, behind those it has.
type cross struct {
	left, right int // members
	sum         int64
	pairs       int
	conflict    bool // in a verified column
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

// record is what an ordinal stands for.
func (k *clusters) record(i uint32) uint32 {
	if k.records == nil {
		return i
	}
	return k.records[i]
}

// clipped bounds what one pair says in a mean: one great weight must not outvote the others.
const clipped = 12

// join makes clusters of the edges from the heaviest on, those that are the same first. Two
// clusters become one where the pairs across agree on the whole: a chain of likenesses does not
// suffice.
func join(c *comparer, w *weights, g joining, o Options) *clusters {
	threshold, mean := logit(o.Threshold), min(logit(min(o.Review, o.Threshold)), clipped)
	k := &clusters{
		w: w, c: c, records: g.records, apart: map[uint32][]uint32{}, parent: make([]uint32, g.n),
		members: map[uint32][]uint32{}, across: map[[2]uint32]cross{},
	}
	for _, e := range g.apart {
		k.apart[e.i], k.apart[e.j] = append(k.apart[e.i], e.j), append(k.apart[e.j], e.i)
	}
	for i := range k.parent {
		k.parent[i] = uint32(i)
	}
	heaviestFirst(g.same)
	for _, e := range g.same {
		k.unite(e, math.Inf(-1))
	}
	heaviestFirst(g.edges)
	for _, e := range g.edges {
		if float64(e.weight) < threshold {
			break
		}
		k.unite(e, mean)
	}
	return k
}

func heaviestFirst(edges []edge) {
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.i, b.i), cmp.Compare(a.j, b.j))
	})
}

// unite makes one cluster of those of a pair, unless something is against it.
func (k *clusters) unite(e edge, mean float64) {
	a, b := k.find(e.i), k.find(e.j)
	if a == b {
		return
	}
	a, b = min(a, b), max(a, b)
	if reason := k.against(a, b, mean); reason != "" {
		k.refused = append(k.refused, refusal{e, reason})
		return
	}
	k.parent[b] = a
	k.members[a] = append(slices.Clone(k.of(a)), k.of(b)...)
	delete(k.members, b)
}

// against says why two clusters are not one; empty where they are. mean is what the pairs across
// have to weigh on average.
func (k *clusters) against(a, b uint32, mean float64) string {
	left, right := k.of(a), k.of(b)
	if len(left)+len(right) > MaxCluster {
		return "the cluster would have more than 100 records"
	}
	if len(k.apart) > 0 {
		for _, i := range left {
			for _, j := range k.apart[i] {
				if k.find(j) == b {
					return "two of their records are known to be of two"
				}
			}
		}
	}
	if math.IsInf(mean, -1) && len(k.w.verified) == 0 {
		return ""
	}
	known := k.sum(a, b, left, right)
	if known.conflict {
		k.across[[2]uint32{a, b}] = known
		return "two of their records have different verified values"
	}
	if float64(known.sum) < mean*float64(known.pairs)*unit {
		k.across[[2]uint32{a, b}] = known
		return "the records of the two clusters do not agree on the whole"
	}
	return ""
}

// sum is what the pairs across two clusters weigh, from what was summed when they were smaller.
func (k *clusters) sum(a, b uint32, left, right []uint32) cross {
	known := k.across[[2]uint32{a, b}]
	k.add(&known, left[:known.left], right[known.right:])
	k.add(&known, left[known.left:], right)
	known.left, known.right = len(left), len(right)
	return known
}

// unit is what a weight of 1 is in a sum: whole numbers have the same sum in any order.
const unit = 1 << 20

// add sums what the pairs of two lists weigh.
func (k *clusters) add(to *cross, left, right []uint32) {
	for _, i := range left {
		for _, j := range right {
			if p, q := k.record(i), k.record(j); k.w.across(p, q) {
				to.pairs++
				v := k.c.compare(p, q)
				to.conflict = to.conflict || k.w.conflict(v, p, q) >= 0
				weight := k.w.score(v, p, q)
				to.sum += int64(math.Round(min(max(weight, -clipped), clipped) * unit))
			}
		}
	}
}
