package match

// table finds ids by the hash of what they stand for: four bytes a slot, where a map of texts has
// more than twenty. Id 0 is none.
type table struct {
	slots []uint32
	used  int
}

// slot is where the id is for which same is true, or where it belongs.
func (t *table) slot(hash uint64, same func(id uint32) bool) *uint32 {
	if len(t.slots) == 0 {
		t.slots = make([]uint32, 1<<6)
	}
	mask := uint64(len(t.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		if id := t.slots[at]; id == 0 || same(id) {
			return &t.slots[at]
		}
	}
}

// added is told once an id has been put into a slot. A table that is half full is made twice as
// large.
func (t *table) added(hash func(id uint32) uint64) {
	if t.used++; t.used*2 < len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]uint32, 2*len(old))
	mask := uint64(len(t.slots) - 1)
	for _, id := range old {
		if id == 0 {
			continue
		}
		at := hash(id) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = id
	}
}
