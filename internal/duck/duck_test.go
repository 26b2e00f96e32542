package duck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
)

// TestMain lets this test binary be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ChildCommand {
		os.Exit(Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// lake makes a database with a directory beside it, as the pipeline does.
func lake(t testing.TB, statements ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lake"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lake.duckdb")
	for i, s := range statements {
		statements[i] = strings.ReplaceAll(s, "DIR", dir)
	}
	if err := Build(t.Context(), path, statements); err != nil {
		t.Fatal(err)
	}
	return path
}

func child(t testing.TB) Child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Child{Exe: exe}
}

func TestStories(t *testing.T) {
	database := lake(t,
		"COPY (SELECT range AS n FROM range(3)) TO 'DIR/lake/numbers.parquet'",
		"CREATE VIEW numbers AS SELECT * FROM read_parquet(['DIR/lake/numbers.parquet'])",
		"CREATE TABLE outside AS SELECT 1 AS x",
	)
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out bytes.Buffer
			sql := strings.ReplaceAll(d.Input, "DIR", filepath.Dir(database))
			err := child(t).Format(t.Context(), Query{Database: database, SQL: sql}, d.Cmd, &out)
			if err != nil {
				fmt.Fprintf(&out, "error: %v\n", err)
			}
			text := strings.ReplaceAll(out.String(), filepath.Dir(database), "DIR")
			return strings.ReplaceAll(text, "\n\n", "\n")
		})
	})
}

func TestRowsAreTyped(t *testing.T) {
	database := lake(t)
	var got [][]any
	err := child(t).Rows(t.Context(), Query{Database: database, SQL: `
		SELECT 1::BIGINT AS i, 0.1::DOUBLE AS d, true AS b, NULL AS n, 'é' AS s,
		       12.340::DECIMAL(9,3) AS m, 9007199254740993::HUGEINT AS h,
		       TIMESTAMPTZ '2026-01-01 01:00:00.000001+01' AS t, [1, 2] AS l, {'a': 'x'} AS o,
		       'inf'::DOUBLE AS f`},
		func(_ []Column, values []any) error {
			got = append(got, append([]any(nil), values[:10]...))
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]any{{
		int64(1), 0.1, true, nil, "é", "12.340", "9007199254740993",
		"2026-01-01 00:00:00.000001+00", "[1,2]", `{"a":"x"}`,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRowsEndsWhereItsCallerDoes(t *testing.T) {
	stop := errors.New("enough")
	n := 0
	err := child(t).Rows(t.Context(), Query{Database: lake(t), SQL: "FROM range(1_000_000)"},
		func([]Column, []any) error {
			if n++; n == 3 {
				return stop
			}
			return nil
		})
	if !errors.Is(err, stop) || n != 3 {
		t.Errorf("after %d rows: %v", n, err)
	}
}

// Neither DuckDB's memory limit nor its timeout covers these: what they end on is the process's.
func TestRunawaysAreStopped(t *testing.T) {
	database := lake(t)
	c := child(t)
	c.Limits = Limits{Memory: 128 << 20, AddressSpace: 2500 << 20, Deadline: 2 * time.Second}
	for _, sql := range []string{
		"SELECT length(repeat('x', 2_000_000_000))",
		"SELECT length(lpad('x', 500_000_000, 'y')) FROM range(5)",
		"SELECT count(*) FROM range(10_000_000) a, range(1_000_000) b",
		"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
		"SELECT list(range) FROM range(200_000_000)",
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			err := c.Rows(t.Context(), Query{Database: database, SQL: sql},
				func([]Column, []any) error { return nil })
			if err == nil {
				t.Error("it ran to its end")
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			t.Log(err)
		})
	}
}

func TestCancelledQueryEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := child(t).Rows(ctx, Query{Database: lake(t), SQL: "FROM range(2_000_000)"},
		func([]Column, []any) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestMissingDatabaseSaysWhatToDo(t *testing.T) {
	err := child(t).Rows(t.Context(), Query{Database: filepath.Join(t.TempDir(), "no.duckdb")}, nil)
	if err == nil || !strings.Contains(err.Error(), "start the pipeline") {
		t.Errorf("got %v", err)
	}
}

// Whoever moved or emptied the data directory is told so, and not of DuckDB's settings; whoever
// named a file in a query is told of that.
func TestMissingFilesSayWhatToDo(t *testing.T) {
	database := lake(t,
		"COPY (SELECT range AS n FROM range(3)) TO 'DIR/lake/numbers.parquet'",
		"CREATE VIEW numbers AS SELECT * FROM read_parquet(['DIR/lake/numbers.parquet'])",
	)
	told := func(database, sql string) bool {
		err := child(t).Rows(t.Context(), Query{Database: database, SQL: sql},
			func([]Column, []any) error { return nil })
		var query *QueryError
		if !errors.As(err, &query) {
			t.Fatalf("%s: %v", sql, err)
		}
		return strings.Contains(query.Message, "start `crumbtrail up` on it once to rebuild lake.duckdb")
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(filepath.Dir(database), moved); err != nil {
		t.Fatal(err)
	}
	movedDatabase := filepath.Join(moved, "lake.duckdb")
	for _, sql := range []string{"FROM numbers", "DESCRIBE numbers", "EXPLAIN FROM numbers"} {
		if !told(movedDatabase, sql) {
			t.Errorf("moved: %s: not told", sql)
		}
	}
	if told(movedDatabase, "FROM read_csv('/etc/passwd')") {
		t.Error("a file that the query names is taken for a view's")
	}
	if err := os.Rename(moved, filepath.Dir(database)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(filepath.Dir(database), "lake")); err != nil {
		t.Fatal(err)
	}
	if !told(database, "FROM numbers") {
		t.Error("cleaned: not told")
	}
}

func TestFormatsAreKnown(t *testing.T) {
	for _, name := range []string{"table", "csv", "json"} {
		if err := ValidFormat(name); err != nil {
			t.Error(err)
		}
	}
	var out bytes.Buffer
	err := child(t).Format(t.Context(), Query{Database: lake(t), SQL: "SELECT 1"}, "xml", &out)
	if err == nil || ValidFormat("xml") == nil || err.Error() != ValidFormat("xml").Error() {
		t.Errorf("xml: %v", err)
	}
}

// A child that dies is an error, and never rows that look whole.
func TestDeadChildIsAnError(t *testing.T) {
	for _, exe := range []string{"/bin/false", "/bin/true", "/bin/cat"} {
		c := Child{Exe: exe}
		var out bytes.Buffer
		err := c.Format(t.Context(), Query{Database: lake(t), SQL: "SELECT 1"}, "csv", &out)
		if err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, output %q", exe, err, out.String())
		}
	}
}

func TestBuildReplacesWhatIsThere(t *testing.T) {
	database := lake(t, "CREATE VIEW v AS SELECT 1 AS x")
	if err := Build(t.Context(), database, []string{"CREATE VIEW v AS SELECT 2 AS x"}); err != nil {
		t.Fatal(err)
	}
	broken := []string{"CREATE VIEW v AS SELECT * FROM nowhere"}
	if err := Build(t.Context(), database+"2", broken); err == nil {
		t.Error("a broken view was built")
	}
	if _, err := os.Stat(database + ".wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a WAL was left: %v", err)
	}
	var out bytes.Buffer
	q := Query{Database: database, SQL: "FROM v"}
	if err := child(t).Format(t.Context(), q, "csv", &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("x\n2\n", out.String()); diff != "" {
		t.Error(diff)
	}
}
