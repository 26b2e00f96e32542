package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"crumbtrail/internal/duck"
	"crumbtrail/lake"
)

// runSQL asks the lake one question, in a child process that can write nothing.
func runSQL(ctx context.Context, c *call) error {
	format := c.flags.String("format", "table", "table, csv or json")
	file := c.flags.String("f", "", "a query by `NAME`, see --list, or from the file of that name")
	list := c.flags.Bool("list", false, "list the queries that -f knows, with what can be set")
	text := c.flags.Bool("print-sql", false, "print the statement instead, for a DuckDB of your own")
	values := assignments{}
	c.flags.Var(values, "set", "a parameter of the query, as `name=value`; NAME= is NULL; repeatable")
	if err := c.parse(); err != nil {
		return err
	}
	if *list {
		return listQueries(c.stdout)
	}
	if err := duck.ValidFormat(*format); err != nil {
		return usagef("--%v", err)
	}
	query, err := c.query(*file)
	if err != nil {
		return err
	}
	statement, err := query.Bind(values)
	if err != nil {
		return usagef("--set: %v", err)
	}
	if *text {
		_, err := fmt.Fprintln(c.stdout, statement)
		return err
	}
	child, err := queryChild()
	if err != nil {
		return err
	}
	return child.Format(ctx, duck.Query{Database: catalogPath(c.data), SQL: statement}, *format,
		c.stdout)
}

// assignments are the values of --set.
type assignments map[string]string

func (a assignments) String() string { return "" }

// Set takes one of them.
func (a assignments) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("want name=value")
	}
	a[strings.TrimPrefix(name, "$")] = value
	return nil
}

// listQueries prints each query that is part of this program, and its parameters.
func listQueries(w io.Writer) error {
	var b strings.Builder
	for i, name := range lake.QueryNames() {
		query, err := lake.ShippedQuery(name)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s\n  %s\n", name, query.Doc)
		for _, line := range strings.Split(query.Definition, "\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		for _, p := range query.Parameters {
			fmt.Fprintf(&b, "    --set %s=%s  %s: %s\n", p.Name, strings.Trim(p.Default, "'"),
				strings.ToLower(p.Type), p.Doc)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// query takes the question from the argument, by name, from a file or from standard input.
func (c *call) query(file string) (lake.Query, error) {
	switch {
	case len(c.args) > 1:
		return lake.Query{}, usagef("want one query, got %d arguments: quote it", len(c.args))
	case len(c.args) == 1 && file != "":
		return lake.Query{}, usagef("want a query or -f, not both")
	case len(c.args) == 1 && c.args[0] != "-" && strings.TrimSpace(c.args[0]) != "":
		return lake.ParseQuery(c.args[0]), nil
	}
	var text []byte
	var err error
	if file != "" {
		query, unknown := lake.ShippedQuery(file)
		if unknown == nil {
			return query, nil
		}
		text, err = os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(file, "./") {
			return lake.Query{}, usagef("-f: no file, and %v", unknown)
		}
	} else {
		text, err = io.ReadAll(c.stdin)
	}
	if err != nil {
		return lake.Query{}, fmt.Errorf("read the query: %w", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return lake.Query{}, usagef(
			"no query: give one as an argument, with -f or on standard input; --list has some")
	}
	return lake.ParseQuery(string(text)), nil
}

// catalogPath is where analysts find the lake.
func catalogPath(data string) string { return filepath.Join(data, "lake.duckdb") }

// queryChild prepares the child process: this same binary.
func queryChild() (duck.Child, error) {
	exe, err := os.Executable()
	if err != nil {
		return duck.Child{}, fmt.Errorf("find this program's own file: %w", err)
	}
	return duck.Child{Exe: exe}, nil
}
