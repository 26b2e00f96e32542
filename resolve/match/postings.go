package match

// postings hold, for one rule, the records under each key: an open-addressed table has the newest
// record of a key, and of each record the one before it with the same key is known. With as many
// keys as records that is about 30 bytes a record.
type postings struct {
	slots []slot // as many as a power of two
	used  int
	next  []uint32 // of each record, the one before it plus 1; 0 is none
	most  uint32   // records that a key may have; one with more is hot, and none is under it
}

// slot is a key and its newest record plus 1. A slot without records under it yet has key 0.
type slot struct {
	key  uint64
	n    uint32 // records with the key, also where it is hot
	head uint32
}

func newPostings(most int) *postings {
	const few = 64
	return &postings{slots: make([]slot, few), most: uint32(most)}
}

// find returns the slot of a key, or the empty one where it belongs.
func (p *postings) find(key uint64) *slot {
	mask := uint64(len(p.slots) - 1)
	for at := key & mask; ; at = (at + 1) & mask {
		if s := &p.slots[at]; s.key == key || s.key == 0 {
			return s
		}
	}
}

// add puts the next record under a key, or under none where it is 0.
func (p *postings) add(key uint64) {
	p.next = append(p.next, 0)
	if key == 0 {
		return
	}
	if (p.used+1)*4 > len(p.slots)*3 {
		p.grow()
	}
	s := p.find(key)
	if s.key == 0 {
		s.key = key
		p.used++
	}
	record := uint32(len(p.next) - 1)
	if s.n++; s.n <= p.most {
		p.next[record], s.head = s.head, record+1
	}
}

func (p *postings) grow() {
	old := p.slots
	p.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.key != 0 {
			*p.find(s.key) = s
		}
	}
}

// hot reports whether too many records have a key.
func (p *postings) hot(key uint64) bool { return p.find(key).n > p.most }

// appendTo appends the records under a key, the newest first.
func (p *postings) appendTo(list []uint32, key uint64) []uint32 {
	if key == 0 {
		return list
	}
	for at := p.find(key).head; at != 0; at = p.next[at-1] {
		list = append(list, at-1)
	}
	return list
}

// cut takes the records from under a key that has become hot.
func (p *postings) cut(key uint64) {
	s := p.find(key)
	for at := s.head; at != 0; {
		at, p.next[at-1] = p.next[at-1], 0
	}
	s.head = 0
}

// remove takes a record from under a key.
func (p *postings) remove(key uint64, record uint32) {
	if key == 0 {
		return
	}
	s := p.find(key)
	s.n--
	for from := &s.head; *from != 0; from = &p.next[*from-1] {
		if *from == record+1 {
			*from, p.next[record] = p.next[record], 0
			return
		}
	}
}

// warm puts records under a key that is not hot any more.
func (p *postings) warm(key uint64, records []uint32) {
	s := p.find(key)
	for _, record := range records {
		p.next[record], s.head = s.head, record+1
	}
}
