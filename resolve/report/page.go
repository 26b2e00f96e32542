package report

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"crumbtrail/resolve/match"
)

// Page is what the template shows: texts, and places in per cent.
type Page struct {
	Style         template.CSS
	Name, Lead    string
	Values        bool
	ValuesNote    string
	Tiles         []Tile
	Prior         Prior
	Truth         *Truth
	Threshold     Plot
	Thresholds    []ThresholdRow
	Calibration   Plot
	Bins          []BinRow
	Sizes         []SizeRow
	Largest       []Largest
	Bridges       []BridgeRow
	BridgeCount   string
	Drawings      []Drawing
	Groups        []Group
	Comparisons   []Comparison
	Dropped       []Rule
	Columns       []match.ColumnSummary
	ThresholdUsed string
	ReviewUsed    string

	in        Input
	curve     []match.Point
	sizes     map[int]int // rows by cluster
	found     int         // pairs from the threshold on
	truePairs int
}

// Tile is a figure in large type.
type Tile struct{ Label, Value, Note string }

// Prior is how likely two rows are one before anything is compared, step by step.
type Prior struct{ Rows, Possible, Arithmetic, Expected, Share, Weight, Needed string }

// Truth is how the result does against the truth.
type Truth struct{ Pairs, Best, Clusters Measure }

// Measure is a quality in figures.
type Measure struct{ Name, Precision, Recall, F1, True, Found, Right string }

// Group is pairs of like fate.
type Group struct {
	Title, Note string
	Pairs       []Waterfall
}

// Rule is a way to bring rows together, of which some keys have too many.
type Rule struct {
	Name             string
	Keys, Rows, Most string
	Worst            string // the most frequent value; empty where values are not shown
}

func newPage(in Input) *Page {
	r := in.Result
	p := &Page{
		in: in, Name: in.Name, Values: in.Values, sizes: map[int]int{},
		ThresholdUsed: fmt.Sprint(in.Threshold), ReviewUsed: fmt.Sprint(in.Review),
		Comparisons: comparisons(r), Columns: r.Summary(), curve: r.Curve(in.Entity),
	}
	for _, c := range r.Cluster {
		p.sizes[c]++
	}
	for _, pair := range r.Pairs {
		if pair.Probability >= in.Threshold {
			p.found++
		}
	}
	if in.Entity != nil {
		p.judge(r.Judge(in.Entity, in.Threshold))
	}
	p.ValuesNote = "It shows no value of any row: rows are named by their number in the input, " +
		"counted from 1 without the header."
	if in.Values {
		p.ValuesNote = "It shows what some rows say, as was asked: treat it as personal data."
	}
	p.Prior = priorOf(in)
	p.tiles()
	p.Threshold, p.Thresholds = p.thresholdPlot(), p.thresholdRows()
	p.Sizes, p.Largest = sizeRows(p.sizes), p.largest()
	bridges := r.Bridges()
	p.BridgeCount = number(len(bridges))
	p.bridges(doubtful(bridges))
	p.Groups = p.groups()
	p.Dropped = p.dropped()
	return p
}

func (p *Page) judge(j match.Judgement) {
	p.truePairs = j.Clusters.True
	p.Truth = &Truth{
		Pairs:    measure("pairs at "+fmt.Sprint(p.in.Threshold)+", as used", j.Default),
		Best:     measure("pairs at "+probability(j.Threshold)+", the best in hindsight", j.Best),
		Clusters: measure("clusters", j.Clusters),
	}
	p.Calibration, p.Bins = calibrationPlot(j.Bins), binRows(j.Bins)
}

func measure(name string, q match.Quality) Measure {
	return Measure{
		name, percent(q.Precision()), percent(q.Recall()), percent(q.F1()), number(q.True),
		number(q.Found), number(q.Right),
	}
}

func (p *Page) tiles() {
	r := p.in.Result
	rows, distinct, clusters, refused, near := len(r.Cluster), len(p.sizes), 0, 0, 0
	for _, n := range p.sizes {
		if n > 1 {
			clusters++
		}
	}
	for _, pair := range r.Pairs {
		switch {
		case pair.Refused != "":
			refused++
		case pair.Probability < p.in.Threshold && r.Cluster[pair.A] != r.Cluster[pair.B]:
			near++
		}
	}
	duplicates := rows - distinct
	files := make([]string, len(p.in.Files))
	for i, n := range p.in.Files {
		files[i] = number(n)
	}
	note := ""
	if len(files) > 1 {
		note = strings.Join(files, " and ") + ", compared across alone"
	}
	p.Lead = fmt.Sprintf("%s rows are %s different ones: %s repeat another row.", number(rows),
		number(distinct), number(duplicates))
	p.Tiles = []Tile{
		{"rows", number(rows), note},
		{"duplicates", number(duplicates), percent(float64(duplicates)/float64(rows)) + " of the rows"},
		{"clusters of two or more", number(clusters), "beside " + number(distinct-clusters) + " single rows"},
		{
			"pairs compared", short(r.Compared),
			fmt.Sprintf("of %s possible", short(int(r.Possible()))),
		},
		{"matching pairs", number(p.found), "probability " + p.ThresholdUsed + " or more"},
		{
			"to look at", number(near + refused),
			fmt.Sprintf("%s near misses, %s refused", number(near), number(refused)),
		},
	}
}

func priorOf(in Input) Prior {
	possible := in.Result.Possible()
	n := len(in.Result.Cluster)
	arithmetic := fmt.Sprintf("%s × %s ÷ 2", number(n), number(n-1))
	if len(in.Files) == 2 {
		arithmetic = fmt.Sprintf("%s × %s", number(in.Files[0]), number(in.Files[1]))
	}
	weight := logit(in.Result.Prior)
	return Prior{
		Rows: number(n), Possible: number(int(possible)), Arithmetic: arithmetic,
		Expected: number(int(possible*in.Result.Prior + 0.5)), Share: oneIn(in.Result.Prior),
		Weight: signed(weight), Needed: signed(logit(in.Threshold) - weight),
	}
}

// How many pairs of a kind a page explains.
const (
	mostMatches = 3
	mostOthers  = 3
)

// groups chooses pairs to explain: those asked for, and of each fate some that tell most.
func (p *Page) groups() []Group {
	r := p.in.Result
	byVerdict := map[match.Verdict][][2]int{}
	matches := [][2]int{}
	for _, pair := range r.Pairs {
		rows := [2]int{pair.A, pair.B}
		together := r.Cluster[pair.A] == r.Cluster[pair.B]
		v := match.NearMiss
		switch {
		case pair.Refused != "":
			v = match.Refused
		case together && pair.Probability >= p.in.Threshold:
			matches = append(matches, rows)
			continue
		case together:
			v = match.Joined
		}
		if len(byVerdict[v]) < mostOthers {
			byVerdict[v] = append(byVerdict[v], rows)
		}
	}
	if n := len(matches); n > mostMatches {
		matches = [][2]int{matches[n-1], matches[n/2], matches[0]}
	}
	var groups []Group
	for _, g := range []struct {
		title, note string
		pairs       [][2]int
	}{
		{"Asked for", "The pairs that were named.", p.in.Asked},
		{"Matches", "The least likely one, one in the middle, and the likeliest.", matches},
		{
			"Near misses", "The likeliest pairs below the threshold: what a little more would have joined.",
			byVerdict[match.NearMiss],
		},
		{
			"Refused", "Above the threshold on their own, but their clusters do not agree.",
			byVerdict[match.Refused],
		},
		{
			"Joined through others",
			"Below the threshold on their own, in one cluster because of other rows.",
			byVerdict[match.Joined],
		},
	} {
		if len(g.pairs) == 0 {
			continue
		}
		group := Group{Title: g.title, Note: g.note}
		for i, rows := range g.pairs {
			group.Pairs = append(group.Pairs, p.waterfall(rows[0], rows[1], i == 0))
		}
		groups = append(groups, group)
	}
	return groups
}

// dropped sums the keys that too many rows share by rule, the most rows first.
func (p *Page) dropped() []Rule {
	type sum struct {
		rule             string
		keys, rows, most int
		worst            string
	}
	var sums []sum
	for _, d := range p.in.Result.Dropped {
		at := slices.IndexFunc(sums, func(s sum) bool { return s.rule == d.Rule })
		if at < 0 {
			at = len(sums)
			sums = append(sums, sum{rule: d.Rule, most: d.Records, worst: d.Value})
		}
		sums[at].keys++
		sums[at].rows += d.Records
	}
	slices.SortStableFunc(sums, func(a, b sum) int { return cmp.Compare(b.rows, a.rows) })
	var out []Rule
	for _, s := range sums {
		rule := Rule{Name: s.rule, Keys: number(s.keys), Rows: number(s.rows), Most: number(s.most)}
		if p.in.Values {
			rule.Worst = s.worst
		}
		out = append(out, rule)
	}
	return out
}
