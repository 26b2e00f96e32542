package e2e

import (
	"path/filepath"
	"testing"

	"crumbtrail/benchmarks/traffic"
)

// The generator of the demo's traffic knows what must come out of it, and counts it by itself.
func TestDemoGivesWhatWasSent(t *testing.T) {
	const seed, days, visitors = 5, 2, 400
	data := filepath.Join(t.TempDir(), "data")
	must(t, "demo", "--once", "--data", data, "--seed", "5", "--days", "2", "--visitors", "400",
		"--start", "2026-01-05")
	made, err := traffic.New(traffic.Config{Seed: seed, Days: days, Visitors: visitors})
	if err != nil {
		t.Fatal(err)
	}
	want := made.Expected()
	t.Logf("sent: %+v", want)
	for _, c := range []struct {
		what, sql string
		want      int
	}{
		{"beacons", "SELECT count(*) FROM beacons", want.Accepted - want.Duplicates},
		{"bad beacons", "SELECT count(*) FROM bad_beacons", want.Malformed},
		{"page views", "SELECT count(*) FROM page_views", want.PageViews},
		{"beacons of consent none", "SELECT count(*) FROM beacons WHERE consent = 'none'", want.Counted},
		{
			"beacons of consent statistical",
			"SELECT count(*) FROM beacons WHERE consent = 'statistical'", want.Statistical,
		},
		{
			"visitors", `SELECT count(*) FROM (SELECT DISTINCT site, visitor_id FROM beacons
				WHERE visitor_id <> '')`, want.Visitors,
		},
		{
			"beacons in visits", "SELECT sum(beacons)::BIGINT FROM visits",
			want.Accepted - want.Duplicates - want.Counted,
		},
		{"duplicates in visits", "SELECT sum(duplicates)::BIGINT FROM visits", want.Duplicates},
		{"late beacons", "SELECT coalesce(sum(beacons), 0)::BIGINT FROM visits WHERE late", want.Late},
		{"visits", "SELECT count(*) FROM visits WHERE NOT late", want.Visits},
		{"submissions", "SELECT count(*) FROM submissions", want.Submissions},
		{"contacts", "SELECT count(*) FROM contacts", want.Emails},
		{
			"contacts with several visitors", `SELECT count(*) FROM (SELECT contact_id FROM identities
				GROUP BY contact_id HAVING count(DISTINCT (site, visitor_id)) > 1)`, want.JoinedEmails,
		},
	} {
		if got := number(t, data, c.sql); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	bots := number(t, data, "SELECT count(*) FROM beacons WHERE is_bot")
	if bots < want.Bots {
		t.Errorf("%d beacons of bots, want at least the %d that say so", bots, want.Bots)
	}
}
