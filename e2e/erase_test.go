package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"

	"github.com/google/go-cmp/cmp"
)

// erasing has a site where visits end within seconds, and one where a visit is open for longer.
const erasing = `
topics: {partitions: 2}
sites:
  - {key: acme, origins: ["*"], consent: implied, gap: 2s, grace: 1s}
  - {key: slow, origins: ["*"], consent: implied, gap: 20s, grace: 1s}
lake: {flush: 1s, erasure_grace: 0s}
`

// canary is in everything by which the person can be told, and in nothing else.
const canary = "zyxgrace"

// erased is the receipt of an erasure.
type erased struct {
	Requests                    []string
	Contacts, Records, Visitors int
	Removed                     []struct {
		Table string
		Rows  int
	}
	Remaining []struct {
		Topic   string
		Records int
		Until   string
	}
}

func eraseBy(t *testing.T, args ...string) (receipt erased) {
	t.Helper()
	out := must(t, append([]string{
		"erase", "--by", "ana", "--note", "ticket 7", "--format", "json",
	}, args...)...)
	if err := json.Unmarshal([]byte(out), &receipt); err != nil {
		t.Fatalf("receipt: %v: %s", err, out)
	}
	return receipt
}

// gracesTraffic is what two people do, one of whom will ask to be forgotten, and what others say of
// her.
func gracesTraffic(t *testing.T, s *server) {
	t.Helper()
	at := time.Now().Add(-48 * time.Hour)
	send := func(id, site, visitor, kind, path, more string) {
		at = at.Add(time.Second)
		post(t, s.url, fmt.Sprintf(`{"beacons":[{"id":%q,"site":%q,"visitor":%q,"type":%q,
			"url":"https://acme.example%s","created_at":%q,"consent":"identified"%s}]}`,
			id, site, visitor, kind, path, at.UTC().Format(time.RFC3339Nano), more))
	}
	form := func(email, first string) string {
		return fmt.Sprintf(`,"props":{"form":"demo","email":%q,"first_name":%q,"last_name":"Hopper",
			"company":"%s Ltd","message":"call %s"}`, email, first, first, first)
	}
	grace, bob := form("ZyxGrace@acme.example", "Zyxgrace"), form("bob@acme.example", "Bob")
	send("g1", "acme", canary+"1", "page_view", "/pricing", `,"title":"An offer for Zyxgrace"`)
	send("g2", "acme", canary+"1", "form_submit", "/demo", grace)
	send("b1", "acme", "bob1", "page_view", "/pricing", "")
	send("b2", "acme", "bob1", "form_submit", "/demo", bob)
	send("n1", "acme", "nobody1", "page_view", "/", `,"title":"Dear zyxgrace@acme.example"`)
	send("x1", "acme", "nobody2", "pageview", "/?to=zyxgrace%40acme.example", "") // no such type
	at = time.Now()
	send("g3", "slow", canary+"2", "form_submit", "/demo", grace)
	send("b3", "slow", "bob2", "form_submit", "/demo", bob)
}

// A person asks to be forgotten. Then nothing names her: no view, no file, no record that a
// compacted topic keeps, also of what comes out only later. Of others all is as it was. Who gives
// the same address later is somebody new.
func TestEraseLeavesNothing(t *testing.T) {
	needThorough(t)
	k := newKafka(t)
	data, config := filepath.Join(t.TempDir(), "data"), write(t, "crumbtrail.yaml", erasing)
	at := []string{"--data", data, "--config", config, "--brokers", k.address}
	s := serve(t, append([]string{"up"}, at...)...)
	gracesTraffic(t, s)
	eventually(t, patience, "the lake to have it all", func() bool {
		return number(t, data, "SELECT count(*) FROM beacons") == 7 &&
			number(t, data, "SELECT count(*) FROM bad_beacons") == 1 &&
			number(t, data, "SELECT count(*) FROM visits WHERE site = 'acme'") == 3 &&
			number(t, data, "SELECT count(*) FROM identities") == 4
	})
	must(t, append([]string{"score"}, at...)...)
	eventually(t, patience, "the scores", func() bool {
		return number(t, data, "SELECT count(*) FROM scores WHERE subject_type = 'contact'") == 2
	})
	run := rows(t, data, "SELECT run_id FROM score_runs ORDER BY run_at LIMIT 1")[0][0]
	if len(naming(t, data)) == 0 {
		t.Fatal("nothing names her before: the test would see nothing after")
	}
	others := bystanders(t, data)

	receipt := eraseBy(t, append(at, "--email", "zyxgrace@ACME.example")...)
	if receipt.Contacts != 1 || receipt.Records != 1 || receipt.Visitors != 2 {
		t.Errorf("the receipt says %+v", receipt)
	}
	removed := map[string]int{}
	for _, r := range receipt.Removed {
		removed[r.Table] = r.Rows
	}
	for table, rows := range map[string]int{
		"beacons": 4, "submissions": 2, "bad_beacons": 1, "identities": 2, "records": 1,
	} {
		if removed[table] < rows {
			t.Errorf("%d rows of %s removed, want %d", removed[table], table, rows)
		}
	}
	for _, topic := range receipt.Remaining {
		if topic.Topic == "beacons" && (topic.Until == "" || topic.Records < 4) {
			t.Errorf("the receipt says of the log %+v", topic)
		}
	}

	// Her visit on the slow site was open; it ends with Bob's.
	eventually(t, patience, "the open visits to end", func() bool {
		return number(t, data, "SELECT count(*) FROM visits WHERE site = 'slow'") == 1
	})
	eventually(t, patience, "what was erased to be gone", func() bool {
		return number(t, data, "SELECT count(*) FROM erasures WHERE state = 'done'") ==
			len(receipt.Requests)
	})
	for _, where := range naming(t, data) {
		t.Errorf("she is still named in %s", where)
	}
	if diff := cmp.Diff(others, bystanders(t, data)); diff != "" {
		t.Errorf("others have changed: %s", diff)
	}
	if again := eraseBy(t, append(at, "--email", "zyxgrace@acme.example")...); again.Contacts != 0 ||
		len(again.Removed) != 0 {
		t.Errorf("a second time, the receipt says %+v", again)
	}
	asKnown(t, data, at, run)
	s.stop() // and so all is in checkpoints
	keptByTopics(t, k)

	s = serve(t, append([]string{"up"}, at...)...)
	post(t, s.url, `{"beacons":[{"id":"g9","site":"acme","visitor":"later","type":"form_submit",
		"url":"https://acme.example/","props":{"form":"demo","email":"zyxgrace@acme.example"}}]}`)
	eventually(t, patience, "a new contact", func() bool {
		return number(t, data, "SELECT count(*) FROM contacts WHERE created_at > "+
			"(SELECT max(erased_at) FROM erasures)") == 1
	})
	s.stop()
}

// bystanders is what the lake has of others.
func bystanders(t *testing.T, data string) [][]string {
	t.Helper()
	var all [][]string
	for _, query := range []string{
		"SELECT event_id, contact_id FROM beacons WHERE visitor_id LIKE 'bob%' ORDER BY ALL",
		"SELECT contact_id, email, submissions FROM contacts WHERE email LIKE 'bob%' ORDER BY ALL",
		"SELECT visit_id, contact_id FROM visits WHERE visitor_id = 'bob1' ORDER BY ALL",
		"SELECT submission_id, contact_id, form FROM submissions WHERE email LIKE 'bob%' ORDER BY ALL",
		"SELECT site, visitor_id, contact_id FROM identities WHERE visitor_id LIKE 'bob%' ORDER BY ALL",
	} {
		all = append(all, rows(t, data, query)...)
	}
	return all
}

// naming lists where in a data directory the canary is: views, files by their rows, files by their
// bytes.
func naming(t *testing.T, data string) (where []string) {
	t.Helper()
	count := func(from string) int {
		return number(t, data, fmt.Sprintf("SELECT count(*) FROM %s x WHERE contains(lower(x::VARCHAR), "+
			"'%s')", from, canary))
	}
	for _, r := range rows(t, data, "SELECT view_name FROM duckdb_views() WHERE NOT internal "+
		"AND schema_name = 'main' ORDER BY ALL") {
		if n := count(r[0]); n > 0 {
			where = append(where, fmt.Sprintf("%d rows of view %s", n, r[0]))
		}
	}
	tables := map[string]bool{}
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToLower(text), []byte(canary)) {
			where = append(where, "bytes of "+strings.TrimPrefix(path, data))
		}
		if strings.HasSuffix(path, ".parquet") {
			tables[filepath.Dir(filepath.Dir(path))] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range tables {
		// Retired files are among these.
		if n := count(fmt.Sprintf("read_parquet('%s/*/*.parquet', union_by_name => true)", dir)); n > 0 {
			where = append(where, fmt.Sprintf("%d rows of files in %s", n, strings.TrimPrefix(dir, data)))
		}
	}
	slices.Sort(where)
	return where
}

// asKnown scores as it was known before the erasure: twice the same, and of her nothing.
func asKnown(t *testing.T, data string, at []string, run string) {
	t.Helper()
	var made [2][][]string
	for i := range made {
		must(t, append([]string{"score", "--as-known", run}, at...)...)
		id := rows(t, data, "SELECT run_id FROM score_runs WHERE as_of = (SELECT as_of "+
			"FROM score_runs WHERE run_id = '"+run+"') ORDER BY run_at DESC LIMIT 1")[0][0]
		made[i] = scoresOf(t, data, id)
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" || len(made[0]) == 0 {
		t.Errorf("%d lines of scores as known then are not the same again: %s", len(made[0]), diff)
	}
}

// keptByTopics looks at what compaction leaves of the topics: the last record of each key.
func keptByTopics(t *testing.T, k *kafkaProcess) {
	t.Helper()
	for _, topic := range schemas.Topics() {
		if !topic.Compacted {
			continue
		}
		last := map[string][]byte{}
		k.each(topic.Topic, func(p int, r *kafka.Record) {
			last[fmt.Sprint(p, string(r.Key))] = r.Value
		})
		for key, value := range last {
			text := bytes.ToLower(value)
			switch topic.Topic {
			case schemas.Erasures: // it has ids of browsers, and has to
				text = bytes.ReplaceAll(text, []byte(canary+"1"), nil)
				text = bytes.ReplaceAll(text, []byte(canary+"2"), nil)
			case schemas.SessionizeChangelog: // by browser; what it did last is known for two days
			default:
				if value != nil {
					text = append(text, strings.ToLower(key)...)
				}
			}
			if bytes.Contains(text, []byte(canary)) {
				t.Errorf("topic %s keeps %q", topic.Topic, value)
			}
		}
	}
}
