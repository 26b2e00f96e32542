package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"crumbtrail/internal/duck"
)

// TestDedupeParquet holds that a Parquet file gives what the CSV gives.
func TestDedupeParquet(t *testing.T) {
	all, _, _ := contactFiles(t)
	dir := t.TempDir()
	parquet := filepath.Join(dir, "it's.parquet")
	err := duck.Build(t.Context(), filepath.Join(dir, "x.duckdb"), []string{
		fmt.Sprintf("COPY (FROM read_csv('%s')) TO '%s'", all, strings.ReplaceAll(parquet, "'", "''")),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := dedupe(all, "--truth", "person")
	code, got, stderr := dedupe(parquet, "--truth", "person")
	if code != exitDone || got != want {
		t.Errorf("code %d: %s\n%s", code, stderr, got)
	}
}

// TestDedupeMistakes holds that what cannot be done is told with what to do.
func TestDedupeMistakes(t *testing.T) {
	all, one, _ := contactFiles(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "want one file"},
		{[]string{all, "--threshold", "1.5"}, exitUsage, "a probability is from 0 to 1"},
		{[]string{all, "--truth", "answer"}, exitUsage, "the columns are first_name"},
		{[]string{all, "--explain", "1"}, exitUsage, "want two rows"},
		{[]string{all, "--format", "xml"}, exitUsage, "want text or json"},
		{[]string{all, "--explain", "1,121"}, exitUsage, "from 1 to 120"},
		{[]string{all, "--explain", "4,4"}, exitUsage, "two different rows"},
		{[]string{filepath.Join(dir, "none.csv")}, exitFailed, "no such file"},
		{[]string{file("empty.csv", "")}, exitFailed, "the file is empty"},
		{[]string{file("short.csv", "a,b\n1\n")}, exitFailed, "line 2 has only 1 of the header's 2 fields"},
		{[]string{file("long.csv", "a,b\n1,2\n1,2,3\n")}, exitFailed, "line 3 has 3 fields"},
		{[]string{file("quote.csv", "a,b\n1,5\" pipe\n")}, exitFailed, "line 2, column 4: a quote in"},
		{[]string{file("open.csv", "a,b\n1,\"x\"y\n")}, exitFailed, "write each quote in it twice"},
		{[]string{"-", "--link", "-"}, exitUsage, "both files are standard input"},
		{[]string{all, "--columns", "dob"}, exitUsage, "want column=kind"},
		{[]string{all, "--columns", "dob=day"}, exitUsage, "want one of given name, family name"},
		{[]string{all, "--columns", "birth=date"}, exitUsage, "there is no column \"birth\""},
		{[]string{file("twice.csv", "a,a\n1,2\n")}, exitFailed, "rename one"},
		{[]string{one, "--link", file("other.csv", "x,y\n1,2\n")}, exitFailed, "(x, y) is one of"},
		{[]string{all, "--model", file("m.yaml", "priors: 1\n")}, exitFailed, "priors"},
		{[]string{all, "--model", file("n.yaml", "prior: 2\n")}, exitFailed, "less than 1"},
		{[]string{file("bad.parquet", "PAR1 is not enough")}, exitFailed, "bad.parquet"},
	} {
		code, stdout, stderr := dedupe(c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%v: code %d, %s%s", c.args, code, stdout, stderr)
		}
	}
}

// TestDedupeSeparators holds that semicolons, tabs, a byte order mark and quoted line breaks are
// read.
func TestDedupeSeparators(t *testing.T) {
	first, second := contacts()
	for name, separator := range map[string]string{"semicolons": ";", "tabs": "\t"} {
		var b strings.Builder
		b.WriteString("\ufefffirst_name,last_name,email,phone,dob,note\n")
		for _, row := range append(first, second...) {
			b.WriteString(row + ",\"two\nlines\"\n")
		}
		path := filepath.Join(t.TempDir(), "contacts.csv")
		text := strings.ReplaceAll(b.String(), ",", separator)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := dedupe(path)
		if rows := rowsOf(t, stdout); code != exitDone || len(rows) != 121 || rows[61][1] != "1" {
			t.Errorf("%s: code %d, %d rows: %s", name, code, len(rows), stderr)
		}
	}
}

// TestDedupeEncodings holds that the same contacts, with marks on their letters, are the same in
// each encoding and packing, and from standard input.
func TestDedupeEncodings(t *testing.T) {
	first, second := contacts()
	text := strings.ReplaceAll("first_name,last_name,email,phone,dob\n"+
		strings.Join(append(first, second...), "\n")+"\n", "hathersage", "hätherságe")
	encode := func(e interface{ Bytes([]byte) ([]byte, error) }) []byte {
		b, err := e.Bytes([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"UTF-8", []byte(text)},
		{"UTF-16, little end first", encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder())},
		{"UTF-16, big end first", encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder())},
		{"Windows-1252", encode(charmap.Windows1252.NewEncoder())},
		{"gzip", packed.Bytes()},
		{"bars", []byte(strings.ReplaceAll(text, ",", "|"))},
		{"a header in quotes", []byte(strings.Replace(text, "dob", "\"date of birth; day, month, year\"", 1))},
	} {
		var out, errs strings.Builder
		code := run(context.Background(), []string{"dedupe", "-"}, bytes.NewReader(c.bytes), &out, &errs)
		if want == "" {
			want = out.String()
		}
		if code != exitDone || out.String() != want || len(rowsOf(t, want)) != 121 {
			t.Errorf("%s: code %d, %s", c.name, code, errs.String())
		}
		if c.name == "Windows-1252" && !strings.Contains(errs.String(), "read as Windows-1252") {
			t.Errorf("%s is not told of: %s", c.name, errs.String())
		}
	}
}

// TestDedupeColumns holds that columns mean what is said of them, in either of two files.
func TestDedupeColumns(t *testing.T) {
	first, second := contacts()
	dir := t.TempDir()
	write := func(name, header string, rows []string) string {
		return writeRows(t, filepath.Join(dir, name), header, rows)
	}
	one := write("one.csv", "a,b,c,d,e", first)
	two := write("two.csv", "vorname,nachname,mail,telefon,geburtsdatum", second)
	code, stdout, stderr := dedupe(one, "--link", two, "--columns",
		"a=given name,b=family name,c=e-mail,d=phone,e=date,mail=e-mail")
	if rows := rowsOf(t, stdout); code != exitDone || len(rows) != 121 || rows[61][1] != "1" {
		t.Errorf("code %d: %s", code, stderr)
	}
	code, _, stderr = dedupe(one, "--link", two, "--columns", "a=given name,b=family name,d=ignored")
	if code != exitDone || !strings.Contains(stderr, `"second":"mail, telefon, geburtsdatum"`) {
		t.Errorf("columns of one file alone: code %d: %s", code, stderr)
	}
}

// TestDedupeParquetTypes holds that values of any type are texts that people would write.
func TestDedupeParquetTypes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "types.parquet")
	err := duck.Build(t.Context(), filepath.Join(dir, "x.duckdb"), []string{fmt.Sprintf(`COPY (
		SELECT 'n' || (i %% 50) AS first_name, DATE '1970-03-01' + CAST(i %% 50 AS INTEGER) AS dob,
			CAST(i %% 50 + 0.5 AS DECIMAL(9, 2)) AS amount, i %% 2 = 0 AS flag,
			TIMESTAMP '2026-01-02 03:04:05' AS seen, [i, 2] AS list, 'x'::BLOB AS raw
		FROM range(100) t(i)) TO '%s' (FORMAT parquet)`, file)})
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := dedupe(file, "--explain", "1,51", "--format", "json", "--columns",
		"amount=text")
	for _, want := range []string{`"left":"19700301"`, `"left":"0 50"`, `"left":"true"`} {
		if code != exitDone || !strings.Contains(stdout, want) {
			t.Errorf("code %d, no %s: %s%s", code, want, stdout, stderr)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	code = run(t.Context(), []string{"dedupe", "-"}, bytes.NewReader(text), &out, &errs)
	if code != exitDone || strings.Count(out.String(), "\n") != 101 {
		t.Errorf("from standard input: code %d: %s", code, errs.String())
	}
}
