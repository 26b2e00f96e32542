package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

func TestDryRunUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--against", "a.yaml"},
		{"--dry-run", "--samples", "-1"},
		{"--dry-run", "--format", "xml"},
		{"--dry-run", "file"},
	} {
		var out, errs bytes.Buffer
		args = append([]string{"resolve", "--data", t.TempDir()}, args...)
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	var out, errs bytes.Buffer
	args := []string{"resolve", "--dry-run", "--data", missing}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitFailed {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a dry run makes a directory")
	}
}

// What two configurations make of the same submissions, taken from a log that a replay has made.
func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var input strings.Builder
	for i, fields := range []string{
		`"email":"ada@acme.example","first_name":"Ada","last_name":"King"`,
		`"email":"ada@home.example","first_name":"Ada","last_name":"King"`,
		`"email":"bob@acme.example","first_name":"Bob","last_name":"Ross"`,
		`"first_name":"Zoe"`,
		`"email":"bob@acme.example"`,
	} {
		fmt.Fprintf(&input, `{"id":"e%d","site":"acme","visitor":"v%d","type":"form_submit",`+
			`"received_at":"2026-01-01T00:0%d:00Z","consent":"identified",`+
			`"props":{"form":"signup","fields":{%s}}}`+"\n", i, i, i, fields)
	}
	beacons := write("beacons.ndjson", input.String())
	was := write("was.yaml", "resolve: {probabilistic: false}\n")
	now := write("now.yaml", "strategies: [{name: name, all: [first_name, last_name]}]\n"+
		"resolve: {probabilistic: false, strategy: [email, name]}\n")
	data := filepath.Join(dir, "data")
	call := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitDone {
			t.Fatalf("%v: exit code %d, %s", args, code, errs.String())
		}
		return out.String()
	}
	call("replay", "--data", data, "--config", was, beacons)
	text := call("resolve", "--dry-run", "--data", data, "--config", now, "--against", was)
	text = regexp.MustCompile(`(?m)^ +| +$`).ReplaceAllString(text, "")
	text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
	for _, want := range []string{
		"dry run over 5 submissions: nothing was written\n", "now was\n", "\n2 3 contacts\n",
		"\n2 3 created\n", "\n2 1 matched\n", "\n1 1 unresolved\n", "\n1 0 matched by name\n",
		"1 submission would be decided otherwise than by " + was,
		"e1 (site acme, form signup)\nwas created ", "\nnow matched ", "by name: one contact has",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = call("resolve", "--dry-run", "--data", data, "--config", was, "--format", "json")
	if !strings.Contains(text, `"contacts":3,`) || !strings.Contains(text, `"submission_id":"e4"`) {
		t.Error(text)
	}
}

// A contact that another one has taken over is that one, whenever the decision was made.
func TestDryRunFollowsContacts(t *testing.T) {
	name := func(id string) submissionName { return submissionName{"acme", "v", id} }
	decide := func(of *trial, id, contact string) {
		var out stage.Output
		value, err := (&schemas.Decision{
			Site: "acme", VisitorId: "v", SubmissionId: id, ContactId: contact, RecordId: contact,
			Outcome: schemas.Outcome_OUTCOME_CREATED,
		}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		out.Put(string(schemas.Decisions), nil, value)
		of.take(&out)
	}
	now, was := &trial{}, &trial{}
	r := dryReport{Trials: []*trial{now, was}, forms: map[submissionName]string{}}
	for _, id := range []string{"s1", "s2", "s3"} {
		decide(now, id, "c"+id)
		decide(was, id, "c"+id)
		r.order = append(r.order, name(id))
	}
	var out stage.Output
	value, err := (&schemas.Alias{ContactId: "cs2", CurrentContactId: "cs1"}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	out.Put(string(schemas.Aliases), nil, value)
	now.take(&out)
	r.finish(0)
	if now.Contacts != 2 || was.Contacts != 3 || r.Changed != 1 || len(r.Changes) != 0 {
		t.Errorf("%d and %d contacts, %d changes", now.Contacts, was.Contacts, r.Changed)
	}
}
