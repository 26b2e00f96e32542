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
	// Verdict is what became of the pair, Decision says it in words.
	Verdict  Verdict
	Decision string
	// Through are the records between two that are in one cluster through others alone.
	Through []int
	// Against is, of a refused pair, the one across its clusters that speaks most against it.
	Against *Pair
}

// Verdict is what became of a pair.
type Verdict string

// The verdicts.
const (
	Matched     Verdict = "match"
	Joined      Verdict = "joined through others"
	Refused     Verdict = "refused"
	NearMiss    Verdict = "near miss"
	NotCompared Verdict = "not compared"
	NoMatch     Verdict = "no match"
)

// Levels that are told by name.
const (
	levelNone  = "no value"
	levelExact = "exact"
	levelClose = "close"
	levelVeto  = "kept apart"
)

// Line is what one column adds to a weight.
type Line struct {
	Column Column
	// Left and Right are the values as they were compared, empty where there is none.
	Left, Right string
	// LeftSteps and RightSteps name what made the values of the texts.
	LeftSteps, RightSteps []string
	// Level is what the values agree on.
	Level string
	// Edits is by how many characters two values differ, where it is one or two; else 0.
	Edits int
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
		if n := edits(line.Left, line.Right, 2); n <= 2 && line.Left != "" && line.Right != "" {
			line.Edits = n
		}
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
			Level: levelVeto, Weight: vetoWeight - total, Total: vetoWeight,
			Note: "the given names differ, and so does the birth date or the e-mail address",
		})
		total = vetoWeight
	}
	e.Weight, e.Probability = total, probability(total)
	e.Rule, _ = r.blocks.together(i, j)
	r.decide(&e)
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
	return levelNone
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

// decide says what became of a pair.
func (r *Result) decide(e *Explanation) {
	i, j := r.place[e.A], r.place[e.B]
	together := r.Cluster[e.A] == r.Cluster[e.B]
	likely := e.Weight >= logit(r.options.Threshold)
	_, compared := r.blocks.together(i, j)
	refused := cmp.Or(r.refused[[2]uint32{i, j}], r.refused[[2]uint32{j, i}])
	switch {
	case together && likely:
		e.Verdict, e.Decision = Matched, "match: they are in one cluster"
	case together:
		e.Verdict, e.Through = Joined, r.through(e.A, e.B)
		e.Decision = "in one cluster through other records, although this pair alone is below the " +
			"threshold"
	case likely && !r.comparer.across(i, j):
		e.Verdict = NotCompared
		e.Decision = "not compared: both are in the same file, and only pairs across the two files are"
	case likely && !compared:
		e.Verdict = NotCompared
		e.Decision = "not compared: nothing brought the two together, so they stay apart"
	case likely:
		e.Verdict, e.Against = Refused, r.against(e.A, e.B)
		e.Decision = "refused: the pair alone is above the threshold, but " +
			cmp.Or(refused, "their clusters do not agree on the whole")
	case e.Weight >= logit(r.options.Review):
		e.Verdict, e.Decision = NearMiss, "near miss: below the threshold, worth a look"
	default:
		e.Verdict, e.Decision = NoMatch, "no match"
	}
}

// members are the records of the cluster that a record is in, ascending.
func (r *Result) members(at int) []int {
	var all []int
	for other, cluster := range r.Cluster {
		if cluster == r.Cluster[at] {
			all = append(all, other)
		}
	}
	return all
}

// against is the pair across the clusters of two records that speaks most against them.
func (r *Result) against(a, b int) *Pair {
	var worst *Pair
	for _, x := range r.members(a) {
		for _, y := range r.members(b) {
			i, j := r.place[x], r.place[y]
			if !r.comparer.across(i, j) {
				continue
			}
			weight := r.weights.score(r.comparer.compare(i, j), i, j)
			if worst == nil || weight < worst.Weight {
				worst = &Pair{A: x, B: y, Weight: weight, Probability: probability(weight)}
			}
		}
	}
	return worst
}

// through is the way between two records of a cluster whose weakest pair is the strongest.
func (r *Result) through(a, b int) []int {
	near := map[int][]int{} // a tree of the heaviest pairs
	group := map[int]int{}
	find := func(at int) int {
		for {
			up, ok := group[at]
			if !ok {
				return at
			}
			at = up
		}
	}
	for _, p := range r.Pairs {
		if r.Cluster[p.A] != r.Cluster[a] || r.Cluster[p.B] != r.Cluster[a] {
			continue
		}
		if x, y := find(p.A), find(p.B); x != y {
			group[y] = x
			near[p.A], near[p.B] = append(near[p.A], p.B), append(near[p.B], p.A)
		}
	}
	from := map[int]int{a: a}
	for queue := []int{a}; len(queue) > 0; queue = queue[1:] {
		for _, next := range near[queue[0]] {
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	if _, ok := from[b]; !ok {
		return nil
	}
	var way []int
	for at := from[b]; at != a; at = from[at] {
		way = append(way, at)
	}
	slices.Reverse(way)
	return way
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
