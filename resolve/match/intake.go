package match

import (
	"fmt"
	"slices"
)

// intake brings records in one by one, as Set.normalise does with all of them at once.
type intake struct {
	*records
	fields []field
	pools  []*pool // of each column
}

// field is what becomes of a text of a record.
type field struct {
	normaliser
	// column is where it is compared, family where the family name of a full one is; -1 is nowhere.
	column, family int
	use            nameUse
}

// nameUse is what is taken of a full name.
type nameUse uint8

const (
	allOfName    nameUse = iota
	partsOfName          // there is no other name: it makes a given and a family name
	beyondOfName         // there are both: what it says beyond them
)

// newIntake lays the columns out, in the order in which they are compared. It goes by the model.
func newIntake(columns []Column, m Model) (*intake, error) {
	in := &intake{records: &records{names: newShortForms()}}
	use := useOfNames(columns)
	for _, c := range columns {
		if _, ok := defaultLevels()[c.Kind]; !ok && c.Kind != Ignored {
			return nil, fmt.Errorf("column %q: there is no kind %q; kinds are %s", c.Name, c.Kind, kinds())
		}
		made := []Column{c}
		if c.Kind == FullName && use == partsOfName {
			given, family := columnsOfName(c.Name)
			made = []Column{given, family}
		}
		for _, one := range made {
			if one.Kind != Ignored && m.Columns[one.Name] != Ignored {
				in.columns = append(in.columns, &column{Column: one, values: make([]value, 1)})
			}
		}
	}
	if len(in.columns) == 0 || len(in.columns) > maxComparisons {
		return nil, fmt.Errorf("%d columns to compare: want 1 to %d", len(in.columns), maxComparisons)
	}
	in.lay()
	pools := map[Kind]*pool{}
	for _, c := range in.columns {
		in.pools = append(in.pools, poolOf(pools, c.Kind))
	}
	for _, c := range columns {
		in.fields = append(in.fields, in.field(c, m, use))
	}
	return in, nil
}

func (in *intake) field(c Column, m Model, use nameUse) field {
	f := field{normaliser: m.normaliser(c), column: in.place(c.Name), family: -1}
	if c.Kind != FullName {
		return f
	}
	if f.use = use; use == partsOfName {
		given, family := columnsOfName(c.Name)
		f.column, f.family = in.place(given.Name), in.place(family.Name)
	}
	return f
}

// place is where a column is compared, -1 where it is not.
func (in *intake) place(name string) int {
	return slices.IndexFunc(in.columns, func(c *column) bool { return c.Name == name })
}

// normaliser is that of a column by the model alone.
func (m Model) normaliser(c Column) normaliser {
	return normaliser{
		kind: c.Kind, order: dateOrder(slices.Contains(m.MonthFirst, c.Name)), region: m.Region,
	}
}

// put takes the next record in: its texts, or none of them where it was removed.
func (in *intake) put(texts []string) {
	for _, c := range in.columns {
		c.rows = append(c.rows, 0)
	}
	for _, late := range []bool{false, true} { // what is beyond the names comes behind them
		for i := range in.fields {
			f := &in.fields[i]
			if texts != nil && (f.use == beyondOfName) == late && (f.column >= 0 || f.family >= 0) {
				in.read(f, texts[i])
			}
		}
	}
	for k, c := range in.columns {
		c.values = in.pools[k].values
	}
}

// read puts the value of a text into the newest record.
func (in *intake) read(f *field, text string) {
	v, _ := f.of(text)
	switch f.use {
	case partsOfName:
		given, family := valuesOfName(v.text)
		in.keep(f.family, family)
		v = given
	case beyondOfName:
		v = restOfName(f.kind, v.text, in.said(GivenName), in.said(FamilyName))
	}
	in.keep(f.column, v)
}

func (in *intake) keep(column int, v value) {
	if column >= 0 {
		rows := in.columns[column].rows
		rows[len(rows)-1] = in.pools[column].id(v)
	}
}

// said is what the newest record says in the first column of a kind.
func (in *intake) said(k Kind) string {
	for at, c := range in.columns {
		if c.Kind == k {
			return in.pools[at].values[c.rows[len(c.rows)-1]].text
		}
	}
	return ""
}
