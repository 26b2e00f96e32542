package match

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Set holds records: each distinct text once, and of each record the ordinals of its texts.
type Set struct {
	columns []*rawColumn
	source  []uint8 // of each record, the number of its file
	// block has room for the next texts: the garbage collector looks at one block, not at each text.
	block strings.Builder
}

// rawColumn is a column as it was read. Ordinal 0 is the empty text.
type rawColumn struct {
	name  string
	known table
	texts []string
	rows  []uint32
}

// maxRecords bounds a set: records have 32-bit ordinals.
const maxRecords = 1 << 30

// NewSet makes a set of records with these columns.
func NewSet(columns []string) *Set {
	s := &Set{}
	for _, name := range columns {
		s.columns = append(s.columns, &rawColumn{
			name: strings.TrimSpace(name), texts: []string{""},
		})
	}
	return s
}

// Add adds a record of a file, 0 or 1, before Run. It keeps no reference to the slice.
func (s *Set) Add(texts []string, file uint8) error {
	if len(s.source) == maxRecords {
		return fmt.Errorf("more than %d records: split the input", maxRecords)
	}
	if len(texts) != len(s.columns) {
		return fmt.Errorf("record %d has %d fields, the header %d", len(s.source)+1, len(texts),
			len(s.columns))
	}
	s.source = append(s.source, file)
	for i, c := range s.columns {
		c.rows = append(c.rows, s.id(c, strings.TrimSpace(texts[i])))
	}
	return nil
}

func (s *Set) id(c *rawColumn, text string) uint32 {
	if text == "" {
		return 0
	}
	slot := c.known.slot(xxhash.Sum64String(text), func(id uint32) bool { return c.texts[id] == text })
	if *slot == 0 {
		*slot = uint32(len(c.texts))
		c.texts = append(c.texts, s.keep(text))
		c.known.added(func(id uint32) uint64 { return xxhash.Sum64String(c.texts[id]) })
		return uint32(len(c.texts) - 1)
	}
	return *slot
}

// keep copies a text into the block.
func (s *Set) keep(text string) string {
	const size = 1 << 16
	if s.block.Cap()-s.block.Len() < len(text) {
		s.block = strings.Builder{}
		s.block.Grow(max(size, len(text)))
	}
	from := s.block.Len()
	s.block.WriteString(text)
	return s.block.String()[from:]
}

// Len is the number of records.
func (s *Set) Len() int { return len(s.source) }

// Text is what record i, counted from 0, says in column c.
func (s *Set) Text(i, c int) string {
	col := s.columns[c]
	return col.texts[col.rows[i]]
}

// Column is what a column was taken for.
type Column struct {
	Name string
	Kind Kind
}

// column is a column as it is compared. Value 0 is none.
type column struct {
	Column
	values []value
	rows   []uint32 // of each record, in canonical order
	counts []uint32 // of each value
	filled int      // records with a value
}

// records are the records of a set, normalised, in canonical order: by a hash of what they say, so
// that the order of the input makes no difference.
type records struct {
	columns []*column
	ignored []Column
	order   []uint32 // canonical ordinal to ordinal of the input
	source  []uint8
	linked  bool // two files: only pairs across are compared
	names   shortForms
	given   int // the column of given names, -1 where there is none
	family  int
	last    []int // of each column, its level "other"
}

func (r *records) len() int { return len(r.order) }

// across reports whether a pair may be compared: with two files, only across them.
func (r *records) across(i, j uint32) bool { return !r.linked || r.source[i] != r.source[j] }

// pairs is how many pairs of records there are to compare.
func (r *records) pairs() float64 {
	return r.pairsOf(r.source)
}

// pairsOf is how many pairs there are of records that are in these files.
func (r *records) pairsOf(files []uint8) float64 {
	n := float64(len(files))
	if !r.linked {
		return n * (n - 1) / 2
	}
	second := 0.0
	for _, file := range files {
		second += float64(file)
	}
	return second * (n - second)
}

// maxComparisons is how many columns are compared at most: a comparison vector is 64 bits.
const maxComparisons = 16

// maxLevels is how many levels a comparison has at most, with that of no value.
const maxLevels = 16

// normalise reads the records of a set. Columns named in skip take no part.
func (s *Set) normalise(o Options) (*records, error) {
	if s.Len() < 2 {
		return nil, errors.New("fewer than two records: there is nothing to compare")
	}
	r := &records{names: newShortForms(), source: slices.Clone(s.source)}
	r.linked = slices.Contains(s.source, 1)
	pools := map[Kind]*pool{}
	var raws []*rawColumn
	for _, raw := range s.columns {
		raw.known = table{} // nothing is added any more
		kind := raw.kind(o)
		if kind == Ignored {
			r.ignored = append(r.ignored, Column{raw.name, kind})
			continue
		}
		raws = append(raws, raw)
		r.columns = append(r.columns, &column{Column: Column{raw.name, kind}})
	}
	r.fill(raws, pools, o)
	r.settleNames(pools)
	r.columns = slices.DeleteFunc(r.columns, func(c *column) bool {
		idle := c.filled < 2 || len(c.values) < 3 && c.filled == s.Len()
		if idle {
			r.ignored = append(r.ignored, Column{c.Name, c.Kind})
		}
		return idle
	})
	if len(r.columns) > maxComparisons {
		slices.SortStableFunc(r.columns, func(a, b *column) int { return b.filled - a.filled })
		for _, c := range r.columns[maxComparisons:] {
			r.ignored = append(r.ignored, c.Column)
		}
		r.columns = r.columns[:maxComparisons]
	}
	if len(r.columns) == 0 {
		return nil, errors.New("no column to compare: name columns for what they hold, such as " +
			"first_name, last_name, email, phone, date_of_birth, postcode")
	}
	r.lay()
	r.arrange()
	return r, nil
}

// fill normalises columns, those of one pool one after another.
func (r *records) fill(raws []*rawColumn, pools map[Kind]*pool, o Options) {
	var work [][]int
	of := map[*pool]int{}
	for k, col := range r.columns {
		p := poolOf(pools, col.Kind)
		at, ok := of[p]
		if !ok {
			at, of[p] = len(work), len(work)
			work = append(work, nil)
		}
		work[at] = append(work[at], k)
	}
	o.spread(len(work), func(_, piece int) {
		for _, k := range work[piece] {
			r.columns[k].fill(raws[k], poolOf(pools, r.columns[k].Kind), o)
		}
	})
}

// lay puts the columns into the order in which they are compared.
func (r *records) lay() {
	slices.SortStableFunc(r.columns, func(a, b *column) int {
		return cmp.Or(rank(a.Kind)-rank(b.Kind), strings.Compare(a.Name, b.Name))
	})
	first := func(k Kind) int {
		return slices.IndexFunc(r.columns, func(c *column) bool { return c.Kind == k })
	}
	r.given, r.family = first(GivenName), first(FamilyName)
	all := defaultLevels()
	for _, c := range r.columns {
		r.last = append(r.last, len(all[c.Kind]))
	}
}

// rank orders comparisons: who it is, how to reach them, where they live, and what else there is.
func rank(k Kind) int {
	return slices.Index([]Kind{
		GivenName, FamilyName, FullName, Date, EmailKind, Phone, Code, Postcode, Address, Place,
		Company, Category, Text,
	}, k)
}

func (c *rawColumn) kind(o Options) Kind {
	if slices.Contains(o.Skip, c.name) {
		return Ignored
	}
	if kind, ok := o.Model.Columns[c.name]; ok {
		return kind
	}
	rows := 0
	for _, id := range c.rows {
		if id != 0 {
			rows++
		}
	}
	if kind, ok := kindByName(c.name); ok {
		if kind == Code && len(c.texts)-1 == rows && !slices.Contains(o.Model.Verified, c.name) {
			return Ignored // a number of its own for each row
		}
		return kind
	}
	if rows*2 < len(c.rows) {
		return Ignored // nobody said that it matters, and most records say nothing
	}
	return kindByValues(look(c.texts[1:], rows))
}

// pool holds the distinct values of all columns of a kind; given and family names share one, so
// that swapped names are found by their ordinals.
type pool struct {
	known  table
	values []value
}

func poolOf(pools map[Kind]*pool, k Kind) *pool {
	if k == FamilyName {
		k = GivenName
	}
	p := pools[k]
	if p == nil {
		p = &pool{values: make([]value, 1)}
		pools[k] = p
	}
	return p
}

func (p *pool) id(v value) uint32 {
	if v.text == "" {
		return 0
	}
	slot := p.known.slot(v.hash, func(id uint32) bool { return p.values[id].text == v.text })
	if *slot == 0 {
		*slot = uint32(len(p.values))
		p.values = append(p.values, v)
		p.known.added(func(id uint32) uint64 { return p.values[id].hash })
		return uint32(len(p.values) - 1)
	}
	return *slot
}

func (c *column) fill(raw *rawColumn, p *pool, o Options) {
	n := normaliser{kind: c.Kind, order: orderOf(raw.texts), region: o.Model.Region}
	ids := make([]uint32, len(raw.texts))
	for i, text := range raw.texts {
		v, _ := n.of(text)
		ids[i] = p.id(v)
	}
	c.rows = make([]uint32, len(raw.rows))
	for i, id := range raw.rows {
		c.rows[i] = ids[id]
	}
	c.finish(p)
}

// finish counts the values, once all are in the pool.
func (c *column) finish(p *pool) {
	c.values = p.values
	c.counts = make([]uint32, len(p.values))
	c.filled = 0
	for _, id := range c.rows {
		c.counts[id]++
		if id != 0 {
			c.filled++
		}
	}
}

// arrange puts the records into canonical order.
func (r *records) arrange() {
	n := len(r.source)
	hashes := make([]uint64, n)
	for k, c := range r.columns {
		for i, id := range c.rows {
			hashes[i] = mix(hashes[i], c.values[id].hash+uint64(k))
		}
	}
	all := make([]keyed, n)
	for i, hash := range hashes {
		all[i] = keyed{mix(hash, uint64(r.source[i])), uint32(i)}
	}
	sortKeyed(all)
	r.order = make([]uint32, n)
	for i, one := range all {
		r.order[i] = one.record
	}
	source := make([]uint8, n)
	for i, at := range r.order {
		source[i] = r.source[at]
	}
	r.source = source
	for _, c := range r.columns {
		rows := make([]uint32, n)
		for i, at := range r.order {
			rows[i] = c.rows[at]
		}
		c.rows = rows
	}
}

// mix makes one hash of two, in their order (the finaliser of splitmix64).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
