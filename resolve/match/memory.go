package match

import "unsafe"

// Memory is about how many bytes the index has on the heap. It looks at every value.
func (x *Index) Memory() int {
	records := sized(x.hashes) + sized(x.groups.least) + sized(x.groups.ring) + sized(x.groups.place) +
		sized(x.graph.head) + sized(x.graph.halves) + sized(x.comparer.lines.words)
	for k, c := range x.columns {
		records += sized(c.rows) + sized(x.weights.rarity[k]) + sized(x.comparer.caches[k])
	}
	for _, p := range x.postings {
		records += sized(p.slots) + sized(p.next)
	}
	seen := map[*pool]bool{}
	for _, p := range x.pools {
		if seen[p] {
			continue
		}
		seen[p] = true
		records += sized(p.values) + sized(p.known.slots)
		for i := range p.values {
			records += len(p.values[i].text)
		}
	}
	return records
}

func sized[T any](list []T) int {
	var one T
	return cap(list) * int(unsafe.Sizeof(one))
}
