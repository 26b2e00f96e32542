package ingest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// TestReplayStories runs `replay`, the input's lines in, what they hold out. Arguments: format,
// site, consent; crlf ends every line so.
func TestReplayStories(t *testing.T) {
	datadriven.RunTest(t, "testdata/replay.txt", func(t *testing.T, d *datadriven.TestData) string {
		cfg := RecordedConfig{Limits: DefaultLimits(), Collector: "replay"}
		d.MaybeScanArgs(t, "format", &cfg.Format)
		d.MaybeScanArgs(t, "site", &cfg.Site)
		var consent string
		if d.MaybeScanArgs(t, "consent", &consent) {
			mode, _ := schemas.ParseConsent(consent)
			cfg.Consent = func(string) schemas.Consent { return mode }
		}
		input := d.Input
		if d.HasArg("crlf") {
			input = strings.ReplaceAll(input, "\n", "\r\n")
		}
		entries, err := readAll(write(t, "in.log", []byte(input)), cfg)
		var out strings.Builder
		for _, e := range entries {
			tellEntry(&out, e)
		}
		if err != nil {
			fmt.Fprintln(&out, err)
		}
		return out.String()
	})
}

func tellEntry(out *strings.Builder, e Entry) {
	at := func(us int64) string { return time.UnixMicro(us).UTC().Format("01-02T15:04:05.999999") }
	if b := e.Bad; b != nil {
		fmt.Fprintf(out, "%d: bad %s %s: %s %s\n", e.Line, b.Site, b.Reason, b.Detail, b.Path)
		if b.Truncated || bytes.Contains(b.Raw, []byte("form_submit")) {
			fmt.Fprintf(out, "   of it %s\n", b.Raw)
		}
		return
	}
	b := e.Beacon
	fmt.Fprintf(out, "%d: %s %s visitor=%s id=%s %s received=%s occurred=%s clock=%s\n",
		e.Line, b.Site, b.Type.Name(), b.VisitorId, b.EventId, b.Consent.Name(),
		at(b.ReceivedAtUs), at(b.OccurredAtUs), at(b.ClockUs))
	if b.Protocol == protocolCombined {
		fmt.Fprintf(out, "   url=%s referrer=%s agent=%s ip=%s props=%s\n",
			b.Url, b.Referrer, b.UserAgent, b.Ip, b.Props)
	}
	if s := e.Submission; s != nil {
		fmt.Fprintf(out, "   submission %s visitor=%s form=%s email=%s phone=%s fields=%s props=%s\n",
			s.SubmissionId, s.VisitorId, s.Form, s.Email, s.Phone, s.Fields, b.Props)
	}
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readAll(path string, cfg RecordedConfig) (entries []Entry, err error) {
	r, err := OpenRecorded(path, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		batch, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		if len(batch) > chunkLines {
			return nil, fmt.Errorf("a batch of %d entries", len(batch))
		}
		entries = append(entries, batch...)
	}
}

// However a file is packed, cut into chunks and spread over workers, the same entries come out in
// the order of the lines.
func TestReplayIsTheSameHoweverItIsRead(t *testing.T) {
	defer goleak.VerifyNone(t)
	var plain bytes.Buffer
	const lines = 3*chunkLines + 17
	for i := range lines {
		if i%100 == 99 {
			fmt.Fprintln(&plain, "broken")
			continue
		}
		when := time.Unix(1_767_225_600+int64(i*7%50), 0).UTC()
		fmt.Fprintf(&plain, `{"site":"s","visitor":"v%d","type":"page_view","received_at":%q}`+"\n",
			i%10, when.Format(time.RFC3339))
	}
	cfg := RecordedConfig{}
	want, err := readAll(write(t, "in", plain.Bytes()), cfg)
	if err != nil || len(want) != lines {
		t.Fatalf("%d entries, %v", len(want), err)
	}
	clock := int64(0)
	for i, e := range want {
		if e.Line != int64(i+1) {
			t.Fatalf("entry %d is line %d", i, e.Line)
		}
		if e.Beacon == nil {
			continue
		}
		clock = max(clock, e.Beacon.ReceivedAtUs)
		if e.Beacon.ClockUs != clock {
			t.Fatalf("line %d: clock %d, want %d", e.Line, e.Beacon.ClockUs, clock)
		}
	}
	var gz, zst, members bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = w.Write(plain.Bytes())
	_ = w.Close()
	half := plain.Len() / 2
	for _, part := range [][]byte{plain.Bytes()[:half], plain.Bytes()[half:]} {
		w := gzip.NewWriter(&members)
		_, _ = w.Write(part)
		_ = w.Close()
	}
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write(plain.Bytes())
	_ = z.Close()
	for name, packed := range map[string][]byte{
		"gzip": gz.Bytes(), "gzip members": members.Bytes(), "zstd": zst.Bytes(),
		"no last line end": bytes.TrimSuffix(plain.Bytes(), []byte("\n")),
		"crlf":             bytes.ReplaceAll(plain.Bytes(), []byte("\n"), []byte("\r\n")),
		"byte order mark":  append([]byte("\xef\xbb\xbf"), plain.Bytes()...),
	} {
		got, err := readAll(write(t, "in", packed), cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if i := firstDifference(want, got); i >= 0 {
			t.Errorf("%s: entry %d differs, or is not there: %v", name, i, got[min(i, len(got)-1)])
		}
	}
}

// firstDifference is -1 where there is none. It is far cheaper than cmp.Diff on thousands.
func firstDifference(a, b []Entry) int {
	encoded := func(e Entry) string {
		var out []byte
		if e.Beacon != nil {
			out, _ = e.Beacon.MarshalVT()
		} else if e.Bad != nil {
			out, _ = e.Bad.MarshalVT()
		}
		return fmt.Sprint(e.Line, e.Bad != nil, string(out))
	}
	for i := range max(len(a), len(b)) {
		if i >= min(len(a), len(b)) || encoded(a[i]) != encoded(b[i]) {
			return i
		}
	}
	return -1
}

// A damaged archive gives what was whole, and an error that says where it ends.
func TestReplayOfATornArchive(t *testing.T) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	for range 50_000 {
		fmt.Fprintln(w, `{"site":"s","visitor":"v","type":"ping","received_at":"2026-01-01T00:00:00Z"}`)
	}
	_ = w.Close()
	path := write(t, "in.gz", gz.Bytes()[:gz.Len()/2])
	entries, err := readAll(path, RecordedConfig{})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if want := fmt.Sprintf("after line %d", len(entries)); !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("error %v, want it to say %q", err, want)
	}
	for _, e := range entries {
		if e.Bad != nil {
			t.Fatalf("line %d: half a line was read: %s", e.Line, e.Bad.Raw)
		}
	}
}

// A line without an end must cost its limit, not the file's size, and no line after it.
func TestReplayOfAnEndlessLine(t *testing.T) {
	good := `{"site":"s","visitor":"v","type":"ping","received_at":"2026-01-01T00:00:00Z"}` + "\n"
	long := `{"site":"` + strings.Repeat("x", 3*lineBytes) + "\"}\n"
	entries, err := readAll(write(t, "in", []byte(good+long+good)), RecordedConfig{})
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	bad := entries[1].Bad
	if bad == nil || bad.Reason != ReasonTooLarge || !bad.Truncated ||
		len(bad.Raw) != DefaultLimits().RawBytes || bad.Line != 2 {
		t.Errorf("the long line: %v", bad)
	}
	if entries[0].Beacon == nil || entries[2].Beacon == nil || entries[2].Line != 3 {
		t.Error("its neighbours were lost")
	}
}

func TestReplayGoesOnFromAnEarlierFile(t *testing.T) {
	line := `{"site":"s","visitor":"v","type":"ping","received_at":"2026-01-01T00:00:00Z"}` + "\n"
	whole, err := readAll(write(t, "in", []byte(line+line)), RecordedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := RecordedConfig{}
	var parts []Entry
	for range 2 {
		r, err := OpenRecorded(write(t, "in", []byte(line)), cfg)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, batch...)
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		cfg.Lines, cfg.ClockUs = r.Lines(), r.ClockUs()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(whole, parts, protocmp.Transform()); diff != "" {
		t.Errorf("two files against one (-one +two):\n%s", diff)
	}
}

func TestOpenRecordedRefuses(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := write(t, "in", nil)
	if _, err := readAll(path, RecordedConfig{}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	for name, open := range map[string]func() (*Recorded, error){
		"format": func() (*Recorded, error) { return OpenRecorded(path, RecordedConfig{Format: "csv"}) },
		"absent": func() (*Recorded, error) { return OpenRecorded(path+"x", RecordedConfig{}) },
		"folder": func() (*Recorded, error) {
			return OpenRecorded(filepath.Dir(path), RecordedConfig{})
		},
		"gzip": func() (*Recorded, error) {
			return OpenRecorded(write(t, "b", []byte{0x1f, 0x8b, 0, 0}), RecordedConfig{})
		},
	} {
		if _, err := open(); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// Close in the middle leaves nothing behind.
func TestCloseInTheMiddle(t *testing.T) {
	defer goleak.VerifyNone(t)
	var log bytes.Buffer
	for range 40 * chunkLines {
		fmt.Fprintln(&log, combinedLine)
	}
	r, err := OpenRecorded(write(t, "in", log.Bytes()), RecordedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if r.BytesRead() == 0 || r.BytesRead() >= r.Size() {
		t.Errorf("read %d of %d bytes", r.BytesRead(), r.Size())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzReplayLine holds every line of NDJSON to one entry that can be encoded, or none if blank.
func FuzzReplayLine(f *testing.F) {
	for _, raw := range corpus(f) {
		f.Add(raw)
	}
	f.Add([]byte(`{"site":"s","visitor":"v","type":"ping","received_at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"site":"\ud83c`))
	f.Add([]byte("{\"site\":\"\xff\""))
	p := newLineParser(RecordedConfig{Format: FormatNDJSON, Limits: DefaultLimits()},
		testRules(f), "in", enrich.New(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &chunk{data: text, first: 1, lines: []line{{end: len(text)}}}
		entries := p.parse(c)
		if len(entries) == 0 && len(bytes.TrimSpace(text)) == 0 {
			return
		}
		if len(entries) != 1 || (entries[0].Bad == nil) == (entries[0].Beacon == nil) {
			t.Fatalf("%q: entries %v", text, entries)
		}
		e := entries[0]
		for _, m := range []proto.Message{e.Bad, e.Beacon, e.Submission} {
			if _, err := proto.Marshal(m); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		if again := p.parse(c); firstDifference(entries, again) >= 0 {
			t.Errorf("%q: first %v, then %v", text, entries, again)
		}
	})
}

func TestReplayOfStandardInput(t *testing.T) {
	defer goleak.VerifyNone(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = stdin }()
	if _, err := fmt.Fprintln(w, combinedLine); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := readAll("-", RecordedConfig{})
	if err != nil || len(entries) != 1 || entries[0].Beacon == nil {
		t.Errorf("%v, %v", entries, err)
	}
}
