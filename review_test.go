package main

import (
	"bytes"
	"strings"
	"testing"

	"crumbtrail/schemas"
)

func TestReviewUsage(t *testing.T) {
	const a, b = "0167f29b-a7d5-5a0c-bdc8-eaaad886cc40", "01ad9394-4058-5966-b436-f05cf59e7e29"
	for _, args := range [][]string{
		{"approve", a, b, "--by", "ana"},
		{"accept", a, b},
		{"accept", "--by", "ana"},
		{"accept", a, b, a, "--by", "ana"},
		{"accept", a, "ada@example.com", "--by", "ana"},
		{"split", a, "--by", "ana"},
		{"withdraw", a, b, "--by", "ana"},
		{"withdraw", "ad284bf26909", "--by", "ana"},
		{"show"},
		{"show", a, b, a},
		{"show", a, "--format", "csv"},
		{"show", a, "--all"},
		{"--dry-run"},
		{"--format", "xml"},
		{"accept", a, b, "--by", "ana", "--wait", "-1s"},
	} {
		var out, errs bytes.Buffer
		args = append([]string{"review", "--data", t.TempDir()}, args...)
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}

func TestReviewIsPrinted(t *testing.T) {
	var o decided
	o.ReviewID = "w1"
	o.of(&schemas.Decision{
		Outcome: schemas.Outcome_OUTCOME_SPLIT, ContactId: "c0", Reason: "a person said so",
		Merged: []string{"c1"}, Parted: []string{"c2"},
	})
	for format, want := range map[string]string{
		"table": "review w1: split; a person said so\n" +
			"contact c1 is part of another one now: the view aliases says which\n" +
			"contact c2 stands for itself again\n",
		"json": `{"review_id":"w1","state":"decided","outcome":"split","contact_id":"c0",` +
			`"reason":"a person said so","merged":["c1"],"parted":["c2"]}` + "\n",
	} {
		var out strings.Builder
		if err := o.print(&out, format, ""); err != nil || out.String() != want {
			t.Errorf("%s: %v, %s", format, err, out.String())
		}
	}
}

// Who has the oldest record keeps the contact's id, whoever is named to leave.
func TestMovesOfAParty(t *testing.T) {
	p := party{ContactID: "r0", Records: []row{
		{"record_id": "r0", "visits": int64(1), "visitors": int64(1), "submissions": int64(1)},
		{
			"record_id": "r1", "visits": int64(2), "visitors": int64(1), "submissions": int64(3),
			"first_visit_at": "2026-01-02", "last_visit_at": "2026-01-05",
		},
		{
			"record_id": "r2", "visits": int64(4), "visitors": int64(2), "submissions": int64(5),
			"first_visit_at": "2026-01-01", "last_visit_at": "2026-01-03",
		},
	}}
	got := p.moves("r1", p.Records[1:])
	if got.From != "r0" || got.To != "r1" || got.Visits != 6 || got.Visitors != 3 ||
		got.Submissions != 8 || got.FirstVisitAt != "2026-01-01" || got.LastVisitAt != "2026-01-05" {
		t.Errorf("%+v", got)
	}
	if !p.has("r0", "r2") || p.has("r0", "r9") {
		t.Error("its records are not told from others")
	}
}
