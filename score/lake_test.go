package score

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	_ "github.com/marcboeker/go-duckdb/v2"
)

// lake is a database with the views that scores read, as tables.
type lake struct {
	t  *testing.T
	db *sql.DB
	// events counts the rows of beacons, to number them.
	events int
}

func newLake(t *testing.T) *lake {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l := &lake{t: t, db: db}
	for _, table := range []struct {
		name    string
		columns columns
	}{{"beacons", beaconColumns()}, {"contacts", contactColumns()}} {
		var definitions []string
		for name, c := range table.columns {
			if name == c.name {
				definitions = append(definitions, quoteName(name)+" "+sqlType(c))
			}
		}
		l.exec(fmt.Sprintf("CREATE TABLE %s (%s)", table.name, strings.Join(definitions, ", ")))
	}
	return l
}

func sqlType(c column) string {
	if c.name == "props" {
		return "JSON"
	}
	return [...]string{"VARCHAR", "BIGINT", "BOOLEAN", "TIMESTAMPTZ"}[c.kind]
}

func (l *lake) exec(statement string) {
	l.t.Helper()
	if _, err := l.db.Exec(statement); err != nil {
		l.t.Fatalf("%s: %v", statement, err)
	}
}

func (l *lake) event(row string) {
	l.t.Helper()
	f := strings.Fields(row)
	l.insert("beacons", append([]string{
		"occurred_at=" + f[0], "event_id=" + f[1], "visitor_id=" + f[2], "contact_id=" + f[3],
		"type=" + f[4], "url_path=" + f[5], "consent=identified", "site=acme", "is_bot=false",
		"topic_partition=0", fmt.Sprintf("topic_offset=%d", l.events),
	}, f[6:]...))
	l.events++
}

func (l *lake) contact(row string) {
	l.t.Helper()
	f := strings.Fields(row)
	l.insert("contacts", append([]string{"created_at=" + f[0], "contact_id=" + f[1]}, f[2:]...))
}

// insert writes a row of column=value; the last of a column counts, and - is NULL.
func (l *lake) insert(table string, fields []string) {
	l.t.Helper()
	row := map[string]string{}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		row[name] = value
	}
	var names, values []string
	for name, value := range row {
		if value == "-" {
			continue
		}
		names = append(names, quoteName(name))
		if strings.HasSuffix(name, "_at") {
			value = parseTime(l.t, value).UTC().Format(instantLayout)
		}
		values = append(values, quoteText(value))
	}
	l.exec(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "),
		strings.Join(values, ", ")))
}

// Query is the Querier of a test.
func (l *lake) Query(ctx context.Context, statement string, row func([]any) error) error {
	rows, err := l.db.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}
