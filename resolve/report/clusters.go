package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"crumbtrail/resolve/match"
)

// SizeRow is how many clusters have so many rows.
type SizeRow struct {
	Size, Clusters, Rows, Short string
	At, Width, Middle           string
	Top, Height                 string
}

// sizeRows counts clusters of two and more rows by size.
func sizeRows(sizes map[int]int) []SizeRow {
	classes := [][2]int{{2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 10}, {11, 20}, {21, 50}, {51, 0}}
	counts, rows := make([]int, len(classes)), make([]int, len(classes))
	last, most := 3, 1
	for _, n := range sizes {
		for k, c := range classes {
			if n >= c[0] && (n <= c[1] || c[1] == 0) {
				counts[k]++
				rows[k] += n
				last, most = max(last, k), max(most, counts[k])
			}
		}
	}
	var out []SizeRow
	width := 1 / float64(last+1)
	for k, c := range classes[:last+1] {
		name := fmt.Sprint(c[0])
		switch {
		case c[1] == 0:
			name = fmt.Sprintf("%d+", c[0])
		case c[1] > c[0]:
			name = fmt.Sprintf("%d\u2013%d", c[0], c[1])
		}
		left, high := float64(k)*width, float64(counts[k])/float64(most)
		out = append(out, SizeRow{
			Size: name, Clusters: number(counts[k]), Rows: number(rows[k]), Short: short(counts[k]),
			At: side(left + 0.2*width), Width: side(0.6 * width), Middle: side(left + width/2),
			Top: side(1 - high), Height: side(high),
		})
	}
	return out
}

// BridgeRow is a pair that alone holds two parts of a cluster together.
type BridgeRow struct {
	Pair, Cluster, Probability, Weight, Parts string
}

// Largest is one of the clusters with the most rows.
type Largest struct{ Cluster, Size, Pairs, Weakest string }

// Drawing is a cluster as a picture: its rows on two rings, one on each side of its bridge.
type Drawing struct {
	Title, Describe string
	Box             string // of its picture, in the units of its places
	Nodes           []Node
	Edges           []Edge
}

// Node is a row, Edge a pair of rows, both in a picture 320 wide.
type (
	Node struct{ X, Y, TextX, TextY, Anchor, Label string }
	Edge struct{ X1, Y1, X2, Y2, Class, Title string }
)

// What a page shows of doubtful clusters.
const (
	mostBridges  = 12
	mostDrawings = 6
	mostDrawn    = 14 // rows of a drawing
	mostLargest  = 5
)

// certain is from which probability a bridge is in no doubt.
const certain = 0.999

// doubtful are the bridges to look at: those between parts of two and more rows first, as one row
// more or less is a smaller mistake; then the least likely.
func doubtful(bridges []match.Bridge) []match.Bridge {
	sorted := slices.DeleteFunc(slices.Clone(bridges), func(b match.Bridge) bool {
		return b.Probability >= certain
	})
	slices.SortStableFunc(sorted, func(x, y match.Bridge) int {
		return cmp.Or(min(2, y.Left, y.Right)-min(2, x.Left, x.Right), cmp.Compare(x.Weight, y.Weight))
	})
	return sorted
}

func (p *Page) bridges(found []match.Bridge) {
	for _, b := range found {
		p.Bridges = append(p.Bridges, BridgeRow{
			Pair:        fmt.Sprintf("%s and %s", number(b.A+1), number(b.B+1)),
			Cluster:     number(p.in.Result.Cluster[b.A] + 1),
			Probability: probability(b.Probability), Weight: signed(b.Weight),
			Parts: fmt.Sprintf("%d and %d rows", b.Left, b.Right),
		})
		if len(p.Bridges) == mostBridges {
			break
		}
	}
	drawn := map[int]bool{}
	for _, b := range found {
		cluster := p.in.Result.Cluster[b.A]
		if len(p.Drawings) == mostDrawings {
			break
		}
		if !drawn[cluster] && p.sizes[cluster] <= mostDrawn && p.sizes[cluster] > 2 {
			drawn[cluster] = true
			p.Drawings = append(p.Drawings, p.draw(cluster, b))
		}
	}
}

// inside are the pairs within each of some clusters.
func (p *Page) inside(clusters map[int]bool) map[int][]match.Pair {
	r, pairs := p.in.Result, map[int][]match.Pair{}
	for _, pair := range r.Pairs {
		if c := r.Cluster[pair.A]; clusters[c] && c == r.Cluster[pair.B] {
			pairs[c] = append(pairs[c], pair)
		}
	}
	return pairs
}

// draw puts the rows on A's side of a bridge on the left, those on B's side on the right.
func (p *Page) draw(cluster int, bridge match.Bridge) Drawing {
	pairs := p.inside(map[int]bool{cluster: true})[cluster]
	left := p.reach(pairs, bridge)
	var sides [2][]int
	for at, c := range p.in.Result.Cluster {
		if c == cluster {
			which := 1
			if left[at] {
				which = 0
			}
			sides[which] = append(sides[which], at)
		}
	}
	d := Drawing{
		Title: fmt.Sprintf("Cluster %s, %d rows", number(cluster+1), p.sizes[cluster]),
		Describe: fmt.Sprintf("Only the pair of rows %s and %s, probability %s, holds %d and %d rows "+
			"together.", number(bridge.A+1), number(bridge.B+1), probability(bridge.Probability),
			bridge.Left, bridge.Right),
	}
	place := map[int][2]float64{}
	height := 0.0
	for which, rows := range sides {
		ends := [2]int{bridge.A, bridge.B}
		d.ring(place, which, rows, ends[which])
	}
	for _, at := range place {
		height = max(height, 2*math.Abs(at[1])+56)
	}
	d.Box = fmt.Sprintf("0 %s 320 %s", coordinate(-height/2), coordinate(height))
	for _, pair := range slices.Backward(pairs) {
		class := "edge"
		switch {
		case pair == bridge.Pair:
			class = "edge bridge"
		case pair.Probability < p.in.Threshold:
			class = "edge weak"
		}
		from, to := place[pair.A], place[pair.B]
		d.Edges = append(d.Edges, Edge{
			X1: coordinate(from[0]), Y1: coordinate(from[1]), X2: coordinate(to[0]),
			Y2: coordinate(to[1]), Class: class,
			Title: fmt.Sprintf("rows %s and %s: probability %s", number(pair.A+1), number(pair.B+1),
				probability(pair.Probability)),
		})
	}
	return d
}

func coordinate(x float64) string { return fmt.Sprintf("%.1f", x) }

// reach are the rows that A of a bridge reaches without it, by pairs above the threshold.
func (p *Page) reach(pairs []match.Pair, bridge match.Bridge) map[int]bool {
	reached := map[int]bool{bridge.A: true}
	for more := true; more; {
		more = false
		for _, pair := range pairs {
			if pair != bridge.Pair && pair.Probability >= p.in.Threshold &&
				reached[pair.A] != reached[pair.B] {
				reached[pair.A], reached[pair.B], more = true, true, true
			}
		}
	}
	return reached
}

// ring puts rows on a circle, the end of the bridge towards the other one.
func (d *Drawing) ring(place map[int][2]float64, which int, rows []int, end int) {
	centre, radius, towards := 100.0, 46.0, 0.0
	if which == 1 {
		centre, towards = 220, math.Pi
	}
	if len(rows) == 1 {
		radius = 0
	}
	at := slices.Index(rows, end)
	for k := range rows {
		row := rows[(at+k)%len(rows)]
		angle := towards + 2*math.Pi*float64(k)/float64(len(rows))
		x, y := centre+radius*math.Cos(angle), radius*math.Sin(angle)
		place[row] = [2]float64{x, y}
		n := Node{X: coordinate(x), Y: coordinate(y), Label: fmt.Sprint(row + 1), Anchor: "middle"}
		outward := math.Cos(angle - towards) // 1 towards the other part
		tx, ty := x, y-11
		if k == 0 && which == 1 {
			ty = y + 19 // the other end's is above
		}
		switch {
		case radius > 0 && outward < -0.5 && which == 0:
			tx, ty, n.Anchor = x-10, y+4, "end"
		case radius > 0 && outward < -0.5:
			tx, ty, n.Anchor = x+10, y+4, "start"
		case radius > 0 && math.Sin(angle) > 0.5:
			ty = y + 19
		}
		n.TextX, n.TextY = coordinate(tx), coordinate(ty)
		d.Nodes = append(d.Nodes, n)
	}
}

// largest are the clusters with the most rows.
func (p *Page) largest() []Largest {
	clusters := make([]int, 0, len(p.sizes))
	for c, n := range p.sizes {
		if n > 2 {
			clusters = append(clusters, c)
		}
	}
	slices.SortFunc(clusters, func(x, y int) int { return cmp.Or(p.sizes[y]-p.sizes[x], x-y) })
	clusters = clusters[:min(len(clusters), mostLargest)]
	wanted := map[int]bool{}
	for _, c := range clusters {
		wanted[c] = true
	}
	pairs := p.inside(wanted)
	var out []Largest
	for _, c := range clusters {
		n, matches, weakest := p.sizes[c], 0, "below "+fmt.Sprint(p.in.Review)
		for _, pair := range pairs[c] {
			if pair.Probability >= p.in.Threshold {
				matches++
			}
		}
		if all := n * (n - 1) / 2; len(pairs[c]) == all {
			weakest = probability(pairs[c][all-1].Probability)
		}
		out = append(out, Largest{
			Cluster: number(c + 1), Size: number(n), Weakest: weakest,
			Pairs: fmt.Sprintf("%s of %s", number(matches), number(n*(n-1)/2)),
		})
	}
	return out
}
