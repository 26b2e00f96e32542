package enrich

import (
	"cmp"
	_ "embed"
	"fmt"
	"iter"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"
)

//go:embed bots.txt
var botList string

//go:embed crawlers.txt
var crawlerList string

//go:embed botwords.txt
var botWords string

// The lists are compiled once a process, when the first user agent is looked at.
var (
	namedBots    = sync.OnceValue(func() *bots { return newBots(botList) })
	knownCrawler = sync.OnceValue(func() *bots { return newCrawlers(crawlerList) })
	generalBots  = sync.OnceValue(func() *bots { return newBots(botWords) })
)

// botRule returns the name of the first rule that calls a user agent a bot, empty for people: one
// of our own list, one of a list that others keep, a general word.
func botRule(userAgent string) string {
	return cmp.Or(namedBots().rule(userAgent), knownCrawler().rule(userAgent),
		generalBots().rule(userAgent))
}

// bots finds the rule that calls a user agent a bot, in one pass over the text: an Aho–Corasick
// automaton (Aho and Corasick 1975) over the texts of all rules.
type bots struct {
	names  []string
	masked []string
	// exact looks at a user agent as it is, between begins and ends, and not in lower case.
	exact bool
	// class maps a byte to its column of next; bytes that no rule holds share column 0.
	class   [256]uint8
	columns int
	next    []int32
	// found is by state the first rule of the list whose text ends there, len(names) if none.
	found []int32
}

// entries are the lines of a list that are neither empty nor comments.
func entries(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(list) {
			line = strings.TrimRight(line, "\r\n")
			if line != "" && line[0] != '#' && !yield(line) {
				return
			}
		}
	}
}

// newBots compiles a list in the format that bots.txt describes. The list is part of the program,
// so that an unreadable one is a broken invariant.
func newBots(list string) *bots {
	b := &bots{columns: 1}
	var texts []string
	var rules []int32
	for line := range entries(list) {
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

// begins and ends stand before and after a user agent that is looked at as it is.
const begins, ends = "\x01", "\x02"

// newCrawlers compiles a list of regular expressions, each of which stands for a few texts.
func newCrawlers(list string) *bots {
	b := &bots{columns: 1, exact: true}
	var texts []string
	var rules []int32
	for line := range entries(list) {
		parsed, err := syntax.Parse(line, syntax.Perl)
		if err != nil {
			panic(fmt.Sprintf("crawler %q: %v", line, err))
		}
		all := textsOf(parsed)
		if len(all) == 0 {
			panic(fmt.Sprintf("crawler %q: it stands for too many texts", line))
		}
		for _, text := range all {
			texts = append(texts, text)
			rules = append(rules, int32(len(b.names)))
		}
		b.names = append(b.names, ruleName(all[0]))
	}
	b.grow(texts, rules)
	b.link()
	return b
}

// textsOf returns the texts that an expression stands for, none where they are many.
func textsOf(re *syntax.Regexp) (texts []string) {
	const most = 16
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []string{string(re.Rune)}
		}
		texts = []string{""}
		for _, c := range re.Rune {
			var longer []string
			for _, head := range texts {
				longer = append(longer, head+string(unicode.ToLower(c)), head+string(unicode.ToUpper(c)))
			}
			if texts = longer; len(texts) > most {
				return nil
			}
		}
	case syntax.OpEmptyMatch:
		return []string{""}
	case syntax.OpBeginText:
		return []string{begins}
	case syntax.OpEndText:
		return []string{ends}
	case syntax.OpCapture:
		return textsOf(re.Sub[0])
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			for c := re.Rune[i]; c <= re.Rune[i+1] && len(texts) <= most; c++ {
				texts = append(texts, string(c))
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			some := textsOf(sub)
			if len(some) == 0 {
				return nil
			}
			texts = append(texts, some...)
		}
	case syntax.OpConcat:
		texts = []string{""}
		for _, sub := range re.Sub {
			var longer []string
			for _, tail := range textsOf(sub) {
				for _, head := range texts {
					longer = append(longer, head+tail)
				}
			}
			if texts = longer; len(texts) > most {
				return nil
			}
		}
	}
	if len(texts) > most {
		return nil
	}
	return texts
}

// ruleName makes a name as other rules have it of a text: lower case, words joined by underscores.
func ruleName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	return strings.Join(words, "_")
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
	text := begins + userAgent + ends
	if !b.exact {
		text = strings.ToLower(userAgent)
	}
	for _, masked := range b.masked {
		text = strings.ReplaceAll(text, masked, "\x00")
	}
	at, best := int32(0), int32(len(b.names))
	for i := range len(text) {
		at = b.next[int(at)*b.columns+int(b.class[text[i]])]
		best = min(best, b.found[at])
	}
	if int(best) == len(b.names) {
		return ""
	}
	return b.names[best]
}
