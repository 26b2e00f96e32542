package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestVerdicts holds that what a person decided is obeyed, is in the next review, and finds its
// rows again when they have moved.
func TestVerdicts(t *testing.T) {
	all, _, _ := contactFiles(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := write("first.csv", "row_a,row_b,verdict\n61,1,Reject\n1,2, accept \n3,4,\n5,6,accept\n"+
		"5,6,reject\n")
	review := at("review.csv")
	code, stdout, stderr := dedupe(all, "--verdicts", first, "--review", review)
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	cluster := func(stdout string, row int) string { return rowsOf(t, stdout)[row][1] }
	if cluster(stdout, 1) == cluster(stdout, 61) || cluster(stdout, 1) != cluster(stdout, 2) ||
		cluster(stdout, 5) == cluster(stdout, 6) || cluster(stdout, 3) != cluster(stdout, 63) {
		t.Errorf("the verdicts are not obeyed: %s", stdout)
	}
	rows := rowsOf(t, read(review))
	if len(rows) < 4 || rows[0][0] != "verdict" || rows[1][0] != "reject" || rows[2][0] != "accept" ||
		rows[3][0] != "reject" || rows[1][5] != "1" || rows[1][6] != "61" ||
		!slices.Contains(rows[0], "email_b") || !slices.Contains(rows[1], "ROBER") {
		t.Fatalf("the review is %v", rows)
	}
	lines := strings.Split(strings.TrimSpace(read(all)), "\n")
	slices.Reverse(lines[1:])
	turned := write("turned.csv", strings.Join(lines, "\n")+"\n")
	// The file that is read is the one that is written.
	code, stdout, stderr = dedupe(turned, "--verdicts", review, "--review", review)
	if code != exitDone || strings.Contains(stderr, "not there") {
		t.Fatalf("code %d: %s", code, stderr)
	}
	now := func(row int) int { return 121 - row }
	if cluster(stdout, now(1)) == cluster(stdout, now(61)) ||
		cluster(stdout, now(1)) != cluster(stdout, now(2)) {
		t.Errorf("the verdicts were lost as rows moved: %s", stdout)
	}
	if again := rowsOf(t, read(review)); len(again) < 4 || again[3][0] != "reject" {
		t.Errorf("the review lost the verdicts: %v", again)
	}
	gone := write("gone.csv", strings.Join(lines[:60], "\n")+"\n")
	code, _, stderr = dedupe(gone, "--verdicts", review)
	if code != exitDone || !strings.Contains(stderr, "verdicts are of rows that are not there") {
		t.Errorf("rows that are gone: code %d: %s", code, stderr)
	}
}

func TestVerdictMistakes(t *testing.T) {
	all, _, _ := contactFiles(t)
	for text, want := range map[string]string{
		"row_a,row_b\n1,2\n":                "want the columns verdict",
		"verdict,row_a\naccept,1\n":         "want the columns verdict",
		"verdict,row_a,row_b\nyes,1,2\n":    "row 2: verdict \"yes\": want accept, reject",
		"verdict,row_a,row_b\naccept,7,7\n": "both rows of the pair are row 7",
	} {
		file := filepath.Join(t.TempDir(), "verdicts.csv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := dedupe(all, "--verdicts", file)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d: %s", text, code, stderr)
		}
	}
}

// TestCell holds that a spreadsheet takes no text for a formula, and a phone number stays one.
func TestCell(t *testing.T) {
	for text, quoted := range map[string]bool{
		"": false, "ada": false, "+44 20 7946-0123": false, "-12.5": false, "+(0)20 1": false,
		"=1+1": true, "@SUM(A1)": true, "+cmd|' /C calc'!A0": true, "-2+3": true, "\tx": true, "+": true,
	} {
		want := text
		if quoted {
			want = "'" + text
		}
		if got := cell(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
