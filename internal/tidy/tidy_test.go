package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// finding is a place that breaks a rule, and what to do about it.
type finding struct {
	path string
	line int
	mend string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.mend) }

// source is a file of the tree. Of Go files, syntax and fset are set.
type source struct {
	// path is relative to the root, with slashes; dir is its folder, "." at the root.
	path, dir string
	text      []byte
	fset      *token.FileSet
	syntax    *ast.File
	generated bool
}

// check is a rule on one file.
type check struct {
	name string
	run  func(*source) []finding
}

// checks are the rules that look at one file at a time.
func checks() []check {
	return []check{
		{"imports", imports},
		{"sizes", sizes},
		{"banned words", bannedWords},
		{"machine paths", machinePaths},
		{"banned calls", bannedCalls},
		{"pure cores", pureCores},
		{"package names", packageNames},
		{"exported docs", exportedDocs},
		{"errors", errorTexts},
		{"markdown", markdown},
	}
}

func TestTree(t *testing.T) {
	root := filepath.Join("..", "..")
	files := readTree(t, root)
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			for i := range files {
				report(t, c.run(files[i]))
			}
		})
	}
	t.Run("package docs", func(t *testing.T) { report(t, packageDocs(files)) })
	t.Run("links", func(t *testing.T) {
		report(t, links(files, func(p string) bool {
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(p)))
			return err == nil
		}))
	})
	t.Run("data flow", func(t *testing.T) { report(t, dataFlow(files)) })
	t.Run("table", func(t *testing.T) { report(t, staleTable(files)) })
}

func report(t *testing.T, found []finding) {
	t.Helper()
	slices.SortFunc(found, func(a, b finding) int { return strings.Compare(a.String(), b.String()) })
	for _, f := range found {
		t.Error(f)
	}
}

// binaries are files that hold no text to check.
var binaries = regexp.MustCompile(
	`\.(gz|zst|parquet|mmdb|duckdb|png|ico|woff2|gif|test|prof)$|^crumbtrail$|^crumbtrail\.yaml$`)

// readTree reads the files that the rules are about: not what git ignores, not test data.
func readTree(t *testing.T, root string) []*source {
	t.Helper()
	var files []*source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			switch name := d.Name(); {
			case name == ".git", name == "testdata", name == "node_modules", rel == "data":
				return fs.SkipDir
			}
			return nil
		}
		// In a linked working tree .git is a file.
		if !d.Type().IsRegular() || rel == ".git" || binaries.MatchString(rel) {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		s, err := newSource(rel, text)
		if err != nil {
			return err
		}
		files = append(files, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d files found under %s", len(files), root)
	}
	return files
}

var generatedLine = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func newSource(rel string, text []byte) (*source, error) {
	s := &source{path: rel, dir: path.Dir(rel), text: text}
	if path.Ext(rel) != ".go" {
		return s, nil
	}
	s.generated = generatedLine.Match(text)
	s.fset = token.NewFileSet()
	mode := parser.ParseComments | parser.SkipObjectResolution
	syntax, err := parser.ParseFile(s.fset, rel, text, mode)
	s.syntax = syntax
	return s, err
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// written is true of Go code that people write.
func (s *source) written() bool { return s.syntax != nil && !s.generated }

func (s *source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

func (s *source) find(pos token.Pos, format string, args ...any) finding {
	return finding{s.path, s.line(pos), fmt.Sprintf(format, args...)}
}

// lines yields each line of the text with its number from 1.
func (s *source) lines(yield func(int, []byte) bool) {
	n := 0
	for line := range bytes.Lines(s.text) {
		n++
		if !yield(n, bytes.TrimRight(line, "\r\n")) {
			return
		}
	}
}

// under is true where dir is room or lies in it.
func under(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

// expect runs a check on a piece of source and compares the lines that it finds fault with.
func expect(t *testing.T, run func(*source) []finding, name, text string, want ...int) {
	t.Helper()
	s, err := newSource(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, f := range run(s) {
		if f.path != name || f.mend == "" {
			t.Errorf("finding without its file or its mend: %v", f)
		}
		got = append(got, f.line)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: lines %v found, want %v, in\n%s", name, got, want, text)
	}
}
