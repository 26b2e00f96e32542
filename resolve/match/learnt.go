package match

import (
	"cmp"
	"math"
	"slices"
)

// mostListed is how many values of a column a model lists.
const mostListed = 5000

// leastListed is how many of other people's records have a value that a model lists: what tells
// less than others of its column. An address or a number that few share is nobody's business but
// theirs.
func leastListed(k Kind) float64 {
	switch k {
	case EmailKind, Phone, Code, Address:
		return 4
	}
	return 1
}

// Learnt is the model with the weights that these records gave, by column, and all else that an
// Index needs to go by it.
func (r *Result) Learnt() Model {
	if r.index != nil {
		return r.options.Model
	}
	w := r.weights
	m := Model{
		Name: r.options.Model.Name, Prior: asWritten(r.Prior), Region: r.options.Model.Region,
		Verified: r.options.Model.Verified,
		Columns:  map[string]Kind{}, Comparisons: map[string][]Level{},
		Frequencies: map[string]Frequencies{},
	}
	for _, raw := range r.set.columns {
		m.Columns[raw.name] = raw.kind(r.options)
		if m.Columns[raw.name] == Date && orderOf(raw.texts) == monthFirst {
			m.MonthFirst = append(m.MonthFirst, raw.name)
		}
	}
	for _, c := range r.Ignored {
		m.Columns[c.Name] = Ignored
	}
	for c, col := range w.columns {
		levels := slices.Clone(w.levels[c])
		for i, l := range levels {
			levels[i].M, levels[i].U = asWritten(l.M), asWritten(l.U)
		}
		m.Comparisons[col.Name] = levels
		m.Frequencies[col.Name] = w.frequencies(c)
	}
	m.Together, m.Apart = w.lifts()
	return m
}

// frequencies are those that the rarity of a column's values comes from.
func (w *weights) frequencies(c int) Frequencies {
	col, u := w.columns[c], w.levels[c][0].U
	of := func(id int) float64 { return u * math.Exp2(-float64(w.rarity[c][id])) }
	var ids []int
	for id := 1; id < len(col.values); id++ {
		if col.counts[id] > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b int) int {
		return cmp.Or(cmp.Compare(w.rarity[c][a], w.rarity[c][b]),
			cmp.Compare(col.values[a].text, col.values[b].text))
	})
	const rounding = 0.01 // of rarity
	f := Frequencies{Common: map[string]float64{}}
	bits, records, least := 0.0, 0.0, leastListed(col.Kind)-rounding
	for at, id := range ids {
		others := of(id)*(float64(w.len())+priorChance/u) - priorChance
		if at < mostListed && others >= least {
			f.Common[col.values[id].text] = asWritten(of(id))
			continue
		}
		// The mean of the logarithms is that of what these values weigh.
		bits += float64(col.counts[id]) * math.Log2(of(id))
		records += float64(col.counts[id])
	}
	f.Rare = asWritten(u)
	if records > 0 {
		f.Rare = asWritten(math.Exp2(bits / records))
	}
	return f
}

// ColumnsOf says what columns hold by the model, else by their names; others are ignored.
func (m Model) ColumnsOf(names []string) []Column {
	columns := make([]Column, len(names))
	for i, name := range names {
		kind, ok := m.Columns[name]
		if !ok {
			kind, ok = kindByName(name)
		}
		if !ok {
			kind = Ignored
		}
		columns[i] = Column{name, kind}
	}
	return columns
}
