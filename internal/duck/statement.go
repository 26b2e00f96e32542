package duck

import (
	"fmt"
	"strings"
)

// single returns the only statement of a text, without what follows it: a semicolon, comments.
// What it returns has still to be checked by DuckDB; this only finds where it ends.
func single(sql string) (string, error) {
	end := scan(sql, func(c byte) bool { return c == ';' })
	statement := sql[:end]
	if skipBlank(statement) == len(statement) {
		return "", &QueryError{"the query is empty"}
	}
	for rest := sql[end:]; rest != ""; {
		rest = rest[1:] // the semicolon
		blank := skipBlank(rest)
		if blank < len(rest) && rest[blank] != ';' {
			return "", &QueryError{"more than one statement: run them one by one"}
		}
		rest = rest[blank:]
	}
	return statement, nil
}

// explained returns the statement that an EXPLAIN is about; ok is false for any other statement.
func explained(statement string) (inner string, ok bool) {
	word, rest := firstWord(statement)
	if word != "explain" {
		return "", false
	}
	if word, after := firstWord(rest); word == "analyze" || word == "analyse" {
		rest = after
	}
	// Options stand in parentheses, and so may the statement itself.
	if at := skipBlank(rest); at < len(rest) && rest[at] == '(' {
		option, _ := firstWord(rest[at+1:])
		if option == "format" || option == "analyze" || option == "analyse" {
			end := at + scan(rest[at:], func(c byte) bool { return c == ')' })
			rest = rest[min(end+1, len(rest)):]
		}
	}
	return rest, true
}

// firstWord returns the first word in lower case, and what follows it.
func firstWord(sql string) (word, rest string) {
	start := skipBlank(sql)
	end := start
	for end < len(sql) && isLetter(sql[end]) {
		end++
	}
	return strings.ToLower(sql[start:end]), sql[end:]
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// skipBlank returns how many bytes of white space and comments a text begins with.
func skipBlank(sql string) int {
	for i := 0; i < len(sql); {
		if n := comment(sql[i:]); n > 0 {
			i += n
		} else if strings.IndexByte(" \t\r\n\f\v", sql[i]) >= 0 {
			i++
		} else {
			return i
		}
	}
	return len(sql)
}

// scan returns the position of the first byte outside of quotes and comments that stop names, or
// the text's length.
func scan(sql string, stop func(c byte) bool) int {
	for i := 0; i < len(sql); {
		n := comment(sql[i:])
		if n == 0 {
			n = quoted(sql, i)
		}
		if n == 0 {
			if stop(sql[i]) {
				return i
			}
			n = 1
		}
		i += n
	}
	return len(sql)
}

// comment returns the length of the comment that a text begins with, or 0.
func comment(sql string) int {
	switch {
	case strings.HasPrefix(sql, "--"):
		if n := strings.IndexByte(sql, '\n'); n >= 0 {
			return n + 1
		}
		return len(sql)
	case strings.HasPrefix(sql, "/*"):
		depth := 0
		for i := 0; i+1 < len(sql); i++ {
			switch sql[i : i+2] {
			case "/*":
				depth++
				i++
			case "*/":
				depth--
				i++
				if depth == 0 {
					return i + 1
				}
			}
		}
		return len(sql)
	}
	return 0
}

// quoted returns the length of the quoted text that begins at i, or 0.
func quoted(sql string, i int) int {
	switch c := sql[i]; c {
	case '\'', '"':
		escapes := c == '\'' && i > 0 && sql[i-1]|0x20 == 'e' && (i == 1 || !isLetter(sql[i-2]))
		for j := i + 1; j < len(sql); j++ {
			switch {
			case sql[j] == '\\' && escapes:
				j++
			case sql[j] == c:
				return j + 1 - i // a doubled quote begins the next quoted text
			}
		}
		return len(sql) - i
	case '$':
		tagged := strings.IndexByte(sql[i+1:], '$')
		if tagged < 0 || strings.ContainsFunc(sql[i+1:i+1+tagged], notTag) {
			return 0
		}
		tag := sql[i : i+tagged+2]
		if end := strings.Index(sql[i+len(tag):], tag); end >= 0 {
			return end + 2*len(tag)
		}
		return len(sql) - i
	}
	return 0
}

func notTag(r rune) bool {
	return r < 0x80 && !isLetter(byte(r)) && (r < '0' || r > '9')
}

// asText wraps a SELECT so that each value comes as DuckDB's own text, and lists and structs as
// JSON, by the result's column types.
func asText(statement string, columns []Column) string {
	var names, values []string
	for i, c := range columns {
		name := fmt.Sprintf("c%d", i)
		names = append(names, name)
		if isNested(c.Type) {
			name = "to_json(" + name + ")"
		}
		values = append(values, "CAST("+name+" AS VARCHAR)")
	}
	return wrapped("SELECT "+strings.Join(values, ", ")+" FROM", statement,
		"AS result("+strings.Join(names, ", ")+")")
}

// wrapped puts a statement into another one, on lines of its own: an error shows the line that it
// is about, and a comment at the statement's end does not go on.
func wrapped(before, statement, after string) string {
	return before + " (\n" + statement + "\n) " + after
}

// isNested is true for the types whose values hold others.
func isNested(typ string) bool {
	return strings.HasSuffix(typ, "]") || strings.HasPrefix(typ, "STRUCT") ||
		strings.HasPrefix(typ, "MAP") || strings.HasPrefix(typ, "UNION")
}
