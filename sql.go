package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"crumbtrail/internal/duck"
)

// runSQL asks the lake one question, in a child process that can write nothing.
func runSQL(ctx context.Context, c *call) error {
	format := c.flags.String("format", "table", "table, csv or json")
	file := c.flags.String("f", "", "read the query from `FILE`")
	if err := c.parse(); err != nil {
		return err
	}
	if err := duck.ValidFormat(*format); err != nil {
		return usagef("--%v", err)
	}
	query, err := c.query(*file)
	if err != nil {
		return err
	}
	child, err := queryChild()
	if err != nil {
		return err
	}
	return child.Format(ctx, duck.Query{Database: catalogPath(c.data), SQL: query}, *format, c.stdout)
}

// query takes the question from the argument, from a file or from standard input.
func (c *call) query(file string) (string, error) {
	switch {
	case len(c.args) > 1:
		return "", usagef("want one query, got %d arguments: quote it", len(c.args))
	case len(c.args) == 1 && file != "":
		return "", usagef("want a query or -f, not both")
	case len(c.args) == 1 && c.args[0] != "-" && strings.TrimSpace(c.args[0]) != "":
		return c.args[0], nil
	}
	var text []byte
	var err error
	if file != "" {
		text, err = os.ReadFile(file)
	} else {
		text, err = io.ReadAll(c.stdin)
	}
	if err != nil {
		return "", fmt.Errorf("read the query: %w", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return "", usagef("no query: give one as an argument, with -f or on standard input")
	}
	return string(text), nil
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
