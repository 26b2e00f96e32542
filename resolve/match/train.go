package match

import (
	"math"
	"slices"
)

// rates are how often pairs are on each level, over all pairs of records, matches or not.
type rates struct {
	level [][]float64 // by comparison and level
	pairs float64     // all pairs
	seen  float64     // pairs that the rates of levels between exact and other come from
	// context is what pairs are like that share something.
	context []context
}

const (
	sampledPairs = 1 << 18
	// sampledRecords is how many records tell how often two have the same value.
	sampledRecords = 200_000
)

// measure counts levels over pairs, without blocking. How often values are equal and missing comes
// from counting values, the rest from a sample of pairs, or from all where there are few.
func (c *comparer) measure() rates {
	k := len(c.columns)
	r := rates{pairs: c.pairs(), level: grid(k, maxLevels), context: make([]context, c.contexts())}
	for at := range k {
		r.context[at] = c.measureContext(at)
		r.context[k+at].level = grid(k, maxLevels)
	}
	r.context[c.bothNames()] = c.measureContext(c.bothNames())
	c.sampledPairs(func(i, j uint32) {
		v := c.compare(i, j)
		r.seen++
		for at := range k {
			r.level[at][v.level(at)]++
			if c.within(v, k+at) {
				r.context[k+at].add(v)
			}
		}
	})
	for at := range k {
		for l := range r.level[at] {
			r.level[at][l] /= r.seen
		}
		c.exactRate(&r, at)
		alike := &r.context[k+at]
		alike.rate = alike.seen / r.seen
		alike.scale()
	}
	return r
}

// sampledPairs calls each with pairs of records as they come, with all where there are few.
func (c *comparer) sampledPairs(each func(i, j uint32)) {
	if c.pairs() <= sampledPairs {
		c.everyPair(each)
		return
	}
	n := uint64(c.len())
	for x := range uint64(sampledPairs) {
		i := x % n
		j := (i + 1 + (x/n+1)*7919) % n
		if i != j && c.across(uint32(i), uint32(j)) {
			each(uint32(i), uint32(j))
		}
	}
}

// exactRate puts the rate of equal values in place of the sampled one.
func (c *comparer) exactRate(r *rates, at int) {
	level := r.level[at]
	exact := r.context[at].rate
	rest := 0.0
	for l := 2; l < len(level); l++ {
		rest += level[l]
	}
	if rest > 0 {
		scale := max(0, rest+level[exactLevel]-exact) / rest
		for l := 2; l < len(level); l++ {
			level[l] *= scale
		}
	}
	level[exactLevel] = exact
}

// grids has a grid of levels for each of so many contexts.
func grids(contexts, comparisons int) [][][]float64 {
	g := make([][][]float64, contexts)
	for at := range g {
		g[at] = grid(comparisons, maxLevels)
	}
	return g
}

func grid(rows, columns int) [][]float64 {
	g := make([][]float64, rows)
	for i := range g {
		g[i] = make([]float64, columns)
	}
	return g
}

// tally is how many pairs have each vector.
type tally map[vector]float64

// trainedPairs is about how many candidates the weights are learnt from: more teach nothing new.
const trainedPairs = 1 << 21

// matched are the levels of the pairs that are taken for matches, each as far as it is one.
type matched struct {
	*records
	total  float64
	level  [][]float64
	within [][][]float64 // by context, comparison and level
	// apart is how many pairs are on the level "other" in two columns at once, told how many of those
	// on it in the first have a value in the second.
	apart, told [][]float64
	// doubt is which share of pairs may be none by the errors of the model alone.
	doubt float64
}

// How sure it is which pairs are matches: by the weights of a round, and by the clusters.
const (
	doubtOfWeights  = 0.1
	doubtOfClusters = 0.02
)

func newMatched(r *records, doubt float64) *matched {
	k := len(r.columns)
	return &matched{
		records: r, level: grid(k, maxLevels), within: grids(r.contexts(), k), apart: grid(k, k),
		told: grid(k, k), doubt: doubt,
	}
}

func (m *matched) add(v vector, weight float64) {
	m.total += weight
	for c := range m.columns {
		m.level[c][v.level(c)] += weight
		if v.level(c) == m.last[c] && m.columns[c].Kind.place() {
			m.addApart(v, c, weight)
		}
	}
	for at := range m.within {
		if !m.records.within(v, at) {
			continue
		}
		for c := range m.columns {
			m.within[at][c][v.level(c)] += weight
		}
	}
}

func (m *matched) addApart(v vector, c int, weight float64) {
	for other := range m.columns {
		switch v.level(other) {
		case nullLevel:
			continue
		case m.last[other]:
			m.apart[c][other] += weight
		}
		m.told[c][other] += weight
	}
}

// The shipped weights count as this many pairs that were seen: the data outweigh them soon.
const (
	priorMatches = 20
	priorChance  = 0.5
)

// learn takes m from the matched pairs, and u and the lifts from all others.
func (w *weights) learn(model Model, r rates, m *matched) {
	if model.Prior > 0 {
		w.prior = model.Prior
	} else {
		w.prior = min(max(m.total/r.pairs, 1/r.pairs), 0.5)
	}
	w.known = map[vector]*breakdown{}
	for c, col := range w.columns {
		w.learnLevels(model.levels(col.Column), c, r, m)
	}
	w.learnLifts(r, m)
	w.learnMoves(m)
}

func (w *weights) learnLevels(shipped []Level, c int, r rates, m *matched) {
	matches := m.total - m.level[c][nullLevel]
	unlike := (1 - r.level[c][nullLevel]) - matches/r.pairs
	for i, l := range shipped {
		if l.Fixed {
			w.levels[c][i] = l
			continue
		}
		seen := r.seen
		if i+1 == exactLevel {
			seen = r.pairs
		}
		at := r.level[c][i+1]
		chance := max(0, at-m.level[c][i+1]/r.pairs)
		u := (chance*seen + priorChance) / (max(unlike, 0)*seen + priorChance/l.U)
		w.levels[c][i].U = min(max(u, l.U/20, at/50), 0.999999)
		w.levels[c][i].M = (m.level[c][i+1] + priorMatches*l.M) / (matches + priorMatches)
	}
}

// commonness sets what the rarity of each value weighs. others is by how many records, of those
// that share a value with one, are another's.
func (w *weights) commonness(others func(c int, id uint32) float64) {
	n := float64(w.len())
	for c, col := range w.columns {
		u := w.levels[c][0].U
		w.rarity[c] = make([]float32, len(col.values))
		for id := 1; id < len(col.values); id++ {
			if col.counts[id] == 0 {
				continue
			}
			frequency := (others(c, uint32(id)) + priorChance) / (n + priorChance/u)
			w.rarity[c][id] = float32(math.Log2(u) - math.Log2(frequency))
		}
	}
}

// Rounds of expectation and maximisation, and when they stop.
const (
	maxRounds = 25
	settled   = 1e-4
)

// train finds the weights of the records by expectation and maximisation over the vectors of the
// candidates. Pairs that blocking never brings together count as no matches.
func train(c *comparer, model Model, r rates, t tally) *weights {
	k := len(c.columns)
	w := &weights{
		records: c.records, levels: make([][]Level, k), rarity: make([][]float32, k),
		lift: grids(c.contexts(), k), implied: c.impliedShares(), moved: grid(k, k),
	}
	m := newMatched(c.records, doubtOfWeights)
	m.total = float64(c.len()) / 10
	for at, col := range c.columns {
		w.levels[at] = slices.Clone(model.levels(col.Column))
		for l, shipped := range w.levels[at] {
			m.level[at][l+1] = m.total * shipped.M
		}
	}
	w.setVerified(model)
	w.learn(model, r, m)
	w.shipLifts()
	order := t.sorted()
	for range maxRounds {
		m = newMatched(c.records, doubtOfWeights)
		for _, v := range order {
			b := w.of(v)
			if !b.veto {
				m.add(v, t[v]*probability(b.total))
			}
		}
		before := w.prior
		w.learn(model, r, m)
		if math.Abs(before-w.prior) < settled*w.prior {
			break
		}
	}
	w.commonness(func(c int, id uint32) float64 {
		own := min(1, m.level[c][exactLevel]/max(1, r.level[c][exactLevel]*r.pairs))
		return float64(w.columns[c].counts[id]-1) * (1 - own)
	})
	return w
}

// sorted lists the vectors in one order: sums of floats depend on it.
func (t tally) sorted() []vector {
	order := make([]vector, 0, len(t))
	for v := range t {
		order = append(order, v)
	}
	slices.Sort(order)
	return order
}
