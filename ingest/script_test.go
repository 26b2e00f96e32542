package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestScriptIsGzippedForWhoTakesIt(t *testing.T) {
	e := newEdge(t, nil)
	plain := e.send("GET", "/t/acme.js", "")
	if got := plain.Header()["Vary"]; fmt.Sprint(got) != "[Origin Sec-Fetch-Site Accept-Encoding]" ||
		plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("plain, but %v", plain.Header())
	}
	zipped := e.send("GET", "/t/acme.js", "", "Accept-Encoding", "gzip, deflate, br, zstd")
	h := zipped.Header()
	if h.Get("Content-Encoding") != "gzip" ||
		fmt.Sprint(h["Vary"]) != fmt.Sprint(plain.Header()["Vary"]) ||
		zipped.Body.Len() > 3<<10 || h.Get("Content-Length") != fmt.Sprint(zipped.Body.Len()) {
		t.Errorf("%d bytes, %v", zipped.Body.Len(), h)
	}
	if cookiesOf(zipped)["ct_visitor"] == nil {
		t.Error("the script does not say who the visitor is")
	}
	unzip, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzip)
	if err != nil || !bytes.Equal(text, plain.Body.Bytes()) {
		t.Errorf("unzipped it is another script: %v", err)
	}
	// What a cache keeps of one encoding is not confirmed as the other.
	for _, c := range []struct {
		accepts, etag string
		status        int
	}{
		{"gzip", h.Get("ETag"), 304},
		{"identity", h.Get("ETag"), 200},
		{"identity", plain.Header().Get("ETag"), 304},
		{"gzip", plain.Header().Get("ETag"), 200},
	} {
		w := e.send("GET", "/t/acme.js", "", "Accept-Encoding", c.accepts, "If-None-Match", c.etag)
		if w.Code != c.status || c.status == 304 && (w.Body.Len() > 0 ||
			w.Header().Get("Content-Encoding") != "" || w.Header().Get("ETag") != c.etag) {
			t.Errorf("%s, %s: %d, %v", c.accepts, c.etag, w.Code, w.Header())
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP ;q=0.5": true, "*": true, "br": false,
		"gzip;q=0": false, "gzip; q=0.000, *": false, "*;q=0": false, "*;q=0, gzip": true,
		"identity": false, "gzipped": false, "gzip;q=x": false, ",,;": false,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {value}}); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
	if !acceptsGzip(http.Header{"Accept-Encoding": {"br", "gzip"}}) {
		t.Error("the second line does not count")
	}
}

func TestScriptsKeptAreBounded(t *testing.T) {
	s := newScripts(nil)
	first := s.of("site", &Site{}, false)
	if again := s.of("site", &Site{}, false); &again.packed.text[0] != &first.packed.text[0] {
		t.Error("it was packed twice")
	}
	for i := range 2 * scriptsKept {
		s.of(fmt.Sprint(i), &Site{}, false)
		if len(s.made) > scriptsKept {
			t.Fatalf("%d are kept", len(s.made))
		}
	}
}
