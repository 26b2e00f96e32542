package tidy

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// exportedDocs checks that what others may use says what it is.
func exportedDocs(s *source) []finding {
	if !s.written() || s.isTest() {
		return nil
	}
	var found []finding
	for _, d := range s.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				found = append(found, s.find(d.Pos(), "say what %s does", d.Name.Name))
			}
		case *ast.GenDecl:
			found = append(found, undocumented(s, d)...)
		}
	}
	return found
}

func undocumented(s *source, d *ast.GenDecl) []finding {
	var found []finding
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
				found = append(found, s.find(spec.Pos(), "say what a %s is", spec.Name.Name))
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					found = append(found, s.find(name.Pos(), "say what %s is", name.Name))
				}
			}
		}
	}
	return found
}

// exportedReceiver is false for a method of a type that others cannot name.
func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return true
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// shape is what the first paragraph of a room's doc must tell of: input, output, promise.
func shape() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"what it reads":      regexp.MustCompile(`\b[Rr]eads?\b`),
		"what it writes":     regexp.MustCompile(`\b[Ww]rites?\b`),
		"what it guarantees": regexp.MustCompile(`\bguarantees?\b`),
	}
}

// packageDocs checks that each package has one doc, and that it has the shape of a room's. The
// nouns and the command are no rooms on the way of data.
func packageDocs(files []*source) []finding {
	var found []finding
	docs := map[string][]*source{}
	first := map[string]*source{}
	for _, s := range files {
		if s.syntax == nil || strings.HasSuffix(s.syntax.Name.Name, "_test") {
			continue
		}
		if first[s.dir] == nil || s.isTest() == first[s.dir].isTest() && s.path < first[s.dir].path {
			first[s.dir] = s
		}
		if s.syntax.Doc != nil {
			docs[s.dir] = append(docs[s.dir], s)
		}
	}
	for dir, s := range first {
		switch with := docs[dir]; {
		case len(with) == 0:
			found = append(found, s.find(s.syntax.Package,
				"say above the package clause what %s reads, writes and guarantees", dir))
		case len(with) > 1:
			found = append(found, with[1].find(with[1].syntax.Package,
				"one package doc: %s has it, too", with[0].path))
		case dir != "." && dir != "schemas" && dir != "e2e":
			found = append(found, shapeOf(with[0])...)
		}
	}
	return found
}

func shapeOf(s *source) []finding {
	text := s.syntax.Doc.Text()
	paragraph, _, _ := strings.Cut(text, "\n\n")
	var found []finding
	if want := "Package " + s.syntax.Name.Name + " "; !strings.HasPrefix(text, want) {
		found = append(found, s.find(s.syntax.Doc.Pos(), "begin the doc with %q", want))
	}
	for what, pattern := range shape() {
		if !pattern.MatchString(paragraph) {
			found = append(found, s.find(s.syntax.Doc.Pos(), "say in the first paragraph of the "+
				"package doc %s", what))
		}
	}
	return found
}

func TestDocs(t *testing.T) {
	expect(t, exportedDocs, "a.go", `package p

func Open() {}

// Close closes.
func Close() {}

type T struct{}

func (T) M() {}

type t struct{}

func (*t) M() {}

const A = 1

// Kinds.
const (
	B = 1
	C = 2
)

var (
	D = 1 // the fourth
	E = 2
)
`, 3, 8, 10, 16, 26)
	one := func(s *source) []finding { return packageDocs([]*source{s}) }
	good := "// Package lake reads topics, writes files and guarantees much.\npackage lake\n"
	expect(t, one, "lake/a.go", good)
	expect(t, one, "lake/a.go", "package lake\n", 1)
	expect(t, one, "lake/a.go", "// Package lake reads and writes.\npackage lake\n", 1)
	expect(t, one, "lake/a.go", "// Lake reads, writes, guarantees.\npackage lake\n", 1)
	expect(t, one, "main.go", "// Crumbtrail runs.\npackage main\n")
	first, err := newSource("lake/a.go", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	two := func(s *source) []finding { return packageDocs([]*source{first, s}) }
	expect(t, two, "lake/b.go", good, 2)
	expect(t, two, "lake/b.go", "package lake\n")
}
