package match

import (
	_ "embed"
	"strings"
)

// nicknames has a group of given names in each line: a name and what people called so are called.
//
//go:embed nicknames.txt
var nicknames string

// shortForms knows for each given name the groups that it is in: "alex" is in two.
type shortForms map[string][]uint16

func newShortForms() shortForms {
	s := shortForms{}
	group := uint16(0)
	for line := range strings.Lines(nicknames) {
		for _, name := range strings.Fields(line) {
			s[name] = append(s[name], group)
		}
		group++
	}
	return s
}

// same reports whether two given names are in one group.
func (s shortForms) same(a, b string) bool {
	for _, x := range s[a] {
		for _, y := range s[b] {
			if x == y {
				return true
			}
		}
	}
	return false
}
