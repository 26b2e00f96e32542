package match

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// Index takes records in one by one and says of each at once who it is. Its model is fixed: what
// it says of any two records, and so which are one, is a function of the records, of what is known
// of them (Link) and of the model, whatever order they came in. It is not safe for use by several
// goroutines.
type Index struct {
	*intake
	options   Options
	threshold float64 // as weights
	review    float64
	weights   *weights
	comparer  *comparer
	rules     []blocking
	postings  []*postings // of each rule
	hot       []hotKey
	graph     graph
	hashes    []uint64 // of what each record says
	groups    groups

	compared   int      // pairs
	keys       []uint64 // of the newest record, by rule
	candidates []uint32
	restored   []uint32 // records of what was restored and is not settled
}

// blocking is a rule and the columns that it takes.
type blocking struct {
	rule
	columns []int
}

// hotKey is a key under a rule that too many records share, and what it says.
type hotKey struct {
	rule int
	key  uint64
	said DroppedBlock
}

// Found is what became of a record.
type Found struct {
	// Number is how many records were before it.
	Number uint32
	// Edges are those of the model with records before it, from Options.Review on, the heaviest
	// first.
	Edges []Edge
	// Moved are the records whose cluster has another least record than before, ascending; the new
	// one is among them where it joined another.
	Moved []uint32
	// Hot are the keys that it made too frequent to compare by.
	Hot []DroppedBlock
}

// Edge is a pair of records that may be one, I before J.
type Edge struct {
	I, J        uint32
	Weight      float64
	Probability float64
	// Rule is what brought them together.
	Rule string
	// Refused says why a pair above the threshold is not in one cluster; else empty.
	Refused string
}

// Link is what is known of a pair of records beside what they say.
type Link uint8

const (
	// Unset is nothing.
	Unset Link = iota
	// Same makes them one, unless something is against it.
	Same
	// Apart keeps them in two clusters.
	Apart
)

// NewIndex makes an index for records with these columns. It goes by o.Model as it is: it must have
// a prior, and levels for what the columns hold.
func NewIndex(columns []Column, o Options) (*Index, error) {
	if err := o.Model.Validate(); err != nil {
		return nil, err
	}
	if o.Model.Prior == 0 {
		return nil, errors.New("the model has no prior: crumbtrail dedupe --train writes one that has")
	}
	in, err := newIntake(columns, o.Model)
	if err != nil {
		return nil, err
	}
	if err := o.Model.fits(in.columns); err != nil {
		return nil, err
	}
	x := &Index{
		intake: in, options: o, threshold: logit(o.Threshold),
		review: logit(min(o.Review, o.Threshold)), weights: fixedWeights(in.records, o.Model),
		comparer: newComparer(in.records, o),
	}
	for _, rule := range rules() {
		for _, chosen := range in.choices(rule) {
			x.rules = append(x.rules, blocking{rule, chosen})
			x.postings = append(x.postings, newPostings(rule.most()))
		}
	}
	x.keys = make([]uint64, len(x.rules))
	return x, nil
}

// fixedWeights are those of a model as it is.
func fixedWeights(r *records, m Model) *weights {
	k := len(r.columns)
	w := &weights{
		records: r, levels: make([][]Level, k), rarity: make([][]float32, k), prior: m.Prior,
		lift: grids(r.contexts(), k), moved: grid(k, k), known: map[vector]*breakdown{},
	}
	for c, col := range r.columns {
		w.levels[c] = m.levels(col.Column)
		w.rarity[c] = make([]float32, 1)
	}
	w.setLifts(m)
	w.setVerified(m)
	return w
}

// weighValues sets what the rarity of values weighs that are new.
func (x *Index) weighValues() {
	w := x.weights
	for c, col := range w.columns {
		u := math.Log2(w.levels[c][0].U)
		for _, v := range col.values[len(w.rarity[c]):] {
			rarity := 0.0
			if f, ok := x.options.Model.frequency(col.Column, v.text); ok {
				rarity = u - math.Log2(f)
			}
			w.rarity[c] = append(w.rarity[c], float32(rarity))
		}
	}
}

// compareAll compares every pair as long as there are few records, as a batch does.
func (x *Index) compareAll() {
	x.rules = append(x.rules, blocking{rule: rule{name: anyPair}})
	x.postings = append(x.postings, newPostings(smallSet))
	x.keys = append(x.keys, 0)
}

// keyOf is what record i has under a rule: 0 where it lacks a part.
func (x *Index) keyOf(b blocking, i uint32) uint64 {
	if len(b.parts) == 0 {
		return 1
	}
	return x.key(b.rule, b.columns, i)
}

// Len is how many records there are, those that were removed included.
func (x *Index) Len() int { return len(x.hashes) }

// enter puts a record in, under its keys, and returns which of them are hot since.
func (x *Index) enter(texts []string) (hot []int) {
	x.put(texts)
	x.comparer.lines.add(x.records, x.options)
	x.weighValues()
	n := uint32(len(x.hashes))
	hash := uint64(0)
	for k, text := range texts {
		hash = mix(hash, hashText(text)+uint64(k))
	}
	x.hashes = append(x.hashes, hash)
	x.graph.grow()
	x.groups.grow()
	for k, b := range x.rules {
		x.keys[k] = x.keyOf(b, n)
		x.postings[k].add(x.keys[k])
		if key := x.keys[k]; key != 0 && x.postings[k].find(key).n == x.postings[k].most+1 {
			hot = append(hot, k)
		}
	}
	return hot
}

// Add puts a record in and finds out who it is. There must be a text for each column.
func (x *Index) Add(texts []string) Found {
	hot := x.enter(texts)
	n := uint32(len(x.hashes) - 1)
	f := Found{Number: n}
	seeds := []uint32{n}
	for _, k := range hot {
		seeds = x.cool(k, seeds)
		f.Hot = append(f.Hot, x.hot[len(x.hot)-1].said)
	}
	x.candidates = x.candidates[:0]
	for k, p := range x.postings {
		x.candidates = p.appendTo(x.candidates, x.keys[k])
	}
	slices.Sort(x.candidates)
	for at, j := range x.candidates {
		if j != n && (at == 0 || x.candidates[at-1] != j) {
			x.compare(j, n)
		}
	}
	var refused map[[2]uint32]string
	f.Moved, refused = x.cluster(seeds)
	f.Edges = x.edges(n, refused)
	return f
}

// compare makes an edge of a pair that may be one.
func (x *Index) compare(i, j uint32) (ok bool) {
	x.compared++
	weight := float32(x.weight(i, j))
	if ok = float64(weight) >= x.review; ok {
		x.graph.add(i, j, weight, Unset)
	}
	return ok
}

// weight is what the model says of a pair.
func (x *Index) weight(i, j uint32) float64 {
	// A map of breakdowns that has grown beyond this is begun anew.
	const mostKnown = 1 << 16
	if len(x.weights.known) > mostKnown {
		clear(x.weights.known)
	}
	return x.weights.score(x.comparer.compare(i, j), i, j)
}

// cool takes back the edges that a key alone brought together that has become hot, and appends
// their records.
func (x *Index) cool(k int, seeds []uint32) []uint32 {
	key, p := x.keys[k], x.postings[k]
	records := p.appendTo(nil, key)
	p.cut(key)
	b := x.rules[k]
	said := x.droppedBlock(b.rule, b.columns, records[0], int(p.find(key).n))
	x.hot = append(x.hot, hotKey{k, key, said})
	for _, i := range records {
		seeds = x.prune(i, seeds)
	}
	return seeds
}

// prune takes back the edges of a record that no key brings together any more, and appends the
// records of each.
func (x *Index) prune(i uint32, seeds []uint32) []uint32 {
	for _, e := range x.graph.of(i) {
		if e.kind != Unset {
			continue
		}
		if _, ok := x.together(i, e.to); !ok {
			x.graph.drop(i, e.to, Unset)
			seeds = append(seeds, i, e.to)
		}
	}
	return seeds
}

// together reports whether a pair is compared, and by which rule.
func (x *Index) together(i, j uint32) (rule string, ok bool) {
	for k, b := range x.rules {
		key := x.keyOf(b, i)
		if key != 0 && key == x.keyOf(b, j) && !x.postings[k].hot(key) {
			return b.name, true
		}
	}
	return "", false
}

// Hot lists the keys that too many records share to compare by them.
func (x *Index) Hot() []DroppedBlock {
	all := make([]DroppedBlock, len(x.hot))
	for at, h := range x.hot {
		all[at] = h.said
		all[at].Records = int(x.postings[h.rule].find(h.key).n)
	}
	return all
}

// Members are the records of a record's cluster, ascending.
func (x *Index) Members(i uint32) []uint32 { return x.groups.members(i) }

// Link says what is known of a pair. It returns the records whose cluster has another least record
// than before, ascending.
func (x *Index) Link(i, j uint32, v Link) (moved []uint32) {
	x.setLink(i, j, v)
	moved, _ = x.cluster([]uint32{i, j})
	return moved
}

func (x *Index) setLink(i, j uint32, v Link) {
	x.graph.drop(i, j, Same)
	x.graph.drop(i, j, Apart)
	if v != Unset {
		x.graph.add(i, j, float32(x.weight(i, j)), v)
	}
}

// Linked is what is known of a pair.
func (x *Index) Linked(i, j uint32) Link {
	for _, e := range x.graph.of(i) {
		if e.to == j && e.kind != Unset {
			return e.kind
		}
	}
	return Unset
}

// Edges are those of the model that a record has, the heaviest first.
func (x *Index) Edges(i uint32) []Edge {
	if x.graph.head[i] == 0 {
		return nil
	}
	_, refused := x.refusals(i)
	return x.edges(i, refused)
}

func (x *Index) edges(i uint32, refused map[[2]uint32]string) []Edge {
	var edges []Edge
	for _, e := range x.graph.of(i) {
		if e.kind != Unset {
			continue
		}
		rule, _ := x.together(i, e.to)
		a, b, weight := min(i, e.to), max(i, e.to), float64(e.weight)
		edges = append(edges, Edge{
			I: a, J: b, Weight: weight, Probability: probability(weight), Rule: rule,
			Refused: refused[[2]uint32{a, b}],
		})
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		p, q := a.I^a.J^i, b.I^b.J^i // the others
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(x.hashes[p], x.hashes[q]),
			cmp.Compare(p, q))
	})
	return edges
}

// Explain says how the weight of two records comes about and what became of them.
func (x *Index) Explain(i, j uint32) Explanation {
	e := x.weights.explain(x.comparer, i, j)
	e.A, e.B = int(i), int(j)
	o := outcome{
		options: x.options, link: x.Linked(i, j), together: x.groups.least[i] == x.groups.least[j],
	}
	e.Rule, o.compared = x.together(i, j)
	_, refused := x.refusals(i)
	o.refused = refused[[2]uint32{min(i, j), max(i, j)}]
	o.decide(&e)
	switch e.Verdict {
	case Joined:
		e.Through = through(e.A, e.B, x.pairs(x.Members(i)))
	case Refused:
		for _, a := range x.Members(i) {
			for _, b := range x.Members(j) {
				e.Against = worse(e.Against, int(a), int(b), x.weight(a, b))
			}
		}
	}
	return e
}

// pairs are what joins the records of a cluster, the heaviest first.
func (x *Index) pairs(members []uint32) []Pair {
	var pairs []Pair
	for _, i := range members {
		for _, e := range x.graph.of(i) {
			if e.to > i && e.kind != Apart && x.groups.least[e.to] == x.groups.least[i] {
				weight := float64(e.weight)
				pairs = append(pairs, Pair{int(i), int(e.to), weight, probability(weight), ""})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), a.A-b.A, a.B-b.B)
	})
	return pairs
}

// Restore puts a record in without comparing it, nil for one that was removed. RestoreEdge,
// RestoreLink and at last Settle make the index what it was; more may be restored then.
func (x *Index) Restore(texts []string) {
	for _, k := range x.enter(texts) {
		x.restored = x.cool(k, x.restored)
	}
}

// RestoreEdge puts an edge of the model in, as Add found it by the same model, in place of the one
// that there is.
func (x *Index) RestoreEdge(i, j uint32, weight float64) {
	x.graph.drop(i, j, Unset)
	x.graph.add(i, j, float32(weight), Unset)
	x.restored = append(x.restored, i, j)
}

// RestoreLink puts in what is known of a pair.
func (x *Index) RestoreLink(i, j uint32, v Link) {
	x.setLink(i, j, v)
	x.restored = append(x.restored, i, j)
}

// Settle makes the clusters of what was restored since the last time. Edges that only keys bring
// together that are hot by now are left out. It returns the records whose cluster has another least
// record than before, ascending.
func (x *Index) Settle() (moved []uint32) {
	slices.Sort(x.restored)
	seeds := slices.Compact(x.restored)
	x.restored = nil
	for _, i := range seeds {
		x.prune(i, nil)
	}
	moved, _ = x.cluster(seeds)
	return moved
}
