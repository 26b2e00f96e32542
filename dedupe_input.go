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
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/unpack"
	"crumbtrail/resolve/match"
)

// records are the rows of one file, or of two to be linked.
type records struct {
	name    string
	set     *match.Set
	columns []string
	linked  bool
	first   int // rows of the first file
	stdin   io.Reader
	notUTF8 int // fields that were read as Windows-1252
	// missing and surplus are columns of the first file that the second has not, and the other way
	// round.
	missing, surplus []string
}

// readRecords reads a file, and a second one where its name is not empty. kinds are what columns
// hold whose names do not tell, of either file.
func readRecords(
	ctx context.Context, stdin io.Reader, name, link string, kinds map[string]match.Kind,
) (*records, error) {
	r := &records{name: inputName(name), linked: link != "", stdin: stdin}
	err := r.eachRecord(ctx, name, func(columns []string) ([]int, error) {
		r.columns = columns
		r.set = match.NewSet(columns)
		return nil, nil
	}, r.add(0))
	if err != nil {
		return nil, err
	}
	r.first = r.set.Len()
	var others []string
	if r.linked {
		r.name += " and " + inputName(link)
		err = r.eachRecord(ctx, link, func(columns []string) ([]int, error) {
			others = columns
			places := match.Align(r.columns, columns, kinds)
			if !slices.ContainsFunc(places, func(at int) bool { return at >= 0 }) {
				return nil, fmt.Errorf("none of its columns (%s) is one of %q (%s): call columns the same "+
					"in both files, or say with --columns what they hold", strings.Join(columns, ", "), name,
					strings.Join(r.columns, ", "))
			}
			r.unlinked(columns, places)
			return places, nil
		}, r.add(1))
	}
	for column := range kinds {
		if err == nil && !slices.Contains(r.columns, column) && !slices.Contains(others, column) {
			err = usagef("--columns: there is no column %q: the columns are %s", column,
				strings.Join(append(r.columns, others...), ", "))
		}
	}
	return r, err
}

// unlinked notes the columns that are in one of two files alone.
func (r *records) unlinked(others []string, places []int) {
	for i, at := range places {
		if at < 0 {
			r.missing = append(r.missing, r.columns[i])
		}
	}
	for at, name := range others {
		if !slices.Contains(places, at) {
			r.surplus = append(r.surplus, name)
		}
	}
}

// inputName is what a file is called where people read it.
func inputName(file string) string {
	if file == "-" {
		return "standard input"
	}
	return filepath.Base(file)
}

// kindsOf reads "Kunde=company,Ref=code" as what columns hold.
func kindsOf(text string) (map[string]match.Kind, error) {
	kinds := map[string]match.Kind{}
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(text) == "" {
			break
		}
		at := strings.LastIndexByte(part, '=')
		if at < 1 {
			return nil, usagef("--columns %q: want column=kind, such as Kunde=company", part)
		}
		kind := match.Kind(strings.TrimSpace(part[at+1:]))
		if !slices.Contains(match.Kinds(), kind) {
			names := make([]string, len(match.Kinds()))
			for i, k := range match.Kinds() {
				names[i] = string(k)
			}
			return nil, usagef("--columns %q: there is no kind %q: want one of %s", part, kind,
				strings.Join(names, ", "))
		}
		kinds[strings.TrimSpace(part[:at])] = kind
	}
	return kinds, nil
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

// eachRecord reads a file, CSV or Parquet, packed or not; - is standard input. header gets its
// columns and says which of them a record takes, in order, -1 for an empty text; nil is all. The
// slice that each gets is reused.
func (r *records) eachRecord(
	ctx context.Context, name string, header func(columns []string) ([]int, error),
	each func(texts []string) error,
) error {
	var f io.Reader = r.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read the rows: %w", err)
		}
		defer file.Close()
		f = file
	}
	packed := bufio.NewReaderSize(f, 1<<20)
	plain, done, err := unpack.Reader(packed)
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	defer done()
	in := bufio.NewReaderSize(plain, 1<<20)
	start, _ := in.Peek(4) // a shorter file is no Parquet
	t := &taking{header: header, each: each}
	switch {
	case string(start) != "PAR1":
		err = r.eachCSV(ctx, in, t)
	case plain == packed && name != "-":
		err = eachParquet(ctx, name, nil, t)
	default:
		err = eachParquet(ctx, "", in, t)
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

// eachCSV reads rows with a header, separated by comma, semicolon, tab or bar.
func (r *records) eachCSV(ctx context.Context, in *bufio.Reader, t *taking) error {
	in, err := utf8Text(in)
	if err != nil {
		return err
	}
	rows := csv.NewReader(in)
	rows.Comma = separator(in)
	rows.ReuseRecord, rows.TrimLeadingSpace = true, rows.Comma != '\t'
	rows.FieldsPerRecord = -1 // told below, with what to do
	head, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty: want a header and rows")
	}
	if err != nil {
		return readableCSV(err)
	}
	columns := slices.Clone(head)
	if err := t.begin(columns); err != nil {
		return err
	}
	for {
		row, err := rows.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return readableCSV(err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if err := ragged(rows, len(row), len(columns)); err != nil {
			return err
		}
		for i, text := range row {
			if !utf8.ValidString(text) {
				row[i] = r.western(text)
			}
		}
		if err := t.row(row); err != nil {
			return err
		}
	}
}

// ragged refuses a row that has not as many fields as the header.
func ragged(rows *csv.Reader, fields, want int) error {
	line, _ := rows.FieldPos(0)
	switch {
	case fields < want:
		return fmt.Errorf("line %d has only %d of the header's %d fields: mend or remove it", line,
			fields, want)
	case fields > want:
		return fmt.Errorf("line %d has %d fields, the header %d: put a field that holds %q in quotes",
			line, fields, want, rows.Comma)
	}
	return nil
}

// readableCSV names the line first, and says what to do about a quote.
func readableCSV(err error) error {
	var at *csv.ParseError
	if !errors.As(err, &at) {
		return err
	}
	switch {
	case errors.Is(at.Err, csv.ErrBareQuote):
		return fmt.Errorf("line %d, column %d: a quote in a field that does not begin with one: put the "+
			"field in quotes, and each quote in it twice", at.Line, at.Column)
	case errors.Is(at.Err, csv.ErrQuote):
		return fmt.Errorf("line %d, column %d: a field that began with a quote on line %d does not end "+
			"with one before its separator: write each quote in it twice", at.Line, at.Column, at.StartLine)
	}
	return err
}

// utf8Text skips a byte order mark, and reads UTF-16 where it is the mark of that.
func utf8Text(in *bufio.Reader) (*bufio.Reader, error) {
	start, err := in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		_, err = in.Discard(3)
		return in, err
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		utf16 := unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM)
		return bufio.NewReaderSize(utf16.NewDecoder().Reader(in), 1<<20), nil
	}
	return in, nil
}

// western reads a text that is no UTF-8 as what spreadsheets write in western Europe.
func (r *records) western(text string) string {
	r.notUTF8++
	decoded, err := charmap.Windows1252.NewDecoder().String(text)
	if err != nil {
		return strings.ToValidUTF8(text, "")
	}
	return decoded
}

// separator is the most frequent of those known in the first line, outside of quotes.
func separator(in *bufio.Reader) rune {
	start, _ := in.Peek(1 << 16) // a shorter file is fine
	counts, quoted := map[rune]int{}, false
	for _, c := range string(start) {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, s := range []rune{';', '\t', '|'} {
		if counts[s] > counts[best] {
			best = s
		}
	}
	return best
}

// eachParquet lets DuckDB read a file, in a child process that sees nothing else. Without a name
// the file is what in reads.
func eachParquet(ctx context.Context, name string, in io.Reader, t *taking) (err error) {
	dir, err := os.MkdirTemp("", "crumbtrail-dedupe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "rows.parquet")
	if name == "" {
		err = writeFile(path, func(w io.Writer) error {
			_, err := io.Copy(w, in)
			return err
		})
	} else {
		path, err = filepath.Abs(name)
	}
	if err != nil {
		return err
	}
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
		SQL: "FROM read_parquet(" + duck.Quote(path) + ")",
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
