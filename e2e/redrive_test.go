package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// redriven is the sum of what `crumbtrail redrive --format json` tells.
type redriven struct {
	Taken, Beacons, Refused, NotRedrivable, TakenBefore int
	why                                                 string
}

func redrive(t *testing.T, args ...string) (sum redriven) {
	t.Helper()
	text := must(t, append([]string{"redrive", "--format", "json"}, args...)...)
	var report struct {
		Reasons []struct {
			Taken, Beacons, Refused int
			NotRedrivable           int `json:"not_redrivable"`
			TakenBefore             int `json:"taken_before"`
			Why                     []struct{ Why string }
		}
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, r := range report.Reasons {
		sum.Taken, sum.Beacons = sum.Taken+r.Taken, sum.Beacons+r.Beacons
		sum.Refused, sum.NotRedrivable = sum.Refused+r.Refused, sum.NotRedrivable+r.NotRedrivable
		sum.TakenBefore += r.TakenBefore
		for _, w := range r.Why {
			sum.why += w.Why + "\n"
		}
	}
	return sum
}

// Beacons of a site that nobody had configured, and one that is broken: once the site is there and
// the broken one has been repaired, each is in the lake, once, as of when it came in, however often
// it is driven, with the stages running and without.
func TestRedrive(t *testing.T) {
	data, config := filepath.Join(t.TempDir(), "data"), write(t, "crumbtrail.yaml", quick)
	flags := []string{"--data", data, "--config", config}
	with := func(more ...string) []string { return append(more, flags...) }
	s := up(t, data, config)
	post := func(body string) {
		t.Helper()
		resp, err := http.Post(s.url+"/v1/beacons", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	post(`{"sent_at":"2026-01-01T00:01:00Z","beacons":[
		{"id":"r1","site":"shop","visitor":"v","type":"page_view","created_at":"2026-01-01T00:00:00Z"},
		{"site":"shop","visitor":"v","type":"ping"},
		{"id":"r3","site":"elsewhere","type":"ping"},
		{"id":"fine","site":"default","visitor":"v","type":"ping"}]}`)
	post(`{"id":"r4","site":"shop","type":"ping"`)
	post(`{"site":"shop","type":"custom","props":{"a":"` + strings.Repeat("x", 70_000) + `"}}`)
	if got := redrive(t, with("--dry-run")...); got.Taken != 0 || got.Refused != 4 ||
		got.NotRedrivable != 1 || !strings.Contains(got.why, "unknown_site") {
		t.Errorf("before: %+v", got)
	}
	s.stop()

	repaired := quick + "  - {key: shop, consent: implied, gap: 2s, grace: 1s}\n"
	repaired = strings.Replace(repaired, "lake: {flush: 1s}\n", "", 1) + "lake: {flush: 1s}\n"
	if err := os.WriteFile(config, []byte(repaired), 0o644); err != nil {
		t.Fatal(err)
	}
	s = up(t, data, config)
	if got := redrive(t, with("--dry-run")...); got.Taken != 2 || got.Beacons != 2 ||
		got.Refused != 2 {
		t.Errorf("dry run: %+v", got)
	}
	if n := number(t, data, "SELECT count(*) FROM beacons WHERE site = 'shop'"); n != 0 {
		t.Errorf("a dry run has written %d beacons", n)
	}
	if got := redrive(t, with("--reason", "unknown_site")...); got.Taken != 2 || got.Refused != 1 {
		t.Errorf("redrive: %+v", got)
	}
	if got := redrive(t, flags...); got.Taken != 0 || got.TakenBefore != 2 || got.Refused != 2 {
		t.Errorf("the second time: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "bad.ndjson")
	must(t, with("redrive", "--export", file, "--reason", "invalid_json")...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := `"raw":"{\"id\":\"r4\",\"site\":\"shop\",\"type\":\"ping\"`
	if !strings.Contains(string(text), broken+`"`) {
		t.Fatalf("the export is\n%s", text)
	}
	text = []byte(strings.Replace(string(text), broken, broken+"}", 1))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := redrive(t, with("--from", file)...); got.Taken != 1 || got.Refused != 0 {
		t.Errorf("from a file: %+v", got)
	}
	for _, args := range [][]string{with("--from", file), with("--reason", "invalid_json")} {
		if got := redrive(t, args...); got.Taken != 0 || got.TakenBefore != 1 {
			t.Errorf("%v: %+v", args, got)
		}
	}
	const taken = `SELECT count(*) FROM beacons
		WHERE site = 'shop' AND (props->>'_redriven_from') IS NOT NULL`
	const inVisits = "SELECT coalesce(sum(beacons), 0)::BIGINT FROM visits WHERE site = 'shop'"
	// The one that happened a minute before it came is in a late visit, which is held for a minute.
	eventually(t, patience, "beacons, and visits of those that are not late", func() bool {
		return number(t, data, taken) == 3 && number(t, data, inVisits) == 2
	})
	s.stop()
	if got := redrive(t, flags...); got.Taken != 0 || got.TakenBefore != 3 {
		t.Errorf("with nobody running: %+v", got)
	}
	s = up(t, data, config)
	defer s.stop()
	for _, c := range []struct {
		what, sql string
		want      int
	}{
		{"beacons", "SELECT count(*) FROM beacons WHERE site = 'shop'", 3},
		{"beacons with their own time", `SELECT count(*) FROM beacons WHERE event_id = 'r1'
			AND received_at - occurred_at = INTERVAL 1 MINUTE`, 1},
		{"bad beacons", "SELECT count(*) FROM bad_beacons", 5},
		{"bad beacons that were taken", `SELECT count(*) FROM bad_beacons b JOIN beacons
			ON (props->>'_redriven_from') = bad_beacon_id
			WHERE redriven_at > b.received_at AND redriven_beacons = 1`, 3},
	} {
		if n := number(t, data, c.sql); n != c.want {
			t.Errorf("%d %s, want %d", n, c.what, c.want)
		}
	}
}
