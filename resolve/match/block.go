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
	if len(r.parts) == 1 && r.parts[0].of != bothNames {
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
	whole     extract = iota
	userPart          // of an e-mail address, the last digits of a phone number, the first name
	formal            // a given name's group of short forms, or the name
	start             // the first four characters
	initial           // the first character
	skeleton          // the first letter and the consonants behind it
	year              // of a date
	monthDay          // of a date
	bothNames         // given and family name in either order
)

// rules are those of all kinds; one holds where the records have its columns.
func rules() []rule {
	p := func(kind Kind, of extract) part { return part{kind, of} }
	return []rule{
		{"same e-mail", []part{p(EmailKind, whole)}},
		{"same user part of the e-mail", []part{p(EmailKind, userPart)}},
		{"same phone", []part{p(Phone, userPart)}},
		{"same code", []part{p(Code, whole)}},
		{"same names", []part{p(GivenName, bothNames)}},
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

// blocks are the keys of the records under each rule, and which are too frequent.
type blocks struct {
	rules   []rule
	keys    [][]uint64 // by rule, of each record; 0 is none
	sorted  [][]uint32 // by rule, the records that share their key with another, by key
	dropped []DroppedBlock
}

// DroppedBlock is a key that more records share than are compared by it.
type DroppedBlock struct {
	Rule    string
	Value   string // what they share
	Records int
}

// newBlocks finds the rules that hold for these records and the keys under them; none where all
// pairs are compared.
func newBlocks(r *records) *blocks {
	b := &blocks{}
	if r.len() <= smallSet {
		return b
	}
	for _, rule := range rules() {
		for _, columns := range r.choices(rule) {
			b.rules = append(b.rules, rule)
			keys := make([]uint64, r.len())
			for i := range keys {
				keys[i] = r.key(rule, columns, uint32(i))
			}
			b.keys = append(b.keys, keys)
			b.sorted = append(b.sorted, b.group(r, rule, columns, keys))
		}
	}
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
	return r.bothNames(v, i)
}

func (r *records) bothNames(given *value, i uint32) uint64 {
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

// group sorts the records by their keys and leaves out those that are alone with one. It takes the
// keys that too many share out, and notes them.
func (b *blocks) group(r *records, rule rule, columns []int, keys []uint64) []uint32 {
	all := make([]keyed, 0, len(keys))
	for i, key := range keys {
		if key != 0 {
			all = append(all, keyed{key, uint32(i)})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.record, b.record))
	})
	var sorted []uint32
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].key == all[from].key {
			to++
		}
		for _, one := range all[from:to] {
			switch {
			case to-from > rule.most():
				keys[one.record] = 0
			case to-from > 1:
				sorted = append(sorted, one.record)
			}
		}
		if to-from > rule.most() {
			b.dropped = append(b.dropped, r.droppedBlock(rule, columns, all[from].record, to-from))
		}
		from = to
	}
	return slices.Clip(sorted)
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
	for k, keys := range b.keys {
		if keys[i] == keys[j] && keys[i] != 0 {
			return b.rules[k].name, true
		}
	}
	return anyPair, len(b.keys) == 0
}

// eachPair calls each with every pair to compare, once, i < j.
func (r *records) eachPair(b *blocks, each func(i, j uint32)) {
	if r.len() <= smallSet {
		r.everyPair(each)
		return
	}
	for k, sorted := range b.sorted {
		keys := b.keys[k]
		for x, i := range sorted {
			for _, j := range sorted[x+1:] {
				if keys[i] != keys[j] {
					break
				}
				if r.across(i, j) && !b.seen(k, i, j) {
					each(i, j)
				}
			}
		}
	}
}

// most is how many pairs are compared at most.
func (r *records) most(b *blocks) uint64 {
	if r.len() <= smallSet {
		return uint64(r.pairs())
	}
	return b.size()
}

// size is how many pairs the rules bring together, some of them by several.
func (b *blocks) size() uint64 {
	pairs := uint64(0)
	for k, sorted := range b.sorted {
		keys := b.keys[k]
		for from := 0; from < len(sorted); {
			to := from + 1
			for to < len(sorted) && keys[sorted[to]] == keys[sorted[from]] {
				to++
			}
			pairs += uint64(to-from) * uint64(to-from-1) / 2
			from = to
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

// seen reports whether a rule before k brings the pair together.
func (b *blocks) seen(k int, i, j uint32) bool {
	for _, keys := range b.keys[:k] {
		if keys[i] == keys[j] && keys[i] != 0 {
			return true
		}
	}
	return false
}
