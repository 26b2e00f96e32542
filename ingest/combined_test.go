package ingest

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"crumbtrail/ingest/enrich"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

// The nine days of a real server's log: every line is either accepted or rejected.
func TestReplayRealLog(t *testing.T) {
	path := "../../shared/data/weblog/erddap-access-20240512-20240520.log.gz"
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the recorded log is not beside this repository")
	}
	entries, err := readAll(path, RecordedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	ids := map[string]bool{}
	visitors := map[string]bool{}
	for i, e := range entries {
		if e.Line != int64(i+1) {
			t.Fatalf("entry %d is line %d", i, e.Line)
		}
		if e.Bad != nil {
			_, want, _ := strings.Cut(e.Bad.Detail, ": ")
			counts[e.Bad.Reason+", "+want]++
			ids[e.Bad.BadBeaconId] = true
			continue
		}
		b := e.Beacon
		counts[b.Type.Name()]++
		if b.Agent.BotRule != "" {
			counts["bots"]++
		}
		ids[b.EventId] = true
		visitors[b.VisitorId] = true
		if !strings.HasSuffix(b.Ip, ".0") {
			t.Fatalf("line %d: the address %s is not truncated", e.Line, b.Ip)
		}
	}
	want := map[string]int{
		"page_view":                            3496,
		"request":                              6898,
		"bots":                                 9271,
		"not_combined_format, want an address": 5796,
		"not_combined_format, want nothing after the user agent": 85,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if len(ids) != 16275 {
		t.Errorf("%d ids for 16275 lines", len(ids))
	}
	t.Logf("%d visitors", len(visitors))
}

const combinedLine = `203.0.113.9 - - [12/May/2024:00:00:17 +0000] ` +
	`"GET /erddap/tabledap/allDatasets.html?a=b HTTP/1.1" 200 594982 "-" "python-requests/2.28.1"`

// FuzzCombinedLine holds the parser to a pattern of the format.
func FuzzCombinedLine(f *testing.F) {
	file, err := os.ReadFile("testdata/replay.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if strings.Contains(line, "HTTP/") {
			f.Add(strings.TrimSuffix(line, "\n"))
		}
	}
	f.Add(combinedLine)
	// time.Parse takes months in any case, hours of one digit and offsets of days.
	pattern := regexp.MustCompile(`^([^ "]+) [^ "]+ [^ "]+ ` +
		`\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-](?:[01]\d|2[0-3])[0-5]\d)\] ` +
		`"([A-Za-z_-]+) ([^ "]+) ([^ "]+)" (\d{3}) (\d{1,18}|-) "([^"]*)" "([^"]*)"$`)
	p := newLineParser(
		RecordedConfig{Limits: DefaultLimits()}, testRules(f), "log", enrich.New(nil))
	f.Fuzz(func(t *testing.T, line string) {
		var r request
		broken := r.parse([]byte(line))
		m := pattern.FindStringSubmatch(line)
		var when time.Time
		err := errors.New("no match")
		if m != nil {
			when, err = time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
		}
		if (broken == "") != (err == nil) {
			t.Fatalf("%q: parser says %q, pattern %q, %v", line, broken, m, err)
		}
		if broken != "" {
			return
		}
		got := []string{
			string(r.address), string(r.method), string(r.path), string(r.referrer),
			string(r.userAgent),
		}
		want := []string{m[1], m[3], m[4], m[8], m[9]}
		if r.at != when.UnixMicro() {
			t.Errorf("%q: at %d, want %v", line, r.at, when)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
		e := p.combined([]byte(line), 1)
		if e.Beacon == nil {
			t.Fatalf("%q: refused: %v", line, e.Bad)
		}
		if _, err := proto.Marshal(e.Beacon); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	})
}
