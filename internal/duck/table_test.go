package duck

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drawn is what a terminal of that width shows of rows of texts; the first one is the names.
func drawn(t *testing.T, width int, rows ...[]string) string {
	t.Helper()
	var out bytes.Buffer
	s := &tableSink{w: bufio.NewWriter(&out), width: width}
	var columns []Column
	for _, name := range rows[0] {
		columns = append(columns, Column{Name: name, Type: "VARCHAR"})
	}
	if err := s.begin(columns); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		cells := make([]cell, len(row))
		for i, text := range row {
			cells[i] = cell{text: []byte(text), null: text == "NULL"}
		}
		if err := s.row(cells); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTerminalTooNarrowForTheColumns(t *testing.T) {
	rows := [][]string{
		{"visit_id", "entry_url", "名前"},
		{"0190a1b2-c3d4-7000-8000-000000000001", "https://acme.example/pricing", "NULL"},
		{"x\ny", "", "アダ・ラブレスは数学者でプログラマーです"},
	}
	want := strings.TrimPrefix(`
─ row 1 ──────────────────────
visit_id  │ 0190a1b2-c3d4-700…
entry_url │ https://acme.exam…
名前      │ NULL
─ row 2 ──────────────────────
visit_id  │ x\ny
entry_url │
名前      │ アダ・ラブレスは…
2 rows
`, "\n")
	if diff := cmp.Diff(want, drawn(t, 30, rows...)); diff != "" {
		t.Error(diff)
	}
	want = strings.TrimPrefix(`
┌────────────────┬────────────────┬────────────────┐
│ visit_id       │ entry_url      │ 名前           │
├────────────────┼────────────────┼────────────────┤
│ 0190a1b2-c3d4… │ https://acme.… │ NULL           │
│ x\ny           │                │ アダ・ラブレ…  │
└────────────────┴────────────────┴────────────────┘
2 rows
`, "\n")
	if diff := cmp.Diff(want, drawn(t, 52, rows...)); diff != "" {
		t.Error(diff)
	}
}

// Whatever the terminal, no line is wider than it, and no column narrower than can be read unless
// all that it holds is.
func TestLinesFitTheTerminal(t *testing.T) {
	for columns := 1; columns <= 40; columns += 3 {
		names, row := make([]string, columns), make([]string, columns)
		for i := range names {
			names[i] = fmt.Sprintf("c%d", i)
			row[i] = strings.Repeat("x", i*i%70)
		}
		for width := 20; width < 240; width += 7 {
			text := drawn(t, width, names, row, row)
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if w := cellWidth(line); w > width {
					t.Errorf("%d columns at %d: %d wide: %s", columns, width, w, line)
				}
				for field := range strings.SplitSeq(line, "│") {
					field = strings.TrimSpace(field)
					if strings.HasSuffix(field, "…") && cellWidth(field) < minCell {
						t.Errorf("%d columns at %d: cut to %q", columns, width, field)
					}
				}
			}
		}
	}
}

// After the first rows have been drawn, those that follow are drawn alike.
func TestLongResultStaysBelow(t *testing.T) {
	names, row := []string{"a", "b"}, []string{strings.Repeat("x", 30), strings.Repeat("y", 30)}
	rows := [][]string{names}
	for range heldRows + 5 {
		rows = append(rows, row)
	}
	text := drawn(t, 24, rows...)
	if last := fmt.Sprintf("─ row %d ─", heldRows+5); !strings.Contains(text, last) ||
		strings.Count(text, "\n") != 3*(heldRows+5)+1 {
		t.Errorf("it ends with %q", text[len(text)-200:])
	}
	text = drawn(t, 24, []string{strings.Repeat("a", 30), strings.Repeat("b", 30)})
	if text != "0 rows\n" {
		t.Errorf("without rows: %q", text)
	}
}
