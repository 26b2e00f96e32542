package lake

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/apache/arrow/go/v15/parquet/schema"
	"github.com/google/go-cmp/cmp"
)

// documentColumn is a line of TABLES.md.
type documentColumn struct {
	ID                                int
	Name, SQL, Parquet, Nullable, Doc string
}

type documentTable struct {
	Name, Doc, SortedBy string
	Columns             []documentColumn
}

// TestTablesDocument holds TABLES.md against the tables, or writes it with -rewrite.
func TestTablesDocument(t *testing.T) {
	const path = "TABLES.md"
	page, err := template.ParseFiles("testdata/TABLES.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	err = page.Execute(&want, map[string]any{
		"Grace":    inWords(Config{}.withDefaults().Grace),
		"RowGroup": rowGroup, "Few": fewRows, "SmallRowGroup": compactRowGroup,
		"Tables": documentTables(t), "Views": documentViews(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if flag.Lookup("rewrite").Value.String() == "true" { // as stories are written
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is not what the tables are; run this test with -rewrite:\n%s", path, diff)
	}
}

func documentTables(t *testing.T) (all []documentTable) {
	for _, table := range newTables().all() {
		d := documentTable{
			Name: table.name, Doc: table.doc,
			SortedBy: "`" + strings.Join(table.sortedBy(), "`, `") + "`",
		}
		days := 0
		for i := range table.columns {
			c := &table.columns[i]
			column := documentColumn{
				ID: c.id, Name: "`" + c.name + "`", SQL: c.sql, Nullable: "yes",
				Doc:     strings.ReplaceAll(c.doc, "|", `\|`),
				Parquet: parquetType(t, table.format.schema.Column(i)),
			}
			if c.key {
				column.Nullable = "no"
			}
			if c.json {
				column.SQL += " (JSON)"
			}
			if c.dated {
				column.Name += " (dt)"
				days++
			}
			d.Columns = append(d.Columns, column)
		}
		if days != 1 {
			t.Errorf("table %s: %d columns say what its days are, want one", table.name, days)
		}
		all = append(all, d)
	}
	return all
}

// parquetType is what a column is in a file, physical and logical.
func parquetType(t *testing.T, c *schema.Column) string {
	physical := c.PhysicalType().String()
	switch logical := c.LogicalType().(type) {
	case schema.NoLogicalType, *schema.IntLogicalType:
		return physical
	case schema.StringLogicalType:
		return physical + ", STRING"
	case *schema.DecimalLogicalType:
		return fmt.Sprintf("%s, DECIMAL(%d,%d)", physical, logical.Precision(), logical.Scale())
	case *schema.TimestampLogicalType:
		if logical.IsAdjustedToUTC() && logical.TimeUnit() == schema.TimeUnitMicros {
			return physical + ", TIMESTAMP(MICROS,UTC)"
		}
	}
	t.Errorf("column %s is %s of %v", c.Name(), physical, c.LogicalType())
	return physical
}

// documentViews are what analysts see of the catalog, by name.
func documentViews() (all []documentTable) {
	tables := newTables().all()
	add := func(v view) {
		if !strings.HasPrefix(v.name, "_") {
			all = append(all, documentTable{Name: v.name, Doc: v.doc})
		}
	}
	for _, name := range viewNames() {
		add(readView(name, tables))
	}
	add(countsView(nil))
	add(freshView(nil))
	add(filesView(layout{}, nil))
	add(generationView(0))
	slices.SortFunc(all, func(a, b documentTable) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// inWords writes a time as one says it.
func inWords(d time.Duration) string {
	if d == time.Hour {
		return "an hour"
	}
	return d.String()
}
