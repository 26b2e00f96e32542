package match

import (
	"cmp"
	"slices"
)

// Explanation is how a pair's weight comes about: the prior, then what each column adds.
type Explanation struct {
	// A and B are the records, from 0.
	A, B int
	// Prior is the weight before any column was looked at.
	Prior float64
	Lines []Line
	// Weight is the sum, Probability what it stands for.
	Weight      float64
	Probability float64
	// Rule is what brought the pair together; empty where nothing did.
	Rule string
	// Decision says what became of the pair.
	Decision string
}

// Line is what one column adds to a weight.
type Line struct {
	Column Column
	// Left and Right are the values as they were compared, empty where there is none.
	Left, Right string
	// LeftSteps and RightSteps name what made the values of the texts.
	LeftSteps, RightSteps []string
	// Level is what the values agree on.
	Level string
	// Weight is what the level adds, Rarity what the value adds that both have.
	Weight, Rarity float64
	// Total is the sum up to here.
	Total float64
	// Note says why a weight is not the one of its level.
	Note string
}

// Explain says how the weight of two records comes about.
func (r *Result) Explain(a, b int) Explanation {
	i, j := r.place[a], r.place[b]
	w := r.weights
	v := r.comparer.compare(i, j)
	parts := w.of(v)
	e := Explanation{A: a, B: b, Prior: logit(w.prior)}
	total := e.Prior
	for c, col := range w.columns {
		line := Line{
			Column: col.Column, Left: col.values[col.rows[i]].text, Right: col.values[col.rows[j]].text,
			Level: r.levelName(v, c), Weight: parts.parts[c],
		}
		line.LeftSteps, line.RightSteps = r.steps(col.Name, a), r.steps(col.Name, b)
		if v.level(c) == exactLevel {
			line.Rarity = w.rare(parts, c, i)
			if parts.share[c] < 0.95 {
				line.Note = "partly counted before"
			}
		} else if col.Kind == EmailKind && ofName(v.level(c)) {
			line.Note = "only as far as it says more than the name"
		}
		total += line.Weight + line.Rarity
		line.Total = total
		e.Lines = append(e.Lines, line)
	}
	if parts.veto && total > vetoWeight {
		e.Lines = append(e.Lines, Line{
			Level: "two of one household", Weight: vetoWeight - total, Total: vetoWeight,
			Note: "the given names differ, and so does the birth date or the e-mail address",
		})
		total = vetoWeight
	}
	e.Weight, e.Probability = total, probability(total)
	e.Rule, _ = r.blocks.together(i, j)
	e.Decision = r.decision(a, b, total)
	return e
}

func (r *Result) levelName(v vector, c int) string {
	col := r.weights.columns[c]
	switch level := v.level(c); {
	case level != nullLevel:
		return r.weights.levels[c][level-1].Name
	case col.Kind == FamilyName && v.level(r.comparer.given) == givenSwapped:
		return "swapped with the given name"
	}
	return "no value"
}

// steps names what normalising did to a record's text.
func (r *Result) steps(column string, at int) []string {
	k := slices.IndexFunc(r.set.columns, func(c *rawColumn) bool { return c.name == column })
	if k < 0 {
		return nil // it was made of another column
	}
	raw := r.set.columns[k]
	n := normaliser{
		kind: raw.kind(r.options), order: orderOf(raw.texts), region: r.options.Model.Region,
	}
	_, steps := n.of(r.set.Text(at, k))
	return steps
}

// decision says in words what became of a pair.
func (r *Result) decision(a, b int, weight float64) string {
	i, j := r.place[a], r.place[b]
	together := r.Cluster[a] == r.Cluster[b]
	likely := weight >= logit(r.options.Threshold)
	_, compared := r.blocks.together(i, j)
	refused := cmp.Or(r.refused[[2]uint32{i, j}], r.refused[[2]uint32{j, i}])
	switch {
	case together && likely:
		return "match: they are in one cluster"
	case together:
		return "in one cluster through other records, although this pair alone is below the threshold"
	case likely && !r.comparer.across(i, j):
		return "not compared: both are in the same file, and only pairs across the two files are"
	case likely && !compared:
		return "not compared: nothing brought the two together, so they stay apart"
	case likely:
		return "refused: the pair alone is above the threshold, but " +
			cmp.Or(refused, "their clusters do not agree on the whole")
	case weight >= logit(r.options.Review):
		return "near miss: below the threshold, worth a look"
	}
	return "no match"
}

// Learnt is the model with the weights that these records gave, by column.
func (r *Result) Learnt() Model {
	m := Model{
		Prior: r.Prior, Region: r.options.Model.Region, Columns: r.options.Model.Columns,
		Comparisons: map[string][]Level{},
	}
	for c, col := range r.weights.columns {
		m.Comparisons[col.Name] = r.weights.levels[c]
	}
	return m
}
