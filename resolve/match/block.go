package match

import (
	"cmp"
	"slices"
	"strings"
)

// smallSet is up to how many records every pair is compared: blocking only saves time.
const smallSet = 1500

// anyPair is the rule of a small set.
const anyPair = "every pair of a small file"

// How many records may share a key. A key that more have is dropped and reported: its pairs are
// compared where another key brings them together. One value alone, such as a switchboard's phone
// number, is soon no sign of a person.
const (
	maxBlock      = 100
	maxBlockOfOne = 30
)

func (r rule) most() int {
	if len(r.parts) == 1 && r.parts[0].of != eitherNames {
		return maxBlockOfOne
	}
	return maxBlock
}

// rule is one way for a pair to be compared: the records agree in all parts.
type rule struct {
	name  string
	parts []part
}

// part is what a rule takes from a column of a kind.
type part struct {
	kind Kind
	of   extract
}

// extract names what is taken of a value.
type extract uint8

const (
	whole       extract = iota
	userPart            // of an e-mail address, the last digits of a phone number, the first name
	formal              // a given name's group of short forms, or the name
	start               // the first four characters
	initial             // the first character
	skeleton            // the first letter and the consonants behind it
	year                // of a date
	monthDay            // of a date
	eitherNames         // given and family name in either order
)

// rules are those of all kinds; one holds where the records have its columns.
func rules() []rule {
	p := func(kind Kind, of extract) part { return part{kind, of} }
	return []rule{
		{"same e-mail", []part{p(EmailKind, whole)}},
		{"same user part of the e-mail", []part{p(EmailKind, userPart)}},
		{"same phone", []part{p(Phone, userPart)}},
		{"same code", []part{p(Code, whole)}},
		{"same names", []part{p(GivenName, eitherNames)}},
		{"same full name", []part{p(FullName, whole)}},
		{"given name and family name alike", []part{p(GivenName, formal), p(FamilyName, skeleton)}},
		{"initial, family name, year", []part{
			p(GivenName, initial), p(FamilyName, skeleton), p(Date, year),
		}},
		{"date and given name", []part{p(Date, whole), p(GivenName, initial)}},
		{"date and family name", []part{p(Date, whole), p(FamilyName, initial)}},
		{"date and postcode", []part{p(Date, whole), p(Postcode, start)}},
		{"date and place", []part{p(Date, whole), p(Place, start)}},
		{"date", []part{p(Date, whole)}},
		{"given name, month and day", []part{p(GivenName, formal), p(Date, monthDay)}},
		{"given name, year, place", []part{p(GivenName, formal), p(Date, year), p(Place, start)}},
		{"family name, month and day", []part{p(FamilyName, skeleton), p(Date, monthDay)}},
		{"family name, year, place", []part{p(FamilyName, skeleton), p(Date, year), p(Place, start)}},
		{"given name and postcode", []part{p(GivenName, formal), p(Postcode, whole)}},
		{"family name and postcode", []part{p(FamilyName, skeleton), p(Postcode, whole)}},
		{"given name and address", []part{p(GivenName, initial), p(Address, whole)}},
		{"family name and place", []part{p(FamilyName, whole), p(Place, whole)}},
		{"family name and company", []part{p(FamilyName, skeleton), p(Company, start)}},
		{"given name and company", []part{p(GivenName, formal), p(Company, start)}},
		{"year and postcode", []part{p(Date, year), p(Postcode, whole)}},
		{"same address", []part{p(Address, whole)}},
		{"same text", []part{p(Text, whole)}},
		{"text and given name", []part{p(Text, whole), p(GivenName, formal)}},
		{"text and family name", []part{p(Text, whole), p(FamilyName, initial)}},
		{"text and place", []part{p(Text, whole), p(Place, start)}},
		{"beginning of text and postcode", []part{p(Text, start), p(Postcode, whole)}},
		{"beginning of company and postcode", []part{p(Company, start), p(Postcode, whole)}},
		{"same company", []part{p(Company, whole)}},
	}
}

// blocks are the records that share a key under a rule, and which keys are too frequent.
type blocks struct {
	rules []rule
	// of is in which block each record is under each rule, record by record; 0 is none.
	of []uint32
	// sorted are by rule the records of its blocks, block by block; the last of one is marked.
	sorted  [][]uint32
	dropped []DroppedBlock
}

// lastOfBlock marks the last record of a block: there are at most maxRecords.
const lastOfBlock = maxRecords << 1

// DroppedBlock is a key that more records share than are compared by it.
type DroppedBlock struct {
	Rule    string
	Value   string // what they share
	Records int
}

// newBlocks finds the rules that hold for these records and the blocks under them; none where all
// pairs are compared.
func newBlocks(r *records, o Options) *blocks {
	b := &blocks{}
	if r.len() <= smallSet {
		return b
	}
	var columns [][]int
	for _, rule := range rules() {
		for _, chosen := range r.choices(rule) {
			b.rules, columns = append(b.rules, rule), append(columns, chosen)
		}
	}
	width := len(b.rules)
	b.sorted = make([][]uint32, width)
	of, dropped := make([][]uint32, width), make([][]DroppedBlock, width)
	o.spread(width, func(_, k int) {
		of[k], b.sorted[k], dropped[k] = r.group(b.rules[k], columns[k])
	})
	b.dropped = slices.Concat(dropped...)
	b.of = make([]uint32, r.len()*width)
	o.spread(chunks(r.len()), func(_, chunk int) {
		from, to := chunkOf(chunk, r.len())
		for i := from; i < to; i++ {
			for k := range width {
				b.of[i*width+k] = of[k][i]
			}
		}
	})
	return b
}

// choices lists the columns that a rule may take: with two phones, each makes a rule of its own.
func (r *records) choices(rule rule) [][]int {
	all := [][]int{nil}
	for _, p := range rule.parts {
		var longer [][]int
		for _, chosen := range all {
			for k, col := range r.columns {
				if col.Kind == p.kind {
					longer = append(longer, append(slices.Clone(chosen), k))
				}
			}
		}
		all = longer
	}
	return all
}

// key is what record i has under a rule: 0 where it lacks a part.
func (r *records) key(rule rule, columns []int, i uint32) uint64 {
	var key uint64
	for k, p := range rule.parts {
		hash := r.partKey(p, columns[k], i)
		if hash == 0 {
			return 0
		}
		key = mix(key, hash)
	}
	return key
}

func (r *records) partKey(p part, k int, i uint32) uint64 {
	col := r.columns[k]
	id := col.rows[i]
	if id == 0 {
		return 0
	}
	v := &col.values[id]
	switch p.of {
	case whole:
		return v.hash
	case userPart:
		return hashText(v.part)
	case formal:
		if groups := r.names[v.part]; len(groups) > 0 {
			return mix(1, uint64(groups[0]))
		}
		return hashText(v.part)
	case start:
		return hashText(prefix(v.text, 4))
	case initial:
		return hashText(prefix(v.text, 1))
	case skeleton:
		return hashText(consonants(v.text))
	case year:
		return uint64(v.day.year)
	case monthDay:
		return uint64(v.day.month)<<8 | uint64(v.day.day)
	}
	return r.eitherNames(v, i)
}

func (r *records) eitherNames(given *value, i uint32) uint64 {
	for _, col := range r.columns {
		if id := col.rows[i]; col.Kind == FamilyName && id != 0 {
			return given.hash + col.values[id].hash
		}
	}
	return 0
}

// hashText is FNV-1a; 0 for the empty text.
func hashText(text string) uint64 {
	if text == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

func prefix(text string, n int) string {
	for at := range text {
		if n == 0 {
			return text[:at]
		}
		n--
	}
	return text
}

// consonants is the first letter of a name and its consonants, no letter twice in a row: what
// people keep of a name that they misspell.
func consonants(name string) string {
	name, _, _ = strings.Cut(name, " ")
	kept := make([]byte, 0, 8)
	for at := range len(name) {
		letter := name[at]
		if at > 0 && strings.IndexByte("aeiouyhw", letter) >= 0 {
			continue
		}
		if len(kept) > 0 && kept[len(kept)-1] == letter {
			continue
		}
		if kept = append(kept, letter); len(kept) == 4 {
			break
		}
	}
	return string(kept)
}

// group sorts the records by their keys, leaves out those that are alone with one, and takes those
// out that too many share. It says in which block each record is.
func (r *records) group(
	rule rule, columns []int,
) (of, sorted []uint32, dropped []DroppedBlock) {
	all := make([]keyed, 0, r.len())
	for i := range uint32(r.len()) {
		if key := r.key(rule, columns, i); key != 0 {
			all = append(all, keyed{key, i})
		}
	}
	sortKeyed(all)
	of, block := make([]uint32, r.len()), uint32(0)
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].key == all[from].key {
			to++
		}
		switch {
		case to-from > rule.most():
			dropped = append(dropped, r.droppedBlock(rule, columns, all[from].record, to-from))
		case to-from > 1:
			block++
			for _, one := range all[from:to] {
				of[one.record] = block
				sorted = append(sorted, one.record)
			}
			sorted[len(sorted)-1] |= lastOfBlock
		}
		from = to
	}
	return of, slices.Clip(sorted), dropped
}

// sortKeyed sorts by key, records of one key as they were: by the upper bits of the keys, which are
// hashes, in two rounds, and what is left among neighbours.
func sortKeyed(all []keyed) {
	const bits, places = 11, 1 << 11
	from, to := all, make([]keyed, len(all))
	for _, shift := range []int{64 - 2*bits, 64 - bits} {
		var starts [places]int
		for _, one := range from {
			starts[one.key>>shift&(places-1)]++
		}
		sum := 0
		for at, n := range starts {
			starts[at], sum = sum, sum+n
		}
		for _, one := range from {
			at := &starts[one.key>>shift&(places-1)]
			to[*at] = one
			*at++
		}
		from, to = to, from
	}
	for i := 1; i < len(all); i++ {
		one, at := all[i], i
		for at > 0 && all[at-1].key > one.key {
			all[at] = all[at-1]
			at--
		}
		all[at] = one
	}
}

// keyed is a record under its key.
type keyed struct {
	key    uint64
	record uint32
}

func (r *records) droppedBlock(rule rule, columns []int, record uint32, n int) DroppedBlock {
	said := make([]string, len(columns))
	for k, at := range columns {
		col := r.columns[at]
		said[k] = col.values[col.rows[record]].text
	}
	return DroppedBlock{rule.name, strings.Join(said, ", "), n}
}

// mostDropped lists the dropped keys, the most frequent first.
func mostDropped(dropped []DroppedBlock) []DroppedBlock {
	slices.SortFunc(dropped, func(x, y DroppedBlock) int {
		return cmp.Or(y.Records-x.Records, cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Value, y.Value))
	})
	return dropped
}

// together reports whether a pair is compared, and by which rule.
func (b *blocks) together(i, j uint32) (rule string, ok bool) {
	if len(b.rules) == 0 {
		return anyPair, true
	}
	x, y := b.line(i), b.line(j)
	for k, block := range x {
		if block != 0 && block == y[k] {
			return b.rules[k].name, true
		}
	}
	return anyPair, false
}

// line is in which block a record is under each rule.
func (b *blocks) line(i uint32) []uint32 {
	width := len(b.rules)
	from := int(i) * width
	return b.of[from : from+width]
}

// stretch is a part of the candidates: those whose first record is in a part of a rule's blocks, or
// of all records where every pair is compared.
type stretch struct{ rule, from, to int }

// stretches takes the candidates apart, so that some may be worked on at the same time.
func (r *records) stretches(b *blocks) []stretch {
	if r.len() <= smallSet {
		return []stretch{{-1, 0, r.len()}}
	}
	const records = 1 << 14
	var all []stretch
	for k, sorted := range b.sorted {
		for from := 0; from < len(sorted); from += records {
			all = append(all, stretch{k, from, min(from+records, len(sorted))})
		}
	}
	return all
}

// eachPair calls each with every pair to compare of a stretch, once in all of them, i < j.
func (r *records) eachPair(b *blocks, s stretch, each func(i, j uint32)) {
	if s.rule < 0 {
		r.everyPair(each)
		return
	}
	sorted := b.sorted[s.rule]
	for at := s.from; at < s.to; at++ {
		if sorted[at]&lastOfBlock != 0 {
			continue
		}
		i := sorted[at]
		before := b.line(i)[:s.rule]
		for next := at + 1; ; next++ {
			j := sorted[next] &^ lastOfBlock
			if r.across(i, j) && !shared(before, b.line(j)) {
				each(i, j)
			}
			if sorted[next]&lastOfBlock != 0 {
				break
			}
		}
	}
}

// shared reports whether two records are in one block under one of the first rules, as many as a
// has.
func shared(a, b []uint32) bool {
	for k, block := range a {
		if block != 0 && block == b[k] {
			return true
		}
	}
	return false
}

// most is how many pairs are compared at most.
func (r *records) most(b *blocks) uint64 {
	if r.len() <= smallSet {
		return uint64(r.pairs())
	}
	return b.size()
}

// size is how many pairs the rules bring together, some of them by several.
func (b *blocks) size() (pairs uint64) {
	for _, sorted := range b.sorted {
		size := uint64(0)
		for _, i := range sorted {
			pairs += size
			if size++; i&lastOfBlock != 0 {
				size = 0
			}
		}
	}
	return pairs
}

// everyPair calls each with all pairs.
func (r *records) everyPair(each func(i, j uint32)) {
	for i := range uint32(r.len()) {
		for j := i + 1; j < uint32(r.len()); j++ {
			if r.across(i, j) {
				each(i, j)
			}
		}
	}
}
