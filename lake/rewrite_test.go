package lake

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	pqfile "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/google/go-cmp/cmp"
)

// typesOf are the columns of a file, with their ids and what they are in Parquet.
func typesOf(t *testing.T, path string) (all []documentColumn) {
	t.Helper()
	f, err := pqfile.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	schema := f.MetaData().Schema
	for i := range schema.NumColumns() {
		c := schema.Column(i)
		all = append(all, documentColumn{
			ID: int(c.SchemaNode().FieldID()), Name: c.Name(), Parquet: parquetType(t, c),
		})
	}
	return all
}

// A file that DuckDB rewrites has the ids, types and values that ours have, at the edges of what
// the types hold, too.
func TestRewrittenFilesAreTheSame(t *testing.T) {
	dir := t.TempDir()
	before, after := filepath.Join(dir, "a.parquet"), filepath.Join(dir, "b.parquet")
	const year1, year9999 = -62_135_596_800_000_000, 253_402_300_799_999_999
	b := buffer[anyRow]{table: anyTable()}
	for _, row := range []anyRow{
		{},
		{
			text: "a\x00b", key: "\u65e5\U0001f600", only: "1", maybe: " ", bytes: []byte{0, 0xff},
			long: math.MinInt64, short: math.MinInt32, at: year1, truth: true,
			double: math.SmallestNonzeroFloat64, small: -999_999_999, large: -999_999_999_999_999_999,
		},
		{
			text: "NULL", only: "2", bytes: []byte("\r\n"),
			long: math.MaxInt64, short: math.MaxInt32, at: year9999, double: math.MaxFloat64,
			small: 999_999_999, large: 999_999_999_999_999_999,
		},
		{only: "3", double: math.Inf(-1), at: -1, long: -1, short: -1, small: -1, large: -1},
		{only: "4", double: math.NaN(), at: 1, long: 1, short: 1, small: 1, large: 1},
	} {
		b.append(0, &row)
	}
	data, err := newEncoder().encode(b.take(nil)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(before, data, 0o600); err != nil {
		t.Fatal(err)
	}
	table := &b.table.table
	n, err := RewriterOf(t).Rewrite(t.Context(), dir, []Rewrite{{
		Path: after, SQL: selectSQL(table, []string{before}) + " ORDER BY \"only\"",
		FieldIDs: table.fieldIDs(),
	}})
	if err != nil || n[0] != 5 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if diff := cmp.Diff(typesOf(t, before), typesOf(t, after)); diff != "" {
		t.Errorf("columns:\n%s", diff)
	}
	if diff := cmp.Diff(rowsOf(t, before), rowsOf(t, after)); diff != "" {
		t.Errorf("rows:\n%s", diff)
	}
}
