package match

import (
	"cmp"
	"math"
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
	// Refusal says of a refused pair what is against it.
	Refusal string
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
	e := r.explain(a, b)
	e.A, e.B = a, b
	switch e.Verdict {
	case Joined:
		e.Through = through(a, b, slices.DeleteFunc(slices.Clone(r.Pairs), func(p Pair) bool {
			return r.Cluster[p.A] != r.Cluster[a] || r.Cluster[p.B] != r.Cluster[a]
		}))
	case Refused:
		e.Against = r.against(a, b)
	}
	for at, line := range e.Lines {
		e.Lines[at].LeftSteps, e.Lines[at].RightSteps = r.steps(line.Column.Name, a),
			r.steps(line.Column.Name, b)
	}
	return e
}

// Sentence says what an explanation of two records comes to, without what else there is to say.
func (r *Result) Sentence(a, b int) string {
	if r.index != nil {
		return r.index.Explain(uint32(a), uint32(b)).Sentence()
	}
	return r.weights.explain(r.comparer, r.place[a], r.place[b]).Sentence()
}

func (r *Result) explain(a, b int) Explanation {
	if r.index != nil {
		return r.index.Explain(uint32(a), uint32(b))
	}
	i, j := r.place[a], r.place[b]
	e := r.weights.explain(r.comparer, i, j)
	o := outcome{
		options: r.options, link: r.options.link(a, b), together: r.Cluster[a] == r.Cluster[b],
		sameFile: !r.comparer.across(i, j),
		refused:  cmp.Or(r.refused[[2]uint32{i, j}], r.refused[[2]uint32{j, i}]),
	}
	e.Rule, o.compared = r.blocks.together(i, j)
	o.decide(&e)
	return e
}

// explain adds a pair's weight up, line by line.
func (w *weights) explain(k *comparer, i, j uint32) Explanation {
	v := k.compare(i, j)
	parts := w.of(v)
	e := Explanation{Prior: logit(w.prior)}
	total := e.Prior
	for c, col := range w.columns {
		line := Line{
			Column: col.Column, Left: col.values[col.rows[i]].text, Right: col.values[col.rows[j]].text,
			Level: w.levelName(v, c, k.given), Weight: parts.parts[c],
		}
		if n := edits(line.Left, line.Right, 2); n <= 2 && line.Left != "" && line.Right != "" {
			line.Edits = n
		}
		switch {
		case v.level(c) == nullLevel:
		case v.level(c) == exactLevel:
			line.Rarity = w.rare(parts, c, i)
			fallthrough
		case col.Kind != EmailKind || !ofName(v.level(c)):
			switch share := parts.share[c]; {
			case share < 0.05:
				line.Note = "an earlier column says it already"
			case share < 0.95 || parts.moved[c]:
				line.Note = "an earlier column says some of it already"
			}
		default:
			line.Note = "only as far as it says more than the name"
		}
		total += line.Weight + line.Rarity
		line.Total = total
		e.Lines = append(e.Lines, line)
	}
	note := ""
	if c := w.conflict(v, i, j); c >= 0 {
		note = w.columns[c].Name + " is verified, and differs"
	} else if parts.veto {
		note = "the given names differ, and so does the birth date or the e-mail address"
	}
	if note != "" && total > vetoWeight {
		e.Lines = append(e.Lines, Line{
			Level: levelVeto, Weight: vetoWeight - total, Total: vetoWeight, Note: note,
		})
		total = vetoWeight
	}
	e.Weight, e.Probability = total, probability(total)
	return e
}

func (w *weights) levelName(v vector, c, given int) string {
	switch level := v.level(c); {
	case level != nullLevel:
		return w.levels[c][level-1].Name
	case w.columns[c].Kind == FamilyName && given >= 0 && v.level(given) == givenSwapped:
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

// outcome is what became of a pair.
type outcome struct {
	options  Options
	link     Link
	together bool   // in one cluster
	compared bool   // something brought them together
	sameFile bool   // and only pairs across files are compared
	refused  string // why it did not join although it would
}

// decide says it.
func (o outcome) decide(e *Explanation) {
	likely := e.Weight >= logit(o.options.Threshold)
	switch {
	case o.link == Same && o.together:
		e.Verdict, e.Decision = Matched, "match: that they are one is known, whatever the model says"
	case o.link == Same:
		e.Verdict, e.Refusal = Refused, o.refused
		e.Decision = "refused: that they are one is known, but " + e.Refusal
	case o.link == Apart:
		e.Verdict, e.Decision = NoMatch, "no match: that they are two is known, whatever the model says"
	case o.together && likely:
		e.Verdict, e.Decision = Matched, "match: they are in one cluster"
	case o.together:
		e.Verdict = Joined
		e.Decision = "in one cluster through other records, although this pair alone is below the " +
			"threshold"
	case likely && o.sameFile:
		e.Verdict = NotCompared
		e.Decision = "not compared: both are in the same file, and only pairs across the two files are"
	case likely && !o.compared:
		e.Verdict = NotCompared
		e.Decision = "not compared: nothing brought the two together, so they stay apart"
	case likely:
		e.Verdict, e.Refusal = Refused, cmp.Or(o.refused, "their clusters do not agree on the whole")
		e.Decision = "refused: the pair alone is above the threshold, but " + e.Refusal
	case e.Weight >= logit(o.options.Review):
		e.Verdict, e.Decision = NearMiss, "near miss: below the threshold, worth a look"
	case e.vetoed() >= logit(o.options.Threshold):
		last := e.Lines[len(e.Lines)-1]
		e.Verdict, e.Decision = NoMatch, "no match, whatever else they share: "+last.Note
	default:
		e.Verdict, e.Decision = NoMatch, "no match"
	}
}

// vetoed is what a pair would weigh, had a veto not kept it apart; minus infinity where none did.
func (e *Explanation) vetoed() float64 {
	last := len(e.Lines) - 1
	if last < 1 || e.Lines[last].Level != levelVeto {
		return math.Inf(-1)
	}
	return e.Lines[last-1].Total
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

// against is the pair across the clusters of two records that speaks most against it.
func (r *Result) against(a, b int) *Pair {
	var worst *Pair
	for _, x := range r.members(a) {
		for _, y := range r.members(b) {
			if i, j := r.place[x], r.place[y]; r.comparer.across(i, j) {
				worst = worse(worst, x, y, r.weights.score(r.comparer.compare(i, j), i, j))
			}
		}
	}
	return worst
}

// worse is a pair where its weight is less than that of another, which may be nil.
func worse(than *Pair, a, b int, weight float64) *Pair {
	if than != nil && than.Weight <= weight {
		return than
	}
	return &Pair{A: a, B: b, Weight: weight, Probability: probability(weight)}
}

// through is the way between two records of a cluster whose weakest pair is the strongest. pairs
// are those of the cluster, the heaviest first.
func through(a, b int, pairs []Pair) []int {
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
	for _, p := range pairs {
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
