package match

import (
	"errors"
	"fmt"
	"slices"
)

// setVerified finds the columns that the model calls verified.
func (w *weights) setVerified(m Model) {
	for c, col := range w.columns {
		if slices.Contains(m.Verified, col.Name) || slices.Contains(m.Verified, string(col.Kind)) {
			w.verified = append(w.verified, c)
		}
	}
}

// fitsVerified reports the verified columns that no conflict can be seen in.
func (m Model) fitsVerified(columns []*column) error {
	var problems []error
	for _, name := range m.Verified {
		if m.Columns[name] == Ignored {
			problems = append(problems, fmt.Errorf("verified column %q: it is ignored by what columns "+
				"says", name))
		}
	}
	for _, c := range columns {
		if slices.Contains(m.Verified, c.Name) && c.Kind != Code && c.Kind != Date {
			problems = append(problems, fmt.Errorf("verified column %q: it is compared as %s: only codes "+
				"and dates can be verified; say under columns which it is", c.Name, c.Kind))
		}
	}
	return errors.Join(problems...)
}

// twoEdits is the level of dates from which on they are two and more edits apart.
const twoEdits = 5

// conflict is the first verified column in which two records say what one person's never do: codes
// more than an error apart, whole dates two edits and more. It is -1 where there is none.
func (w *weights) conflict(v vector, i, j uint32) int {
	for _, c := range w.verified {
		col, level := w.columns[c], v.level(c)
		switch {
		case col.Kind == Code && level == codeOther:
			return c
		case col.Kind == Date && level >= twoEdits && col.values[col.rows[i]].day.known() &&
			col.values[col.rows[j]].day.known():
			return c
		}
	}
	return -1
}
