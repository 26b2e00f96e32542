package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"testing"
)

// mostBytes is what a page is asked to load, packed.
const mostBytes = 3 << 10

func TestBuiltScriptIsCurrentAndSmall(t *testing.T) {
	want, err := build("../tracker.ts")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../tracker.js")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("tracker.js is not what tracker.ts builds: run go generate ./ingest/tracker")
	}
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zip.Write(got); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	if n := packed.Len(); n > mostBytes {
		t.Errorf("tracker.js has %d bytes packed, want at most %d", n, mostBytes)
	}
}
