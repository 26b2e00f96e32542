// Package main reads the tracker's TypeScript and writes it beside as JavaScript that browsers of
// the last years run, as one small expression; it guarantees the same bytes for the same source.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	text, err := build("tracker.ts")
	if err == nil {
		err = os.WriteFile("tracker.js", text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// build compiles the file at path.
func build(path string) ([]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{path},
		Bundle:      true,
		Format:      api.FormatIIFE,
		Target:      api.ES2020,
		Charset:     api.CharsetASCII,

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
