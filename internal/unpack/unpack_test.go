package unpack

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/klauspost/compress/zstd"
)

func TestReader(t *testing.T) {
	const text = "a,b\n1,2\n"
	var gz, zst bytes.Buffer
	for _, pack := range []struct {
		to  io.Writer
		new func(io.Writer) io.WriteCloser
	}{
		{&gz, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
		{&zst, func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		}},
	} {
		w := pack.new(pack.to)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, packed := range map[string]string{
		"plain": text, "gzip": gz.String(), "zstd": zst.String(),
		"two gzip members": gz.String() + gz.String(), "short": "a", "empty": "",
	} {
		want := text
		switch name {
		case "two gzip members":
			want = text + text
		case "short", "empty":
			want = packed
		}
		plain, done, err := Reader(bufio.NewReader(strings.NewReader(packed)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := io.ReadAll(plain)
		done()
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	plain, done, err := Reader(bufio.NewReader(strings.NewReader(gz.String()[:gz.Len()-4])))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, err := io.ReadAll(plain); err == nil {
		t.Error("a stream that was cut is read as whole")
	}
}
