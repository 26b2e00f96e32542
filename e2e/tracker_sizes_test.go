package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

// TestTrackerSizes measures the tracker beside others', as a page loads them, and holds
// benchmarks/tracker.md to it: a row that is not in there is printed.
func TestTrackerSizes(t *testing.T) {
	needThorough(t)
	dir := npmPackages(t, "testdata/trackers")
	report, err := os.ReadFile("../benchmarks/tracker.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		name, path string
		// minified says that the file is published as a page loads it.
		minified bool
	}{
		{"crumbtrail, `tracker.js`", "../ingest/tracker/tracker.js", true},
		{"crumbtrail, with consent signals", "../ingest/tracker/tracker-signals.js", true},
		{"@plausible-analytics/tracker 0.4.6", "@plausible-analytics/tracker/plausible.js", false},
		{"plausible-tracker 0.3.9", "plausible-tracker/build/module/index.js", false},
		{"@snowplow/browser-tracker 4.10.1", "@snowplow/browser-tracker/dist/index.umd.min.js", true},
		{"@segment/analytics-next 1.84.3", "@segment/analytics-next/dist/umd/standalone.js", true},
	} {
		path := s.path
		if !strings.HasPrefix(path, "..") {
			path = filepath.Join(dir, "node_modules", filepath.FromSlash(path))
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !s.minified {
			text = minified(t, path)
		}
		row := fmt.Sprintf("| %s | %d | %d |", s.name, len(text), gzipped(t, text))
		t.Log(row)
		if !strings.Contains(string(report), row) {
			t.Errorf("benchmarks/tracker.md does not say %s", row)
		}
	}
}

// minified bundles a module as a page's own build does.
func minified(t *testing.T, path string) []byte {
	t.Helper()
	built := api.Build(api.BuildOptions{
		EntryPoints: []string{path}, Bundle: true, Format: api.FormatIIFE, GlobalName: "tracker",
		Platform: api.PlatformBrowser, Target: api.ES2020,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
	})
	if len(built.Errors) > 0 {
		t.Fatalf("bundle %s: %s", path, built.Errors[0].Text)
	}
	return built.OutputFiles[0].Contents
}

func gzipped(t *testing.T, text []byte) int {
	t.Helper()
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = zip.Write(text)
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return packed.Len()
}
