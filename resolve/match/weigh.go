package match

import "math"

// weights turn a comparison vector into a weight: the logarithm to base 2 of the odds that the two
// records are of one person.
type weights struct {
	*records
	levels [][]Level // by comparison; level 1 comes first
	prior  float64   // share of all pairs that are matches
	// lift is by how many bits two comparisons agree together more often than apart, among pairs
	// of two persons: people of one household share address, family name and phone.
	lift [][]float64
	// rarity is by comparison and value what an exact agreement on it weighs above or below the
	// average one.
	rarity [][]float32
	known  map[vector]*breakdown
}

// breakdown is what a vector weighs, comparison by comparison, without the rarity of its values.
type breakdown struct {
	total float64 // with the prior
	parts [maxComparisons]float64
	// share is how much of an exact agreement is left once what it shares with an earlier one is
	// taken off, from 0 to 1.
	share [maxComparisons]float64
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
		switch {
		case level == exactLevel:
			b.share[c] = w.share(v, c, part)
			part *= b.share[c]
		case col.Kind == EmailKind && ofName(level):
			part = max(0, part-max(0, names))
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

// share is what is left of an exact agreement's weight beside the agreements before it.
func (w *weights) share(v vector, c int, weight float64) float64 {
	if weight <= 0 {
		return 1
	}
	shared := 0.0
	for before := range c {
		if v.level(before) != exactLevel {
			continue
		}
		shared = max(shared, w.lift[before][c])
	}
	return max(0, weight-shared) / weight
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
	if b.veto {
		total = min(total, vetoWeight)
	}
	return total
}

// rare is what the value that the pair agrees on adds.
func (w *weights) rare(b *breakdown, c int, i uint32) float64 {
	return b.share[c] * float64(w.rarity[c][w.columns[c].rows[i]])
}
