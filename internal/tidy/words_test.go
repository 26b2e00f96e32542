package tidy

import (
	"bytes"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// unfinished is put together here, so that this file does not hold the words.
var unfinished = regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME|HA" + "CK|XX" + "X" + `)\b`)

// bannedWords finds marks of work that is not done: an issue holds them, or nobody does.
func bannedWords(s *source) []finding {
	if s.generated || path.Ext(s.path) == ".sum" {
		return nil
	}
	var found []finding
	s.lines(func(n int, line []byte) bool {
		if word := unfinished.Find(line); word != nil {
			found = append(found, finding{
				s.path, n,
				"do it now or open an issue, and take " + string(word) + " out",
			})
		}
		return true
	})
	return found
}

// machinePath matches folders of one machine. Names below /usr and /etc are of the system.
var machinePath = regexp.MustCompile(`(?:^|[^\w./~*-])/(?:wo` + `rk|ro` + `ot|ho` + `me|tm` + `p)/`)

// anybody is the home directory that examples of output name.
const anybody = "/ho" + "me/you/"

// machinePaths finds paths that exist on the author's machine only.
func machinePaths(s *source) []finding {
	var found []finding
	s.lines(func(n int, line []byte) bool {
		line = bytes.ReplaceAll(line, []byte(anybody), nil)
		if m := machinePath.Find(line); m != nil {
			found = append(found, finding{s.path, n, "name no folder of one machine (" +
				strings.TrimSpace(string(m)) + "): take it from a flag, or t.TempDir"})
		}
		return true
	})
	return found
}

// vague are names of packages that say nothing of what is in them.
var vague = regexp.MustCompile(
	`^(utils?|common|helpers?|types|models?|misc|shared|base|lib|manager)$|utils?$|helpers?$`)

// packageNames finds packages that are named for nothing.
func packageNames(s *source) []finding {
	if s.syntax == nil {
		return nil
	}
	name := strings.TrimSuffix(s.syntax.Name.Name, "_test")
	if folder := path.Base(s.dir); vague.MatchString(name) || vague.MatchString(folder) {
		return []finding{s.find(s.syntax.Package,
			"name package %s for the concept in it, so that its calls read well", name)}
	}
	return nil
}

// errorTexts checks that an error reads well in the middle of a sentence.
func errorTexts(s *source) []finding {
	if !s.written() || s.isTest() {
		return nil
	}
	var found []finding
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		if name := calledName(call); name != "errors.New" && name != "fmt.Errorf" {
			return true
		}
		lit, ok := call.Args[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		switch {
		case err != nil:
		case strings.Contains(text, "failed to"), strings.Contains(text, "unable to"):
			found = append(found, s.find(lit.Pos(),
				"name the operation and its object; that it failed goes without saying"))
		case strings.HasSuffix(text, "."), strings.HasSuffix(text, "\n"):
			found = append(found, s.find(lit.Pos(), "end an error without a full stop or newline"))
		}
		return true
	})
	return found
}

// calledName returns "pkg.Func" for a call of that form, "Func" for a plain one.
func calledName(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok {
			return x.Name + "." + fun.Sel.Name
		}
	}
	return ""
}

func TestWords(t *testing.T) {
	mark := "TO" + "DO"
	expect(t, bannedWords, "a.go", "package p\n// "+mark+": later\n", 2)
	expect(t, bannedWords, "a.md", "# A\n\n"+mark+"S are "+strings.ToLower(mark)+"s\n")
	expect(t, bannedWords, "a.sh", "a\nb # FIX"+"ME\n", 2)
	home := "/ho" + "me/"
	expect(t, machinePaths, "a.go", "package p\nconst x = \""+home+"me/x\"\n", 2)
	expect(t, machinePaths, "a.md", "see `/wo"+"rk/main`, not site"+home+"x or https://a"+home+"\n", 1)
	expect(t, machinePaths, "a.md", "the lake is "+anybody+"data\n")
	expect(t, packageNames, "util/a.go", "package util\n", 1)
	expect(t, packageNames, "lake/stringutil/a.go", "package stringutil\n", 1)
	expect(t, packageNames, "score/models/a.go", "package score\n", 1)
	expect(t, packageNames, "lake/a_test.go", "package lake_test\n")
	expect(t, errorTexts, "a.go", `package p
var a = errors.New("failed to open")
var b = fmt.Errorf("open %q: %w.", x, err)
var c = fmt.Errorf("open %q: %w", x, err)
var d = errors.New(text)
`, 2, 3)
}
