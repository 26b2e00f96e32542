package main

import (
	"bytes"
	"os"
	"testing"
)

// What a page is asked to load, packed; more where its site has banners to listen to.
const (
	mostBytes       = 3 << 10
	mostWithSignals = 4 << 10
)

func TestBuiltScriptsAreCurrentAndSmall(t *testing.T) {
	for signals, name := range scripts() {
		want, err := build("../tracker.ts", signals)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what tracker.ts builds: run go generate ./ingest/tracker", name)
		}
		n := gzipped(got)
		t.Logf("%s: %d bytes, %d gzipped", name, len(got), n)
		most := mostBytes
		if signals {
			most = mostWithSignals
		}
		if n > most {
			t.Errorf("%s has %d bytes packed, want at most %d", name, n, most)
		}
	}
}
