package lake

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"crumbtrail/internal/strictyaml"
)

//go:embed queries/*.sql
var queryFiles embed.FS

// Query is a question to the views of the catalog, with parameters. Its text begins with what is
// said of it:
//
//	-- What it answers.
//	-- How that is defined.
//	-- $NAME TYPE DEFAULT: What the parameter is.
//
// TYPE is SQL's, in capitals, and DEFAULT a literal or NULL.
// $NAME in the statement is the parameter's value, as DuckDB's own named parameters are.
type Query struct {
	// Doc is what it answers, one line, and Definition the lines behind it.
	Doc, Definition string
	Parameters      []Parameter
	statement       string
}

// Parameter is a value that a query leaves open.
type Parameter struct {
	Name, Type string
	// Default is a SQL literal.
	Default string
	Doc     string
}

// QueryNames lists the queries that are part of this program.
func QueryNames() []string {
	var names []string
	files, err := queryFiles.ReadDir("queries")
	if err != nil {
		panic(err) // they are part of this program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f.Name()), ".sql"))
	}
	return names
}

// ShippedQuery returns the query of that name. The error names the nearest.
func ShippedQuery(name string) (Query, error) {
	if err := strictyaml.OneOf(name, QueryNames()...); err != nil {
		return Query{}, err
	}
	text, err := queryFiles.ReadFile("queries/" + name + ".sql")
	if err != nil {
		return Query{}, err
	}
	return ParseQuery(string(text)), nil
}

// parameterLine declares a parameter.
var parameterLine = regexp.MustCompile(
	`^-- \$([a-z][a-z0-9_]*) ([A-Z][A-Z0-9]*) (NULL|'(?:[^']|'')*'|-?[0-9.]+): (.+)$`)

// ParseQuery reads a query with its head, which may be absent.
func ParseQuery(text string) Query {
	q := Query{}
	rest, definition := text, []string(nil)
	for strings.HasPrefix(rest, "-- ") {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		m := parameterLine.FindStringSubmatch(line)
		switch {
		case m != nil:
			q.Parameters = append(q.Parameters, Parameter{m[1], m[2], m[3], m[4]})
		case q.Doc == "":
			q.Doc = line[len("-- "):]
		default:
			definition = append(definition, line[len("-- "):])
		}
	}
	q.Definition = strings.Join(definition, "\n")
	q.statement = strings.TrimSpace(rest)
	return q
}

// token is what a $NAME can be in, so that it is none: a text, a name, a comment; or a $NAME.
var token = regexp.MustCompile(`(?s)'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$\$.*?\$\$|` +
	`[A-Za-z0-9_]\$|\$[A-Za-z_][A-Za-z0-9_]*`)

// Bind writes the statement with each parameter's value, or its default, as a literal of its type.
// An empty value is NULL. Nothing of a value is read as SQL.
func (q Query) Bind(values map[string]string) (string, error) {
	names := make([]string, 0, len(q.Parameters))
	literals := map[string]string{}
	for _, p := range q.Parameters {
		names = append(names, p.Name)
		literal := p.Default
		if value, ok := values[p.Name]; ok {
			if literal = quote(value); value == "" {
				literal = "NULL"
			}
		}
		literals["$"+p.Name] = fmt.Sprintf("CAST(%s AS %s)", literal, p.Type)
	}
	for name := range values {
		if len(names) == 0 {
			return "", fmt.Errorf("%q: the query has no parameters", name)
		}
		if !slices.Contains(names, name) {
			return "", strictyaml.OneOf(name, names...)
		}
	}
	return token.ReplaceAllStringFunc(q.statement, func(found string) string {
		if literal, ok := literals[found]; ok {
			return literal
		}
		return found
	}), nil
}
