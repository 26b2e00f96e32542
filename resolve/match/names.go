package match

import (
	"slices"
	"strings"
)

// settleNames makes given and family name of a full name where the records have none of their own.
// Where they have, only what a full name says beyond them is compared, and a text that says nothing
// beyond them is not: the same evidence does not count twice.
func (r *records) settleNames(pools map[Kind]*pool) {
	of := func(k Kind) *column {
		at := slices.IndexFunc(r.columns, func(c *column) bool { return c.Kind == k })
		if at < 0 {
			return nil
		}
		return r.columns[at]
	}
	given, family, full := of(GivenName), of(FamilyName), of(FullName)
	columns := make([]Column, len(r.columns))
	for i, c := range r.columns {
		columns[i] = c.Column
	}
	switch useOfNames(columns) {
	case partsOfName:
		r.splitNames(full, pools)
	case beyondOfName:
		r.columns = slices.DeleteFunc(r.columns, func(c *column) bool {
			if c.Kind != FullName && c.Kind != Text {
				return false
			}
			repeats := c.beyond(given, family, pools)
			if repeats {
				r.ignored = append(r.ignored, c.Column)
			}
			return repeats
		})
	}
	for _, c := range r.columns { // the pools have grown since
		c.finish(poolOf(pools, c.Kind))
	}
}

// beyond takes the words of the names out of a full name. It reports whether the column only
// repeats the names: most of its texts have no other word.
func (c *column) beyond(given, family *column, pools map[Kind]*pool) bool {
	p := poolOf(pools, c.Kind)
	rows := make([]uint32, len(c.rows))
	said, repeated := 0, 0
	for i, id := range c.rows {
		if id == 0 {
			continue
		}
		said++
		v := restOfName(c.Kind, c.values[id].text, given.values[given.rows[i]].text,
			family.values[family.rows[i]].text)
		if v.text == "" {
			repeated++
			continue
		}
		rows[i] = p.id(v)
	}
	if c.Kind == FullName {
		c.rows = rows
	}
	return repeated*10 >= said*8
}

// restOfName is what a text says beyond the names.
func restOfName(kind Kind, text, given, family string) value {
	var kept []string
	for word := range strings.FieldsSeq(text) {
		if !hasWord(given, word) && !hasWord(family, word) {
			kept = append(kept, word)
		}
	}
	v, _ := normaliser{kind: kind}.of(strings.Join(kept, " "))
	return v
}

// useOfNames says what is taken of the full names among columns.
func useOfNames(columns []Column) nameUse {
	has := func(k Kind) bool {
		return slices.ContainsFunc(columns, func(c Column) bool { return c.Kind == k })
	}
	switch given, family := has(GivenName), has(FamilyName); {
	case given && family:
		return beyondOfName
	case !given && !family && has(FullName):
		return partsOfName
	}
	return allOfName
}

// columnsOfName are those that a full name makes.
func columnsOfName(full string) (given, family Column) {
	return Column{full + " (given)", GivenName}, Column{full + " (family)", FamilyName}
}

// splitNames puts a given and a family name in place of a full name.
func (r *records) splitNames(full *column, pools map[Kind]*pool) {
	p := poolOf(pools, GivenName)
	of, from := columnsOfName(full.Name)
	given, family := &column{Column: of}, &column{Column: from}
	ids := make([][2]uint32, len(full.values))
	for i, v := range full.values {
		a, b := valuesOfName(v.text)
		ids[i] = [2]uint32{p.id(a), p.id(b)}
	}
	for _, id := range full.rows {
		given.rows = append(given.rows, ids[id][0])
		family.rows = append(family.rows, ids[id][1])
	}
	at := slices.Index(r.columns, full)
	r.columns = append(slices.Delete(r.columns, at, at+1), given, family)
}

// valuesOfName are the names that a full name is made of.
func valuesOfName(full string) (given, family value) {
	first, last := splitName(full)
	given, _ = normaliser{kind: GivenName}.of(first)
	family, _ = normaliser{kind: FamilyName}.of(last)
	return given, family
}

// splitName takes the last word of a name for the family's.
func splitName(full string) (given, family string) {
	at := strings.LastIndexByte(full, ' ')
	if at < 0 {
		return "", full
	}
	return full[:at], full[at+1:]
}
