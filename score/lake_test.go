package score

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"crumbtrail/internal/duck"
)

// TestMain lets this test binary be the child that runs statements. A random test asks one child
// or more per case: 15 are what a few seconds allow; -rapid.checks runs more.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == duck.ChildCommand {
		os.Exit(duck.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err := flag.Set("rapid.checks", "15"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// lake is a database with the views that scores read, as tables.
type lake struct {
	t       testing.TB
	child   duck.Child
	path    string
	inserts []string
	// built is how many of inserts the database has; -1 while there is none.
	built int
	// events counts the rows of beacons, to number them.
	events int
}

func newLake(t testing.TB) *lake {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lake"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lake.duckdb")
	return &lake{t: t, child: duck.Child{Exe: exe}, path: path, built: -1}
}

func (l *lake) reset() { l.inserts, l.events, l.built = nil, 0, -1 }

// Query builds the database and asks it as production does.
func (l *lake) Query(ctx context.Context, statement string, row func([]any) error) error {
	l.t.Helper()
	if l.built != len(l.inserts) {
		statements := append([]string{
			"CREATE SCHEMA files", createTable("beacons", beaconColumns()),
			"CREATE VIEW files.beacons AS SELECT * EXCLUDE (contact_id, was_anonymous, identified_by) " +
				"FROM main.beacons",
			// A visitor is the contact of their last event that said so.
			"CREATE VIEW identities AS SELECT site, visitor_id, contact_id, topic_offset, " +
				"CASE WHEN before THEN occurred_at END AS valid_from, occurred_at + INTERVAL 1 hour * " +
				"was_anonymous::INTEGER AS linked_at, identified_by AS submission_id FROM (" +
				"SELECT *, lag(contact_id) OVER visits AS other, row_number() OVER visits > 1 AS before " +
				"FROM beacons WHERE visitor_id IS NOT NULL WINDOW visits AS (" +
				"PARTITION BY site, visitor_id ORDER BY occurred_at, topic_offset)) " +
				"WHERE NOT before OR contact_id IS DISTINCT FROM other",
			"CREATE TABLE aliases (contact_id VARCHAR, current_contact_id VARCHAR)",
			createTable("contacts", contactColumns()),
			"ALTER TABLE contacts ADD COLUMN merged_into VARCHAR",
			"CREATE VIEW contact_versions AS SELECT *, lead(updated_at) OVER (" +
				"PARTITION BY contact_id ORDER BY version) AS valid_to, " +
				"coalesce(last(merged_into) OVER (PARTITION BY contact_id ORDER BY version " +
				"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), contact_id) " +
				"AS current_contact_id FROM contacts",
		}, l.inserts...)
		if err := duck.Build(ctx, l.path, statements); err != nil {
			l.t.Fatal(err)
		}
		l.built = len(l.inserts)
	}
	return Lake{Child: l.child, Database: l.path}.Query(ctx, statement, row)
}

func createTable(name string, of columns) string {
	var definitions []string
	for name, c := range of {
		if name == c.name {
			definitions = append(definitions, quoteName(name)+" "+sqlType(c))
		}
	}
	return fmt.Sprintf("CREATE TABLE %s (%s)", name, strings.Join(definitions, ", "))
}

func sqlType(c column) string {
	if c.name == "props" {
		return "JSON"
	}
	return [...]string{"VARCHAR", "BIGINT", "BOOLEAN", "TIMESTAMPTZ"}[c.kind]
}

func (l *lake) event(row string) {
	l.t.Helper()
	f := strings.Fields(row)
	l.insert("beacons", append([]string{
		"occurred_at=" + f[0], "event_id=" + f[1], "visitor_id=" + f[2], "contact_id=" + f[3],
		"type=" + f[4], "url_path=" + f[5], "consent=identified", "site=acme", "is_bot=false",
		"recipient=" + f[3],
		"topic_partition=0", fmt.Sprintf("topic_offset=%d", l.events),
	}, f[6:]...))
	l.events++
}

func (l *lake) contact(row string) {
	l.t.Helper()
	f := strings.Fields(row)
	l.insert("contacts", append([]string{
		"created_at=" + f[0], "updated_at=" + f[0], "contact_id=" + f[1], "version=1",
	}, f[2:]...))
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
	l.inserts = append(l.inserts, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table,
		strings.Join(names, ", "), strings.Join(values, ", ")))
}

// load replaces what the lake holds, with the rows in that order.
func (l *lake) load(events []event, versions []version) {
	l.reset()
	var rows []string
	names := slices.Concat(beaconKinds[text], beaconKinds[number], beaconKinds[boolean],
		beaconKinds[instant])
	for _, e := range events {
		// A visitor is one contact on one site.
		rows = append(rows, fmt.Sprintf(
			"(%s, %s, %s, %[3]s, %s, %s, make_timestamptz(%d), %s, %d, %d, %s)",
			quoteText("of "+e.contact), nullable(e.visitor), nullable(e.contact), quoteText(e.id),
			quoteText(e.kind), e.ts, quoteText(e.consent), e.place%2, e.place, e.row.sql(names)))
	}
	if len(rows) > 0 {
		l.inserts = append(l.inserts, "INSERT INTO beacons (site, visitor_id, contact_id, recipient, "+
			"event_id, type, occurred_at, consent, topic_partition, topic_offset, "+
			strings.Join(names, ", ")+") VALUES "+strings.Join(rows, ", "))
	}
	rows = nil
	names = slices.Concat(contactKinds[text], contactKinds[number])
	for _, v := range versions {
		rows = append(rows, fmt.Sprintf("(%s, %d, make_timestamptz(%d), make_timestamptz(%d), %s, %s)",
			quoteText(v.contact), v.number, v.created, v.updated, nullable(v.merged),
			v.row.sql(names)))
	}
	if len(rows) > 0 {
		l.inserts = append(l.inserts, "INSERT INTO contacts (contact_id, version, created_at, "+
			"updated_at, merged_into, "+strings.Join(names, ", ")+") VALUES "+strings.Join(rows, ", "))
	}
}

// sql is the row's columns of those names as literals.
func (r row) sql(names []string) string {
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = "NULL"
		if r[name] != nil {
			values[i] = term{value: r[name]}.text()
		}
	}
	return strings.Join(values, ", ")
}

func nullable(s string) string {
	if s == "" {
		return "NULL"
	}
	return quoteText(s)
}
