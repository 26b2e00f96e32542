package match

import "math"

// weights turn a comparison vector into a weight: the logarithm to base 2 of the odds that the two
// records are of one person.
type weights struct {
	*records
	levels [][]Level // by comparison; level 1 comes first
	prior  float64   // share of all pairs that are matches
	// lift is, by context, comparison and level, by how many bits the level is met more often in the
	// context than among all pairs of two persons.
	lift    [][][]float64
	implied [][][]float64 // by the same, the shares that the lifts begin with
	// moved is by how many bits two places of a person differ more often at once than alone.
	moved [][]float64
	// rarity is by comparison and value what an exact agreement on it weighs above or below the
	// average one.
	rarity [][]float32
	// verified are the columns that two records of one person never differ in.
	verified []int
	known    map[vector]*breakdown
}

// breakdown is what a vector weighs, comparison by comparison, without the rarity of its values.
type breakdown struct {
	total float64 // with the prior
	parts [maxComparisons]float64
	// share is how much of an agreement is left once what an earlier one has said is taken off, from
	// 0 to 1; moved whether a place that differs has been counted by an earlier one in part.
	share [maxComparisons]float64
	moved [maxComparisons]bool
	veto  bool
}

// vetoWeight is what a pair weighs at most that a veto keeps apart.
const vetoWeight = -20

// logit is the weight of a probability.
func logit(p float64) float64 { return math.Log2(p) - math.Log2(1-p) }

// probability is what a weight stands for.
func probability(weight float64) float64 {
	if weight >= 0 {
		return 1 / (1 + math.Exp2(-weight))
	}
	odds := math.Exp2(weight)
	return odds / (1 + odds)
}

// of returns the breakdown of a vector. It remembers it.
func (w *weights) of(v vector) *breakdown {
	if b := w.known[v]; b != nil {
		return b
	}
	b := w.weigh(v)
	w.known[v] = b
	return b
}

func (w *weights) weigh(v vector) *breakdown {
	b := &breakdown{total: logit(w.prior)}
	names := 0.0
	for c, col := range w.columns {
		level := v.level(c)
		if level == nullLevel {
			continue
		}
		part := w.levels[c][level-1].Weight()
		b.share[c] = 1
		if part > 0 {
			shared := w.dependence(v, c)
			if col.Kind == EmailKind && ofName(level) {
				shared = max(shared, names)
			}
			b.share[c] = max(0, part-shared) / part
			part *= b.share[c]
		} else if gain := w.move(v, c); gain > 0 {
			b.moved[c] = true
			part = min(0, part+gain)
		}
		if col.Kind == GivenName || col.Kind == FamilyName {
			names += part
		}
		b.parts[c] = part
		b.total += part
	}
	b.veto = w.household(v)
	return b
}

// ofName reports whether a likeness of e-mail addresses comes from the names.
func ofName(level int) bool {
	return level == emailUserName || level == emailCloseName || level == emailAlikeName
}

// household reports whether a pair looks like two of one household, whatever else they share:
// given names that have nothing in common, another birth date or e-mail address, and no code of a
// person that speaks for one.
func (w *weights) household(v vector) bool {
	other, apart := false, false
	for c, col := range w.columns {
		level := v.level(c)
		switch col.Kind {
		case GivenName:
			other = other || level == givenOther
		case Date:
			apart = apart || level >= 6
		case EmailKind:
			apart = apart || level == emailOther
		case Code:
			if level == exactLevel {
				return false
			}
		}
	}
	return other && apart
}

// score is the weight of a pair.
func (w *weights) score(v vector, i, j uint32) float64 {
	b := w.of(v)
	total := b.total
	for c := range w.columns {
		if v.level(c) == exactLevel {
			total += w.rare(b, c, i)
		}
	}
	if b.veto || w.conflict(v, i, j) >= 0 {
		total = min(total, vetoWeight)
	}
	return total
}

// rare is what the value that the pair agrees on adds.
func (w *weights) rare(b *breakdown, c int, i uint32) float64 {
	return b.share[c] * float64(w.rarity[c][w.columns[c].rows[i]])
}
