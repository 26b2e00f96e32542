package tidy

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "crumbtrail"

// rooms is which room may import which: the room, and those it may import beside its own folders.
// The rule for a package is that of the longest room that holds it. "internal/*" is any room under
// internal but those that open names. What is not in here may not be imported.
func rooms() map[string][]string {
	return map[string][]string{
		".":          {"schemas", "ingest", "sessionize", "resolve", "mail", "handoff", "lake", "score", "site", "console", "benchmarks", "internal/*", "internal/duck"},
		"schemas":    {},
		"ingest":     {"schemas", "internal/*"},
		"sessionize": {"schemas", "internal/stage"},
		"resolve":    {"schemas", "internal/stage", "internal/strictyaml"},
		"mail":       {"schemas", "internal/*"},
		"handoff":    {"schemas", "internal/*"},
		"lake":       {"schemas", "internal/*", "internal/duck"},
		"score":      {"schemas", "internal/*", "internal/duck"},
		"site":       {"schemas", "internal/*"},
		"console":    {"schemas", "internal/*", "internal/duck"},

		"benchmarks":         {"schemas", "ingest", "sessionize", "resolve", "lake", "score", "internal/*", "internal/duck"},
		"benchmarks/edge":    {},
		"benchmarks/load":    {"schemas", "internal/kafka"},
		"benchmarks/peers":   {},
		"benchmarks/people":  {},
		"benchmarks/traffic": {"schemas"},
		"e2e":                {"schemas", "benchmarks", "internal/*", "internal/duck"},
		"e2e/simulation":     {"schemas", "ingest", "sessionize", "resolve", "internal/*"},

		"internal":       {},
		"internal/kafka": {"internal/fault"},
		"internal/stage": {"internal/kafka", "internal/fault"},
		"internal/duck":  {},
	}
}

// named lists the internal rooms that only those may import that name them: a binary that links
// DuckDB weighs 100 MB.
func named() []string { return []string{"internal/duck", "internal/tidy"} }

// homes is where each dependency may be imported; "*" is anywhere. Tests of a room are of the room.
func homes() map[string][]string {
	return map[string][]string{
		"github.com/segmentio/kafka-go":         {"internal/kafka"},
		"github.com/twmb/franz-go":              {"internal/kafka", "e2e/faults", "benchmarks/peers"}, // there: a client that is not ours
		"github.com/marcboeker/go-duckdb":       {"internal/duck"},
		"github.com/apache/arrow":               {"lake"},
		"github.com/chromedp":                   {"e2e"},
		"github.com/evanw/esbuild":              {"ingest", "e2e"},
		"github.com/google/uuid":                {"schemas"},
		"github.com/medama-io/go-useragent":     {"ingest"},
		"github.com/oschwald/maxminddb-golang":  {"ingest"},
		"github.com/nyaruka/phonenumbers":       {"resolve"},
		"github.com/tidwall/gjson":              {"ingest"},
		"github.com/wneessen/go-mail":           {"mail"},
		"github.com/cespare/xxhash":             {"sessionize", "resolve", "lake"},
		"github.com/klauspost/compress":         {"ingest", "internal/kafka", "internal/unpack", "lake"},
		"github.com/schollz/progressbar":        {"internal/progress"},
		"github.com/planetscale/vtprotobuf":     {"schemas"},
		"github.com/bufbuild/protocompile":      {"schemas"},
		"github.com/santhosh-tekuri/jsonschema": {"schemas", "ingest"},
		"go.yaml.in/yaml":                       {"internal/strictyaml"},
		"google.golang.org/protobuf":            {"*"},
		"github.com/prometheus":                 {"*"},
		"golang.org/x":                          {"*"},

		// For tests alone, see forTests.
		"github.com/cockroachdb/datadriven": {"*"},
		"github.com/emersion/go-smtp":       {"mail", "e2e"},
		"github.com/google/go-cmp":          {"*"},
		"github.com/maxmind/mmdbwriter":     {"ingest"},
		"go.uber.org/goleak":                {"*"},
		"pgregory.net/rapid":                {"*"},
	}
}

// roomsForTests are the rooms that tests of every room may import.
func roomsForTests() []string { return []string{"benchmarks/people"} }

// forTests lists the dependencies that only tests may import.
func forTests() []string {
	return []string{
		"github.com/chromedp", "github.com/cockroachdb/datadriven", "github.com/emersion/go-smtp",
		"github.com/google/go-cmp",
		"github.com/maxmind/mmdbwriter", "go.uber.org/goleak", "pgregory.net/rapid", "testing",
	}
}

// imports checks a file's imports against the table.
func imports(s *source) []finding {
	if s.syntax == nil {
		return nil
	}
	var found []finding
	room, ok := roomOf(s.dir)
	if !ok {
		return []finding{s.find(s.syntax.Package,
			"package %s is in no room: give it a row in rooms, in internal/tidy", s.dir)}
	}
	for _, spec := range s.syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if own, ok := strings.CutPrefix(name, module+"/"); ok {
			inTest := s.isTest() && slices.Contains(roomsForTests(), own)
			if !inTest && !mayImport(room, own) {
				found = append(found, s.find(spec.Pos(),
					"%s may not import %s: it may import %v; stages meet only in topics, and "+
						"package main composes them", room, own, rooms()[room]))
			}
			continue
		}
		if !s.isTest() && slices.ContainsFunc(forTests(), func(m string) bool {
			return under(name, m)
		}) {
			found = append(found, s.find(spec.Pos(), "import %s in tests only", name))
			continue
		}
		if !strings.Contains(strings.SplitN(name, "/", 2)[0], ".") {
			continue // the standard library
		}
		if home := homeOf(name); !slices.Contains(home, "*") && !slices.ContainsFunc(home,
			func(h string) bool { return under(s.dir, h) }) {
			found = append(found, s.find(spec.Pos(), "%s is at home in %v, not in %s: go through "+
				"the home, or give it a row in homes, in internal/tidy", name, home, s.dir))
		}
	}
	return found
}

// roomOf returns the longest room that holds dir.
func roomOf(dir string) (room string, ok bool) {
	all := rooms()
	for at := dir; ; at = path.Dir(at) {
		if _, ok := all[at]; ok && (at != "." || dir == ".") {
			return at, true
		}
		if at == "." {
			return "", false
		}
	}
}

func mayImport(room, own string) bool {
	if under(own, room) && room != "internal" {
		return true
	}
	closed := slices.ContainsFunc(named(), func(n string) bool { return under(own, n) })
	for _, allowed := range rooms()[room] {
		if parent, ok := strings.CutSuffix(allowed, "/*"); ok {
			if under(own, parent) && !closed {
				return true
			}
		} else if under(own, allowed) {
			return true
		}
	}
	return false
}

// homeOf returns where the module that holds a package is at home.
func homeOf(name string) []string {
	for at := name; at != "."; at = path.Dir(at) {
		if home, ok := homes()[at]; ok {
			return home
		}
	}
	return nil
}

// staleTable finds rows of the tables that say nothing any more.
func staleTable(files []*source) []finding {
	used := map[string]bool{}
	for _, s := range files {
		if s.syntax == nil {
			continue
		}
		for _, spec := range s.syntax.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			for at := name; at != "."; at = path.Dir(at) {
				used[at] = true
			}
		}
	}
	var found []finding
	for module := range homes() {
		if !used[module] {
			found = append(found, finding{
				"internal/tidy/imports_test.go", 1,
				"nothing imports " + module + ": take its row out of homes",
			})
		}
	}
	return found
}

func TestImports(t *testing.T) {
	for _, c := range []struct {
		name, imports string
		want          []int
	}{
		{"main.go", `"crumbtrail/lake"`, nil},
		{"ingest/http.go", `"crumbtrail/schemas"`, nil},
		{"ingest/tracker/tracker.go", `"crumbtrail/ingest"`, nil},
		{"ingest/http.go", `"crumbtrail/sessionize"`, []int{3}},
		{"ingest/http.go", `"crumbtrail/internal/duck"`, []int{3}},
		{"lake/lake.go", `"crumbtrail/internal/duck"`, nil},
		{"sessionize/gap.go", `"crumbtrail/internal/kafka"`, []int{3}},
		{"internal/stage/run.go", `"crumbtrail/schemas"`, []int{3}},
		{"internal/stage/run.go", `"crumbtrail/internal/kafka"`, nil},
		{"internal/datadir/d.go", `"crumbtrail/internal/kafka"`, []int{3}},
		{"schemas/ids.go", `"crumbtrail/internal/stage"`, []int{3}},
		{"e2e/e2e_test.go", `"crumbtrail/lake"`, []int{3}},
		{"internal/kafka/client.go", `"github.com/segmentio/kafka-go/protocol"`, nil},
		{"lake/read.go", `"github.com/segmentio/kafka-go"`, []int{3}},
		{"lake/write.go", `"github.com/apache/arrow/go/v15/arrow"`, nil},
		{"score/run.go", `"github.com/marcboeker/go-duckdb/v2"`, []int{3}},
		{"lake/lake.go", `"example.org/new/thing"`, []int{3}},
		{"lake/lake.go", `"testing"`, []int{3}},
		{"lake/lake.go", `"github.com/google/go-cmp/cmp"`, []int{3}},
		{"lake/lake_test.go", `"github.com/google/go-cmp/cmp"`, nil},
		{"resolve/match/match.go", `"crumbtrail/benchmarks/people"`, []int{3}},
		{"resolve/match/match_test.go", `"crumbtrail/benchmarks/people"`, nil},
		{"resolve/match/match_test.go", `"crumbtrail/benchmarks/load"`, []int{3}},
		{"newroom/new.go", `"fmt"`, []int{1}},
	} {
		expect(t, imports, c.name, "package p\n\nimport "+c.imports+"\n", c.want...)
	}
}
