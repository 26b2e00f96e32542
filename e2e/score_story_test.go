package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// day is a moment some days after the first of October.
func day(n float64) time.Time {
	return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n * 24 * float64(time.Hour)))
}

// beacon is a line of NDJSON: what happened at a day and came in at another.
func beacon(t *testing.T, id, visitor, kind string, at, received float64, props any) string {
	t.Helper()
	line, err := json.Marshal(map[string]any{
		"id": id, "site": "acme", "visitor": visitor, "type": kind, "consent": "identified",
		"url": "https://acme.example/pricing", "props": props,
		"created_at": day(at), "sent_at": day(received), "received_at": day(received),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// adaAndBob is Ada on two browsers, Bob of the same company, and somebody.
func adaAndBob(t *testing.T) string {
	t.Helper()
	ada := map[string]string{"email": "ada@acme.example", "company": "Acme"}
	bob := map[string]string{"email": "bob@acme.example", "company": " ACME "}
	var b strings.Builder
	for _, e := range []struct {
		id, visitor string
		at          float64
		form        map[string]string
	}{
		{"a1", "v1", 0, nil},
		{"a2", "v1", 2, nil},
		{"a3", "v1", 4, ada},
		{"b1", "v2", 5, nil},
		{"a4", "v1", 6, nil},
		{"f1", "v6", 6, nil},
		{"b2", "v2", 7, bob},
		{"f2", "v6", 7.5, map[string]string{"email": "ADA@acme.example"}},
		{"c1", "v3", 8, nil},
	} {
		kind := "page_view"
		if e.form != nil {
			kind = "form_submit"
		}
		b.WriteString(beacon(t, e.id, e.visitor, kind, e.at, e.at, e.form))
	}
	return write(t, "in.ndjson", b.String())
}

const storyRules = `
version: 1
score: {min: 0, max: 100}
groups: {engagement: {max: 60}, fit: {min: -40, max: 40}}
grades: [{name: cold, from: 0}, {name: warm, from: 30}, {name: hot, from: 42}]
sales_ready: {at: 42, rearm_below: 35, every: 1d}
rules:
  - {id: pricing, group: engagement, on: page_view, where: "url_path = '/pricing'", points: 10,
     window: 30d, decay: {linear: 8d}}
  - {id: form, group: engagement, on: form_submit, points: 20, window: 30d}
  - {id: silent, group: fit, inactive: 1d, points: -2.5}
`

const storyFit = "  - {id: acme, group: fit, when: \"company ILIKE 'acme%'\", points: 15}\n"

// On day 5, Ada: 10 x 3/8 + 10 x 5/8 + 20 + 15 - 2.5; Bob is no contact yet, and as known nothing.
// On day 9, Ada by both browsers: a2 1.25, a4 and f1 6.25 each, two forms, 15, a period of silence
// since 7.5. Bob: 5 + 20 + 15 - 5 is 35; on day 7 it was 7.5 + 20 + 15. The company: 18.75 by four
// views, three forms, 15, -2.5 since f2; 78.75 are clipped to 60.
const storyThen = `
account 10-06 acme 42.50 hot ready: acme 15 form,a3 20 pricing,a1 3.75 pricing,a2 6.25 silent -2.5
account 10-10 acme 72.50 hot ready: acme 15 clip:group:engagement -18.75 form,a3 20 form,b2 20 ` +
	`form,f2 20 pricing,a2 1.25 pricing,a4 6.25 pricing,b1 5 pricing,f1 6.25 silent -2.5
contact 10-06 ada 42.50 hot ready: acme 15 form,a3 20 pricing,a1 3.75 pricing,a2 6.25 silent -2.5
contact 10-06 bob 10.00 cold: pricing,b1 10
contact 10-10 ada 66.25 hot ready: acme 15 form,a3 20 form,f2 20 pricing,a2 1.25 ` +
	`pricing,a4 6.25 pricing,f1 6.25 silent -2.5
contact 10-10 bob 35.00 warm ready: acme 15 form,b2 20 pricing,b1 5 silent -5
known 10-06 ada 42.50 hot ready: acme 15 form,a3 20 pricing,a1 3.75 pricing,a2 6.25 silent -2.5
known 10-10 ada 66.25 hot ready: acme 15 form,a3 20 form,f2 20 pricing,a2 1.25 ` +
	`pricing,a4 6.25 pricing,f1 6.25 silent -2.5
known 10-10 bob 35.00 warm ready: acme 15 form,b2 20 pricing,b1 5 silent -5
visitor 10-06 v1 27.50 cold: form,a3 20 pricing,a1 3.75 pricing,a2 6.25 silent -2.5
visitor 10-06 v2 10.00 cold: pricing,b1 10
visitor 10-10 v1 20.00 cold: form,a3 20 pricing,a2 1.25 pricing,a4 6.25 silent -7.5
visitor 10-10 v2 20.00 cold: form,b2 20 pricing,b1 5 silent -5
visitor 10-10 v3 6.25 cold: pricing,c1 8.75 silent -2.5
visitor 10-10 v6 23.75 cold: form,f2 20 pricing,f1 6.25 silent -2.5
`

// TestScoreStory scores what a replay has brought by numbers worked out by hand: a late page view
// and all that analysts can ask of the past.
func TestScoreStory(t *testing.T) {
	data, models := filepath.Join(t.TempDir(), "data"), t.TempDir()
	for name, head := range map[string]string{
		"contact": "subject: contact", "known": "subject: contact\nidentity: as_known",
		"account": "subject: account", "visitor": "subject: visitor",
	} {
		rest := storyFit
		if name == "visitor" { // it has no attributes
			rest = ""
		}
		err := os.WriteFile(filepath.Join(models, name+".yaml"),
			[]byte("model: "+name+"\n"+head+storyRules+rest), 0o600)
		if err != nil {
			t.Fatal(err)
		}
	}
	config := write(t, "crumbtrail.yaml", quick+"models: "+models+"\n")
	must(t, "replay", "--data", data, "--config", config, adaAndBob(t))
	runOf(t, data, "--as-of=2026-10-06T00:00:00Z", "--config", config)
	run := runOf(t, data, "--as-of=2026-10-10T00:00:00Z", "--config", config)
	published := slices.DeleteFunc(scoresOf(t, data, run), func(r []string) bool {
		return r[0] != "contact"
	})
	then := printScores(t, data,
		"run_at >= (SELECT min(run_at) FROM score_runs WHERE as_of = '2026-10-06T00:00:00Z')")
	if diff := cmp.Diff(strings.TrimPrefix(storyThen, "\n"), then); diff != "" {
		t.Error(diff)
	}

	// A page view of day 3 comes on day 10.
	must(t, "replay", "--data", data, "--config", config,
		write(t, "late.ndjson", beacon(t, "late", "v1", "page_view", 3, 10, nil)))
	contact := filepath.Join(models, "contact.yaml")
	now := runOf(t, data, "--as-of=2026-10-10T00:00:00Z", "--model", contact)
	want := "contact 10-10 ada 68.75 hot ready: acme 15 form,a3 20 form,f2 20 pricing,a2 1.25 " +
		"pricing,a4 6.25 pricing,f1 6.25 pricing,late 2.5 silent -2.5\n" +
		"contact 10-10 bob 35.00 warm ready: acme 15 form,b2 20 pricing,b1 5 silent -5\n"
	if diff := cmp.Diff(want, printScores(t, data, "run_id = '"+now+"'")); diff != "" {
		t.Error(diff)
	}
	again := runOf(t, data, "--as-known", run, "--model", contact)
	if diff := cmp.Diff(published, scoresOf(t, data, again)); diff != "" {
		t.Errorf("as known then is not what was published: %s", diff)
	}
	out := must(t, "score", "--data", data, "--model", contact, "--diff", "--against", run,
		"--format", "csv")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 2 ||
		!strings.HasSuffix(lines[1], ",66.25,68.75,hot,hot,true,true,pricing,late,0.000000,2.500000") {
		t.Errorf("the difference is\n%s", out)
	}
}

// printScores writes scores in order, each with its lines, and checks that these add up.
func printScores(t *testing.T, data, where string) string {
	t.Helper()
	var b strings.Builder
	for _, row := range rows(t, data, `
WITH lines AS (
  SELECT topic_partition, topic_offset, sum(points) AS points,
         string_agg(concat_ws(',', rule, event_id) || ' ' ||
                    rtrim(rtrim(points::VARCHAR, '0'), '.'), ' ' ORDER BY rule, event_id) AS terms
  FROM files.score_explanations
  GROUP BY ALL
)
SELECT concat_ws(' ', model, strftime(as_of AT TIME ZONE 'UTC', '%m-%d'),
                 coalesce(split_part(email, '@', 1), subject_id), score, grade,
                 CASE WHEN sales_ready THEN 'ready' END) || ': ' || terms,
       score <> points
FROM score_history JOIN lines USING (topic_partition, topic_offset)
LEFT JOIN contacts ON contact_id = subject_id
WHERE `+where+" ORDER BY 1") {
		if b.WriteString(row[0] + "\n"); row[1] != "false" {
			t.Errorf("%s: the lines do not add up", row[0])
		}
	}
	return b.String()
}
