package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"crumbtrail/internal/duck"
	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// openSQL lists the pairs that a person has to say something of, the likeliest first.
const openSQL = `
SELECT review_id, round(probability, 3) AS probability,
       concat_ws(' ', l.first_name, l.last_name, l.email, l.phone) AS older,
       concat_ws(' ', r.first_name, r.last_name, r.email, r.phone) AS newer,
       evidence AS brought_together_by, asked_at, left_contact_id, right_contact_id
FROM reviews
LEFT JOIN contacts l ON l.contact_id = left_contact_id
LEFT JOIN contacts r ON r.contact_id = right_contact_id
WHERE state = 'open'
ORDER BY weight DESC NULLS LAST, asked_at, review_id`

// allSQL lists the reviews that there were as well, the newest first.
const allSQL = `
SELECT review_id, state, verdict, decided_by, coalesce(decided_at, asked_at) AS said_at,
       round(probability, 3) AS probability, left_contact_id, right_contact_id, records, withdraws,
       note, reason
FROM reviews
ORDER BY state <> 'open', said_at DESC, review_id`

func (r *review) list(ctx context.Context) error {
	sql := openSQL
	if r.all {
		sql = allSQL
	}
	return r.lake.child.Format(ctx, duck.Query{Database: r.lake.database, SQL: sql}, r.format,
		r.call.stdout)
}

// party is a contact as a review shows it.
type party struct {
	ContactID string `json:"contact_id"`
	// Contact is its golden record, Records what it is made of.
	Contact row   `json:"contact"`
	Records []row `json:"records"`
}

// count adds up a column of the records.
func (p party) count(column string) int {
	sum := 0
	for _, one := range p.Records {
		n, _ := one[column].(int64)
		sum += int(n)
	}
	return sum
}

// ids are those of the records.
func (p party) ids() []string {
	var ids []string
	for _, one := range p.Records {
		ids = append(ids, one.text("record_id"))
	}
	return ids
}

// has says whether ids are of the contact's records.
func (p party) has(ids ...string) bool {
	of := p.ids()
	return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(of, id) })
}

// parties finds the contacts that ids stand for now, the oldest first; one only where the ids are
// of the same contact.
func (l lakeReader) parties(ctx context.Context, ids ...string) ([]party, error) {
	records, err := l.records(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var all []party
	for _, one := range records {
		if n := len(all); n == 0 || all[n-1].ContactID != one.text("contact_id") {
			all = append(all, party{ContactID: one.text("contact_id")})
		}
		last := &all[len(all)-1]
		last.Records = append(last.Records, one)
	}
	for i := range all {
		golden, err := l.rows(ctx, "SELECT email, first_name, last_name, phone, company, created_at, "+
			"updated_at FROM contacts WHERE contact_id = %s", duck.Quote(all[i].ContactID))
		if err != nil {
			return nil, err
		}
		if len(golden) > 0 {
			all[i].Contact = golden[0]
		}
	}
	return all, nil
}

// exhibit is what `review show` says.
type exhibit struct {
	Review   row     `json:"review,omitempty"`
	Contacts []party `json:"contacts"`
	// Likeness is how the model compares two contacts, by the likeliest pair of their records.
	Likeness *likeness `json:"likeness,omitempty"`
}

// likeness is an explanation of two records.
type likeness struct {
	LeftRecordID  string              `json:"left_record_id"`
	RightRecordID string              `json:"right_record_id"`
	Sentence      string              `json:"sentence"`
	Probability   float64             `json:"match_probability"`
	Weight        float64             `json:"weight"`
	Prior         float64             `json:"prior_weight"`
	Columns       []columnExplanation `json:"columns"`

	explained match.Explanation
}

// show prints a review, a contact, or two side by side.
func (r *review) show(ctx context.Context, ids []string) error {
	if len(ids) != 1 && len(ids) != 2 {
		return usagef("want show REVIEW, show CONTACT or show CONTACT CONTACT")
	}
	var s exhibit
	if len(ids) == 1 {
		found, err := r.lake.reviews(ctx, ids[0])
		if err != nil {
			return err
		}
		if len(found) == 1 {
			s.Review = found[0]
			ids = idsOf(s.Review)
		}
	}
	var err error
	if s.Contacts, err = r.lake.parties(ctx, ids...); err != nil {
		return err
	}
	if len(s.Contacts) == 0 && s.Review == nil {
		return fmt.Errorf("no review, contact or record %s is in the lake", strings.Join(ids, ", "))
	}
	if len(s.Contacts) == 2 {
		if s.Likeness, err = r.explain(ctx, s.Contacts[0], s.Contacts[1]); err != nil {
			return err
		}
	}
	if r.format == "json" {
		return json.NewEncoder(r.call.stdout).Encode(s)
	}
	return s.print(r.call.stdout)
}

// explain compares the likeliest records of two contacts; where the model holds none for likely,
// their oldest.
func (r *review) explain(ctx context.Context, left, right party) (*likeness, error) {
	cfg, _, err := r.call.settings()
	if err != nil {
		return nil, err
	}
	rules, err := cfg.resolveConfig()
	if err != nil {
		return nil, err
	}
	a, b := left.Records[0], right.Records[0]
	likeliest, err := r.lake.rows(ctx, "SELECT left_record_id, right_record_id FROM edges "+
		"WHERE weight IS NOT NULL AND [left_contact_id, right_contact_id] IN ([%s, %s], [%[2]s, %[1]s]) "+
		"ORDER BY weight DESC, left_record_id, right_record_id LIMIT 1",
		duck.Quote(left.ContactID), duck.Quote(right.ContactID))
	if err != nil {
		return nil, err
	}
	if len(likeliest) > 0 {
		ids := []string{likeliest[0].text("left_record_id"), likeliest[0].text("right_record_id")}
		for _, one := range left.Records {
			if slices.Contains(ids, one.text("record_id")) {
				a = one
			}
		}
		for _, one := range right.Records {
			if slices.Contains(ids, one.text("record_id")) {
				b = one
			}
		}
	}
	e := rules.Explain(recordOf(a), recordOf(b))
	return &likeness{
		LeftRecordID: a.text("record_id"), RightRecordID: b.text("record_id"), Sentence: e.Sentence(),
		Probability: e.Probability, Weight: e.Weight, Prior: e.Prior, Columns: explanationOf(e).Columns,
		explained: e,
	}, nil
}

func recordOf(r row) *schemas.Record {
	return &schemas.Record{
		RecordId: r.text("record_id"), Email: r.text("email"), FirstName: r.text("first_name"),
		LastName: r.text("last_name"), Phone: r.text("phone"), Company: r.text("company"),
		Site: r.text("site"), Form: r.text("form"),
	}
}

// print says in a sentence what the likeness comes to, and how.
func (l *likeness) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\nProbability %s, weight %+.2f: +1 doubles the odds that both are one, -1 "+
		"halves them.\n\n", l.Sentence, probabilityText(l.Probability), l.Weight)
	writeWaterfall(w, l.explained, "older", "newer")
}

// idsOf are the contacts that a review speaks of.
func idsOf(review row) []string {
	ids := []string{review.text("left_contact_id")}
	if right := review.text("right_contact_id"); right != "" {
		ids = append(ids, right)
	}
	var records []string
	if json.Unmarshal([]byte(review.text("records")), &records) == nil {
		ids = append(ids, records...)
	}
	return ids
}

func (s exhibit) print(w io.Writer) error {
	if s.Review != nil {
		fmt.Fprintln(w, reviewLine(s.Review))
	}
	if len(s.Contacts) == 2 {
		if err := sideBySide(w, s.Contacts[0], s.Contacts[1]); err != nil {
			return err
		}
		s.Likeness.print(w)
	}
	for _, p := range s.Contacts {
		if len(s.Contacts) == 2 && len(p.Records) == 1 {
			continue // side by side says it all
		}
		if err := p.print(w); err != nil {
			return err
		}
	}
	if len(s.Contacts) == 2 {
		pair := s.Contacts[0].ContactID + " " + s.Contacts[1].ContactID
		_, err := fmt.Fprintf(w, "\none person:   crumbtrail review accept %s --by NAME\n"+
			"two:          crumbtrail review reject %s --by NAME\n", pair, pair)
		return err
	}
	return nil
}

// reviewLine says in a line what a review is and what came of it.
func reviewLine(r row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "review %s is %s", r.text("review_id"), r.text("state"))
	if r.text("verdict") != "" {
		fmt.Fprintf(&b, ": %s by %s", r.text("verdict"), r.text("decided_by"))
	}
	if r.text("withdraws") != "" {
		fmt.Fprintf(&b, " of review %s", r.text("withdraws"))
	}
	if r.text("note") != "" {
		fmt.Fprintf(&b, " (%q)", r.text("note"))
	}
	if r.text("reason") != "" {
		b.WriteString("; " + r.text("reason"))
	}
	return b.String()
}

// facts are the lines of a contact, by what they are called and the column of its golden record.
func facts() [][2]string {
	return [][2]string{
		{"e-mail", "email"},
		{"first name", "first_name"},
		{"last name", "last_name"},
		{"phone", "phone"},
		{"company", "company"},
		{"known since", "created_at"},
		{"last heard", "updated_at"},
	}
}

func sideBySide(w io.Writer, left, right party) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\tolder\tnewer\n\t%s\t%s\n", left.ContactID, right.ContactID)
	for _, f := range facts() {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f[0], clean(left.Contact.text(f[1])),
			clean(right.Contact.text(f[1])))
	}
	for _, column := range []string{"submissions", "visitors", "visits"} {
		fmt.Fprintf(table, "%s\t%d\t%d\n", column, left.count(column), right.count(column))
	}
	fmt.Fprintf(table, "records\t%d\t%d\n", len(left.Records), len(right.Records))
	return table.Flush()
}

// print lists a contact's records, and what makes each a part of it.
func (p party) print(w io.Writer) error {
	fmt.Fprintf(w, "\ncontact %s, of %s\n", p.ContactID, plural(len(p.Records), "record"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "record\tsays\tsubmissions\tvisitors\tvisits\tsince\twhy")
	for _, one := range p.Records {
		var says []string
		for _, column := range []string{"first_name", "last_name", "email", "phone", "company"} {
			if value := clean(one.text(column)); value != "" {
				says = append(says, value)
			}
		}
		why := one.text("because")
		if why == "" {
			why = "the oldest"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.text("record_id"),
			strings.Join(says, ", "), one.text("submissions"), one.text("visitors"),
			one.text("visits"), one.text("first_at"), clean(why))
	}
	return table.Flush()
}

// clean is a text of strangers for a terminal and a table: nothing in it steers either.
func clean(s string) string {
	quoted := strconv.Quote(s)
	if quoted == `"`+s+`"` {
		return s
	}
	return quoted
}
