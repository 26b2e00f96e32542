package e2e

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// rebuilding cuts visits in all ways that depend on what is in them.
const rebuilding = `
topics: {partitions: 3}
sites:
  - {key: acme, cuts: [campaign]}
  - {key: shop, gap: 20m}
  - {key: night, cuts: [midnight], time_zone: Asia/Tokyo}
lake: {flush: 1s}
`

//go:embed testdata/batch_visits.sql
var batchVisits string

// tardy writes five days of beacons of which one in a hundred comes a day late, and one in fifty a
// second time, soon or hours later.
func tardy(t *testing.T, seed uint64, n int) string {
	t.Helper()
	type line struct {
		at   time.Time
		json []byte
	}
	var lines []line
	random := rand.New(rand.NewPCG(seed, 0))
	send := func(beacon map[string]any, at time.Time) {
		now := at.Format(time.RFC3339Nano)
		beacon["sent_at"], beacon["received_at"] = now, now
		text, err := json.Marshal(beacon)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line{at, text})
	}
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		visitor := random.IntN(n / 40)
		occurred := first.AddDate(0, 0, random.IntN(5)).
			Add(time.Duration(visitor*7919%86400) * time.Second).
			Add(time.Duration(random.IntN(5*3600*1000)) * time.Millisecond)
		received := occurred.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
		if random.IntN(100) == 0 {
			received = received.AddDate(0, 0, 1)
		}
		url := fmt.Sprintf("https://shop.example/%d", random.IntN(20))
		if random.IntN(10) == 0 {
			url += fmt.Sprintf("?utm_source=s%d&utm_campaign=c%d", random.IntN(3), random.IntN(3))
		}
		beacon := map[string]any{
			"id": fmt.Sprintf("e%d", i), "site": []string{"acme", "shop", "night"}[visitor%3],
			"visitor": fmt.Sprintf("v%d", visitor), "url": url, "consent": "identified",
			"type":       []string{"page_view", "page_view", "ping", "link_click"}[random.IntN(4)],
			"created_at": occurred.Format(time.RFC3339Nano),
		}
		send(beacon, received)
		if random.IntN(50) == 0 {
			send(beacon, received.Add([]time.Duration{
				time.Second, 10 * time.Minute, 3 * time.Hour,
			}[random.IntN(3)]))
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var file bytes.Buffer
	for _, l := range lines {
		file.Write(append(l.json, '\n'))
	}
	return write(t, "beacons.ndjson", file.String())
}

// TestRebuildEqualsABatch: whatever came late, rebuilt visits are those that window functions find
// over all beacons. Killed in the middle, a rebuild leaves all visits as they were or all as they
// should be; it works alone and beside running stages.
func TestRebuildEqualsABatch(t *testing.T) {
	// CRUMBTRAIL_REBUILD_KILLS=20 takes minutes.
	beacons, kills := 10_000, 2
	if n, err := strconv.Atoi(os.Getenv("CRUMBTRAIL_REBUILD_KILLS")); err == nil {
		beacons, kills = 200_000, n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	data, config := filepath.Join(t.TempDir(), "data"), write(t, "crumbtrail.yaml", rebuilding)
	must(t, "replay", "--data", data, "--config", config, tardy(t, seed, beacons))
	visits, missing, _ := againstBatch(t, data)
	if missing < visits/200 {
		t.Fatalf("%d of %d visits are wrong before the rebuild: too few to see anything",
			missing, visits)
	}

	rebuild := []string{"rebuild", "--data", data, "--config", config}
	half := append(slices.Clone(rebuild), "--from", "2026-01-01", "--to", "2026-01-03")
	began := time.Now()
	must(t, append(slices.Clone(half), "--dry-run")...) // as long as a rebuild, but for publishing
	took := time.Since(began)
	before, after := visitsDigest(t, data), ""
	for range kills {
		killed(t, time.Duration(random.Int64N(int64(took+took/2))), half...)
		must(t, append(slices.Clone(half), "--dry-run")...) // the lake comes up to what was published
		switch now := visitsDigest(t, data); {
		case now == before:
		case after == "":
			after = now
		case now != after:
			t.Fatalf("visits are neither as before the rebuild nor as after it")
		}
	}
	must(t, half...)
	if now := visitsDigest(t, data); after != "" && now != after {
		t.Errorf("a rebuild that was killed left visits half rebuilt")
	}

	s := up(t, data, config)
	must(t, append(rebuild, "--from", "2026-01-04", "--to", "2026-01-07")...)
	visits, missing, wrong := againstBatch(t, data)
	if missing != 0 || wrong != 0 {
		t.Errorf("of %d visits of a batch, %d are missing, and %d are there that it has not",
			visits, missing, wrong)
	}
	s.stop()
	checkRebuilt(t, data, beacons)
	t.Logf("%d beacons, %d visits", beacons, visits)
}

// checkRebuilt holds what is told of the rebuilds against the rows.
func checkRebuilt(t *testing.T, data string, beacons int) {
	t.Helper()
	for what, want := range map[string]int{
		"SELECT sum(beacons)::BIGINT FROM visits":                          beacons,
		"SELECT (count(*) - count(DISTINCT visit_id))::BIGINT FROM visits": 0,
		`SELECT (SELECT sum(added + changed + gone) FROM rebuilds) - count(*)
			FROM visit_changes`: 0,
		`SELECT count(*) FROM visits
			SEMI JOIN (FROM visit_changes WHERE change = 'gone') USING (visit_id)`: 0,
		// Each beacon that was counted still is, as one of a visit or as a duplicate.
		`SELECT (SELECT sum(beacons + duplicates) FROM files.visits WHERE rebuild_id IS NULL) -
			sum(beacons + duplicates) FROM visits`: 0,
	} {
		if got := number(t, data, what); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
}

// againstBatch compares with plain SQL.
func againstBatch(t *testing.T, data string) (visits, missing, wrong int) {
	t.Helper()
	answer := rows(t, data, "\n"+batchVisits)[0] // what begins with a dash is taken for a flag
	for i, to := range []*int{&visits, &missing, &wrong} {
		var err error
		if *to, err = strconv.Atoi(answer[i]); err != nil {
			t.Fatal(err)
		}
	}
	return visits, missing, wrong
}

func visitsDigest(t *testing.T, data string) string {
	t.Helper()
	return query(t, data, "SELECT count(*), bit_xor(hash(v)) FROM (SELECT * EXCLUDE (rebuild_id, "+
		"rebuilt, topic_offset) FROM visits) v")
}

// killed runs the program and kills it after a while.
func killed(t *testing.T, after time.Duration, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // killed, or done before
}
