package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crumbtrail/internal/duck"
)

// TestMain lets the test's own binary be the child that reads Parquet, and the program that a bench
// runs.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == duck.ChildCommand:
		os.Exit(duck.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	case len(os.Args) > 1 && os.Args[1] == "dedupe":
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// contacts are 60 people, each twice, the second time with an error or two.
func contacts() (first, second []string) {
	given := []string{"robert", "edith", "thomas", "agnes", "william", "clara"}
	family := []string{"marlow", "tolland", "ferrier", "quayle", "brisco", "hathersage", "nunn"}
	for i := range 60 {
		g, f := given[i%6], fmt.Sprint(family[i%7], string(rune('a'+i%26)))
		phone := fmt.Sprintf("+44 20 79%02d %04d", i, 1000+i*37)
		first = append(first, fmt.Sprintf("%s,%s,%s%d@mail.example,%s,19%02d-%02d-11", g, f, f, i*7,
			phone, 40+i, 1+i%12))
		if i%2 == 0 {
			g = g[:len(g)-1]
		} else {
			phone = ""
		}
		second = append(second, fmt.Sprintf("%s,%s,%s%d@mail.example,%s,19%02d-%02d-11",
			strings.ToUpper(g), f, f, i*7, phone, 40+i, 1+i%12))
	}
	return first, second
}

// writeRows writes a CSV file and returns its path.
func writeRows(t *testing.T, path, header string, rows []string) string {
	t.Helper()
	text := header + "\n" + strings.Join(rows, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contactFiles writes the contacts as one file and as two.
func contactFiles(t *testing.T) (all, one, two string) {
	t.Helper()
	first, second := contacts()
	dir := t.TempDir()
	write := func(name, header string, rows []string) string {
		return writeRows(t, filepath.Join(dir, name), header, rows)
	}
	var both []string
	for _, rows := range [][]string{first, second} {
		for i, row := range rows {
			both = append(both, fmt.Sprintf("%s,p%d", row, i))
		}
	}
	const header = "first_name,last_name,email,phone,dob"
	return write("all.csv", header+",person", both), write("one.csv", header, first),
		write("two.csv", "Forename,SURNAME,E-Mail,Phone,Date of birth", second)
}

// dedupe runs the command and returns its exit code and what it said.
func dedupe(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = run(context.Background(), append([]string{"dedupe"}, args...), strings.NewReader(""), &out,
		&errs)
	return code, out.String(), errs.String()
}

func rowsOf(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return rows
}

func TestDedupe(t *testing.T) {
	all, _, _ := contactFiles(t)
	code, stdout, stderr := dedupe(all, "--truth", "person")
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	rows := rowsOf(t, stdout)
	if len(rows) != 121 || strings.Join(rows[0], ",") != "row,cluster_id,match_probability" {
		t.Fatalf("%d rows under %v", len(rows), rows[0])
	}
	for i, row := range rows[1:] {
		if want := fmt.Sprint(i%60 + 1); row[0] != fmt.Sprint(i+1) || row[1] != want {
			t.Errorf("%v, want cluster %s", row, want)
		}
	}
	for _, want := range []string{"clusters", "1.0000", "pairs at 0.5 (threshold)", "(best)"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %s", want, stderr)
		}
	}
}

// TestDedupeStream holds that rows which come one by one end in the same clusters, by weights that
// are learnt first and by those of a file, which are taken as they are.
func TestDedupeStream(t *testing.T) {
	all, _, two := contactFiles(t)
	code, batch, stderr := dedupe(all, "--truth", "person")
	model, again := filepath.Join(t.TempDir(), "m.yaml"), filepath.Join(t.TempDir(), "n.yaml")
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	code, learnt, stderr := dedupe(all, "--stream", "--truth", "person", "--train", model)
	if code != exitDone || !strings.Contains(stderr, "clusters") {
		t.Fatalf("code %d: %s", code, stderr)
	}
	code, given, stderr := dedupe(all, "--stream", "--model", model, "--train", again)
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	if learnt != given {
		t.Error("the weights of the file gave another result than those that were just learnt")
	}
	for at, row := range rowsOf(t, batch) {
		if got := rowsOf(t, learnt)[at]; got[0] != row[0] || got[1] != row[1] {
			t.Errorf("row %s is in cluster %s, of all at once in %s", got[0], got[1], row[1])
		}
	}
	first, _ := os.ReadFile(model)
	second, _ := os.ReadFile(again)
	if len(first) == 0 || string(first) != string(second) {
		t.Error("a stream changed the weights")
	}
	code, stdout, _ := dedupe(all, "--stream", "--model", model, "--explain", "1,61")
	if code != exitDone || !strings.Contains(stdout, "Match: they are in one cluster") {
		t.Errorf("code %d: %s", code, stdout)
	}
	if code, _, stderr = dedupe(all, "--stream", "--link", two); code != exitUsage ||
		!strings.Contains(stderr, "--stream and --link") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestDedupeLink(t *testing.T) {
	_, one, two := contactFiles(t)
	code, stdout, stderr := dedupe(one, "--link", two)
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	rows := rowsOf(t, stdout)
	if len(rows) != 121 || rows[0][3] != "file" {
		t.Fatalf("%d rows under %v", len(rows), rows[0])
	}
	for i, row := range rows[1:] {
		if row[1] != fmt.Sprint(i%60+1) || row[3] != fmt.Sprint(i/60+1) {
			t.Errorf("%v", row)
		}
	}
}

// TestDedupeFiles holds that each file comes out as asked, and that a written model is read again.
func TestDedupeFiles(t *testing.T) {
	all, _, _ := contactFiles(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	code, stdout, stderr := dedupe(all, "--out", at("out.csv"), "--review", at("review.csv"),
		"--train", at("model.yaml"), "--explain", "1,61", "--explain", "1,2", "--truth",
		"person", "--report", at("report.html"))
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	for _, want := range []string{
		"row 1 and row 61: Almost certainly one person", "Match: they are in one cluster", "robert", "any two rows", "so far",
		"written as E.164", "1.0000",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read("report.html")
	if !strings.Contains(page, "Rows 1 and 61") || !strings.Contains(page, "all.csv") ||
		strings.Contains(page, "robert") {
		t.Error("the report is not of these rows, or it shows what they say")
	}
	want := read("out.csv")
	if len(rowsOf(t, want)) != 121 {
		t.Errorf("the clusters are %s", want)
	}
	if review := rowsOf(t, read("review.csv")); len(review[0]) != 8+2*6 {
		t.Errorf("the review begins with %v", review[0])
	}
	model := read("model.yaml")
	if !strings.Contains(model, `- {level: "same user part, made of the name", m: `) {
		t.Errorf("the model is\n%s", model)
	}
	code, got, stderr := dedupe(all, "--truth", "person", "--model", at("model.yaml"))
	if code != exitDone || strings.Count(got, "\n") != strings.Count(want, "\n") {
		t.Errorf("with its own model: code %d, %s", code, stderr)
	}
}

// TestDedupeKeepsInput holds that no output overwrites the rows that are read.
func TestDedupeKeepsInput(t *testing.T) {
	_, one, two := contactFiles(t)
	before, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(one), "beside.csv")
	if err := os.Symlink(one, beside); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{one, "--out", one},
		{one, "--report", beside},
		{one, "--review", one},
		{one, "--train", one},
		{two, "--link", one, "--out", one},
	} {
		code, _, stderr := dedupe(args...)
		if code != exitUsage || !strings.Contains(stderr, "that is the file to read") {
			t.Errorf("%v: code %d, %s", args, code, stderr)
		}
	}
	if after, err := os.ReadFile(one); err != nil || string(after) != string(before) {
		t.Errorf("the rows were overwritten (%v)", err)
	}
}

// TestDedupeExplainJSON holds that programs can read why, an object on each line.
func TestDedupeExplainJSON(t *testing.T) {
	all, _, _ := contactFiles(t)
	code, stdout, stderr := dedupe(all, "--explain", "1,61", "--explain", "1,2", "--format", "json",
		"--truth", "person")
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	in := json.NewDecoder(strings.NewReader(stdout))
	in.DisallowUnknownFields()
	for i, want := range []explanation{
		{RowA: 1, RowB: 61, Verdict: "match"}, {RowA: 1, RowB: 2, Verdict: "no match"},
	} {
		var e explanation
		if err := in.Decode(&e); err != nil {
			t.Fatal(err)
		}
		last := e.Columns[len(e.Columns)-1]
		if e.RowA != want.RowA || e.RowB != want.RowB || e.Verdict != want.Verdict ||
			last.Total != e.Weight || e.Sentence == "" || e.Prior >= 0 {
			t.Errorf("%d: %+v", i, e)
		}
	}
	var j judgement
	if err := in.Decode(&j); err != nil || j.Rows != 120 || j.Clusters.F1 != 1 ||
		j.Pairs.Threshold != 0.5 || j.Pairs.True != 60 || len(j.Bins) != 10 || in.More() {
		t.Errorf("%v: %+v, the last of %s", err, j, stdout)
	}
}
