package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"crumbtrail/internal/duck"
	"crumbtrail/resolve/match"
)

// records are the rows of one file, or of two to be linked.
type records struct {
	name    string
	set     *match.Set
	columns []string
	linked  bool
	first   int // rows of the first file
}

// readRecords reads a file, and a second one where its name is not empty.
func readRecords(ctx context.Context, name, link string) (*records, error) {
	r := &records{name: filepath.Base(name), linked: link != ""}
	err := eachRecord(ctx, name, func(columns []string) ([]int, error) {
		r.columns = columns
		r.set = match.NewSet(columns)
		return nil, nil
	}, r.add(0))
	if err != nil {
		return nil, err
	}
	r.first = r.set.Len()
	if !r.linked {
		return r, nil
	}
	r.name += " and " + filepath.Base(link)
	err = eachRecord(ctx, link, func(columns []string) ([]int, error) {
		places := match.Align(r.columns, columns)
		if strings.Count(fmt.Sprint(places), "-1") == len(places) {
			return nil, fmt.Errorf("no column of %q is in %q, too: call columns the same in both files",
				link, name)
		}
		return places, nil
	}, r.add(1))
	return r, err
}

func (r *records) add(file uint8) func(texts []string) error {
	return func(texts []string) error { return r.set.Add(texts, file) }
}

// file is the file that a row is of, from 1.
func (r *records) file(row int) int {
	if row < r.first {
		return 1
	}
	return 2
}

// column finds a column by its name.
func (r *records) column(name string) (int, error) {
	for at, column := range r.columns {
		if column == strings.TrimSpace(name) {
			return at, nil
		}
	}
	return 0, usagef("there is no column %q: the columns are %s", name, strings.Join(r.columns, ", "))
}

// sizes is how many rows each file has.
func (r *records) sizes() []int {
	if !r.linked {
		return []int{r.first}
	}
	return []int{r.first, r.set.Len() - r.first}
}

// pairs reads texts such as "12,48" as two rows each.
func (r *records) pairs(texts []string) (pairs [][2]int, err error) {
	for _, text := range texts {
		pair, err := r.pair(text)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

func (r *records) pair(text string) (pair [2]int, err error) {
	parts := strings.Split(text, ",")
	for i, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || len(parts) != 2 || n < 1 || n > r.set.Len() {
			return pair, usagef("--explain %q: want two rows, such as 12,48, from 1 to %d", text,
				r.set.Len())
		}
		pair[i] = n - 1
	}
	if pair[0] == pair[1] {
		return pair, usagef("--explain %q: want two different rows", text)
	}
	return pair, nil
}

// febrl is how FEBRL's generator numbers records: rec-12-org and rec-12-dup-0 are one person's.
var febrl = regexp.MustCompile(`^rec-(\d+)-(?:org|dup-\d+)$`)

// entities reads the true answers.
func (r *records) entities(column int) []string {
	out := make([]string, r.set.Len())
	for i := range out {
		out[i] = r.set.Text(i, column)
		if m := febrl.FindStringSubmatch(out[i]); m != nil {
			out[i] = m[1]
		}
	}
	return out
}

// eachRecord reads a file, CSV or Parquet. header gets its columns and says which of them a record
// takes, in order, -1 for an empty text; nil is all. The slice that each gets is reused.
func eachRecord(
	ctx context.Context, name string, header func(columns []string) ([]int, error),
	each func(texts []string) error,
) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	magic, _ := in.Peek(4) // a shorter file is no Parquet
	t := &taking{header: header, each: each}
	if string(magic) == "PAR1" {
		err = eachParquet(ctx, name, t)
	} else {
		err = eachCSV(ctx, in, t)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	return nil
}

// taking hands records on with the columns that are wanted.
type taking struct {
	header func(columns []string) ([]int, error)
	each   func(texts []string) error
	places []int
	texts  []string
}

func (t *taking) begin(columns []string) (err error) {
	seen := map[string]bool{}
	for i, name := range columns {
		columns[i] = strings.TrimSpace(name)
		if seen[columns[i]] {
			return fmt.Errorf("two columns are called %q: rename one", columns[i])
		}
		seen[columns[i]] = true
	}
	t.places, err = t.header(columns)
	t.texts = make([]string, len(t.places))
	return err
}

func (t *taking) row(texts []string) error {
	if t.places == nil {
		return t.each(texts)
	}
	for i, from := range t.places {
		t.texts[i] = ""
		if from >= 0 {
			t.texts[i] = texts[from]
		}
	}
	return t.each(t.texts)
}

// eachCSV reads comma, semicolon or tab separated rows with a header.
func eachCSV(ctx context.Context, in *bufio.Reader, t *taking) error {
	const bom = "\ufeff"
	if start, _ := in.Peek(len(bom)); string(start) == bom {
		_, _ = in.Discard(len(bom)) // they are in the buffer
	}
	r := csv.NewReader(in)
	r.TrimLeadingSpace, r.ReuseRecord = true, true
	r.Comma = separator(in)
	r.TrimLeadingSpace = r.Comma != '\t'
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty: want a header and rows")
	}
	if err != nil {
		return err
	}
	if err := t.begin(append([]string(nil), head...)); err != nil {
		return err
	}
	for {
		row, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if err := t.row(row); err != nil {
			return err
		}
	}
}

// separator is the most frequent of comma, semicolon and tab in the first line.
func separator(in *bufio.Reader) rune {
	start, _ := in.Peek(1 << 16) // a shorter file is fine
	line, _, _ := bytes.Cut(start, []byte("\n"))
	best, most := ',', 0
	for _, s := range []rune{',', ';', '\t'} {
		if n := bytes.Count(line, []byte(string(s))); n > most {
			best, most = s, n
		}
	}
	return best
}

// eachParquet lets DuckDB read a file, in a child process that sees nothing else.
func eachParquet(ctx context.Context, name string, t *taking) (err error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "crumbtrail-dedupe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	database := filepath.Join(dir, "empty.duckdb")
	if err := duck.Build(ctx, database, nil); err != nil {
		return err
	}
	child, err := queryChild()
	if err != nil {
		return err
	}
	query := duck.Query{
		Database: database, Dir: filepath.Dir(path),
		SQL: "FROM read_parquet('" + strings.ReplaceAll(path, "'", "''") + "')",
	}
	var texts []string
	return child.Rows(ctx, query, func(columns []duck.Column, values []any) error {
		if texts == nil {
			texts = make([]string, len(columns))
			names := make([]string, len(columns))
			for i, c := range columns {
				names[i] = c.Name
			}
			if err := t.begin(names); err != nil {
				return err
			}
		}
		for i, v := range values {
			texts[i] = ""
			if v != nil {
				texts[i] = fmt.Sprint(v)
			}
		}
		return t.row(texts)
	})
}
