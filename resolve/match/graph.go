package match

import (
	"cmp"
	"slices"
)

// graph holds the edges and links of records: of each record a chain of halves, as each has two.
type graph struct {
	head   []uint32 // of each record, its newest half plus 1; 0 is none
	halves []half
	free   uint32 // the first half that is free plus 1, chained by next
}

// half is an edge or a link as one of its records has it.
type half struct {
	to, next uint32
	weight   float32
	kind     Link // Unset is an edge of the model
}

func (g *graph) grow() { g.head = append(g.head, 0) }

// of lists what a record has. It may be dropped from while it is walked.
func (g *graph) of(i uint32) []half {
	var list []half
	for at := g.head[i]; at != 0; at = g.halves[at-1].next {
		list = append(list, g.halves[at-1])
	}
	return list
}

func (g *graph) add(i, j uint32, weight float32, kind Link) {
	g.put(i, half{to: j, weight: weight, kind: kind})
	g.put(j, half{to: i, weight: weight, kind: kind})
}

func (g *graph) put(i uint32, h half) {
	h.next = g.head[i]
	if at := g.free; at != 0 {
		g.free = g.halves[at-1].next
		g.halves[at-1], g.head[i] = h, at
		return
	}
	g.halves = append(g.halves, h)
	g.head[i] = uint32(len(g.halves))
}

// drop takes a pair's edge or link away; there may be none.
func (g *graph) drop(i, j uint32, kind Link) {
	g.take(i, j, kind)
	g.take(j, i, kind)
}

func (g *graph) take(i, j uint32, kind Link) {
	for from := &g.head[i]; *from != 0; from = &g.halves[*from-1].next {
		at := *from
		if h := &g.halves[at-1]; h.to == j && h.kind == kind {
			*from, h.next, g.free = h.next, g.free, at
			return
		}
	}
}

// groups are the clusters: of each record the least of its own, and the next in a ring.
type groups struct {
	least, ring []uint32
	place       []uint32 // ordinals in the component that is being clustered
}

func (g *groups) grow() {
	n := uint32(len(g.least))
	g.least, g.ring, g.place = append(g.least, n), append(g.ring, n), append(g.place, 0)
}

func (g *groups) members(i uint32) []uint32 {
	list := []uint32{i}
	for at := g.ring[i]; at != i; at = g.ring[at] {
		list = append(list, at)
	}
	slices.Sort(list)
	return list
}

// set makes one cluster of records, and appends those whose least record is another now.
func (g *groups) set(records, moved []uint32) []uint32 {
	least := slices.Min(records)
	for at, i := range records {
		if g.least[i] != least {
			g.least[i] = least
			moved = append(moved, i)
		}
		g.ring[i] = records[(at+1)%len(records)]
	}
	return moved
}

// component lists the records that a record is connected with by pairs that may join, in an order
// that depends on what they say, and on what is known of them, alone.
func (x *Index) component(i uint32) []uint32 {
	list, place := []uint32{i}, x.groups.place
	place[i] = 0
	for at := 0; at < len(list); at++ {
		for h := x.graph.head[list[at]]; h != 0; h = x.graph.halves[h-1].next {
			e := &x.graph.halves[h-1]
			joins := e.kind == Same || e.kind == Unset && float64(e.weight) >= x.threshold
			if joins && !x.groups.has(list, e.to) {
				place[e.to] = uint32(len(list))
				list = append(list, e.to)
			}
		}
	}
	slices.SortFunc(list, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(x.hashes[a], x.hashes[b]), x.compareLinks(a, b), cmp.Compare(a, b))
	})
	for at, i := range list {
		place[i] = uint32(at)
	}
	return list
}

// has reports whether a record is in a list of which place has the ordinals.
func (g *groups) has(list []uint32, i uint32) bool {
	at := g.place[i]
	return int(at) < len(list) && list[at] == i
}

// compareLinks puts two records that say the same in an order by what is known of them.
func (x *Index) compareLinks(a, b uint32) int {
	if a == b || x.hashes[a] != x.hashes[b] {
		return 0
	}
	sum := func(i uint32) (sum uint64) {
		for _, e := range x.graph.of(i) {
			if e.kind != Unset {
				sum += mix(x.hashes[e.to], uint64(e.kind))
			}
		}
		return sum
	}
	return cmp.Compare(sum(a), sum(b))
}

// join makes the clusters of a component.
func (x *Index) join(component []uint32) *clusters {
	g := joining{records: component, n: len(component)}
	for at, i := range component {
		for h := x.graph.head[i]; h != 0; h = x.graph.halves[h-1].next {
			e := &x.graph.halves[h-1]
			if !x.groups.has(component, e.to) || x.groups.place[e.to] < uint32(at) {
				continue
			}
			one := edge{uint32(at), x.groups.place[e.to], e.weight}
			switch {
			case e.kind == Same:
				g.same = append(g.same, one)
			case e.kind == Apart:
				g.apart = append(g.apart, one)
			case float64(e.weight) >= x.threshold:
				g.edges = append(g.edges, one)
			}
		}
	}
	return join(x.comparer, x.weights, g, x.options)
}

// cluster makes the clusters anew of what is connected with the seeds. It returns the records whose
// cluster has another least record than before, ascending, and which pairs did not join, and why.
func (x *Index) cluster(seeds []uint32) (moved []uint32, refused map[[2]uint32]string) {
	done := map[uint32]bool{}
	for _, seed := range seeds {
		if done[seed] || x.graph.head[seed] == 0 && x.groups.ring[seed] == seed {
			continue
		}
		component := x.component(seed)
		k := x.join(component)
		refused = k.refusals(refused)
		for at, i := range component {
			done[i] = true
			if k.find(uint32(at)) != uint32(at) {
				continue
			}
			var records []uint32
			for _, member := range k.of(uint32(at)) {
				records = append(records, component[member])
			}
			moved = x.groups.set(records, moved)
		}
	}
	slices.Sort(moved)
	return slices.Compact(moved), refused
}

// refusals are the pairs of a record's component that did not join, and why.
func (x *Index) refusals(i uint32) (component []uint32, refused map[[2]uint32]string) {
	component = x.component(i)
	return component, x.join(component).refusals(nil)
}

// refusals adds the pairs of records, the lesser first, that did not join, and why.
func (k *clusters) refusals(to map[[2]uint32]string) map[[2]uint32]string {
	for _, f := range k.refused {
		if k.find(f.i) == k.find(f.j) {
			continue
		}
		if to == nil {
			to = map[[2]uint32]string{}
		}
		a, b := k.record(f.i), k.record(f.j)
		to[[2]uint32{min(a, b), max(a, b)}] = f.reason
	}
	return to
}
