package ingest

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed bots.txt
var botList string

// bots finds the rule that calls a user agent a bot, in one pass over the text: an Aho–Corasick
// automaton (Aho and Corasick 1975) over the texts of all rules.
type bots struct {
	names  []string
	masked []string
	// class maps a byte to its column of next; bytes that no rule holds share column 0.
	class   [256]uint8
	columns int
	next    []int32
	// found is by state the first rule of the list whose text ends there, len(names) if none.
	found []int32
}

// newBots compiles a list in the format that bots.txt describes. The list is part of the program,
// so that an unreadable one is a broken invariant.
func newBots(list string) *bots {
	b := &bots{columns: 1}
	var texts []string
	var rules []int32
	for line := range strings.Lines(list) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, "\t")
		if !ok || name == "" || rest == "" || rest != strings.ToLower(rest) {
			panic(fmt.Sprintf("bot rule %q: want a name, a tab and lower-case texts", line))
		}
		if name == "!" {
			b.masked = append(b.masked, strings.Split(rest, "\t")...)
			continue
		}
		for text := range strings.SplitSeq(rest, "\t") {
			texts = append(texts, text)
			rules = append(rules, int32(len(b.names)))
		}
		b.names = append(b.names, name)
	}
	b.grow(texts, rules)
	b.link()
	return b
}

// grow builds the trie of the texts; -1 in next is an edge that is not there yet.
func (b *bots) grow(texts []string, rules []int32) {
	for _, text := range texts {
		for i := range len(text) {
			if b.class[text[i]] == 0 {
				b.class[text[i]] = uint8(b.columns)
				b.columns++
			}
		}
	}
	b.state()
	for i, text := range texts {
		at := int32(0)
		for j := range len(text) {
			edge := int(at)*b.columns + int(b.class[text[j]])
			if b.next[edge] < 0 {
				b.next[edge] = b.state()
			}
			at = b.next[edge]
		}
		b.found[at] = min(b.found[at], rules[i])
	}
}

func (b *bots) state() int32 {
	for range b.columns {
		b.next = append(b.next, -1)
	}
	b.found = append(b.found, int32(len(b.names)))
	return int32(len(b.found) - 1)
}

// link replaces every missing edge by that of the longest suffix that the trie knows, breadth
// first, so that a suffix, being shorter, is complete before it is asked.
func (b *bots) link() {
	suffix := make([]int32, len(b.found))
	queue := []int32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		b.found[at] = min(b.found[at], b.found[suffix[at]])
		for column := range b.columns {
			edge := int(at)*b.columns + column
			fallback := int32(0)
			if at != 0 {
				fallback = b.next[int(suffix[at])*b.columns+column]
			}
			if b.next[edge] < 0 {
				b.next[edge] = fallback
				continue
			}
			suffix[b.next[edge]] = fallback
			queue = append(queue, b.next[edge])
		}
	}
}

// rule returns the name of the first rule that holds of a user agent, empty for people.
func (b *bots) rule(userAgent string) string {
	lower := strings.ToLower(userAgent)
	for _, text := range b.masked {
		lower = strings.ReplaceAll(lower, text, "\x00")
	}
	at, best := int32(0), int32(len(b.names))
	for i := range len(lower) {
		at = b.next[int(at)*b.columns+int(b.class[lower[i]])]
		best = min(best, b.found[at])
	}
	if int(best) == len(b.names) {
		return ""
	}
	return b.names[best]
}
