package lake_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crumbtrail/lake"
	"crumbtrail/schemas"
)

// olderWorld goes on with testdata/older, a lake that the program wrote on 2026-11-24, before it
// knew clicks, consent by purpose, records, rebuilds and redrives.
func olderWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: lake.NewLog(1), rewriter: lake.RewriterOf(t)}
	if err := os.CopyFS(filepath.Join(w.dir, "lake"), os.DirFS("testdata/older")); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob("testdata/older/_manifests/*/*.json")
	if err != nil || len(manifests) == 0 {
		t.Fatal("no manifests", err)
	}
	for _, path := range manifests { // what the older program has read is there, and not read again
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Topic      schemas.Topic
			NextOffset int `json:"next_offset"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		for range m.NextOffset {
			w.log.AppendRaw(m.Topic, 0, nil)
		}
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// TestFilesOfAnOlderVersion: what an older program wrote is read, merged and compacted together
// with what is written now; columns that it did not know are NULL.
func TestFilesOfAnOlderVersion(t *testing.T) {
	w := olderWorld(t)
	for _, record := range []string{
		"beacon id=new visitor=v1 type=page_view at=5/10:01:00 consent=identified gpc=1 link=spring",
		"visit id=new visitor=v1 from=5/10:01:00 to=5/10:01:00 beacons=1 consent=identified rebuild=r",
		"rebuilt id=r at=6/00:00:00",
		"bad id=new at=5/10:01:00 reason=invalid_value raw=x origin=https://acme.example",
		"contact id=new version=1 at=5/10:01:00 email=new@acme.example records=2",
		"decision submission=new at=5/10:01:00 contact=new record=new weight=1.5 by=ada",
		"submission id=new at=5/10:01:00 email=new@acme.example purpose=marketing",
	} {
		w.put(strings.Fields(record))
	}
	w.drain()
	check := func(when string, more int) {
		t.Helper()
		for sql, want := range map[string]string{
			`SELECT event_id, title, gpc, link FROM beacons
				WHERE event_id NOT LIKE 'more%' ORDER BY received_at`: "old-1,Crumbs,,\n" +
				"old-2,,,\nold-4,,,\nnew,,true,spring\n",
			"SELECT count(*) AS n FROM beacons": fmt.Sprintln(4 + more),
			`SELECT visit_id = 'new' AS new, beacons, rebuilt, contact_id IS NOT NULL AS known
				FROM visits ORDER BY started_at`: "false,3,false,true\ntrue,1,true,true\n",
			`SELECT reason, origin, redriven_at, part_of FROM bad_beacons
				ORDER BY received_at`: "invalid_value,,,\ninvalid_value,https://acme.example,,\n",
			"SELECT email, records FROM contacts ORDER BY created_at": "ada@acme.example,\n" +
				"new@acme.example,2\n",
			"SELECT outcome, weight, decided_by FROM decisions ORDER BY decided_at": "created,,\n" +
				"created,1.5,ada\n",
			`SELECT email, consents IS NULL AS none FROM submissions
				ORDER BY occurred_at`: "ada@acme.example,true\nnew@acme.example,false\n",
			"SELECT count(*) AS n, sum(score) = 0 AS nothing FROM scores": "1,false\n",
		} {
			got := w.query(sql, "csv")
			if _, rows, ok := strings.Cut(got, "\n"); ok {
				got = rows
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s:\n%s", when, sql, diff)
			}
		}
	}
	check("as written", 0)
	const files = "SELECT count(*) AS n FROM lake_files WHERE table_name = 'beacons'"
	const enough = 7 // to be merged with the two that there are
	for n := range enough {
		w.put(strings.Fields(fmt.Sprintf("beacon id=more-%d visitor=v2 at=5/11:00:0%d", n, n)))
		w.drain()
	}
	if got := w.query(files, "csv"); got != "n\n2\n" {
		t.Errorf("files of beacons, merged: %s", got)
	}
	check("merged", enough)
	w.compact = true
	w.drain()
	if got := w.query(files+" AND compacted", "csv"); got != "n\n1\n" {
		t.Errorf("files of beacons, compacted: %s", got)
	}
	check("compacted", enough)
}
