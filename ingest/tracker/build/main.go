// Package main reads the tracker's TypeScript and writes it beside as JavaScript that browsers of
// the last years run, each as one small expression; it guarantees the same bytes for the same
// source.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/evanw/esbuild/pkg/api"
)

// scripts are the files that are written, by whether they listen to what others say of consent.
func scripts() map[bool]string {
	return map[bool]string{false: "tracker.js", true: "tracker-signals.js"}
}

func main() {
	var errs []error
	for _, signals := range []bool{false, true} {
		name := scripts()[signals]
		text, err := build("tracker.ts", signals)
		if err == nil {
			err = os.WriteFile(name, text, 0o644)
		}
		errs = append(errs, err)
		if err == nil {
			fmt.Printf("%s: %d bytes, %d gzipped\n", name, len(text), gzipped(text))
		}
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// build compiles the file at path.
func build(path string, signals bool) ([]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{path},
		Bundle:      true,
		Format:      api.FormatIIFE,
		Target:      api.ES2020,
		Charset:     api.CharsetASCII,
		Define:      map[string]string{"SIGNALS": strconv.FormatBool(signals)},

		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
	})
	var errs []error
	for _, m := range append(result.Errors, result.Warnings...) {
		line := 0
		if m.Location != nil {
			line = m.Location.Line
		}
		errs = append(errs, fmt.Errorf("build %s: line %d: %s", path, line, m.Text))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return result.OutputFiles[0].Contents, nil
}

// gzipped is how many bytes of a text go to a browser.
func gzipped(text []byte) int {
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = zip.Write(text)
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("gzip %d bytes into memory: %v", len(text), err))
	}
	return packed.Len()
}
