package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runOf publishes a run and returns its id.
func runOf(t *testing.T, data string, args ...string) string {
	t.Helper()
	must(t, append([]string{"score", "--data", data}, args...)...)
	return rows(t, data, "SELECT run_id FROM score_runs ORDER BY run_at DESC LIMIT 1")[0][0]
}

// scoresOf is what a run published, and checks that it adds up.
func scoresOf(t *testing.T, data, run string) [][]string {
	t.Helper()
	off := number(t, data, "SELECT count(*) FROM (SELECT model, subject_id, score, "+
		"sum(points) AS points "+
		"FROM score_history LEFT JOIN files.score_explanations USING (topic_partition, topic_offset, "+
		"run_id, model, version, subject_type, subject_id, as_of) WHERE run_id = '"+run+"' "+
		"GROUP BY ALL) WHERE score <> coalesce(points, 0)")
	if off != 0 {
		t.Errorf("%d scores of run %s are not the sum of their lines", off, run)
	}
	return rows(t, data, "SELECT model, version, subject_id, as_of, score, grade, sales_ready, "+
		"ordinal, rule, event_id, points FROM score_history LEFT JOIN (SELECT rule, event_id, points, "+
		"ordinal, topic_partition, topic_offset FROM files.score_explanations) "+
		"USING (topic_partition, topic_offset) WHERE run_id = '"+run+"' "+
		"ORDER BY model, subject_id, ordinal")
}

// A score as it was known is byte for byte what was published then, whatever has come, been joined
// and been parted since; and as it is known now it is another one. What differs is printed.
func TestScoresAsKnownThen(t *testing.T) {
	input, data := smiths(t), filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", quick+"resolve: {threshold: 0.9}\n")
	must(t, "replay", "--data", data, "--config", config, input)
	asOf := "--as-of=" + time.Now().UTC().Format(time.RFC3339Nano)
	first := runOf(t, data, asOf)
	published := scoresOf(t, data, first)
	differs := func(args ...string) []string {
		t.Helper()
		args = append([]string{"score", "--data", data, "--diff", "--format", "csv"}, args...)
		out := must(t, args...)
		return strings.Split(strings.TrimSpace(out), "\n")[1:]
	}
	if lines := differs(asOf); len(lines) != 0 {
		t.Errorf("nothing has come, and there are differences:\n%s", strings.Join(lines, "\n"))
	}

	// Two page views come two days late; then the Smiths are parted.
	now := time.Now().UTC()
	var late strings.Builder
	for i := range 2 {
		if err := json.NewEncoder(&late).Encode(map[string]any{
			"id": fmt.Sprint("late", i), "site": "acme", "visitor": "va", "type": "page_view",
			"consent": "identified", "url": "https://acme.example/pricing",
			"created_at": now.Add(-48 * time.Hour), "sent_at": now, "received_at": now,
		}); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "replay", "--data", data, "--config", config, write(t, "late.ndjson", late.String()))
	records := rows(t, data, "SELECT record_id FROM records ORDER BY number")
	s := up(t, data, config)
	say(t, data, "split", records[0][0], records[1][0], "--note", "two Smiths")
	eventually(t, patience, "both to be scored", func() bool {
		return number(t, data, fmt.Sprintf("SELECT count(*) FROM scores WHERE score > 0 AND "+
			"subject_id IN ('%s', '%s')", records[0][0], records[1][0])) == 2
	})
	s.stop()

	second := scoresOf(t, data, runOf(t, data, asOf))
	if cmp.Equal(published, second) {
		t.Error("as known now is as known then, though two page views have come late")
	}
	again := scoresOf(t, data, runOf(t, data, "--as-known", first))
	if diff := cmp.Diff(published, again); diff != "" {
		t.Errorf("as known then is not what was published: %s", diff)
	}
	if lines := differs("--as-known", first, "--against", first); len(lines) != 0 {
		t.Errorf("there are differences:\n%s", strings.Join(lines, "\n"))
	}
	lines := strings.Join(differs("--against", first), "\n")
	for _, part := range []string{records[0][0], records[1][0], "late0", "late1"} {
		if !strings.Contains(lines, part) {
			t.Errorf("%s is not among the differences:\n%s", part, lines)
		}
	}
	equalElsewhere(t, data, asOf, second)
}

// elsewhere runs a model's statement in another DuckDB.
const elsewhere = `
import duckdb, sys
c = duckdb.connect(sys.argv[1], read_only=True)
c.execute("SET threads = " + sys.argv[3])
for r in c.execute(open(sys.argv[2]).read()).fetchall():
    print(*("" if v is None else v for v in r), sep="\t")
`

// equalElsewhere checks that a model's statement gives what was published, in every DuckDB and with
// any number of threads.
func equalElsewhere(t *testing.T, data, asOf string, published [][]string) {
	t.Helper()
	if !thorough() {
		return
	}
	var want strings.Builder
	for _, r := range published {
		// subject, hundredths, grade, ready, rule, event, millionths
		ready := map[string]string{"true": "True", "false": "False"}[r[6]]
		fmt.Fprintf(&want, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r[2], digits(r[4]), r[5], ready, r[8], r[9],
			digits(r[10]))
	}
	statement := write(t, "score.sql", must(t, "score", "--data", data, "--print-sql", asOf))
	script := write(t, "elsewhere.py", elsewhere)
	for _, python := range pythons(t) {
		for _, threads := range []string{"1", "2", "4"} {
			out, err := exec.CommandContext(t.Context(), python, script,
				filepath.Join(data, "lake.duckdb"), statement, threads).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", python, err, out)
			}
			if diff := cmp.Diff(want.String(), string(out)); diff != "" {
				t.Errorf("%s with %s threads: %s", python, threads, diff)
			}
		}
	}
}

// digits is a decimal number without its point and its leading zeros.
func digits(decimal string) string {
	sign, rest := "", decimal
	if strings.HasPrefix(rest, "-") {
		sign, rest = "-", rest[1:]
	}
	rest = strings.TrimLeft(strings.Replace(rest, ".", "", 1), "0")
	if rest == "" {
		return strings.Repeat("0", min(1, len(decimal)))
	}
	return sign + rest
}
