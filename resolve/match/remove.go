package match

import "slices"

// Remove takes a record out: what it said, its keys, edges and links. Its number is not used again.
// Keys that fewer share then bring their records together again. It returns the records whose
// cluster has another least record than before, ascending, the removed one apart.
func (x *Index) Remove(i uint32) (moved []uint32) {
	seeds := []uint32{i}
	for _, e := range x.graph.of(i) {
		x.graph.drop(i, e.to, e.kind)
		seeds = append(seeds, e.to)
	}
	var keys []uint64
	for _, b := range x.rules {
		keys = append(keys, x.keyOf(b, i))
	}
	for k, c := range x.columns {
		id := c.rows[i]
		c.rows[i] = 0
		x.forget(k, id)
	}
	clear(x.comparer.lines.of(i))
	x.hashes[i] = 0
	for k, key := range keys {
		x.postings[k].remove(key, i)
		at := slices.IndexFunc(x.hot, func(h hotKey) bool { return h.rule == k && h.key == key })
		if at >= 0 && !x.postings[k].hot(key) {
			x.hot = slices.Delete(x.hot, at, at+1)
			seeds = x.warm(k, key, i, seeds)
		}
	}
	moved, _ = x.cluster(seeds)
	return slices.DeleteFunc(moved, func(one uint32) bool { return one == i })
}

// forget drops a value that no record has any more.
func (x *Index) forget(k int, id uint32) {
	if id == 0 {
		return
	}
	p := x.pools[k]
	for at, c := range x.columns {
		if x.pools[at] == p && slices.Contains(c.rows, id) {
			return
		}
	}
	p.values[id] = value{hash: mix(1, uint64(id))} // nothing is equal to it; its id stays in the table
}

// warm compares the records of a key that is not hot any more, the one that is being removed apart,
// and appends those that have a new edge.
func (x *Index) warm(k int, key uint64, removed uint32, seeds []uint32) []uint32 {
	var records []uint32
	for i := range uint32(len(x.hashes)) {
		if i != removed && x.keyOf(x.rules[k], i) == key {
			records = append(records, i)
		}
	}
	x.postings[k].warm(key, records)
	for at, i := range records {
		for _, j := range records[at+1:] {
			known := slices.ContainsFunc(x.graph.of(i), func(e half) bool {
				return e.to == j && e.kind == Unset
			})
			if !known && x.compare(i, j) {
				seeds = append(seeds, i, j)
			}
		}
	}
	return seeds
}
