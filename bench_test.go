package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBenchUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "want the name of a bench"},
		{"help", "sessionize"},
		{"replay sessionize", "want the name of a bench"},
		{"replay --visits 5", "replay: takes no --visits"},
		{"--rate 5 recovery", "recovery: takes no --rate"},
		{"sessionize --data elsewhere", "sessionize: takes no --data"},
		{"sessionize --events 0", "--events 0: want at least 1"},
		{"sessionize --visitors -1", "--visitors -1: want at least 1"},
		{"recovery --visits 10,x", "--visits 10,x: want numbers from 1 on"},
		{"recovery --visits 10,0", "--visits 10,0: want numbers from 1 on"},
		{"latency --visits 1,2", "--visits 1,2: want one number"},
		{"latency --rate 0", "--rate 0: want at least 1"},
		{"ingest --visits 5", "ingest: takes no --visits"},
		{"ingest --batch 1,0", "--batch 1,0: want numbers from 1 on"},
		{"overload --batch 1,2", "--batch 1,2: want one number"},
		{"dedupe --out x", "dedupe: takes no --out"},
		{"resolve --rows 5", "resolve: takes no --rows"},
		{"people --rows 0", "--rows 0: want at least 1"},
		{"ingest --seconds 0", "--seconds 0: want at least 1"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), append([]string{"bench"}, strings.Fields(c.args)...), nil, &stdout,
			&stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("bench %s: exit code %d and %q, want %d and %q", c.args, code, stderr.String(),
				exitUsage, c.want)
		}
	}
}

// TestBenchMatching holds that the page and the picture tell of each set.
func TestBenchMatching(t *testing.T) {
	all, _, _ := contactFiles(t)
	dir := t.TempDir()
	var out, errs strings.Builder
	code := run(t.Context(), []string{
		"bench", "matching", "--sets", "febrl1=" + all + ":person,other=" + all + ":person", "--out", dir,
	}, strings.NewReader(""), &out, &errs)
	if code != exitDone || !strings.Contains(out.String(), "matching: 240 rows") {
		t.Fatalf("code %d: %s%s", code, out.String(), errs.String())
	}
	for name, wants := range map[string][]string{
		"matching.md": {
			"# Matching, measured", "| febrl1 | 120 | 60 | 1.000 (1.000, 1.000)", "| other | 120 | 60 |",
			"| febrl1 | 0.995 | 1.000 | 0.995 | 6.9 s | 1.000 |",
		},
		"calibration.svg": {"<svg", ">febrl1</text>", ">other</text>", "60 pairs: said"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in %s:\n%s", want, name, text)
			}
		}
	}
	code = run(t.Context(), []string{"bench", "matching", "--sets", "febrl1"}, strings.NewReader(""),
		&out, &errs)
	if code != exitUsage || !strings.Contains(errs.String(), "name=file:column") {
		t.Errorf("code %d: %s", code, errs.String())
	}
}
