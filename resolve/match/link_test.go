package match

import "testing"

// TestLinks holds that what is known of two records outweighs what they say, and that a cluster
// never has two that are apart, through others neither.
func TestLinks(t *testing.T) {
	const rows = 2000
	p := newPeople(11, rows)
	o := defaults()
	before := run(t, p.set(inOrder(rows)), o)
	byCluster := map[int][]int{}
	for at, c := range before.Cluster {
		byCluster[c] = append(byCluster[c], at)
	}
	var apart, same [][2]int
	alone := -1
	for c := range rows {
		switch all := byCluster[c]; {
		case len(all) == 3 && len(apart) < 20:
			apart = append(apart, [2]int{all[0], all[2]})
		case len(all) == 1 && alone >= 0 && len(same) < 20:
			same = append(same, [2]int{alone, c})
			alone = -1
		case len(all) == 1:
			alone = c
		}
	}
	if len(apart) == 0 || len(same) < 20 {
		t.Fatalf("%d clusters of three, %d pairs of single records", len(apart), len(same))
	}
	for _, pair := range apart {
		o.Links = append(o.Links, Linked{pair[0], pair[1], Same}, Linked{pair[1], pair[0], Apart})
	}
	for _, pair := range same {
		o.Links = append(o.Links, Linked{pair[0], pair[1], Same})
	}
	after := run(t, p.set(inOrder(rows)), o)
	o.Model = after.Learnt()
	stream, err := p.set(inOrder(rows)).Stream(o)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Result{"all at once": after, "one by one": stream} {
		for _, pair := range apart {
			e := r.Explain(pair[0], pair[1])
			if r.Cluster[pair[0]] == r.Cluster[pair[1]] || e.Verdict != NoMatch {
				t.Errorf("%s: apart and in one cluster: %v, %s", name, pair, e.Decision)
			}
		}
		for _, pair := range same {
			e := r.Explain(pair[0], pair[1])
			if r.Cluster[pair[0]] != r.Cluster[pair[1]] || e.Verdict != Matched {
				t.Errorf("%s: the same and in two clusters: %v, %s", name, pair, e.Decision)
			}
		}
	}
	for _, b := range after.Bridges() {
		if after.Cluster[b.A] != after.Cluster[b.B] || b.Left < 1 || b.Right < 1 || b.Weight < 0 {
			t.Errorf("%+v", b)
		}
	}
}
