package match

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"crumbtrail/internal/strictyaml"
)

// ReadModel reads a model as YAML; file is what messages call it. Every problem is reported at
// once, with its line.
func ReadModel(file string, text []byte) (Model, error) {
	m := Model{}
	doc, problems := strictyaml.Decode(file, text, &m)
	if len(problems) == 0 {
		m.check(func(path, what string) { problems = append(problems, doc.Problem(path, what, "")) })
		problems.Sort()
	}
	return m, problems.Err()
}

// YAML writes the model so that people can read and change it, and ReadModel gives it back.
func (m Model) YAML() []byte {
	var b strings.Builder
	b.WriteString("# Weights of `crumbtrail dedupe`; --model reads them. m is how often two records " +
		"of one person\n# are on a level, u how often two of different persons are; the weight is " +
		"log2(m / u).\n# With `fixed: true` a level stays as it is, else the records have their say.\n")
	if m.Name != "" {
		fmt.Fprintf(&b, "name: %s\n", strconv.Quote(m.Name))
	}
	fmt.Fprintf(&b, "# prior is the share of all pairs that are matches; 0 estimates it.\nprior: %s\n",
		written(m.Prior))
	if m.Region != "" {
		fmt.Fprintf(&b, "region: %s\n", strconv.Quote(m.Region))
	}
	m.writeColumns(&b)
	b.WriteString("comparisons:\n")
	for _, name := range slices.Sorted(maps.Keys(m.Comparisons)) {
		fmt.Fprintf(&b, "  %s:\n", strconv.Quote(name))
		for _, l := range m.Comparisons[name] {
			fixed := ""
			if l.Fixed {
				fixed = ", fixed: true"
			}
			fmt.Fprintf(&b, "    - {level: %q, m: %s, u: %s%s} # %+.2f\n", l.Name, written(l.M),
				written(l.U), fixed, l.Weight())
		}
	}
	m.writeValues(&b)
	return []byte(b.String())
}

func (m Model) writeColumns(b *strings.Builder) {
	if len(m.Columns) > 0 {
		b.WriteString("columns:\n")
		for _, name := range slices.Sorted(maps.Keys(m.Columns)) {
			fmt.Fprintf(b, "  %s: %s\n", strconv.Quote(name), m.Columns[name])
		}
	}
	writeNames(b, "month_first", m.MonthFirst)
	writeNames(b, "verified", m.Verified)
}

func writeNames(b *strings.Builder, key string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", key)
	for _, name := range names {
		fmt.Fprintf(b, "  - %s\n", strconv.Quote(name))
	}
}

// writeValues writes what only a fixed model needs: rows that are learnt from tell it themselves.
func (m Model) writeValues(b *strings.Builder) {
	writeLifts(b, m.Together, "# By how many bits a column is on a level more often where another "+
		"has the same value\n# (one that is like it): it tells so much less then. --stream goes by "+
		"it, a batch learns it\n# anew.\ntogether:\n")
	writeLifts(b, m.Apart, "# The same of places of one person that differ where another does: who "+
		"moves changes all.\napart:\n")
	if len(m.Frequencies) == 0 {
		return
	}
	b.WriteString("# How often values are: an agreement on a rare one tells more. A value that is " +
		"not listed is\n# taken to be as frequent as rare says. --stream goes by it, a batch counts " +
		"anew.\nfrequencies:\n")
	for _, name := range slices.Sorted(maps.Keys(m.Frequencies)) {
		f := m.Frequencies[name]
		fmt.Fprintf(b, "  %s:\n    rare: %s\n", strconv.Quote(name), written(f.Rare))
		if len(f.Common) > 0 {
			b.WriteString("    common:\n")
		}
		for _, value := range f.commonest() {
			fmt.Fprintf(b, "      %s: %s\n", strconv.Quote(value), written(f.Common[value]))
		}
	}
}

func writeLifts(b *strings.Builder, lifts []Lift, head string) {
	if len(lifts) > 0 {
		b.WriteString(head)
	}
	for _, l := range lifts {
		alike := ""
		if l.Alike {
			alike = ", alike: true"
		}
		fmt.Fprintf(b, "  - {given: %q%s, column: %q, level: %q, bits: %s}\n", l.Given, alike, l.Column,
			l.Level, written(l.Bits))
	}
}

// commonest lists the common values, the most frequent first.
func (f Frequencies) commonest() []string {
	return slices.SortedFunc(maps.Keys(f.Common), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Common[b], f.Common[a]), strings.Compare(a, b))
	})
}

// writtenDigits is how precisely a model is written, and so how precise a learnt one is.
const writtenDigits = 5

func written(x float64) string { return strconv.FormatFloat(x, 'g', writtenDigits, 64) }

// asWritten rounds a number as a file has it: a learnt model is the same before and after.
func asWritten(x float64) float64 {
	rounded, _ := strconv.ParseFloat(written(x), 64) // written is a number
	return rounded
}

// Version names the model by its content, so that a decision can say what it went by.
func (m Model) Version() string {
	const digits = 12
	sum := sha256.Sum256(m.YAML())
	name := m.Name
	if name == "" {
		name = "model"
	}
	return name + "-" + hex.EncodeToString(sum[:])[:digits]
}
