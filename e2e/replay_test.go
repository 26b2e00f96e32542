package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crumbtrail/benchmarks/traffic"
)

// bulk writes NDJSON over two days and returns its path and its number of beacons.
func bulk(t *testing.T) (path string, events int) {
	t.Helper()
	events = 20_000
	if thorough() {
		events = 200_000
	}
	path = filepath.Join(t.TempDir(), "beacons.ndjson")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := traffic.NDJSON(f, traffic.Config{Seed: 11, Days: 2}, events); err != nil {
		t.Fatal(err)
	}
	return path, events
}

// partitioned is a configuration with so many partitions.
func partitioned(t *testing.T, n int) string {
	return write(t, "crumbtrail.yaml", fmt.Sprintf("topics: {partitions: %d}\n", n))
}

// What a visit is does not depend on how the work was shared out, nor on when ticks came between
// the beacons; its place in the topics does.
const visitsWithoutPlace = `
SELECT * EXCLUDE (input_partition, last_offset, topic_partition, topic_offset)
FROM visits ORDER BY visit_id`

// naiveVisits counts visits by the gap alone; max_visit cuts long ones up.
const naiveVisits = `
SELECT count(*) FROM (
	SELECT occurred_at, lag(occurred_at) OVER (
		PARTITION BY site, visitor_id ORDER BY occurred_at, event_id) AS before
	FROM beacons WHERE consent <> 'none')
WHERE before IS NULL OR occurred_at - before > INTERVAL 30 MINUTE`

func TestReplayGivesTheSameVisits(t *testing.T) {
	input, events := bulk(t)
	var first string
	for i, partitions := range []int{8, 1, 8} {
		data := filepath.Join(t.TempDir(), "data")
		must(t, "replay", "--data", data, "--config", partitioned(t, partitions), input)
		got := query(t, data, visitsWithoutPlace)
		if i == 0 {
			first = got
			checkReplay(t, data, events)
		} else if got != first {
			t.Errorf("run %d, with %d partitions, gives other visits: %s", i+1, partitions,
				firstDifference(first, got))
		}
	}
}

// checkReplay holds what came out of a replay against the input and against plain SQL.
func checkReplay(t *testing.T, data string, events int) {
	t.Helper()
	if n := number(t, data, "SELECT count(*) FROM beacons"); n != events {
		t.Errorf("%d rows in beacons, want %d", n, events)
	}
	if n := number(t, data, "SELECT count(*) FROM bad_beacons"); n != 0 {
		t.Errorf("%d rows in bad_beacons, want none", n)
	}
	visits := number(t, data, "SELECT count(*) FROM visits")
	uncut := number(t, data, "SELECT count(*) FROM visits WHERE start_reason <> 'max_visit'")
	if naive := number(t, data, naiveVisits); uncut != naive {
		t.Errorf("%d visits but for cuts, a window function over beacons finds %d", uncut, naive)
	}
	if n := number(t, data, "SELECT count(DISTINCT visit_id) FROM visits"); n != visits {
		t.Errorf("%d visits have %d ids", visits, n)
	}
	if n := number(t, data, "SELECT sum(beacons + duplicates)::BIGINT FROM visits"); n != events {
		t.Errorf("visits hold %d beacons, want %d", n, events)
	}
	if n := number(t, data, "SELECT count(*) FROM visits WHERE late"); n != 0 {
		t.Errorf("%d late visits of beacons at most 20 s out of order, want none", n)
	}
	t.Logf("%d beacons, %d visits, %d of them cut from a longer one", events, visits, visits-uncut)
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d:\n-%s\n+%s", i+1, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d lines and %d lines", len(as), len(bs))
}

func TestReplayOfARealLog(t *testing.T) {
	const lines = 16_275
	log, err := filepath.Abs(filepath.Join("..", "..", "shared", "data", "weblog",
		"erddap-access-20240512-20240520.log.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(log); err != nil {
		lacking(t, "the web log "+log)
	}
	var first string
	for i, partitions := range []int{8, 3} {
		data := filepath.Join(t.TempDir(), "data")
		must(t, "replay", "--data", data, "--config", partitioned(t, partitions),
			"--format", "combined", "--site", "erddap", log)
		accepted := number(t, data, "SELECT count(*) FROM beacons")
		rejected := number(t, data, "SELECT count(*) FROM bad_beacons")
		if accepted+rejected != lines {
			t.Errorf("%d accepted + %d rejected = %d, want %d",
				accepted, rejected, accepted+rejected, lines)
		}
		visits := number(t, data, "SELECT count(*) FROM visits")
		if naive := number(t, data, naiveVisits); visits != naive {
			t.Errorf("%d visits, a window function over beacons finds %d", visits, naive)
		}
		t.Logf("%d accepted, %d rejected, %d visits", accepted, rejected, visits)
		got := query(t, data, visitsWithoutPlace)
		if i > 0 && got != first {
			t.Errorf("%d partitions give other visits: %s", partitions, firstDifference(first, got))
		}
		first = got
	}
}
