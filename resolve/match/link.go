package match

// Linked is what is known of two records whatever they say. Records are counted from 0 in the order
// they were added.
type Linked struct {
	A, B int
	Link Link
}

// link is what is known of two records, the last that was said.
func (o Options) link(a, b int) (known Link) {
	for _, l := range o.Links {
		if l.A == a && l.B == b || l.A == b && l.B == a {
			known = l.Link
		}
	}
	return known
}

// joining is what the clusters of a set are made of: its edges, and what is known of its records.
func (r *records) joining(c *comparer, w *weights, edges []edge, links []Linked) joining {
	g := joining{n: r.len(), edges: edges}
	if len(links) == 0 {
		return g
	}
	place := make([]uint32, r.len())
	for canonical, at := range r.order {
		place[at] = uint32(canonical)
	}
	last := map[[2]uint32]Link{}
	for _, l := range links {
		i, j := place[l.A], place[l.B]
		last[[2]uint32{min(i, j), max(i, j)}] = l.Link
	}
	for pair, link := range last {
		e := edge{i: pair[0], j: pair[1]}
		e.weight = float32(w.score(c.compare(e.i, e.j), e.i, e.j))
		switch link {
		case Same:
			g.same = append(g.same, e)
		case Apart:
			g.apart = append(g.apart, e)
		}
	}
	return g
}
