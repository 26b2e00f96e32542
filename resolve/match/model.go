package match

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Model is what a comparison of records goes by, as a file holds it: readable, and open to change.
// A batch learns what the model does not fix; an Index goes by the model alone.
type Model struct {
	// Name is what decisions call the model by; may be empty.
	Name string
	// Prior is the share of all pairs that are matches; 0 estimates it from the data.
	Prior float64
	// Region is where phone numbers without a country code are from, such as GB.
	Region string
	// MonthFirst are the columns whose dates have the month before the day, where the year is last.
	MonthFirst []string
	// Verified are columns whose values are beyond doubt, such as the number of a customer who signed
	// in: two records with different ones are never one, through others neither.
	Verified []string
	// Columns says what columns hold whose names do not tell.
	Columns map[string]Kind
	// Comparisons are the levels by column, or by kind for all columns of it. A kind that is not in
	// it has the shipped ones.
	Comparisons map[string][]Level
	// Together is which columns agree together more often than by chance, among pairs of two
	// persons, Apart which places differ together among those of one. A batch learns both.
	Together, Apart []Lift
	// Frequencies are those of the values of a column, or of all columns of a kind. A batch counts
	// them.
	Frequencies map[string]Frequencies
}

// Lift is by how many bits a column is on a level more often where two records share another: of
// Together the same value, or where Alike is set one that is like it; of Apart none. Columns may be
// named by their kinds, and BothNames stands for given and family name at once.
type Lift struct {
	Given  string `yaml:"given,required"`
	Alike  bool
	Column string  `yaml:"column,required"`
	Level  string  `yaml:"level,required"`
	Bits   float64 `yaml:"bits,required"`
}

// BothNames is what a Lift is given where both names are the same.
const BothNames = "both names"

// Frequencies is how often the values of a column are: each is the share of records that have it.
type Frequencies struct {
	// Rare is the frequency of a value that is not in Common.
	Rare float64 `yaml:"rare,required"`
	// Common are the frequent values, normalised.
	Common map[string]float64
}

// Level is one level of a comparison, from the exact one on.
type Level struct {
	Name string `yaml:"level,required"`
	// M is how often a pair of one person's records is on this level, where both have a value.
	M float64 `yaml:"m,required"`
	// U is how often a pair of two persons' records is.
	U float64 `yaml:"u,required"`
	// Fixed keeps M and U as they are; else the data have their say, with these as the prior.
	Fixed bool
}

// Weight is what a level adds to the weight of a pair.
func (l Level) Weight() float64 { return math.Log2(l.M) - math.Log2(l.U) }

// DefaultModel has the weights that crumbtrail begins with: what contact data usually look like.
func DefaultModel() Model {
	m := Model{Comparisons: map[string][]Level{}}
	for kind, levels := range defaultLevels() {
		m.Comparisons[string(kind)] = levels
	}
	return m
}

// defaultLevels is the shipped table: the order is that of the levels in compare.go.
func defaultLevels() map[Kind][]Level {
	text := func() []Level {
		return []Level{
			{"exact", 0.65, 0.002, false},
			{"the same words", 0.02, 0.00005, false},
			{"close", 0.10, 0.0005, false},
			{"half the words", 0.06, 0.003, false},
			{"alike", 0.04, 0.003, false},
			{"other", 0.13, 0.99145, false},
		}
	}
	return map[Kind][]Level{
		GivenName: {
			{"exact", 0.70, 0.006, false},
			{"swapped with the family name", 0.02, 0.000002, false},
			{"short form of it", 0.05, 0.001, false},
			{"close", 0.07, 0.002, false},
			{"a part or an initial", 0.03, 0.005, false},
			{"alike", 0.04, 0.01, false},
			{"other", 0.09, 0.976, false},
		},
		FamilyName: {
			{"exact", 0.75, 0.002, false},
			{"close", 0.10, 0.001, false},
			{"a part", 0.02, 0.0003, false},
			{"alike", 0.04, 0.005, false},
			{"other", 0.09, 0.9917, false},
		},
		FullName: text(),
		Date: {
			{"exact", 0.75, 0.0002, false},
			{"one edit", 0.10, 0.001, false},
			{"day and month swapped", 0.01, 0.0001, false},
			{"two of year, month and day", 0.03, 0.004, false},
			{"two edits", 0.03, 0.01, false},
			{"same year", 0.02, 0.02, false},
			{"within ten years", 0.03, 0.25, false},
			{"other", 0.03, 0.7147, false},
		},
		EmailKind: {
			{"exact", 0.60, 0.000002, false},
			{"the same mailbox of a function", 0.01, 0.0001, false},
			{"same user part", 0.05, 0.00001, false},
			{"at most two edits", 0.10, 0.00001, false},
			{"same user part, made of the name", 0.04, 0.00002, false},
			{"at most two edits, made of the name", 0.03, 0.00002, false},
			{"alike", 0.02, 0.001, false},
			{"alike, made of the name", 0.01, 0.001, false},
			{"other", 0.14, 0.997858, false},
		},
		Phone: {
			{"exact", 0.65, 0.000005, false},
			{"same but for the country code", 0.05, 0.000002, false},
			{"one edit", 0.07, 0.00001, false},
			{"other", 0.23, 0.999983, false},
		},
		Postcode: {
			{"exact", 0.70, 0.0005, false},
			{"one edit", 0.10, 0.003, false},
			{"same area", 0.05, 0.01, false},
			{"other", 0.15, 0.9865, false},
		},
		Code: {
			{"exact", 0.85, 0.00001, false},
			{"one edit", 0.07, 0.0001, false},
			{"two edits", 0.03, 0.001, false},
			{"other", 0.05, 0.99889, false},
		},
		Category: {
			{"exact", 0.93, 0.3, false},
			{"other", 0.07, 0.7, false},
		},
		Place: text(), Address: text(), Company: text(), Text: text(),
	}
}

// byColumn returns what a model says of a column: under its name, else under its kind.
func byColumn[T any](by map[string]T, c Column) (said T, ok bool) {
	if said, ok = by[c.Name]; !ok {
		said, ok = by[string(c.Kind)]
	}
	return said, ok
}

// levels returns the levels of a column.
func (m Model) levels(c Column) []Level {
	if levels, ok := byColumn(m.Comparisons, c); ok {
		return levels
	}
	return defaultLevels()[c.Kind]
}

// frequency is how often a value of a column is; ok is false where the model does not tell.
func (m Model) frequency(c Column, text string) (f float64, ok bool) {
	all, ok := byColumn(m.Frequencies, c)
	if !ok {
		return 0, false
	}
	if common, ok := all.Common[text]; ok {
		return common, true
	}
	return all.Rare, true
}

// fits reports the columns whose levels in the model are not those of what the column holds.
func (m Model) fits(columns []*column) error {
	var problems []error
	for _, c := range columns {
		levels, want := m.levels(c.Column), defaultLevels()[c.Kind]
		same := slices.EqualFunc(levels, want, func(a, b Level) bool { return a.Name == b.Name })
		if !same {
			problems = append(problems, fmt.Errorf("comparison %q: it is compared as %s: want its %d "+
				"levels in their order, from %q to %q", c.Name, c.Kind, len(want), want[0].Name,
				want[len(want)-1].Name))
		}
	}
	return errors.Join(append(problems, m.fitsVerified(columns))...)
}

// Validate reports every problem of the model at once, each with what to do.
func (m Model) Validate() error {
	var problems []error
	m.check(func(_, what string) { problems = append(problems, errors.New(what)) })
	return errors.Join(problems...)
}

// check calls problem with each problem: where in a file it is, and what to do.
func (m Model) check(problem func(path, what string)) {
	say := func(path, format string, args ...any) { problem(path, fmt.Sprintf(format, args...)) }
	if !(m.Prior >= 0 && m.Prior < 1) {
		say("prior", "prior %v: it is a share of all pairs, from 0 (estimate it) to less than 1",
			m.Prior)
	}
	share := func(x float64) bool { return x > 0 && x <= 1 }
	all := defaultLevels()
	for name, kind := range m.Columns {
		if _, ok := all[kind]; !ok && kind != Ignored {
			say("columns."+name, "column %q: there is no kind %q; kinds are %s", name, kind, kinds())
		}
	}
	for name, levels := range m.Comparisons {
		for i, l := range levels {
			if !share(l.M) || !share(l.U) {
				say(fmt.Sprintf("comparisons.%s[%d]", name, i), "comparison %q, level %q: m and u are "+
					"shares above 0 and at most 1", name, l.Name)
			}
		}
	}
	for where, lifts := range map[string][]Lift{"together": m.Together, "apart": m.Apart} {
		for i, l := range lifts {
			if !(l.Bits >= 0 && l.Bits <= maxLift) {
				say(fmt.Sprintf("%s[%d].bits", where, i), "%s given %s: bits are from 0 to %d", l.Column,
					l.Given, maxLift)
			}
		}
	}
	for name, f := range m.Frequencies {
		if !share(f.Rare) {
			say("frequencies."+name+".rare", "frequencies of %q: rare is a share above 0 and at most 1",
				name)
		}
		for value, frequency := range f.Common {
			if !share(frequency) {
				say("frequencies."+name+".common."+value, "frequency of %q in %q: it is a share above 0 "+
					"and at most 1", value, name)
			}
		}
	}
}

// maxLift bounds a lift: no weight is as great.
const maxLift = 100

// kinds lists the kinds for a message.
func kinds() string {
	names := []string{string(Ignored)}
	for kind := range defaultLevels() {
		names = append(names, string(kind))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
