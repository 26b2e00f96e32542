package duck

import (
	"bufio"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// tableSink draws a box for people. It learns the columns' widths from the first rows, so that a
// long result still streams; what is wider later is cut short, as is what no terminal could show.
// Where a terminal has no room for the columns side by side, they stand below each other.
type tableSink struct {
	w       *bufio.Writer
	width   int // of the terminal; 0: none
	columns []Column
	widths  []int
	held    [][]string // the columns' names, then rows
	rows    int
	drawing bool
	below   *belowDrawing // nil: side by side
}

const (
	// heldRows are looked at before the first line is drawn.
	heldRows = 1000
	// maxCell is the widest a column gets where there is no terminal.
	maxCell = 120
	// minCell is the narrowest that a terminal makes a column: less could not be read.
	minCell = 12
)

func (s *tableSink) begin(columns []Column) error {
	s.columns, s.widths = columns, make([]int, len(columns))
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = visible(c.Name)
		s.widths[i] = cellWidth(names[i])
	}
	s.held = append(s.held, names)
	return nil
}

func (s *tableSink) row(cells []cell) error {
	s.rows++
	if s.isPlan() {
		return s.drawPlan(cells[1])
	}
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = "NULL"
		if !c.null {
			texts[i] = visible(string(c.text))
		}
	}
	if s.drawing {
		return s.drawRow(texts)
	}
	for i, t := range texts {
		s.widths[i] = min(max(s.widths[i], cellWidth(t)), maxCell)
	}
	s.held = append(s.held, texts)
	if len(s.held) <= heldRows {
		return nil
	}
	return s.drawHeld()
}

func (s *tableSink) end() error {
	if s.isPlan() {
		return s.w.Flush()
	}
	if !s.drawing {
		if err := s.drawHeld(); err != nil {
			return err
		}
	}
	if s.below == nil {
		s.rule("└", "┴", "┘")
	}
	rows := "rows"
	if s.rows == 1 {
		rows = "row"
	}
	fmt.Fprintf(s.w, "%d %s\n", s.rows, rows)
	return s.w.Flush()
}

// isPlan is true for the result of EXPLAIN, which DuckDB has drawn already.
func (s *tableSink) isPlan() bool {
	return len(s.columns) == 2 && s.columns[1].Name == "explain_value"
}

func (s *tableSink) drawPlan(c cell) error {
	for line := range strings.Lines(string(c.text)) {
		_, _ = s.w.WriteString(visible(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return s.w.Flush()
}

// drawHeld settles the widths and draws what was held back.
func (s *tableSink) drawHeld() error {
	s.drawing = true
	names, rows := s.held[0], s.held[1:]
	s.held = nil
	if s.width > 0 && !fit(s.widths, s.width-3*len(s.widths)-1) {
		s.below = newBelowDrawing(s.w, s.width, names)
	} else {
		s.rule("┌", "┬", "┐")
		if err := s.draw(names, true); err != nil {
			return err
		}
		s.rule("├", "┼", "┤")
	}
	for _, texts := range rows {
		if err := s.drawRow(texts); err != nil {
			return err
		}
	}
	return nil
}

func (s *tableSink) drawRow(texts []string) error {
	if s.below != nil {
		return s.below.draw(texts)
	}
	return s.draw(texts, false)
}

// fit narrows the widest columns until all fit. It is false where they cannot without one that is
// narrower than can be read.
func fit(widths []int, room int) bool {
	for {
		sum, widest := 0, 0
		for i, w := range widths {
			sum += w
			if w > widths[widest] {
				widest = i
			}
		}
		if sum <= room {
			return true
		}
		if len(widths) == 0 || widths[widest] <= minCell {
			return false
		}
		widths[widest] -= min(sum-room, widths[widest]-minCell, 1+widths[widest]/8)
	}
}

func (s *tableSink) rule(left, middle, right string) {
	for i, w := range s.widths {
		if i == 0 {
			_, _ = s.w.WriteString(left) // a bufio.Writer keeps its error
		} else {
			_, _ = s.w.WriteString(middle)
		}
		_, _ = s.w.WriteString(strings.Repeat("─", w+2))
	}
	_, _ = s.w.WriteString(right + "\n")
}

func (s *tableSink) draw(texts []string, header bool) error {
	for i, t := range texts {
		t, w := cut(t, s.widths[i])
		pad := strings.Repeat(" ", s.widths[i]-w)
		if isNumber(s.columns[i].Type) && !header {
			t = pad + t
		} else {
			t += pad
		}
		_, _ = s.w.WriteString("│ " + t + " ")
	}
	_, err := s.w.WriteString("│\n")
	return err
}

// cut shortens a text to at most w columns and returns its width.
func cut(t string, w int) (string, int) {
	if full := cellWidth(t); full <= w {
		return t, full
	}
	used := 0
	for i, r := range t {
		n := runeWidth(r)
		if used+n > w-1 {
			return t[:i] + "…", used + 1
		}
		used += n
	}
	return t, used
}

// visible escapes whatever a terminal would not show as it is: control characters, those that
// change the direction of writing, and bytes that are no UTF-8.
func visible(t string) string {
	if !strings.ContainsFunc(t, hidden) {
		return t
	}
	var b strings.Builder
	for i := 0; i < len(t); {
		r, n := utf8.DecodeRuneInString(t[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, t[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case hidden(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r) && r != utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func hidden(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.Is(unicode.Mn, r)
}

func cellWidth(t string) int {
	n := 0
	for _, r := range t {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is how many columns of a terminal a rune takes.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
