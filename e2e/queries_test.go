package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// questioner runs statements as an analyst's notebook does, and writes what they answer as CSV.
//
//go:embed testdata/questioner.py
var questioner string

// threePeople is the traffic of three people in January 2026. One form comes twice, one page view
// without consent.
func threePeople(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	for _, b := range []struct{ id, visitor, kind, at, path string }{
		{"a1", "ada", "page_view", "2026-01-01T10:00:00Z", "/"},
		{"a2", "ada", "page_view", "2026-01-01T10:00:10Z", "/pricing"},
		{"b1", "bob", "page_view", "2026-01-01T11:00:00Z", "/"},
		{"c1", "cyd", "page_view", "2026-01-02T12:00:00Z", "/"},
		{"c2", "cyd", "page_view", "2026-01-02T12:00:30Z", "/pricing"},
		{"a3", "ada", "page_view", "2026-01-06T09:00:00Z", "/pricing"},
		{"a4", "ada", "form_submit", "2026-01-06T09:00:20Z", "/pricing"},
		{"b2", "bob", "page_view", "2026-01-14T10:00:00Z", "/pricing"},
		{"b3", "bob", "form_submit", "2026-01-14T10:00:30Z", "/pricing"},
		{"b3", "bob", "form_submit", "2026-01-14T10:00:30Z", "/pricing"},
		{"n1", "", "page_view", "2026-01-14T10:00:40Z", "/"},
	} {
		consent := "identified"
		if b.visitor == "" {
			consent = "none"
		}
		if err := json.NewEncoder(&lines).Encode(map[string]any{
			"id": b.id, "site": "acme", "visitor": b.visitor, "type": b.kind, "consent": consent,
			"url": "https://acme.example" + b.path, "created_at": b.at, "sent_at": b.at,
			"received_at": b.at,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, "people.ndjson", lines.String())
}

// answer asks a query of the program's own.
func answer(t *testing.T, data string, args ...string) string {
	t.Helper()
	return must(t, append([]string{"sql", "--data", data, "--format", "csv", "-f"}, args...)...)
}

// The queries say the same in every DuckDB as in ours, and what becomes of each beacon adds up.
func TestQueriesInEveryDuckDB(t *testing.T) {
	needThorough(t)
	interpreters := pythons(t)
	data := filepath.Join(t.TempDir(), "data")
	must(t, "replay", "--data", data, "--config", write(t, "crumbtrail.yaml", quick), threePeople(t))

	funnel := "step,what,subjects,of_first,of_previous\n1,/,3,1.0,\n2,/pricing,2,0.6667,0.6667\n" +
		"3,form_submit,1,0.3333,0.5\n"
	if got := answer(t, data, "funnel"); got != funnel {
		t.Errorf("the funnel is\n%s", got)
	}
	longer := strings.Replace(funnel, "2,/pricing,2,0.6667,0.6667\n3,form_submit,1,0.3333,0.5\n",
		"2,/pricing,3,1.0,1.0\n3,form_submit,2,0.6667,0.6667\n", 1)
	if got := answer(t, data, "funnel", "--set", "within=14 days"); got != longer {
		t.Errorf("the funnel of 14 days is\n%s", got)
	}
	counts := rows(t, data, "SELECT sum(beacons), sum(duplicates), sum(in_visits), "+
		"sum(visit_duplicates), sum(without_visits), sum(waiting), sum(abs(difference)) FROM ("+
		must(t, "sql", "-f", "counts", "--print-sql")+")")
	if diff := cmp.Diff([][]string{{"10", "1", "9", "1", "1", "0", "0"}}, counts); diff != "" {
		t.Errorf("what became of the beacons (-want +got):\n%s", diff)
	}

	dir := t.TempDir()
	var names []string
	for line := range strings.Lines(must(t, "sql", "--list")) {
		if name := strings.TrimSpace(line); name != "" && !strings.HasPrefix(line, " ") {
			statement := must(t, "sql", "-f", name, "--print-sql")
			if err := os.WriteFile(filepath.Join(dir, name+".sql"), []byte(statement), 0o644); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	if len(names) < 13 {
		t.Errorf("only %d queries are listed: %v", len(names), names)
	}
	script := write(t, "questioner.py", questioner)
	for i, python := range interpreters {
		ctx := t.Context()
		out := filepath.Join(dir, fmt.Sprint(i))
		cmd := exec.CommandContext(ctx, python, script, filepath.Join(data, "lake.duckdb"), dir, out)
		cmd.WaitDelay = time.Minute
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", python, err, tail(string(said)))
		}
		for _, name := range names {
			got, err := os.ReadFile(filepath.Join(out, name+".csv"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(answer(t, data, name), string(got)); diff != "" {
				t.Errorf("%s: %s differs (-ours +theirs):\n%s", python, name, diff)
			}
		}
	}
}
