package lake

import (
	"maps"
	"slices"
)

// expires says of a table whether its old days are dropped. Those that say what happened on a site
// are; what people have sent in, who they are and what became of it stays until it is erased.
func expires(table string) bool {
	switch table {
	case "beacons", "visits", "bad_beacons":
		return true
	}
	return false
}

// outdated says whether a file's day ended longer ago than rows are kept.
func (p *partition) outdated(f dataFile) bool {
	return p.keep > 0 && expires(f.Table) && over(f.Day, p.keep, p.now())
}

// drop retires the files whose rows are kept no longer.
func (m *manifest) drop(outdated func(dataFile) bool, nowUs int64) {
	if !slices.ContainsFunc(m.Files, outdated) {
		return
	}
	m.Expired = maps.Clone(m.Expired)
	if m.Expired == nil {
		m.Expired = map[string]int64{}
	}
	m.Files = slices.DeleteFunc(m.Files, func(f dataFile) bool {
		if !outdated(f) {
			return false
		}
		m.Expired[f.Table] += f.Rows
		m.Retired = append(m.Retired, retiredFile{Path: f.Path, AtUs: nowUs, In: m.Number})
		return true
	})
}

// expired is how many rows were dropped, of all tables.
func (m *manifest) expired() (rows int64) {
	for _, n := range m.Expired {
		rows += n
	}
	return rows
}
