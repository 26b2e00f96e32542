package match

import (
	"cmp"
	"math"
	"slices"
)

// A context is what the two records of a pair share. For k columns: from 0 on the same value in a
// column, from k on values that are alike, and at last both names the same. Pairs by chance seldom
// have the same value, so pairs of such a context are looked for.

// context counts the pairs that share something.
type context struct {
	rate  float64     // share of all pairs
	seen  float64     // pairs that were looked at
	level [][]float64 // by comparison and level, the share of all pairs
}

func (x *context) add(v vector) {
	x.seen++
	for c := range x.level {
		x.level[c][v.level(c)]++
	}
}

// scale makes shares of all pairs of the pairs that were looked at.
func (x *context) scale() {
	for c := range x.level {
		for l := range x.level[c] {
			x.level[c][l] *= x.rate / max(1, x.seen)
		}
	}
}

func (r *records) contexts() int { return r.bothNames() + 1 }

func (r *records) bothNames() int { return 2 * len(r.columns) }

// within reports whether a pair is in a context. A mailbox of a function is nobody's own: to have
// it in common is no context.
func (r *records) within(v vector, context int) bool {
	k := len(r.columns)
	switch {
	case context < k:
		return v.level(context) == exactLevel
	case context < 2*k:
		level := v.level(context - k)
		return level > exactLevel && level < r.last[context-k] &&
			!(level == emailRole && r.columns[context-k].Kind == EmailKind)
	}
	return r.given >= 0 && r.family >= 0 && v.level(r.given) == exactLevel &&
		v.level(r.family) == exactLevel
}

// shared is what record i has of a context of same values, as a hash: the order of ids is that of
// the input. It is 0 where it has nothing.
func (r *records) shared(context int, i uint32) uint64 {
	if context != r.bothNames() {
		col := r.columns[context]
		if v := &col.values[col.rows[i]]; !v.role {
			return v.hash
		}
		return 0
	}
	if r.given < 0 || r.family < 0 {
		return 0
	}
	given, family := r.columns[r.given], r.columns[r.family]
	a, b := &given.values[given.rows[i]], &family.values[family.rows[i]]
	if a.hash == 0 || b.hash == 0 {
		return 0
	}
	return mix(a.hash, b.hash)
}

// contextPairs is how many pairs of a context are looked at, at most.
const contextPairs = 1 << 14

// measureContext counts the levels of pairs that share a value.
func (c *comparer) measureContext(at int) context {
	x := context{level: grid(len(c.columns), maxLevels)}
	g := c.sharing(at)
	if g.across == 0 {
		return x
	}
	x.rate = g.across / g.possible
	most := g.ends[len(g.ends)-1]
	step := max(1, float64(most)/contextPairs)
	for number := 0.0; uint64(number) < most; number += step {
		i, j := g.pair(uint64(number))
		if !c.across(i, j) {
			continue
		}
		x.add(c.compare(i, j))
	}
	x.scale()
	return x
}

// sharing are the records that share a value with others.
type sharing struct {
	records [][]keyed
	ends    []uint64 // how many pairs there are up to the end of each group
	across  float64  // how many of them may be compared
	// possible is how many pairs there would be if all shared one value.
	possible float64
}

func (r *records) sharing(context int) sharing {
	n := min(r.len(), sampledRecords) // the order is that of a hash: the first are a sample
	all := make([]keyed, 0, n)
	for i := range uint32(n) {
		if key := r.shared(context, i); key != 0 {
			all = append(all, keyed{key, i})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.record, b.record))
	})
	g, total := sharing{possible: r.pairsOf(r.source[:n])}, uint64(0)
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].key == all[from].key {
			to++
		}
		if size := uint64(to - from); size > 1 {
			total += size * (size - 1) / 2
			g.records, g.ends = append(g.records, all[from:to]), append(g.ends, total)
			g.across += r.pairsIn(all[from:to])
		}
		from = to
	}
	return g
}

func (r *records) pairsIn(group []keyed) float64 {
	files := make([]uint8, len(group))
	for at, one := range group {
		files[at] = r.source[one.record]
	}
	return r.pairsOf(files)
}

// pair is the pair that has a number.
func (g *sharing) pair(number uint64) (i, j uint32) {
	at, _ := slices.BinarySearch(g.ends, number+1)
	if at > 0 {
		number -= g.ends[at-1]
	}
	// Pair (x, y) of a group, x < y, has the number y(y-1)/2 + x.
	y := uint64((1 + math.Sqrt(1+8*float64(number))) / 2)
	for y*(y-1)/2 > number {
		y--
	}
	for y*(y+1)/2 <= number {
		y++
	}
	return g.records[at][number-y*(y-1)/2].record, g.records[at][y].record
}
