package strictyaml

import (
	"fmt"
	"strings"
)

// OneOf returns nil where got is one of the names, else an error that lists them and names the
// nearest. It is what the UnmarshalText of an enum returns.
func OneOf(got string, names ...string) error {
	for _, name := range names {
		if got == name {
			return nil
		}
	}
	if near := nearest(got, names); near != "" {
		return fmt.Errorf("%q is none of %s; did you mean %q?", got, strings.Join(names, ", "), near)
	}
	return fmt.Errorf("%q is none of %s", got, strings.Join(names, ", "))
}

// nearest returns the name that got is most likely a slip of, empty where none is near.
func nearest(got string, names []string) string {
	const longest = 64 // keeps the distance cheap on hostile input
	if len(got) > longest {
		return ""
	}
	folded := fold(got)
	best, least := "", 1+max(1, len(folded)/3)
	for _, name := range names {
		if d := distance(folded, fold(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// fold takes away what people vary without meaning it: case, and - for _.
func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// distance counts the insertions, deletions, substitutions and swaps of neighbours that make b
// of a (optimal string alignment), over bytes.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
