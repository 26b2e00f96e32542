package match

import "math"

// Evidence depends on other evidence: people of one household share address, family name and phone,
// those of one company its phone and the end of an e-mail address, and an address is made of the
// names. What comes with something else that a pair shares counts only as far as it says more: its
// weight is cut by the lift, the logarithm to base 2 of how much more often two persons are on a
// level who share the other thing (context.go) than any two are.

// implied is how often two persons who share something are on a level of a column, before the
// records have their say.
type implied struct {
	context, of Kind
	level       int
	share       float64
}

func shippedContexts() []implied {
	return []implied{
		{BothNames, EmailKind, emailUser, 0.02},
		{BothNames, EmailKind, emailClose, 0.05},
		{BothNames, EmailKind, emailUserName, 0.05},
		{BothNames, EmailKind, emailCloseName, 0.1},
		{BothNames, EmailKind, emailAlike, 0.1},
		{BothNames, EmailKind, emailAlikeName, 0.2},
		{EmailKind, FamilyName, exactLevel, 0.5},
		{EmailKind, Phone, exactLevel, 0.4},
		{EmailKind, Address, exactLevel, 0.5},
		{Phone, FamilyName, exactLevel, 0.3},
		{Phone, Address, exactLevel, 0.4},
		{Phone, Postcode, exactLevel, 0.4},
		{Address, FamilyName, exactLevel, 0.3},
		{Address, Postcode, exactLevel, 0.8},
		{Address, Place, exactLevel, 0.9},
		{Postcode, Place, exactLevel, 0.9},
		{Company, EmailKind, emailRole, 0.02},
		{Company, EmailKind, emailAlike, 0.02},
		{Company, EmailKind, emailAlikeName, 0.1},
		{Company, Phone, exactLevel, 0.3},
		{Company, Address, exactLevel, 0.5},
		{Company, Postcode, exactLevel, 0.5},
		{Company, Place, exactLevel, 0.7},
	}
}

// impliedShares are the shares of shippedContexts by context, comparison and level; 0 where there
// is none.
func (r *records) impliedShares() [][][]float64 {
	k := len(r.columns)
	shares := grids(r.contexts(), k)
	for at := range shares {
		if at >= k && at != r.bothNames() {
			continue
		}
		kind := Kind(BothNames)
		if at < k {
			kind = r.columns[at].Kind
		}
		for _, s := range shippedContexts() {
			for c, col := range r.columns {
				if s.context == kind && s.of == col.Kind && c != at {
					shares[at][c][s.level] = s.share
				}
			}
		}
	}
	return shares
}

// shipLifts sets the lifts that training begins with.
func (w *weights) shipLifts() {
	for at := range w.lift {
		for c := range w.columns {
			for i, l := range w.levels[c] {
				w.lift[at][c][i+1] = 0
				if share := w.implied[at][c][i+1]; share > l.U {
					w.lift[at][c][i+1] = math.Log2(share) - math.Log2(l.U)
				}
			}
		}
	}
	w.even(func(a, b float64, _, _ int) float64 { return max(a, b) })
}

// The shipped shares count as this many pairs that were seen.
const impliedPairs = 20

// learnLifts measures the lifts anew. Of two columns the one that is shared more seldom tells how
// often both are at once.
func (w *weights) learnLifts(r rates, m *matched) {
	for at, x := range r.context {
		for c := range w.columns {
			w.learnLift(x, at, c, r, m)
		}
	}
	w.even(func(a, b float64, of, by int) float64 {
		if r.context[by].rate < r.context[of].rate {
			return b
		}
		return a
	})
}

// learnLift takes the lifts of a column from the pairs of a context that are no matches, where they
// are more than the errors of the model.
func (w *weights) learnLift(x context, at, c int, r rates, m *matched) {
	levels := len(w.levels[c])
	var rest [maxLevels]float64 // pairs seen, by level
	total := 0.0
	for l := exactLevel; l <= levels && x.rate > 0; l++ {
		unlike := x.level[c][l] - m.within[at][c][l]/r.pairs
		if unlike >= x.level[c][l]*m.doubt {
			rest[l] = unlike / x.rate * x.seen
		}
		total += rest[l]
	}
	for i, level := range w.levels[c] {
		share := max(w.implied[at][c][i+1], level.U)
		seen := rest[i+1]
		if share == level.U { // nothing speaks for it but a few pairs: less the error of counting
			seen = max(0, seen-math.Sqrt(seen)-1)
		}
		share = (seen + impliedPairs*share) / (total + impliedPairs)
		w.lift[at][c][i+1] = max(0, math.Log2(share)-math.Log2(level.U))
	}
}

// even makes one of the lifts that two columns have of each other where both values are the same.
func (w *weights) even(of func(a, b float64, at, by int) float64) {
	for a := range w.columns {
		for b := range a {
			both := of(w.lift[a][b][exactLevel], w.lift[b][a][exactLevel], a, b)
			w.lift[a][b][exactLevel], w.lift[b][a][exactLevel] = both, both
		}
	}
}

// dependence is by how many bits the level of a column says what an earlier one has said.
func (w *weights) dependence(v vector, c int) float64 {
	most, k := 0.0, len(w.columns)
	for before := range c {
		switch {
		case v.level(before) == nullLevel:
		case w.within(v, before):
			most = max(most, w.lift[before][c][v.level(c)])
		case w.within(v, c):
			most = max(most, w.lift[c][before][v.level(before)])
		case w.within(v, k+before):
			most = max(most, w.lift[k+before][c][v.level(c)])
		}
	}
	// The same address is no chance, whoever is called the same; one that is like it may be.
	if w.columns[c].Kind == EmailKind && v.level(c) != exactLevel && w.within(v, w.bothNames()) {
		most = max(most, w.lift[w.bothNames()][c][v.level(c)])
	}
	return most
}

// place reports whether a kind says where someone is: who moves changes all of them.
func (k Kind) place() bool { return k == Address || k == Postcode || k == Place }

// learnMoves measures how much more often two places of a person differ at once than alone, as the
// logarithm to base 2.
func (w *weights) learnMoves(m *matched) {
	for a, first := range w.columns {
		for b, second := range w.columns {
			if a == b || !first.Kind.place() || !second.Kind.place() {
				continue
			}
			alone := w.levels[b][w.last[b]-1].M
			share := (m.apart[a][b] + impliedPairs*alone) / (m.told[a][b] + impliedPairs)
			w.moved[a][b] = max(0, math.Log2(share)-math.Log2(alone))
		}
	}
}

// move is by how many bits less a place speaks against a pair because an earlier one does already.
func (w *weights) move(v vector, c int) float64 {
	most := 0.0
	if v.level(c) != w.last[c] || !w.columns[c].Kind.place() {
		return 0
	}
	for before := range c {
		if v.level(before) == w.last[before] {
			most = max(most, w.moved[before][c])
		}
	}
	return most
}

// lifts are those that count, as a model has them.
func (w *weights) lifts() (together, apart []Lift) {
	k := len(w.columns)
	for at := range w.lift {
		given := Lift{Given: BothNames}
		if at < 2*k {
			given = Lift{Given: w.columns[at%k].Name, Alike: at >= k}
		}
		for c, col := range w.columns {
			for i, level := range w.levels[c] {
				l := given
				l.Column, l.Level, l.Bits = col.Name, level.Name, asWritten(w.lift[at][c][i+1])
				counts := at%k != c
				if at == w.bothNames() {
					counts = col.Kind == EmailKind && i+1 != exactLevel
				}
				if counts && l.Bits > 0 && level.Weight() > 0 {
					together = append(together, l)
				}
			}
		}
	}
	for a := range w.columns {
		for b, col := range w.columns {
			if bits := asWritten(w.moved[a][b]); bits > 0 {
				apart = append(apart, Lift{
					Given: w.columns[a].Name, Column: col.Name, Level: w.levels[b][w.last[b]-1].Name, Bits: bits,
				})
			}
		}
	}
	return together, apart
}

// setLifts takes the lifts of a model.
func (w *weights) setLifts(m Model) {
	is := func(name string, c *column) bool { return name == c.Name || name == string(c.Kind) }
	k := len(w.columns)
	for _, l := range m.Together {
		for at := range w.lift {
			if at == 2*k && l.Given != BothNames ||
				at < 2*k && (!is(l.Given, w.columns[at%k]) || l.Alike != (at >= k)) {
				continue
			}
			for c, col := range w.columns {
				for i, level := range w.levels[c] {
					if is(l.Column, col) && level.Name == l.Level {
						w.lift[at][c][i+1] = l.Bits
					}
				}
			}
		}
	}
	for _, l := range m.Apart {
		for a, first := range w.columns {
			for b, second := range w.columns {
				if a != b && is(l.Given, first) && is(l.Column, second) {
					w.moved[a][b] = l.Bits
				}
			}
		}
	}
}
