package lake

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// column is a column of a table, as Parquet and SQL know it.
type column struct {
	// id is the Parquet field id, by which readers find the column whatever it is called. It is
	// never used again for anything else.
	id   int
	name string
	// sql is the column's type in DuckDB.
	sql string
	// arrow is the type in which it is written.
	arrow arrow.DataType
	// key columns are never NULL.
	key bool
	// layout is how the values are written: by dictionary unless said otherwise.
	layout valueLayout
	doc    string
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

// table is what is written of one kind of row.
type table struct {
	name    string
	doc     string
	columns []column
	schema  *arrow.Schema
}

// field is a column together with how a row of type R fills it.
type field[R any] struct {
	column
	// bind returns the function that appends a row's value to the builder.
	bind func(b array.Builder) func(row *R)
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
			Metadata: arrow.NewMetadata([]string{"PARQUET:field_id"}, []string{strconv.Itoa(f.id)}),
		}
	}
	t.schema = arrow.NewSchema(columns, nil)
	return t
}

// key marks a field that every row has.
func key[R any](f field[R]) field[R] {
	f.column.key = true
	return f
}

// unique marks a field whose values hardly ever repeat.
func unique[R any](f field[R]) field[R] {
	f.layout = plainly
	if f.arrow == arrow.PrimitiveTypes.Int64 {
		f.layout = byDelta
	}
	return f
}

// text is a VARCHAR; an empty one is NULL, unless it is a key. What is no UTF-8 is made valid, as
// readers of Parquet refuse it.
func text[R any](id int, name, doc string, get func(*R) string) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "VARCHAR", arrow: arrow.BinaryTypes.String, doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.StringBuilder)
		return func(row *R) { appendText(to, get(row)) }
	}
	return f
}

func appendText(to *array.StringBuilder, s string) {
	if s == "" {
		to.AppendNull()
		return
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	to.Append(s)
}

// keyText is a VARCHAR that every row has, be it empty.
func keyText[R any](id int, name, doc string, get func(*R) string) field[R] {
	f := key(text(id, name, doc, get))
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.StringBuilder)
		return func(row *R) { to.Append(strings.ToValidUTF8(get(row), "\uFFFD")) }
	}
	return f
}

// jsonText is JSON text; the views cast it.
func jsonText[R any](id int, name, doc string, get func(*R) []byte) field[R] {
	return text(id, name, doc, func(row *R) string { return string(get(row)) })
}

// blob is a BLOB; an empty one is NULL.
func blob[R any](id int, name, doc string, get func(*R) []byte) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "BLOB", arrow: arrow.BinaryTypes.Binary, doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.BinaryBuilder)
		return func(row *R) {
			if v := get(row); len(v) > 0 {
				to.Append(v)
			} else {
				to.AppendNull()
			}
		}
	}
	return f
}

// instant is a TIMESTAMPTZ from microseconds since the epoch; 0 is NULL.
func instant[R any](id int, name, doc string, get func(*R) int64) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "TIMESTAMPTZ", arrow: arrow.FixedWidthTypes.Timestamp_us,
		layout: byDelta, doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.TimestampBuilder)
		return func(row *R) {
			if us := get(row); us != 0 {
				to.Append(arrow.Timestamp(us))
			} else {
				to.AppendNull()
			}
		}
	}
	return f
}

// keyInstant is a TIMESTAMPTZ that every row has, be it 1970.
func keyInstant[R any](id int, name, doc string, get func(*R) int64) field[R] {
	f := key(instant(id, name, doc, get))
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.TimestampBuilder)
		return func(row *R) { to.Append(arrow.Timestamp(get(row))) }
	}
	return f
}

// bigint is a BIGINT; 0 is a value.
func bigint[R any](id int, name, doc string, get func(*R) int64) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "BIGINT", arrow: arrow.PrimitiveTypes.Int64, doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.Int64Builder)
		return func(row *R) { to.Append(get(row)) }
	}
	return f
}

// integer is an INTEGER; 0 is a value.
func integer[R any](id int, name, doc string, get func(*R) int32) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "INTEGER", arrow: arrow.PrimitiveTypes.Int32, doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.Int32Builder)
		return func(row *R) { to.Append(get(row)) }
	}
	return f
}

// double is a DOUBLE; 0 is NULL.
func double[R any](id int, name, doc string, get func(*R) float64) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "DOUBLE", arrow: arrow.PrimitiveTypes.Float64, layout: plainly,
		doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.Float64Builder)
		return func(row *R) {
			if v := get(row); v != 0 {
				to.Append(v)
			} else {
				to.AppendNull()
			}
		}
	}
	return f
}

// boolean is a BOOLEAN.
func boolean[R any](id int, name, doc string, get func(*R) bool) field[R] {
	f := field[R]{column: column{
		id: id, name: name, sql: "BOOLEAN", arrow: arrow.FixedWidthTypes.Boolean, doc: doc,
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.BooleanBuilder)
		return func(row *R) { to.Append(get(row)) }
	}
	return f
}

// decimal is a DECIMAL from a count of its last place's units, kept to what its digits can hold.
func decimal[R any](
	id int, name, doc string, precision, scale int32, get func(*R) int64,
) field[R] {
	f := field[R]{column: column{
		id: id, name: name, doc: doc,
		sql:   "DECIMAL(" + strconv.Itoa(int(precision)) + "," + strconv.Itoa(int(scale)) + ")",
		arrow: &arrow.Decimal128Type{Precision: precision, Scale: scale},
	}}
	f.bind = func(b array.Builder) func(*R) {
		to := b.(*array.Decimal128Builder)
		most := int64(math.Pow10(int(precision))) - 1
		return func(row *R) { to.Append(decimal128.FromI64(min(max(get(row), -most), most))) }
	}
	return f
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
type rows[R any] struct {
	builder *array.RecordBuilder
	fill    []func(*R)
	n       int
}

func newRows[R any](t *rowTable[R]) *rows[R] {
	r := &rows[R]{builder: array.NewRecordBuilder(memory.DefaultAllocator, t.schema)}
	for i, f := range t.fields {
		r.fill = append(r.fill, f.bind(r.builder.Field(i)))
	}
	return r
}

// buffer is a table's rows that are not in a file yet, by day.
type buffer[R any] struct {
	table *rowTable[R]
	days  map[int32]*rows[R]
	// last is the day of the last row, which is nearly always that of the next.
	last    *rows[R]
	lastDay int32
}

func (b *buffer[R]) append(us int64, row *R) {
	day := dayOf(us)
	r := b.last
	if r == nil || day != b.lastDay {
		if r = b.days[day]; r == nil {
			r = newRows(b.table)
			if b.days == nil {
				b.days = map[int32]*rows[R]{}
			}
			b.days[day] = r
		}
		b.last, b.lastDay = r, day
	}
	for _, fill := range r.fill {
		fill(row)
	}
	r.n++
}

// pending is what one file will hold.
type pending struct {
	table *table
	day   int32
	rows  int
	// record must be released.
	record arrow.Record
}

// take empties the buffer.
func (b *buffer[R]) take(out []pending) []pending {
	for day, r := range b.days {
		out = append(out, pending{
			table: &b.table.table, day: day, rows: r.n, record: r.builder.NewRecord(),
		})
		r.builder.Release()
	}
	b.days, b.last = nil, nil
	return out
}
