package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// smiths is recorded input of the last days: Ann and Robert Smith share a mailbox, and Robert's
// browser once; Ulrike has written twice, from two addresses, so that the model is not sure. Ann's
// record is the first, Robert's the second, Ulrike's are the third and the fourth. The fifth and
// the sixth are of two cousins of one name, phone and company, whom the model takes for one.
func smiths(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	at := time.Now().UTC().Add(-5 * 24 * time.Hour)
	encoder := json.NewEncoder(&lines)
	put := func(id, visitor, kind, path string, props map[string]string) {
		at = at.Add(5 * time.Hour)
		err := encoder.Encode(map[string]any{
			"id": id, "site": "acme", "visitor": visitor, "type": kind, "consent": "identified",
			"url": "https://acme.example" + path, "props": props,
			"created_at": at, "sent_at": at, "received_at": at,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ann := map[string]string{
		"form": "demo", "email": "smith@home.example", "first_name": "Ann", "last_name": "Smith",
		"phone": "+49 30 1234567",
	}
	robert := map[string]string{
		"form": "demo", "email": "smith@home.example", "first_name": "Robert", "last_name": "Smith",
		"company": "Bolt",
	}
	put("a1", "va", "page_view", "/pricing", nil)
	put("b1", "vb", "page_view", "/docs", nil)
	put("a2", "va", "form_submit", "/demo", ann)
	put("b2", "vb", "form_submit", "/demo", robert)
	put("c2", "vc", "form_submit", "/demo", map[string]string{
		"form": "demo", "email": "ulrike.hagenbuch@acme.example", "first_name": "Ulrike",
		"last_name": "Hagenbuch", "company": "Acme",
	})
	put("d2", "vd", "form_submit", "/demo", map[string]string{
		"form": "demo", "email": "u.hagenbuch@home.example", "first_name": "Ulrike",
		"last_name": "Hagenbuch", "company": "Acme GmbH",
	})
	maria := map[string]string{
		"form": "demo", "email": "maria.lopez@acme.example", "first_name": "Maria",
		"last_name": "Lopez", "phone": "+49 40 7654321", "company": "Lopez Hermanos",
	}
	put("e2", "ve", "form_submit", "/demo", maria)
	cousin := maps.Clone(maria)
	cousin["email"] = "maria.lopez@home.example"
	put("f2", "vf", "form_submit", "/demo", cousin)
	put("a3", "va", "page_view", "/pricing", nil)
	put("b3", "vb", "page_view", "/docs", nil)
	put("b4", "vb", "form_submit", "/demo", robert)
	put("b5", "vb", "form_submit", "/demo", ann) // at his desk
	put("b6", "vb", "page_view", "/pricing", nil)
	return write(t, "smiths.ndjson", lines.String())
}

// apart is quick with a strategy that never takes Ann for Robert.
const apart = quick + "strategies: [{name: name, all: [email, first_name]}]\n" +
	"resolve: {strategy: name, probabilistic: false}\n"

// people is what analysts see of people.
type people struct {
	Contacts, Visits, Timeline, Identities, Scores, Explanations [][]string
}

// peopleOf reads the lake. The scores are those of one moment, whenever they were made.
func peopleOf(t *testing.T, data string, asOf time.Time) people {
	t.Helper()
	must(t, "score", "--data", data, "--as-of", asOf.Format(time.RFC3339Nano))
	of := fmt.Sprintf(" WHERE as_of = TIMESTAMPTZ '%s' ORDER BY ALL", asOf.Format(time.RFC3339Nano))
	const scored = "SELECT count(DISTINCT subject_id) FROM scores"
	eventually(t, time.Minute, "the scores to be in the lake", func() bool {
		return number(t, data, scored+strings.TrimSuffix(of, " ORDER BY ALL")) ==
			number(t, data, "SELECT count(*) FROM contacts")
	})
	return people{
		Contacts: rows(t, data, "SELECT contact_id, email, first_name, last_name, phone, company, "+
			"submissions, records FROM contacts ORDER BY 1"),
		Visits: rows(t, data, "SELECT * EXCLUDE (topic_partition, topic_offset, input_partition, "+
			"last_offset) FROM visits ORDER BY started_at, visit_id"),
		// Whom a merge made ready has been handed off, and stays so.
		Timeline: rows(t, data,
			"SELECT * EXCLUDE (ordinal) FROM timeline WHERE kind <> 'handoff' ORDER BY ALL"),
		Identities: rows(t, data, "SELECT site, visitor_id, contact_id, record_id, valid_from, "+
			"valid_to, submission_id FROM identities ORDER BY ALL"),
		Scores: rows(t, data, "SELECT model, subject_id, score, grade, sales_ready FROM scores"+of),
		Explanations: rows(t, data, "SELECT model, subject_id, rule, event_id, points "+
			"FROM score_explanations"+of),
	}
}

// say runs `crumbtrail review` and returns its answer.
func say(t *testing.T, data string, args ...string) (answer struct {
	ReviewID string `json:"review_id"`
	State    string
	Outcome  string
	Merged   []string
	Parted   []string
},
) {
	t.Helper()
	out := must(t, append([]string{"review", "--data", data, "--by", "ana", "--format", "json"},
		args...)...)
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.State != "decided" {
		t.Fatalf("review %v: %v, %s", args, err, out)
	}
	return answer
}

// People who were taken for one, by a strategy or by the model, are split: their visits, their
// timelines, their scores and all else that is known of them are as if they had always been two,
// though a browser has passed from one to the other meanwhile. Their scores need nobody to ask.
func TestSplitLeavesNoTrace(t *testing.T) {
	input, asOf := smiths(t), time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	dir := t.TempDir()
	merged, never := filepath.Join(dir, "merged"), filepath.Join(dir, "never")
	config := write(t, "merged.yaml", quick+"resolve: {threshold: 0.9}\n")
	configNever := write(t, "never.yaml", apart)
	must(t, "replay", "--data", merged, "--config", config, input)
	must(t, "replay", "--data", never, "--config", configNever, input)
	ids := rows(t, merged, "SELECT record_id FROM records ORDER BY number")
	ann, robert := ids[0][0], ids[1][0]

	s := up(t, merged, config)
	if n := number(t, merged, "SELECT count(*) FROM visits WHERE contact_id = '"+ann+"'"); n != 9 {
		t.Fatalf("%d visits are theirs, want all 9 of both", n)
	}
	preview := must(t, "review", "split", ann, robert, "--dry-run", "--data", merged)
	if !strings.Contains(preview, "1 record, 1 visitor, 4 visits, 2 submissions") {
		t.Errorf("the preview says\n%s", preview)
	}
	if answer := say(t, merged, "split", ann, robert, "--note", "two Smiths"); answer.Outcome !=
		"split" || !cmp.Equal(answer.Parted, []string{robert}) {
		t.Errorf("%+v", answer)
	}
	cousins := say(t, merged, "split", ids[4][0], ids[5][0])
	if !cmp.Equal(cousins.Parted, []string{ids[5][0]}) {
		t.Errorf("the cousins: %+v", cousins)
	}
	// The next scheduled run is later than that.
	eventually(t, 40*time.Second, "a score of each at once", func() bool {
		return number(t, merged, fmt.Sprintf("SELECT count(*) FROM scores WHERE score > 0 AND "+
			"subject_id IN ('%s', '%s', '%s', '%s')", ann, robert, ids[4][0], ids[5][0])) == 4
	})
	got := peopleOf(t, merged, asOf)
	s.stop()

	s = up(t, never, configNever)
	want := peopleOf(t, never, asOf)
	s.stop()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(want.Contacts) != 6 || len(want.Scores) != 6 || len(want.Visits) != 13 {
		t.Errorf("there are %d contacts, %d scores, %d visits", len(want.Contacts), len(want.Scores),
			len(want.Visits))
	}
}

// What a person said can be said again otherwise, or taken back, and the lake follows each time.
func TestReviewsAreReversible(t *testing.T) {
	needThorough(t)
	input, asOf := smiths(t), time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", quick+"resolve: {threshold: 0.9999, review: 0.01}\n")
	must(t, "replay", "--data", data, "--config", config, input)
	ids := rows(t, data, "SELECT record_id FROM records ORDER BY number")
	first, second := ids[2][0], ids[3][0]
	s := up(t, data, config)
	defer s.stop()
	shown := func() (contacts int) {
		t.Helper()
		n := fmt.Sprintf("FROM contacts WHERE contact_id IN ('%s', '%s')", first, second)
		return number(t, data, "SELECT count(*) "+n)
	}
	become := func(contacts int) {
		t.Helper()
		eventually(t, 40*time.Second, "as many contacts", func() bool { return shown() == contacts })
	}
	before := peopleOf(t, data, asOf)

	open := rows(t, data, "SELECT review_id, left_contact_id FROM reviews "+
		"WHERE state = 'open' AND right_contact_id = '"+second+"'")
	if len(open) != 1 || open[0][1] != first {
		t.Fatalf("open are %v", open)
	}
	if list := must(t, "review", "--data", data, "--format", "csv"); !strings.Contains(list,
		"Ulrike Hagenbuch u.hagenbuch@home.example") {
		t.Errorf("the list is\n%s", list)
	}
	show := must(t, "review", "show", open[0][0], "--data", data, "--config", config)
	for _, part := range []string{
		"u.hagenbuch@home.example", "the same family name", "accept " + first,
	} {
		if !strings.Contains(show, part) {
			t.Errorf("%q is not shown in\n%s", part, show)
		}
	}
	accepted := say(t, data, "accept", open[0][0])
	if !cmp.Equal(accepted.Merged, []string{second}) {
		t.Errorf("%+v", accepted)
	}
	become(1)
	one := peopleOf(t, data, asOf.Add(time.Minute))
	if len(one.Scores) != len(before.Scores)-1 || len(one.Timeline) != len(before.Timeline) {
		t.Errorf("%d scores and %d things happened, of %d and %d", len(one.Scores), len(one.Timeline),
			len(before.Scores), len(before.Timeline))
	}
	why := rows(t, data, "SELECT DISTINCT because FROM timeline WHERE visitor_id = 'vd' ORDER BY 1")
	if diff := cmp.Diff([][]string{
		{"form submission d2; merged, accepted by ana"}, {"what it says; merged, accepted by ana"},
	}, why); diff != "" {
		t.Error(diff)
	}

	say(t, data, "withdraw", accepted.ReviewID)
	become(2)
	asOf = asOf.Add(2 * time.Minute)
	after := peopleOf(t, data, asOf)
	after.Scores, after.Explanations = before.Scores, before.Explanations // of another moment
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}

	say(t, data, "reject", first, second)
	accepted = say(t, data, "accept", second, first)
	become(1)
	say(t, data, "withdraw", accepted.ReviewID)
	become(2)
	states := rows(t, data, "SELECT state, verdict FROM reviews WHERE verdict IS NOT NULL "+
		"ORDER BY asked_at, review_id")
	if diff := cmp.Diff([][]string{
		{"withdrawn", "accept"},
		{"decided", "withdraw"},
		{"decided", "reject"},
		{"withdrawn", "accept"},
		{"decided", "withdraw"},
	}, states); diff != "" {
		t.Error(diff)
	}
	refused := command(t, "", "review", "accept", first, first, "--by", "ana", "--data", data)
	if refused.code != 1 || !strings.Contains(refused.stdout, "refused") {
		t.Errorf("one with itself: exit code %d, %s%s", refused.code, refused.stdout, refused.stderr)
	}
}
