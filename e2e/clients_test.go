package e2e

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// reader queries every view again and again, as an analyst's notebook does.
//
//go:embed testdata/reader.py
var reader string

// views are what an analyst finds from the first start on.
func views() []string {
	return []string{
		"beacons", "page_views", "visits", "visitors", "submissions", "contacts", "identities",
		"decisions", "link_clicks", "mail_opens", "scores", "score_explanations", "score_history",
		"score_runs", "score_summary", "score_top", "score_distribution", "score_grades",
		"bad_beacons", "contact_versions", "timeline", "pipeline_counts", "records", "edges", "bridges",
		"aliases", "alias_versions", "reviews", "lake_files", "handoffs", "handoff_deliveries",
		"visit_touches", "visit_pages", "click_timeline", "top_pages", "browsers",
		"operating_systems", "freshness",
	}
}

// pythons are the interpreters that have DuckDB, the version inside and the newest.
func pythons(t *testing.T) []string {
	t.Helper()
	list := filepath.SplitList(os.Getenv("CRUMBTRAIL_PYTHONS"))
	if len(list) == 0 {
		lacking(t, "Python with duckdb: name interpreters in CRUMBTRAIL_PYTHONS")
	}
	return list
}

func TestClientsReadWhileItWrites(t *testing.T) {
	needThorough(t)
	interpreters := pythons(t)
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", quick)
	script := write(t, "reader.py", reader)
	s := up(t, data, config)
	l := newLoad(1)
	l.aim(s.url)
	eventually(t, patience, "beacons to be taken", func() bool { return l.count() > 100 })

	const reading = 2 * time.Minute
	var group sync.WaitGroup
	for _, python := range interpreters {
		group.Go(func() {
			args := append([]string{
				script, filepath.Join(data, "lake.duckdb"), fmt.Sprint(reading.Seconds()),
			}, views()...)
			out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
			t.Logf("%s: %s", python, strings.TrimSpace(tail(string(out))))
			if err != nil {
				t.Errorf("%s: %v", python, err)
			}
		})
	}
	group.Wait()
	l.halt()
	l.settle(t, data)
	s.stop()
	l.check(t, data)
}

func TestEveryViewIsThereFromTheStart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := up(t, data, write(t, "crumbtrail.yaml", quick))
	for _, view := range views() {
		if n := number(t, data, "SELECT count(*) FROM "+view); n != 0 {
			t.Errorf("%d rows in %s before anything came", n, view)
		}
	}
	s.stop()
}
