// Package report reads the result of a matching, writes it as one page of HTML with its plots, and
// guarantees that the page loads nothing from anywhere and that no value of a record is in it
// unless it was asked for.
package report

import (
	"embed"
	"html/template"
	"io"

	"crumbtrail/resolve/match"
)

// Input is what a page tells of.
type Input struct {
	// Name is what was matched, such as a file's name.
	Name   string
	Result *match.Result
	// Files is how many rows each file has.
	Files             []int
	Threshold, Review float64
	// Entity is the truth by row; nil where it is not known.
	Entity []string
	// Asked are pairs to explain beside those that the page chooses.
	Asked [][2]int
	// Values puts what the rows say on the page. They may be personal data.
	Values bool
}

//go:embed page.gohtml style.css calibration.gosvg
var files embed.FS

// Write writes the page.
func Write(w io.Writer, in Input) error {
	t := template.New("page.gohtml").Funcs(template.FuncMap{"number": number})
	t, err := t.ParseFS(files, "page.gohtml")
	if err != nil {
		return err
	}
	style, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	p := newPage(in)
	p.Style = template.CSS(style)
	return t.Execute(w, p)
}
