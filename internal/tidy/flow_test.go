package tidy

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// architecture is the page whose table of topics is held against the code.
const architecture = "ARCHITECTURE.md"

// topicConstants returns the topics that schemas names: the topic, and its constant.
func topicConstants(files []*source) map[string]string {
	topics := map[string]string{}
	for _, s := range files {
		if s.path != "schemas/topics.go" {
			continue
		}
		for _, d := range s.syntax.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				v := spec.(*ast.ValueSpec)
				if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Topic" || len(v.Values) == 0 {
					continue
				}
				if lit, ok := v.Values[0].(*ast.BasicLit); ok {
					name, _ := strconv.Unquote(lit.Value)
					topics[name] = v.Names[0].Name
				}
			}
		}
	}
	return topics
}

// dataFlow holds the table of topics in ARCHITECTURE.md against the code: each topic stands in it,
// the rooms that it says write and read it exist, and those that write it name it, or package main
// does that hands it to them.
func dataFlow(files []*source) []finding {
	topics := topicConstants(files)
	var page *source
	code := map[string]string{}
	for _, s := range files {
		if s.path == architecture {
			page = s
		}
		if s.written() && !s.isTest() {
			code[s.dir] += string(s.text)
		}
	}
	if page == nil {
		return []finding{{architecture, 1, "write the page that explains the whole"}}
	}
	var found []finding
	seen := map[string]bool{}
	prose(page, func(n int, line string) {
		row := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "|"), "|")
		cells := strings.Split(row, "|")
		name := strings.Trim(strings.TrimSpace(cells[0]), "`")
		constant, isTopic := topics[name]
		if !isTopic || len(cells) < 4 {
			return
		}
		seen[name] = true
		writers, readers := listed(cells[len(cells)-2]), listed(cells[len(cells)-1])
		for _, room := range slices.Concat(writers, readers) {
			if code[room] == "" {
				found = append(found, finding{page.path, n, "no room is called " + room})
			}
		}
		for _, room := range writers {
			if code[room] != "" && !strings.Contains(code[room]+code["."], "schemas."+constant) {
				found = append(found, finding{
					page.path, n,
					room + " does not write " + name + ": neither it nor main names schemas." + constant,
				})
			}
		}
		if len(writers) == 0 || len(readers) == 0 {
			found = append(found, finding{page.path, n, "say who writes and who reads " + name})
		}
	})
	for name := range topics {
		if !seen[name] {
			found = append(found, finding{page.path, 1, "give topic " + name + " a row in the table"})
		}
	}
	return found
}

// listed takes a cell of a table apart: "ingest, lake".
func listed(cell string) []string {
	var out []string
	for word := range strings.SplitSeq(cell, ",") {
		if word = strings.Trim(word, " `"); word != "" {
			out = append(out, word)
		}
	}
	return out
}

func TestDataFlow(t *testing.T) {
	const topics = `package schemas
const (
	Beacons Topic = "beacons"
	Visits  Topic = "visits"
)
`
	file := func(name, text string) *source {
		s, err := newSource(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	others := []*source{
		file("schemas/topics.go", topics),
		file("ingest/a.go", "package ingest\nvar t = schemas.Beacons\n"),
		file("sessionize/a.go", "package sessionize\nvar t = schemas.Visits\n"),
		file("lake/a.go", "package lake\n"),
	}
	run := func(s *source) []finding { return dataFlow(append(others, s)) }
	good := "# A\n\n| topic | written by | read by |\n| --- | --- | --- |\n" +
		"| `beacons` | x | ingest | sessionize, lake |\n"
	expect(t, run, architecture, good+"| `visits` | x | sessionize | lake |\n")
	expect(t, run, architecture, good, 1)
	expect(t, run, architecture, good+"| `visits` | x | lake | lake |\n", 6)
	expect(t, run, architecture, good+"| `visits` | x | sessionize | cellar |\n", 6)
	expect(t, run, architecture, good+"| `visits` | x | sessionize | |\n", 6)
}
