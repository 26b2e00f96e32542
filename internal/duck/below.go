package duck

import (
	"bufio"
	"fmt"
	"strings"
)

// belowDrawing draws each row as lines of a column's name and its value, one below the other.
type belowDrawing struct {
	w         *bufio.Writer
	names     []string // all of nameWidth
	nameWidth int
	width     int
	rows      int
}

func newBelowDrawing(w *bufio.Writer, width int, names []string) *belowDrawing {
	d := &belowDrawing{w: w, width: width}
	for _, name := range names {
		d.nameWidth = max(d.nameWidth, cellWidth(name))
	}
	d.nameWidth = min(d.nameWidth, width/2)
	for _, name := range names {
		name, w := cut(name, d.nameWidth)
		d.names = append(d.names, name+strings.Repeat(" ", d.nameWidth-w))
	}
	return d
}

func (d *belowDrawing) draw(texts []string) error {
	d.rows++
	head := fmt.Sprintf("─ row %d ", d.rows)
	_, _ = d.w.WriteString(head) // a bufio.Writer keeps its error
	_, _ = d.w.WriteString(strings.Repeat("─", max(d.width-cellWidth(head), 1)) + "\n")
	for i, text := range texts {
		text, _ = cut(text, max(d.width-d.nameWidth-len(" | "), 1))
		_, _ = d.w.WriteString(strings.TrimRight(d.names[i]+" │ "+text, " ") + "\n")
	}
	return d.w.Flush()
}
