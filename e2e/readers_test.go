package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// documented is what TABLES.md says.
type documented struct {
	tables map[string][]documentedColumn
	// types are what the engines call an SQL type, by both.
	types map[string]map[string]string
	// python is the code that it shows, of each engine on its own.
	python map[string]string
}

type documentedColumn struct {
	id, name, sql, parquet string
	dated, nullable        bool
}

// readTables reads TABLES.md as a reader of it does.
func readTables(t *testing.T) documented {
	t.Helper()
	page, err := os.ReadFile("../lake/TABLES.md")
	if err != nil {
		t.Fatal(err)
	}
	d := documented{
		tables: map[string][]documentedColumn{}, types: map[string]map[string]string{},
		python: map[string]string{},
	}
	table, paragraph := "", ""
	var engines []string
	for line := range strings.Lines(string(page)) {
		line = strings.TrimRight(line, "\n")
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch name, isTable := strings.CutPrefix(line, "## "); {
		case isTable:
			table = name
		case strings.HasPrefix(line, "    "):
			d.python[paragraph] += line[4:] + "\n"
		case line != "" && !strings.HasPrefix(line, "|"):
			paragraph = line[:strings.IndexAny(line+" ", " ,:")]
		case strings.HasPrefix(line, "| SQL |"):
			engines = cells
		case len(cells) == len(engines) && !strings.HasPrefix(line, "| --"):
			d.types[cells[0]] = map[string]string{}
			for i, engine := range engines {
				d.types[cells[0]][strings.Fields(engine)[0]] = cells[i]
			}
		case len(cells) == 6 && cells[0] != "id" && cells[1] != "---":
			name, dated := strings.CutSuffix(cells[1], " (dt)")
			d.tables[table] = append(d.tables[table], documentedColumn{
				id: cells[0], name: strings.Trim(name, "`"), dated: dated,
				sql: strings.TrimSuffix(cells[2], " (JSON)"), parquet: cells[3],
				nullable: cells[4] != "no",
			})
		}
	}
	if len(d.tables) < 14 || len(d.types) < 9 {
		t.Fatalf("TABLES.md has %d tables and %d types", len(d.tables), len(d.types))
	}
	return d
}

// hostile are beacons with values at the edges of what their columns hold.
func hostile(n int) string {
	var beacons []string
	for i, title := range []string{
		`""`, `"\u65e5\u672c \ud83d\ude00 e\u0301 \u05e9\u05dc\u05d5\u05dd"`, `"tab\tline\nend"`,
		`"'\"\\|,;"`, `"` + strings.Repeat("\u00fc", 1500) + `"`, `" "`, `"NULL"`, `null`,
	} {
		at := []string{
			"0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000001Z",
			"2262-04-11T23:47:16.854776Z", "9999-12-31T23:59:59.999999Z",
		}[i%5]
		beacons = append(beacons, fmt.Sprintf(`{"id":"hostile-%d-%d","site":"default",`+
			`"visitor":"v\u0161","type":"custom","created_at":%q,"title":%s,"url":"https://a.example/?",`+
			`"props":{"most":9223372036854775807,"least":-9223372036854775808,"tiny":5e-324,`+
			`"empty":"","list":[null,{},[]],"\u00e9":"\ud83d\ude00"}}`, n, i, at, title))
	}
	return `{"beacons":[` + strings.Join(beacons, ",") + `]}`
}

// varying is a configuration under which past days are compacted at once.
const varying = `
topics: {partitions: 2}
sites: [{key: default, origins: ["*"], consent: implied, gap: 2s, grace: 1s}]
lake: {flush: 1s, compact_after: 1s}
`

// variedLake makes a lake with rows in every table, in files as they are first written, in merged
// ones, and in compacted ones.
func variedLake(t *testing.T) (data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", varying)
	must(t, "demo", "--once", "--data", data, "--config", config)
	now := time.Now().UTC()
	must(t, "rebuild", "--data", data, "--config", config,
		"--from", now.AddDate(0, 0, -6).Format(time.DateOnly), "--to", now.Format(time.DateOnly))
	for range 2 { // a day in one small file stays as it is
		must(t, "score", "--data", data, "--config", config,
			"--as-of", now.AddDate(0, 0, -2).Format(time.RFC3339))
	}
	s := up(t, data, config)
	for n := range 9 { // one more than are merged into one
		for _, body := range []string{hostile(n), "\xff\x00 no JSON"} {
			resp, err := http.Post(s.url+"/v1/beacons", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		eventually(t, patience, "beacons in the lake", func() bool {
			return number(t, data, fmt.Sprintf(
				"SELECT count(*) FROM beacons WHERE event_id = 'hostile-%d-7'", n)) == 1
		})
	}
	eventually(t, patience, "days to be compacted", func() bool {
		return number(t, data, `SELECT count(DISTINCT table_name) FROM lake_files WHERE compacted
			AND table_name IN ('beacons', 'visits', 'scores', 'score_explanations')`) == 4
	})
	s.stop()
	return data
}

// listFiles lists a lake's files and, beside them, those of an older version, for the readers, too.
func listFiles(
	t *testing.T, data string, tables []string,
) (list string, files map[string][]string) {
	t.Helper()
	files = map[string][]string{}
	counts := map[string]int{}
	for _, row := range rows(t, data, "SELECT table_name, path, rows FROM lake_files") {
		files[row[0]] = append(files[row[0]], row[1])
		n, _ := strconv.Atoi(row[2])
		counts[row[0]] += n
	}
	if len(files) < 14 {
		t.Errorf("%d tables have rows", len(files))
	}
	older := filepath.Join(data, "lake", "_older")
	if err := os.CopyFS(older, os.DirFS("../lake/testdata/older")); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, table := range tables {
		if n := number(t, data, "SELECT count(*) FROM files."+table); n != counts[table] {
			t.Errorf("table %s has %d rows, its files have %d", table, n, counts[table])
		}
		if len(files[table]) == 0 { // its columns are compared all the same
			files[table] = []string{filepath.Join(data, "lake", "_schema", table+".parquet")}
		}
		more, err := filepath.Glob(filepath.Join(older, table, "*", "*.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		files[table] = append(files[table], more...)
		for _, path := range files[table] {
			fmt.Fprintf(&text, "%s\t%s\n", table, path)
		}
	}
	return write(t, "list.tsv", text.String()), files
}

// duckFacts are what DuckDB finds, as the readers print it.
func duckFacts(
	t *testing.T, data, table string, files []string, columns []documentedColumn,
) (facts []string) {
	t.Helper()
	var selected, schema []string
	for _, c := range columns {
		schema = append(schema, fmt.Sprintf("%s: {name: '%s', type: '%s', default_value: NULL}",
			c.id, c.name, c.sql))
		value := c.name
		switch {
		case c.sql == "DOUBLE":
			value = "floor(" + c.name + " * 4503599627370496)::HUGEINT::VARCHAR"
		case c.sql == "TIMESTAMPTZ":
			value = "epoch_us(" + c.name + ")::VARCHAR"
		case c.sql != "VARCHAR" && c.sql != "BLOB":
			value += "::VARCHAR"
		}
		selected = append(selected, fmt.Sprintf("count(*) - count(%s), "+
			"coalesce(sum(('0x' || left(md5(%s), 15))::BIGINT), 0)", c.name, value))
	}
	row := rows(t, data, fmt.Sprintf(
		"SELECT count(*), %s FROM read_parquet(['%s'], schema = MAP {%s})",
		strings.Join(selected, ", "), strings.Join(files, "', '"), strings.Join(schema, ", ")))[0]
	for i, c := range columns {
		facts = append(facts, strings.Join([]string{
			"values", table, c.name, row[0], row[1+2*i], row[2+2*i],
		}, "\t"))
	}
	return facts
}

// analyst is the interpreter that has the engines.
func analyst(t *testing.T) string {
	t.Helper()
	for _, python := range pythons(t) {
		if exec.Command(python, "-c", "import duckdb, pyarrow, pandas, polars").Run() == nil {
			return python
		}
	}
	lacking(t, "Python with pyarrow, pandas and polars among CRUMBTRAIL_PYTHONS")
	return ""
}

// TestOtherEnginesReadTheSame: whatever reads Parquet finds the columns that TABLES.md lists, by
// their ids and types, and the values that DuckDB finds.
func TestOtherEnginesReadTheSame(t *testing.T) {
	needThorough(t)
	python := analyst(t)
	for _, tool := range []string{"bash", "java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
	d := readTables(t)
	data := variedLake(t)
	tables := slices.Sorted(maps.Keys(d.tables))
	list, files := listFiles(t, data, tables)
	t.Logf("%s", query(t, data, `SELECT table_name, compacted, count(*) AS files, sum(rows) AS rows
		FROM lake_files GROUP BY ALL ORDER BY ALL`))
	var columns, values []string
	for _, table := range tables {
		values = append(values, duckFacts(t, data, table, files[table], d.tables[table])...)
		for _, c := range d.tables[table] {
			columns = append(columns, strings.Join([]string{
				"column", table, c.name, c.id, c.parquet,
			}, "\t"))
			if c.dated {
				checkDays(t, data, c.name, files[table])
			}
		}
	}
	check := func(t *testing.T, engine string, cmd *exec.Cmd) {
		facts := factsOf(t, cmd)
		same(t, "values", values, facts["values"])
		if engine != "parquet-java" {
			var types []string
			for _, table := range tables {
				for _, c := range d.tables[table] {
					types = append(types, strings.Join([]string{
						"type", table, c.name, d.types[c.sql][engine],
					}, "\t"))
				}
			}
			same(t, "types", types, facts["type"])
		}
		if engine == "pyarrow" || engine == "parquet-java" {
			same(t, "columns", columns, facts["column"])
		}
		if engine == "parquet-java" {
			checkStatistics(t, facts["statistics"], d.tables)
			for _, writer := range []string{"crumbtrail", "DuckDB"} {
				if !slices.Contains(facts["writer"], "writer\tbeacons\t"+writer) {
					t.Errorf("no beacons written by %s", writer)
				}
			}
		}
	}
	for _, engine := range []string{"pyarrow", "pandas", "polars"} {
		t.Run(engine, func(t *testing.T) {
			check(t, engine, exec.CommandContext(t.Context(), python, "readers/readers.py", engine,
				filepath.Join(data, "lake"), list))
		})
	}
	t.Run("parquet-java", func(t *testing.T) {
		check(t, "parquet-java", exec.CommandContext(t.Context(), "bash", "readers/parquet.sh",
			filepath.Join(t.TempDir(), "java"), list))
	})
	t.Run("as shown", func(t *testing.T) { checkShown(t, python, data, d.python) })
}

// checkDays wants the rows of files to be of the days that their paths say.
func checkDays(t *testing.T, data, column string, files []string) {
	t.Helper()
	if n := number(t, data, fmt.Sprintf(`SELECT count(*)
		FROM read_parquet(['%s'], filename = true, hive_partitioning = false)
		WHERE NOT contains(filename, '/dt=' || strftime(%s AT TIME ZONE 'UTC', '%%Y-%%m-%%d') || '/')`,
		strings.Join(files, "', '"), column)); n != 0 {
		t.Errorf("%d rows of %s are of other days than their files", n, filepath.Dir(files[0]))
	}
}

// checkStatistics wants every chunk of a column that is never NULL to say what is in it: such
// columns are keys, which no text is too long for.
func checkStatistics(t *testing.T, facts []string, tables map[string][]documentedColumn) {
	t.Helper()
	chunks := regexp.MustCompile(`^statistics\t(\w+)\t(\w+)\t(\d+)\t(\d+)$`)
	for _, fact := range facts {
		f := chunks.FindStringSubmatch(fact)
		isColumn := func(c documentedColumn) bool { return c.name == f[2] }
		column := tables[f[1]][slices.IndexFunc(tables[f[1]], isColumn)]
		if !column.nullable && (f[4] != "0" || f[3] == "0" && f[1] == "beacons") {
			t.Errorf("%s of %s: %s chunks have statistics, %s have none", f[2], f[1], f[3], f[4])
		}
	}
}

// factsOf are the lines that a reader prints, by their first words.
func factsOf(t *testing.T, cmd *exec.Cmd) map[string][]string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, tail(stderr.String()))
	}
	if stderr.Len() > 0 {
		t.Errorf("it said: %s", tail(stderr.String()))
	}
	facts := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		kind, _, _ := strings.Cut(line, "\t")
		facts[kind] = append(facts[kind], strings.TrimRight(line, "\n"))
	}
	return facts
}

// same wants the same lines in any order.
func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s: not there: %q", what, line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s: not wanted: %q", what, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d lines, want %d", what, len(got), len(want))
	}
}

// checkShown runs the code that TABLES.md shows, with both ways to the list of files.
func checkShown(t *testing.T, python, data string, shown map[string]string) {
	t.Helper()
	want := strconv.Itoa(number(t, data, "SELECT count(*) FROM files.visits"))
	for _, list := range []string{"DuckDB", "Manifests"} {
		for _, engine := range []string{"pyarrow", "pandas", "polars"} {
			if shown[list] == "" || shown[engine] == "" {
				t.Fatalf("no code under %q or %q", list, engine)
			}
			code := shown[list] + shown[engine] + "print(len(visits))\n"
			cmd := exec.CommandContext(t.Context(), python, "-c", code)
			cmd.Dir = filepath.Dir(data)
			out, err := cmd.CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("%s: %v, %s, want %s\n%s", engine, err, tail(got), want, code)
			}
		}
	}
}
