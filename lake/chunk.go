package lake

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// group is the rows of one row group that are not in a file yet.
type group struct {
	rows   int
	chunks []chunk
	arena  arena
}

func newGroup(t *table) *group {
	g := &group{chunks: make([]chunk, len(t.columns))}
	for i := range g.chunks {
		g.chunks[i].column, g.chunks[i].arena = &t.columns[i], &g.arena
	}
	return g
}

// bytes is about what the group takes in memory.
func (g *group) bytes() int64 {
	n := g.arena.kept
	for i := range g.chunks {
		c := &g.chunks[i]
		n += int(unsafe.Sizeof(*c)) + 4*cap(c.codes) + 8*cap(c.numbers) + cap(c.plain) +
			indexed*len(c.values)
	}
	return int64(n)
}

// indexed is what a text takes in values and index, beside its bytes.
const indexed = 64

// chunk is a column's values in one row group, in the order of the rows. A text that repeats is
// kept once, and a column whose rows are all alike takes nothing.
type chunk struct {
	column *column
	arena  *arena
	rows   int
	nulls  int

	// codes are what the rows have: 0 is NULL, n the nth of values, and 1 any value of a column
	// that is not by dictionary. It is nil while all rows have the last code.
	codes []uint32
	last  uint32

	values []string
	index  map[string]uint32

	// plain holds texts that hardly ever repeat as a page does, each behind its length, and
	// pages is where in it each page begins.
	plain []byte
	pages []int

	// numbers are whole numbers, truth values as 1 and the bits of others. It is nil while all
	// are the last number.
	numbers    []int64
	lastNumber int64
}

// pageRows is how many rows a page has at most.
const pageRows = 20_000

// null appends a NULL.
func (c *chunk) null() {
	if !c.column.isText() {
		c.append(0, 0)
		return
	}
	c.startPage()
	c.code(0)
}

// text appends a text. What is no UTF-8 is made valid, as readers of Parquet refuse it.
func (c *chunk) text(s string) {
	if c.column.layout == byDictionary {
		c.code(c.codeOf(s))
		return
	}
	c.startPage()
	s = c.valid(s)
	c.plain = binary.LittleEndian.AppendUint32(c.plain, uint32(len(s)))
	c.plain = append(c.plain, s...)
	c.code(1)
}

// textOrNull appends a text, or NULL where it is empty.
func (c *chunk) textOrNull(s string) {
	if s == "" {
		c.null()
		return
	}
	c.text(s)
}

// number appends a number.
func (c *chunk) number(v int64) { c.append(v, 1) }

// numberOrNull appends a number, or NULL where it is 0.
func (c *chunk) numberOrNull(v int64) {
	if v == 0 {
		c.null()
		return
	}
	c.append(v, 1)
}

func (c *chunk) append(v int64, code uint32) {
	switch {
	case c.numbers != nil:
		c.numbers = append(c.numbers, v)
	case c.rows > 0 && v != c.lastNumber:
		c.numbers = append(repeat(c.lastNumber, c.rows), v)
	}
	c.lastNumber = v
	c.code(code)
}

func (c *chunk) code(code uint32) {
	switch {
	case c.codes != nil:
		c.codes = append(c.codes, code)
	case c.rows > 0 && code != c.last:
		c.codes = append(repeat(c.last, c.rows), code)
	}
	c.last = code
	c.rows++
	if code == 0 {
		c.nulls++
	}
}

// repeat is n times a value, with room for as many more.
func repeat[T any](v T, n int) []T {
	all := make([]T, n, 2*n+64)
	for i := range all {
		all[i] = v
	}
	return all
}

// startPage notes where in plain the row's page begins.
func (c *chunk) startPage() {
	if c.rows%pageRows == 0 && c.column.layout != byDictionary {
		c.pages = append(c.pages, len(c.plain))
	}
}

// codeOf returns the code of a text, which it notes where it is new.
func (c *chunk) codeOf(s string) uint32 {
	if c.last != 0 && c.values[c.last-1] == s {
		return c.last
	}
	if code, ok := c.index[s]; ok {
		return code
	}
	if v := c.valid(s); v != s {
		return c.codeOf(v)
	}
	s = c.arena.keep(s)
	if c.index == nil {
		c.index = map[string]uint32{}
	}
	c.values = append(c.values, s)
	code := uint32(len(c.values))
	c.index[s] = code
	return code
}

func (c *chunk) valid(s string) string {
	if c.column.arrow == arrow.BinaryTypes.Binary || utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// codesOf appends the codes of rows to a slice.
func (c *chunk) codesOf(to []uint32, from, until int) []uint32 {
	if c.codes != nil {
		return append(to, c.codes[from:until]...)
	}
	for range until - from {
		to = append(to, c.last)
	}
	return to
}

// numbersOf appends the numbers of rows that are not NULL to a slice.
func (c *chunk) numbersOf(to []int64, from, until int) []int64 {
	for i := from; i < until; i++ {
		if c.codes != nil && c.codes[i] == 0 || c.codes == nil && c.last == 0 {
			continue
		}
		if c.numbers != nil {
			to = append(to, c.numbers[i])
		} else {
			to = append(to, c.lastNumber)
		}
	}
	return to
}

// appendArray appends what was read from a file.
func (c *chunk) appendArray(a arrow.Array) {
	for i := range a.Len() {
		if a.IsNull(i) {
			c.null()
			continue
		}
		switch a := a.(type) {
		case *array.String:
			c.text(a.Value(i))
		case *array.Binary:
			c.text(textOf(a.Value(i)))
		case *array.Timestamp:
			c.number(int64(a.Value(i)))
		case *array.Int64:
			c.number(a.Value(i))
		case *array.Int32:
			c.number(int64(a.Value(i)))
		case *array.Float64:
			c.number(bitsOf(a.Value(i)))
		case *array.Boolean:
			c.number(truth(a.Value(i)))
		case *array.Decimal128:
			c.number(int64(a.Value(i).LowBits()))
		default:
			panic("lake: no column is " + a.DataType().String())
		}
	}
}

// arena keeps texts in few pieces of memory.
type arena struct {
	block []byte
	kept  int
}

const (
	firstBlock = 512
	mostBlock  = 64 << 10
)

// keep returns a copy of a text.
func (a *arena) keep(s string) string {
	if len(s) > cap(a.block)-len(a.block) {
		size := max(firstBlock, min(2*cap(a.block), mostBlock), len(s))
		a.block = make([]byte, 0, size)
		a.kept += size
	}
	at := len(a.block)
	a.block = append(a.block, s...)
	return textOf(a.block[at:])
}

// textOf is bytes as a text, for as long as nobody changes them.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
