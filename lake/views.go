package lake

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed views/*.sql
var viewFiles embed.FS

// view is a view of the catalog. Its file begins with what is said of it:
//
//	-- What the view holds.
//	-- like: TABLE                 its columns are those of the table, with their words ...
//	-- without: COLUMN, COLUMN     ... but for these ...
//	-- COLUMN: What the column is. ... and these
type view struct {
	name    string
	doc     string
	columns []comment
	query   string
}

// comment is what is said of a column.
type comment struct{ column, doc string }

// viewNames lists the views in an order in which each uses only those before it. Those that begin
// with an underscore are for the others.
func viewNames() []string {
	return []string{
		"aliases", "alias_versions", "edges", "records", "bridges", "identities", "_visitors", "_reasons",
		"beacons", "page_views", "link_clicks", "click_timeline", "mail_opens", "top_pages",
		"rebuilds", "_current_visits", "visits", "visit_changes", "visit_touches", "_visit_beacons",
		"visit_pages", "visitors", "browsers", "operating_systems",
		"decisions", "submissions", "reviews", "contact_versions", "contacts", "bad_beacons",
		"scores", "score_history", "score_explanations", "score_runs",
		"score_summary", "score_top", "score_distribution", "score_grades",
		"handoffs", "handoff_deliveries", "timeline", "erasures",
	}
}

// internalSchema is where the catalog keeps what analysts need not see.
const internalSchema = "files"

// catalogSQL is the statements that make the catalog of the manifests, in order.
func catalogSQL(l layout, manifests []*manifest, number int64) []string {
	return catalogOf(l, manifests, number, Snapshot{})
}

// catalogOf is the statements that make the catalog of what of the manifests is in the snapshot.
func catalogOf(l layout, manifests []*manifest, number int64, s Snapshot) []string {
	var tables []*table
	files, topics := map[string][]string{}, map[string][]string{}
	for _, m := range manifests {
		for _, f := range m.Files {
			files[f.Table] = append(files[f.Table], l.file(f.Path))
			if !slices.Contains(topics[f.Table], m.Topic) {
				topics[f.Table] = append(topics[f.Table], m.Topic)
			}
		}
	}
	statements := []string{"CREATE SCHEMA " + internalSchema}
	for _, t := range newTables().all() {
		tables = append(tables, t)
		rows := tableSQL(t, cmpOr(files[t.name], l.schema(t.name)))
		statements = append(statements, rows+s.where(t.name, topics[t.name]),
			fmt.Sprintf("COMMENT ON VIEW %s.%s IS 'Files of table %[2]s; use main.%[2]s.'",
				internalSchema, t.name))
	}
	statements = append(statements, erasedView(manifests).statements()...)
	statements = append(statements, erasedToView(manifests).statements()...)
	for _, name := range viewNames() {
		statements = append(statements, readView(name, tables).statements()...)
	}
	statements = append(statements, countsView(manifests).statements()...)
	statements = append(statements, freshView(manifests).statements()...)
	statements = append(statements, filesView(l, manifests).statements()...)
	return append(statements, generationView(number).statements()...)
}

// cmpOr is the files, or the empty one where there are none.
func cmpOr(files []string, empty string) []string {
	if len(files) == 0 {
		return []string{empty}
	}
	slices.Sort(files)
	return files
}

// tableSQL shows a table's files as one.
func tableSQL(t *table, files []string) string {
	return fmt.Sprintf("CREATE VIEW %s.%s AS %s", internalSchema, t.name, selectSQL(t, files))
}

// selectSQL reads files of a table.
func selectSQL(t *table, files []string) string {
	var b strings.Builder
	b.WriteString("SELECT * FROM ")
	b.WriteString(readSQL(t, files))
	return b.String()
}

// readSQL reads files of a table as one. Columns are found by their field ids, so that files of an
// older version, which lack some, are read with the others.
func readSQL(t *table, files []string) string {
	var b strings.Builder
	b.WriteString("read_parquet([\n")
	for i, f := range files {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString("  " + quote(f))
	}
	b.WriteString("\n], schema = MAP {\n")
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "  %d: {name: %s, type: %s, default_value: NULL}", c.id, quote(c.name),
			quote(c.sql))
	}
	b.WriteString("\n})")
	return b.String()
}

// quote writes a SQL text literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// readView reads a view's file. The files are part of this program: one that makes no sense is a
// broken invariant.
func readView(name string, tables []*table) view {
	data, err := viewFiles.ReadFile("views/" + name + ".sql")
	if err != nil {
		panic(err)
	}
	v := view{name: name}
	var without []string
	rest := string(data)
	for strings.HasPrefix(rest, "-- ") {
		line, after, _ := strings.Cut(strings.TrimPrefix(rest, "-- "), "\n")
		rest = after
		word, doc, ok := strings.Cut(line, ": ")
		switch {
		case v.doc == "":
			v.doc = line
		case ok && word == "like":
			at := slices.IndexFunc(tables, func(t *table) bool { return t.name == doc })
			for _, c := range tables[at].columns {
				v.columns = append(v.columns, comment{c.name, c.doc})
			}
		case ok && word == "without":
			without = strings.Split(doc, ", ")
		case ok && !strings.Contains(word, " "):
			v.columns = append(v.columns, comment{word, doc})
		case len(v.columns) == 0: // a line that goes on
			v.doc += " " + line
		default:
			v.columns[len(v.columns)-1].doc += " " + line
		}
	}
	v.columns = slices.DeleteFunc(v.columns, func(c comment) bool {
		return slices.Contains(without, c.column)
	})
	v.query = strings.TrimSpace(rest)
	return v
}

func (v view) statements() []string {
	name := v.name
	if strings.HasPrefix(name, "_") {
		name = internalSchema + "." + name[1:]
	}
	all := []string{
		fmt.Sprintf("CREATE VIEW %s AS\n%s", name, v.query),
		fmt.Sprintf("COMMENT ON VIEW %s IS %s", name, quote(v.doc)),
	}
	for _, c := range v.columns {
		all = append(all, fmt.Sprintf("COMMENT ON COLUMN %s.%s IS %s", name, c.column, quote(c.doc)))
	}
	return all
}

// countsView says what each partition of a topic has become, for whoever wants to add up.
func countsView(manifests []*manifest) view {
	var values []string
	for _, m := range manifests {
		rows := int64(0)
		for _, f := range m.Files {
			rows += f.Rows
		}
		values = append(values, fmt.Sprintf("(%s, %d, %d, %d, %d, %d, %d, %d, %d)", quote(m.Topic),
			m.Partition, m.NextOffset, len(m.Files), rows, m.Duplicates, m.Undecodable, m.erased(),
			m.expired()))
	}
	return view{
		name: "pipeline_counts", doc: "How far each partition of a topic is in the lake.",
		columns: []comment{
			{"topic", "Name of the topic."},
			{"topic_partition", "Partition of the topic."},
			{"next_offset", "All records before this offset are in the lake."},
			{"files", "Parquet files made of them."},
			{"rows", "Rows in those files, of all tables."},
			{"duplicates", "Beacons among them that the lake had already."},
			{"undecodable", "Records among them that nobody could read, now in bad_beacons."},
			{"erased", "Rows made of them that were taken out, or never written, as a person was erased."},
			{"expired", "Rows made of them that were dropped as their day was older than lake.keep."},
		},
		query: "SELECT topic, topic_partition::INTEGER AS topic_partition, next_offset::BIGINT AS " +
			"next_offset,\n  files::BIGINT AS files, rows::BIGINT AS rows, duplicates::BIGINT AS " +
			"duplicates,\n  undecodable::BIGINT AS undecodable, erased::BIGINT AS erased, " +
			"expired::BIGINT AS expired\nFROM " + constants(values, "('', 0, 0, 0, 0, 0, 0, 0, 0)",
			"counts(topic, topic_partition, next_offset, files, rows, duplicates, undecodable, erased, "+
				"expired)"),
	}
}

// constants is rows that are written out, as a table with its columns. Where there are none, like
// says what types they would have.
func constants(rows []string, like, as string) string {
	where := ""
	if len(rows) == 0 {
		rows, where = []string{like}, " WHERE false"
	}
	return "(VALUES\n  " + strings.Join(rows, ",\n  ") + "\n) AS " + as + where
}

func generationView(number int64) view {
	return view{
		name: "lake_catalog", doc: "Which catalog this is.",
		columns: []comment{{"generation", "Grows with each catalog that is built."}},
		query:   fmt.Sprintf("SELECT %d::BIGINT AS generation", number),
	}
}
