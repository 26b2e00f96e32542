package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// V6: what came in was accepted, refused for a reason or shed, and what was accepted is in visits
// or a duplicate, by the metrics and by the data.
func TestMetricsAndDataAddUp(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := up(t, data, write(t, "crumbtrail.yaml", quick))
	const batches = 10
	for n := range batches {
		post(t, s.url, fmt.Sprintf(`{"beacons":[
			{"id":"a%d","site":"default","visitor":"v","type":"page_view"},
			{"id":"a%d","site":"default","visitor":"v","type":"page_view"},
			{"id":"b%d","site":"default","visitor":"w","type":"ping","props":{"engaged_ms":5}},
			{"id":"c%d","site":"default","visitor":"w","type":"pageview"},
			{"id":"d%d","site":"nowhere","visitor":"w","type":"page_view"}]}`, n, n, n, n, n))
	}
	eventually(t, patience, "every beacon to be in a visit", func() bool {
		return number(t, data, "SELECT coalesce(sum(beacons), 0)::BIGINT FROM visits") == 2*batches
	})
	eventually(t, patience, "the refused ones", func() bool {
		return number(t, data, "SELECT count(*) FROM bad_beacons") == 2*batches
	})
	m := metrics(t, s.admin)
	received, accepted := m["crumbtrail_ingest_beacons_received_total"],
		m["crumbtrail_ingest_beacons_accepted_total"]
	rejected, shed := m["crumbtrail_ingest_beacons_rejected_total"],
		m["crumbtrail_ingest_beacons_shed_total"]
	if received != 5*batches || accepted != 3*batches || rejected != 2*batches || shed != 0 {
		t.Errorf("received %v = accepted %v + rejected %v + shed %v; want %d, %d, %d, 0",
			received, accepted, rejected, shed, 5*batches, 3*batches, 2*batches)
	}
	if n := number(t, data, "SELECT sum(duplicates)::BIGINT FROM visits"); n != batches {
		t.Errorf("%d duplicates in visits, want %d", n, batches)
	}
	s.stop()
}

// post sends a body to the collector and wants it taken.
func post(t *testing.T, url, body string) {
	t.Helper()
	resp, err := http.Post(url+"/v1/beacons", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("the collector answered %s to %s", resp.Status, body)
	}
}

// metrics reads what the program says of itself, the samples of a metric summed over its labels.
func metrics(t *testing.T, admin string) map[string]float64 {
	t.Helper()
	resp, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sums := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue // a label with a space in it
		}
		sums[name] += n
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return sums
}
