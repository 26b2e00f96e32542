package match

import (
	"slices"
	"testing"
)

// TestBridges compares with cutting each pair and looking whether its ends still reach one another.
func TestBridges(t *testing.T) {
	const rows = 5000
	p := newPeople(8, rows)
	r := run(t, p.set(inOrder(rows)), defaults())
	sizes := map[int]int{}
	for _, cluster := range r.Cluster {
		sizes[cluster]++
	}
	inside := map[int][]Pair{}
	for _, p := range r.Pairs {
		if c := r.Cluster[p.A]; c == r.Cluster[p.B] && p.Probability >= DefaultThreshold {
			inside[c] = append(inside[c], p)
		}
	}
	side := func(pairs []Pair, cut Pair, from int) int {
		reached := []int{from}
		for at := 0; at < len(reached); at++ {
			for _, p := range pairs {
				for _, way := range [][2]int{{p.A, p.B}, {p.B, p.A}} {
					if p != cut && way[0] == reached[at] && !slices.Contains(reached, way[1]) {
						reached = append(reached, way[1])
					}
				}
			}
		}
		return len(reached)
	}
	found := map[[2]int]Bridge{}
	for _, b := range r.Bridges() {
		found[[2]int{b.A, b.B}] = b
	}
	if len(found) < 5 {
		t.Errorf("%d bridges", len(found))
	}
	for cluster, pairs := range inside {
		for _, p := range pairs {
			left, right := side(pairs, p, p.A), side(pairs, p, p.B)
			b, is := found[[2]int{p.A, p.B}]
			want := sizes[cluster] > 2 && left+right == sizes[cluster]
			if is != want || is && (b.Left != left || b.Right != right) {
				t.Errorf("%+v parts %d and %d of %d: %+v", p, left, right, sizes[cluster], b)
			}
		}
	}
}

// TestCurve holds that a curve says of the threshold what the result itself says.
func TestCurve(t *testing.T) {
	p := newPeople(9, 1200)
	r := run(t, p.set(inOrder(1200)), defaults())
	j := r.Judge(p.entity, DefaultThreshold)
	curve := r.Curve(p.entity)
	at := slices.IndexFunc(curve, func(p Point) bool { return p.Weight >= 0 })
	exact := 0
	for _, pair := range r.Pairs {
		if pair.Weight >= curve[at].Weight {
			exact++
		}
	}
	got := curve[at]
	if got.Pairs != exact || got.Right < j.Default.Right*9/10 || got.Right > got.Pairs {
		t.Errorf("%+v, want %d pairs, about %d of them right", got, exact, j.Default.Right)
	}
	for i, p := range curve[1:] {
		if p.Pairs > curve[i].Pairs || p.Joined > curve[i].Joined || p.Weight <= curve[i].Weight {
			t.Errorf("%+v comes after %+v", p, curve[i])
		}
	}
	all := 0
	for _, b := range j.Bins {
		all += b.Pairs
	}
	if all <= len(r.Pairs) || j.Bins[0].Pairs == 0 {
		t.Errorf("%d pairs in bins, %d from the review threshold on: %+v", all, len(r.Pairs), j.Bins[0])
	}
}
