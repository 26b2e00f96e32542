package tidy

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// bannedCalls finds what a library must not do: begin by itself, or speak on its own.
func bannedCalls(s *source) []finding {
	if !s.written() {
		return nil
	}
	var found []finding
	library := s.syntax.Name.Name != "main" && !s.isTest()
	for _, d := range s.syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv == nil && fn.Name.Name == "init" {
			found = append(found, s.find(fn.Pos(), "call it from main, or make it a table: no init"))
		}
		if ok && s.isTest() {
			found = append(found, sleeps(s, fn)...)
		}
	}
	if s.isTest() {
		return found
	}
	found = append(found, emptyVars(s)...)
	for _, spec := range s.syntax.Imports {
		if spec.Path.Value == `"log"` {
			found = append(found, s.find(spec.Pos(), "log to a *slog.Logger passed in"))
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !library {
			return true
		}
		switch name := calledName(call); {
		case strings.HasPrefix(name, "fmt.Print"), name == "print", name == "println":
			found = append(found, s.find(call.Pos(), "write to an io.Writer passed in, not %s", name))
		case name == "slog.Default", name == "slog.Info", name == "slog.Warn", name == "slog.Error",
			name == "slog.Debug", name == "slog.SetDefault":
			found = append(found, s.find(call.Pos(), "log to a *slog.Logger passed in, not %s", name))
		case name == "os.Exit":
			found = append(found, s.find(call.Pos(), "return an error: only main ends the process"))
		}
		return true
	})
	return found
}

// emptyVars finds package variables that begin without a value, and so are there to be changed.
func emptyVars(s *source) []finding {
	var found []finding
	for _, d := range s.syntax.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			embedded := gen.Doc != nil && strings.Contains(docText(gen.Doc), "//go:embed") ||
				v.Doc != nil && strings.Contains(docText(v.Doc), "//go:embed")
			if len(v.Values) == 0 && !embedded {
				found = append(found, s.find(v.Pos(),
					"keep %s in a struct: no package variable that changes", v.Names[0].Name))
			}
		}
	}
	return found
}

// docText is a comment with its directives, which Text leaves out.
func docText(group *ast.CommentGroup) string {
	var b strings.Builder
	for _, c := range group.List {
		b.WriteString(c.Text + "\n")
	}
	return b.String()
}

// sleeps finds calls of time.Sleep in a test's real time. In a synctest bubble they cost nothing,
// and so they do in a function whose comment says that it runs in a bubble.
func sleeps(s *source, fn *ast.FuncDecl) []finding {
	if fn.Body == nil || fn.Doc != nil && strings.Contains(fn.Doc.Text(), "bubble") {
		return nil
	}
	var found []finding
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch calledName(call) {
		case "synctest.Test":
			return false
		case "time.Sleep":
			found = append(found, s.find(call.Pos(), "wait for the condition, or sleep in a "+
				"synctest bubble (and say so in %s's comment)", fn.Name.Name))
		}
		return true
	})
	return found
}

// pure are the rooms whose code has no clock, no I/O, no goroutine, no lock.
func pure() []string { return []string{"schemas", "sessionize", "resolve"} }

// clockless are the rooms whose code never asks what time it is.
func clockless() []string {
	return append(pure(), "score", "benchmarks/load", "benchmarks/people", "benchmarks/traffic")
}

// pureCores checks that the cores stay pure: time comes from records.
func pureCores(s *source) []finding {
	if !s.written() || s.isTest() {
		return nil
	}
	in := func(rooms []string) bool {
		return slices.ContainsFunc(rooms, func(r string) bool { return under(s.dir, r) })
	}
	var found []finding
	if in(pure()) {
		for _, spec := range s.syntax.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			for _, banned := range []string{
				"sync", "os", "net", "log", "io/fs", "io/ioutil", "database", "path/filepath",
				"math/rand", "crypto/rand", "syscall", "context", "golang.org/x/sync",
			} {
				if under(name, banned) {
					found = append(found, s.find(spec.Pos(),
						"%s is pure: leave %s to the shell around it", s.dir, name))
				}
			}
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if in(pure()) {
				found = append(found, s.find(n.Pos(), "%s is pure: start no goroutine", s.dir))
			}
		case *ast.CallExpr:
			switch name := calledName(n); name {
			case "time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.Sleep",
				"time.Tick", "time.NewTimer", "time.NewTicker":
				if in(clockless()) {
					found = append(found, s.find(n.Pos(),
						"take the time from the records or as an argument, not from %s", name))
				}
			}
		}
		return true
	})
	return found
}

func TestCalls(t *testing.T) {
	expect(t, bannedCalls, "lake/a.go", "package lake\nimport \"log\"\n", 2)
	expect(t, bannedCalls, "lake/a.go", `package lake
func init() {}
func f() { fmt.Println(1) }
func g(log *slog.Logger) { log.With("x") }
func h(w io.Writer) { fmt.Fprintln(w, 1) }
func i() { slog.Info("x"); os.Exit(1) }
func (t T) init() {}
`, 2, 3, 6, 6)
	expect(t, bannedCalls, "main.go", "package main\nfunc f() { fmt.Println(1); os.Exit(1) }\n")
	expect(t, bannedCalls, "lake/a.go", `package lake
var cache map[string]int
var errGone = errors.New("gone")

//go:embed a.txt
var text string
var (
	n int
)
`, 2, 8)
	expect(t, bannedCalls, "lake/a_test.go", `package lake
func f() { time.Sleep(1) }
func g() { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }
// h runs in a bubble.
func h() { time.Sleep(1) }
`, 2)
	expect(t, pureCores, "sessionize/a.go", `package sessionize
import "sync"
import "net/http"
import "strings"
func f() { go g() }
func g() { time.Now(); time.Unix(0, 0) }
`, 2, 3, 5, 6)
	expect(t, pureCores, "lake/a.go", "package lake\nimport \"os\"\nfunc f() { go time.Now() }\n")
	expect(t, pureCores, "score/a.go", "package score\nimport \"os\"\nvar t = time.Now()\n", 3)
	expect(t, pureCores, "resolve/a_test.go", "package resolve\nimport \"os\"\n")
}
