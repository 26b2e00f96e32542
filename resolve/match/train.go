package match

import (
	"math"
	"slices"
)

// rates are how often pairs are on each level, over all pairs of records, matches or not.
type rates struct {
	level [][]float64 // by comparison and level
	both  [][]float64 // two comparisons exact at once
	pairs float64     // all pairs
	seen  float64     // pairs that the rates of levels between exact and other come from
}

const (
	sampledPairs = 1 << 18
	// sampledRecords is how many records tell how often two columns agree at once.
	sampledRecords = 200_000
)

// measure counts levels over pairs, without blocking. How often values are equal and missing comes
// from counting values, the rest from a sample of pairs, or from all where there are few.
func (c *comparer) measure() rates {
	n, k := c.len(), len(c.columns)
	r := rates{pairs: c.pairs(), level: grid(k, maxComparisons), both: grid(k, k)}
	count := func(i, j uint32) {
		v := c.compare(i, j)
		r.seen++
		for at := range k {
			r.level[at][v.level(at)]++
		}
	}
	if r.pairs <= sampledPairs {
		c.everyPair(count)
	} else {
		for x := range uint64(sampledPairs) {
			i := x % uint64(n)
			j := (i + 1 + (x/uint64(n)+1)*7919) % uint64(n)
			if i != j && c.across(uint32(i), uint32(j)) {
				count(uint32(i), uint32(j))
			}
		}
	}
	for at := range k {
		for l := range r.level[at] {
			r.level[at][l] /= r.seen
		}
		c.exactRate(&r, at)
		for before := range at {
			r.both[before][at] = c.jointRate(before, at)
		}
	}
	return r
}

// exactRate puts the rate of equal values in place of the sampled one.
func (c *comparer) exactRate(r *rates, at int) {
	level := r.level[at]
	exact := c.jointRate(at, at)
	if c.columns[at].Kind == EmailKind {
		exact = max(0, exact-level[emailRole])
	}
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

// jointRate is the share of pairs that are equal in both columns.
func (c *comparer) jointRate(a, b int) float64 {
	n := min(c.len(), sampledRecords) // the order is that of a hash: the first are a sample
	counts := make(map[uint64][2]uint32, n)
	x, y := c.columns[a].rows, c.columns[b].rows
	var all [2]float64
	for i := range n {
		file := c.source[i]
		all[file]++
		if x[i] == 0 || y[i] == 0 {
			continue
		}
		key := uint64(x[i])<<32 | uint64(y[i])
		sum := counts[key]
		sum[file]++
		counts[key] = sum
	}
	equal := 0.0
	for _, sum := range counts {
		p, q := float64(sum[0]), float64(sum[1])
		if c.linked {
			equal += p * q
		} else {
			equal += p * (p - 1) / 2
		}
	}
	if c.linked {
		return equal / (all[0] * all[1])
	}
	return equal / (all[0] * (all[0] - 1) / 2)
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
	level [][]float64
	both  [][]float64
	total float64
}

func newMatched(k int) *matched {
	return &matched{level: grid(k, maxComparisons), both: grid(k, k)}
}

func (m *matched) add(v vector, weight float64) {
	m.total += weight
	for c := range m.level {
		level := v.level(c)
		m.level[c][level] += weight
		if level != exactLevel {
			continue
		}
		for before := range c {
			if v.level(before) == exactLevel {
				m.both[before][c] += weight
			}
		}
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
	for c := range w.columns {
		for before := range c {
			w.lift[before][c] = w.liftOf(before, c, r, m)
		}
	}
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

// liftOf compares how often two columns agree at once with how often they would by chance.
func (w *weights) liftOf(a, b int, r rates, m *matched) float64 {
	const few = 5 // pairs that tell nothing
	together := r.both[a][b] - m.both[a][b]/r.pairs
	if together*min(r.pairs, sampledRecords*sampledRecords/2) < few || together < r.both[a][b]/10 {
		return 0
	}
	apart := w.levels[a][0].U * w.levels[b][0].U
	return max(0, math.Log2(together)-math.Log2(apart))
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
		records: c.records, levels: make([][]Level, k), lift: grid(k, k), rarity: make([][]float32, k),
	}
	for at, col := range c.columns {
		w.levels[at] = append([]Level(nil), model.levels(col.Column)...)
	}
	m := newMatched(k)
	m.total = float64(c.len()) / 10
	for at := range k {
		for l, shipped := range model.levels(c.columns[at].Column) {
			m.level[at][l+1] = m.total * shipped.M
		}
	}
	w.learn(model, r, m)
	order := t.sorted()
	for range maxRounds {
		m = newMatched(k)
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
