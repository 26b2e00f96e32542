package tidy

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// markdown checks that a document has one title, in its first line.
func markdown(s *source) []finding {
	if path.Ext(s.path) != ".md" {
		return nil
	}
	var found []finding
	titles := 0
	prose(s, func(n int, line string) {
		if !strings.HasPrefix(line, "# ") {
			return
		}
		if titles++; titles > 1 {
			found = append(found, finding{s.path, n, "one title in a document: make this ##"})
		} else if n > 1 {
			found = append(found, finding{s.path, n, "put the title in the first line"})
		}
	})
	if titles == 0 {
		found = append(found, finding{s.path, 1, "begin the document with a title: # …"})
	}
	return found
}

// prose calls each with the lines of a document that are not in a block of code.
func prose(s *source, each func(n int, line string)) {
	fenced := false
	s.lines(func(n int, raw []byte) bool {
		line := string(raw)
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced && !strings.HasPrefix(line, "    ") {
			each(n, line)
		}
		return true
	})
}

var (
	codeSpan = regexp.MustCompile("`[^`]*`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	outside  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	heading  = regexp.MustCompile(`^#{1,6} `)
	unslug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// links checks that links inside the repository lead somewhere. exists knows the other files.
func links(files []*source, exists func(string) bool) []finding {
	anchors := map[string]map[string]bool{}
	for _, s := range files {
		if path.Ext(s.path) == ".md" {
			anchors[s.path] = anchorsOf(s)
		}
	}
	var found []finding
	for _, s := range files {
		if path.Ext(s.path) != ".md" {
			continue
		}
		prose(s, func(n int, line string) {
			line = codeSpan.ReplaceAllString(line, "")
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if outside.MatchString(m[1]) {
					continue
				}
				target, anchor, _ := strings.Cut(m[1], "#")
				file := s.path
				if target != "" {
					file = path.Join(s.dir, target)
				}
				switch known, isDocument := anchors[file]; {
				case !exists(file):
					found = append(found, finding{s.path, n, "mend the link: no file " + file})
				case anchor != "" && isDocument && !known[anchor]:
					found = append(found, finding{
						s.path, n,
						"mend the link: " + file + " has no heading #" + anchor,
					})
				}
			}
		})
	}
	return found
}

// anchorsOf returns what the headings of a document are linked by.
func anchorsOf(s *source) map[string]bool {
	slugs := map[string]bool{}
	prose(s, func(_ int, line string) {
		if heading.MatchString(line) {
			text := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			slugs[strings.ReplaceAll(unslug.ReplaceAllString(text, ""), " ", "-")] = true
		}
	})
	return slugs
}

func TestMarkdown(t *testing.T) {
	expect(t, markdown, "a.md", "# A\n\n## B\n\n```\n# not one\n```\n")
	expect(t, markdown, "a.md", "# A\n\n# B\n", 3)
	expect(t, markdown, "a.md", "text\n", 1)
	expect(t, markdown, "a.md", "text\n\n# A\n", 3)
	expect(t, markdown, "a.txt", "text\n")
	one := func(s *source) []finding {
		return links([]*source{s}, func(p string) bool { return p == "docs/a.md" || p == "main.go" })
	}
	expect(t, one, "docs/a.md", `# The title: it's here

[a](../main.go) [b](#the-title-its-here) [c](https://example.org/x) [d](a.md "d")
[a](main.go)
[a](#gone) [b](../gone.md)
`+"`[a](gone)`\n", 4, 5, 5)
}
