package duck

import "io"

// WriteRows writes rows that come from no query, in a format of Format. A nil text is NULL.
func WriteRows(w io.Writer, format string, columns []Column, rows [][]*string) error {
	to, err := formatter(format, w)
	if err != nil {
		return err
	}
	if err := to.begin(columns); err != nil {
		return err
	}
	cells := make([]cell, len(columns))
	for _, row := range rows {
		for i, text := range row {
			cells[i] = cell{null: text == nil}
			if text != nil {
				cells[i].text = []byte(*text)
			}
		}
		if err := to.row(cells); err != nil {
			return err
		}
	}
	return to.end()
}
