package lake

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/parquet"
)

// column is a column of a table, as Parquet and SQL know it.
type column struct {
	// id is the Parquet field id, by which readers find the column whatever it is called. It is
	// never used again for anything else.
	id   int
	name string
	// sql is the column's type in DuckDB.
	sql string
	// arrow is the type that readers see, and physical the one in the file.
	arrow    arrow.DataType
	physical parquet.Type
	// key columns are never NULL.
	key bool
	// dated is the column whose UTC day a row belongs to.
	dated bool
	// layout is how the values are written: by dictionary unless said otherwise.
	layout valueLayout
	// json is true for texts that are JSON.
	json bool
	doc  string
}

type valueLayout uint8

const (
	// byDictionary suits what repeats.
	byDictionary valueLayout = iota
	// byDelta suits numbers that grow, nearly, from row to row.
	byDelta
	// plainly suits what never repeats.
	plainly
)

func (c *column) isText() bool { return c.physical == parquet.Types.ByteArray }

// table is what is written of one kind of row.
type table struct {
	name    string
	doc     string
	columns []column
	schema  *arrow.Schema
	format  format
}

// fieldIDKey is where Arrow keeps the field id of a column.
const fieldIDKey = "PARQUET:field_id"

// fieldIDs are the Parquet field ids of the columns by name.
func (t *table) fieldIDs() map[string]int {
	ids := make(map[string]int, len(t.columns))
	for _, c := range t.columns {
		ids[c.name] = c.id
	}
	return ids
}

// sortedBy is the order of the rows in a compacted file: by who or what they are of, then by time.
// No two rows are equal in it.
func (t *table) sortedBy() (keys []string) {
	ids := t.fieldIDs()
	for _, subject := range []string{
		"visitor_id", "contact_id", "subject_id", "record_id", "left_record_id",
	} {
		if _, ok := ids[subject]; ok {
			keys = append(keys, subject)
			break
		}
	}
	for _, c := range t.columns {
		if c.key && c.sql == "TIMESTAMPTZ" {
			keys = append(keys, c.name)
			break
		}
	}
	keys = append(keys, "topic_offset")
	if _, ok := ids["ordinal"]; ok {
		keys = append(keys, "ordinal")
	}
	return keys
}

// field is a column together with how a row of type R fills it.
type field[R any] struct {
	column
	// fill appends a row's value.
	fill func(to *chunk, row *R)
}

// rowTable is a table together with how rows of type R fill it.
type rowTable[R any] struct {
	table
	fields []field[R]
}

// define makes a table of its fields.
func define[R any](name, doc string, fields ...field[R]) *rowTable[R] {
	t := &rowTable[R]{table: table{name: name, doc: doc}, fields: fields}
	columns := make([]arrow.Field, len(fields))
	for i, f := range fields {
		t.columns = append(t.columns, f.column)
		columns[i] = arrow.Field{
			Name: f.name, Type: f.arrow, Nullable: !f.key,
			Metadata: arrow.NewMetadata([]string{fieldIDKey}, []string{strconv.Itoa(f.id)}),
		}
	}
	t.schema = arrow.NewSchema(columns, nil)
	var err error
	if t.format, err = newFormat(&t.table); err != nil {
		panic(fmt.Sprintf("lake: table %s: %v", name, err)) // it is part of this program
	}
	return t
}

// key marks a field that every row has.
func key[R any](f field[R]) field[R] {
	f.column.key = true
	return f
}

// dated marks the field whose UTC day a row belongs to.
func dated[R any](f field[R]) field[R] {
	f.column.dated = true
	return f
}

// unique marks a field whose values hardly ever repeat.
func unique[R any](f field[R]) field[R] {
	if f.isText() {
		f.layout = plainly
	}
	return f
}

// text is a VARCHAR; an empty one is NULL, unless it is a key.
func text[R any](id int, name, doc string, get func(*R) string) field[R] {
	return field[R]{
		column: column{
			id: id, name: name, sql: "VARCHAR", arrow: arrow.BinaryTypes.String,
			physical: parquet.Types.ByteArray, doc: doc,
		},
		fill: func(to *chunk, row *R) { to.textOrNull(get(row)) },
	}
}

// keyText is a VARCHAR that every row has, be it empty.
func keyText[R any](id int, name, doc string, get func(*R) string) field[R] {
	f := key(text(id, name, doc, get))
	f.fill = func(to *chunk, row *R) { to.text(get(row)) }
	return f
}

// jsonText is JSON text; the views cast it.
func jsonText[R any](id int, name, doc string, get func(*R) []byte) field[R] {
	f := text(id, name, doc, func(row *R) string { return textOf(get(row)) })
	f.json = true
	return f
}

// blob is a BLOB; an empty one is NULL.
func blob[R any](id int, name, doc string, get func(*R) []byte) field[R] {
	f := text(id, name, doc, func(row *R) string { return textOf(get(row)) })
	f.sql, f.arrow = "BLOB", arrow.BinaryTypes.Binary
	return f
}

// instant is a TIMESTAMPTZ from microseconds since the epoch; 0 is NULL.
func instant[R any](id int, name, doc string, get func(*R) int64) field[R] {
	return field[R]{
		column: column{
			id: id, name: name, sql: "TIMESTAMPTZ", arrow: arrow.FixedWidthTypes.Timestamp_us,
			physical: parquet.Types.Int64, layout: byDelta, doc: doc,
		},
		fill: func(to *chunk, row *R) { to.numberOrNull(get(row)) },
	}
}

// keyInstant is a TIMESTAMPTZ that every row has, be it 1970.
func keyInstant[R any](id int, name, doc string, get func(*R) int64) field[R] {
	f := key(instant(id, name, doc, get))
	f.fill = func(to *chunk, row *R) { to.number(get(row)) }
	return f
}

// bigint is a BIGINT; 0 is a value.
func bigint[R any](id int, name, doc string, get func(*R) int64) field[R] {
	return field[R]{
		column: column{
			id: id, name: name, sql: "BIGINT", arrow: arrow.PrimitiveTypes.Int64,
			physical: parquet.Types.Int64, layout: byDelta, doc: doc,
		},
		fill: func(to *chunk, row *R) { to.number(get(row)) },
	}
}

// integer is an INTEGER; 0 is a value.
func integer[R any](id int, name, doc string, get func(*R) int32) field[R] {
	return field[R]{
		column: column{
			id: id, name: name, sql: "INTEGER", arrow: arrow.PrimitiveTypes.Int32,
			physical: parquet.Types.Int32, layout: byDelta, doc: doc,
		},
		fill: func(to *chunk, row *R) { to.number(int64(get(row))) },
	}
}

// double is a DOUBLE; 0 is NULL.
func double[R any](id int, name, doc string, get func(*R) float64) field[R] {
	return field[R]{
		column: column{
			id: id, name: name, sql: "DOUBLE", arrow: arrow.PrimitiveTypes.Float64,
			physical: parquet.Types.Double, layout: plainly, doc: doc,
		},
		fill: func(to *chunk, row *R) {
			if v := get(row); v != 0 {
				to.number(bitsOf(v))
			} else {
				to.null()
			}
		},
	}
}

// boolean is a BOOLEAN.
func boolean[R any](id int, name, doc string, get func(*R) bool) field[R] {
	return field[R]{
		column: column{
			id: id, name: name, sql: "BOOLEAN", arrow: arrow.FixedWidthTypes.Boolean,
			physical: parquet.Types.Boolean, layout: plainly, doc: doc,
		},
		fill: func(to *chunk, row *R) { to.number(truth(get(row))) },
	}
}

// decimal is a DECIMAL from a count of its last place's units, kept to what its digits can hold.
func decimal[R any](
	id int, name, doc string, precision, scale int32, get func(*R) int64,
) field[R] {
	physical := parquet.Types.Int64
	if precision <= 9 {
		physical = parquet.Types.Int32
	}
	most := int64(math.Pow10(int(precision))) - 1
	return field[R]{
		column: column{
			id: id, name: name, physical: physical, layout: plainly, doc: doc,
			sql:   "DECIMAL(" + strconv.Itoa(int(precision)) + "," + strconv.Itoa(int(scale)) + ")",
			arrow: &arrow.Decimal128Type{Precision: precision, Scale: scale},
		},
		fill: func(to *chunk, row *R) { to.number(min(max(get(row), -most), most)) },
	}
}

// dayMicros is a UTC day.
const dayMicros = int64(24 * time.Hour / time.Microsecond)

// dayOf returns the days since the epoch of an instant, kept to years of four digits.
func dayOf(us int64) int32 {
	const first, last = -719_162, 2_932_896 // 0001-01-01 and 9999-12-31
	day := us / dayMicros
	if us%dayMicros < 0 {
		day--
	}
	return int32(min(max(day, first), last))
}

// dayName writes a day as in a path.
func dayName(day int32) string {
	return time.Unix(int64(day)*86_400, 0).UTC().Format(time.DateOnly)
}

// rows is a table's rows of one day that are not in a file yet.
type rows struct {
	groups []*group
	n      int
}

// group is that of the next n rows, which a merge may have many of.
func (r *rows) group(t *table, n int) *group {
	if len(r.groups) == 0 || r.groups[len(r.groups)-1].rows+n > rowGroup {
		r.groups = append(r.groups, newGroup(t))
	}
	g := r.groups[len(r.groups)-1]
	g.rows += n
	r.n += n
	return g
}

// bytes is about what the rows take in memory.
func (r *rows) bytes() (n int64) {
	for _, g := range r.groups {
		n += g.bytes()
	}
	return n
}

// buffer is a table's rows that are not in a file yet, by day.
type buffer[R any] struct {
	table *rowTable[R]
	days  map[int32]*rows
	// last is the day of the last row, which is nearly always that of the next.
	last    *rows
	lastDay int32
}

func (b *buffer[R]) append(us int64, row *R) {
	day := dayOf(us)
	r := b.last
	if r == nil || day != b.lastDay {
		if r = b.days[day]; r == nil {
			r = &rows{}
			if b.days == nil {
				b.days = map[int32]*rows{}
			}
			b.days[day] = r
		}
		b.last, b.lastDay = r, day
	}
	g := r.group(&b.table.table, 1)
	for i := range b.table.fields {
		b.table.fields[i].fill(&g.chunks[i], row)
	}
}

// bytes is about what the buffer takes in memory.
func (b *buffer[R]) bytes() (n int64) {
	for _, r := range b.days {
		n += r.bytes()
	}
	return n
}

// pending is what one file will hold.
type pending struct {
	table  *table
	day    int32
	rows   int
	groups []*group
}

// take empties the buffer.
func (b *buffer[R]) take(out []pending) []pending {
	for day, r := range b.days {
		out = append(out, pending{table: &b.table.table, day: day, rows: r.n, groups: r.groups})
	}
	b.days, b.last = nil, nil
	return out
}
