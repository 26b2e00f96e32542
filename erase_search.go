package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"crumbtrail/internal/duck"
	"crumbtrail/lake"
	"crumbtrail/schemas"
)

// personFound is what the lake has of a person.
type personFound struct {
	contacts []string
	records  []string
	browsers []*schemas.VisitorName // that were asked for
	found    *schemas.Found
	// unlinked are the beacons of nobody on the sites where the person was.
	unlinked int64
	// mentions are submissions of others in which an address of the person stands.
	mentions int64
}

// nothing reports whether there is nothing of the person.
func (f *personFound) nothing() bool {
	return len(f.contacts)+len(f.records)+len(f.found.Submissions)+len(f.found.Events)+
		len(f.found.BadBeacons)+len(f.found.Versions)+len(f.found.Visits) == 0
}

// search looks through the lake for the person. What a request was sent for before is looked for by
// the addresses that were the person's then, up to that request.
func (r *erase) search(ctx context.Context) (*personFound, error) {
	f := &personFound{found: &schemas.Found{}}
	again := r.receipt.ErasedAt != ""
	if !again {
		if err := r.who(ctx, f); err != nil {
			return nil, err
		}
	}
	for _, step := range []func(context.Context, *personFound) error{
		r.submissions, r.versions, r.mentions,
	} {
		if err := step(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// who finds the contacts that are asked for, their records, and the addresses that are theirs
// alone.
func (r *erase) who(ctx context.Context, f *personFound) (err error) {
	switch {
	case r.email != "":
		if r.spellings, err = r.spelt(ctx); err != nil {
			return err
		}
		f.contacts, err = r.texts(ctx, `SELECT DISTINCT contact_id FROM records WHERE email IN %s
			ORDER BY ALL`, list(r.spellings))
	case r.contact != "":
		f.contacts, err = r.texts(ctx, `SELECT coalesce(any_value(current_contact_id), %[1]s)
			FROM aliases WHERE contact_id = %[1]s`, duck.Quote(r.contact))
	default:
		f.contacts, err = r.browser(ctx, f)
	}
	if err != nil {
		return err
	}
	contacts := list(f.contacts)
	if f.records, err = r.texts(ctx, `SELECT record_id FROM records WHERE contact_id IN %s
		ORDER BY number`, contacts); err != nil {
		return err
	}
	theirs, err := r.texts(ctx, `SELECT email FROM records WHERE email IS NOT NULL
		GROUP BY email HAVING bool_and(contact_id IN %s) ORDER BY ALL`, contacts)
	if err != nil {
		return err
	}
	r.spellings = slices.Compact(slices.Sorted(slices.Values(append(r.spellings, theirs...))))
	unlinked, err := r.texts(ctx, `SELECT count(*)::VARCHAR FROM beacons
		WHERE contact_id IS NULL AND site IN (SELECT site FROM submissions WHERE contact_id IN %s)`,
		contacts)
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(unlinked[0], &f.unlinked)
	return err
}

// browser finds the browsers that are asked for, and whose they are.
func (r *erase) browser(ctx context.Context, f *personFound) ([]string, error) {
	on := ""
	if r.site != "" {
		on = " AND site = " + duck.Quote(r.site)
	}
	rows, err := r.lake.rows(ctx, `SELECT DISTINCT site FROM (
		SELECT site, visitor_id FROM beacons UNION ALL SELECT site, visitor_id FROM visits
		) WHERE visitor_id = %s%s ORDER BY ALL`, duck.Quote(r.visitor), on)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		f.browsers = append(f.browsers, &schemas.VisitorName{
			Site: row.text("site"), VisitorId: r.visitor,
		})
	}
	if len(rows) == 0 && r.site != "" { // the resolver may know more than the lake
		f.browsers = append(f.browsers, &schemas.VisitorName{Site: r.site, VisitorId: r.visitor})
	}
	return r.texts(ctx, `SELECT DISTINCT contact_id FROM identities WHERE contact_id IS NOT NULL AND
		visitor_id = %s%s ORDER BY ALL`, duck.Quote(r.visitor), on)
}

// spelt lists the ways in which the address was given.
func (r *erase) spelt(ctx context.Context) (spellings []string, err error) {
	all, err := r.texts(ctx, `SELECT DISTINCT email FROM (SELECT email FROM submissions UNION ALL
		SELECT email FROM records UNION ALL SELECT email FROM contact_versions)
		WHERE email IS NOT NULL ORDER BY ALL`)
	for _, email := range all {
		if address, _ := r.rules.Address(email); address == r.address {
			spellings = append(spellings, email)
		}
	}
	for _, own := range []string{r.email, r.address} {
		if !slices.Contains(spellings, own) {
			spellings = append(spellings, own)
		}
	}
	return spellings, err
}

// submissions finds what the person has sent, and what was sent in their name without coming to a
// contact.
func (r *erase) submissions(ctx context.Context, f *personFound) error {
	rows, err := r.lake.rows(ctx, `SELECT site, visitor_id, submission_id FROM submissions
		WHERE (contact_id IN %s OR email IN %s AND (%t OR contact_id IS NULL)) AND %s ORDER BY ALL`,
		list(f.contacts), list(r.spellings), r.email != "", r.before())
	for _, row := range rows {
		f.found.Submissions = append(f.found.Submissions, nameOfSubmission(row))
	}
	return err
}

// versions finds what other contacts were while the person was taken for one with them.
func (r *erase) versions(ctx context.Context, f *personFound) error {
	rows, err := r.lake.rows(ctx, `SELECT DISTINCT v.contact_id, v.version FROM contact_versions v
		JOIN alias_versions a ON v.contact_id = a.current_contact_id
		WHERE a.contact_id IN %[1]s AND v.contact_id NOT IN %[1]s AND v.updated_at >= a.since
		  AND (a.valid_to IS NULL OR v.updated_at < a.valid_to) ORDER BY ALL`, list(f.records))
	for _, row := range rows {
		version, _ := row["version"].(int64)
		f.found.Versions = append(f.found.Versions, &schemas.ContactVersion{
			ContactId: row.text("contact_id"), Version: version,
		})
	}
	return err
}

// mentions finds where the addresses stand in what nobody reads as an address: in pages, in what
// was sent with beacons, and in what could not be used.
func (r *erase) mentions(ctx context.Context, f *personFound) error {
	if len(r.spellings) == 0 {
		return nil
	}
	var words []string
	for _, one := range r.spellings {
		one = strings.ToLower(strings.TrimSpace(one))
		words = append(words, one, strings.ToLower(url.QueryEscape(one)))
	}
	slices.Sort(words)
	words = slices.Compact(words)
	any := func(columns ...string) string {
		var either []string
		for _, column := range columns {
			for _, word := range words {
				either = append(either, fmt.Sprintf("contains(lower(%s::VARCHAR), %s)", column,
					duck.Quote(word)))
			}
		}
		return "(" + strings.Join(either, " OR ") + ")"
	}
	if err := r.said(ctx, f, any("fields")); err != nil {
		return err
	}
	rows, err := r.lake.rows(ctx, "SELECT site, event_id FROM beacons WHERE %s AND %s ORDER BY ALL",
		any("url", "referrer", "title", "props"), r.before())
	if err != nil {
		return err
	}
	for _, row := range rows {
		f.found.Events = append(f.found.Events, &schemas.EventName{
			Site: row.text("site"), EventId: row.text("event_id"),
		})
	}
	if f.found.Visits, err = r.texts(ctx, "SELECT visit_id FROM visits WHERE %s ORDER BY ALL",
		any("entry_url", "exit_url", "referrer")); err != nil {
		return err
	}
	f.found.BadBeacons, err = r.texts(ctx, "SELECT DISTINCT bad_beacon_id FROM bad_beacons WHERE %s "+
		"AND %s ORDER BY ALL", any("raw", "detail"), r.before())
	return err
}

// said finds submissions in whose other fields an address stands. Those of other people stay
// theirs, and are counted.
func (r *erase) said(ctx context.Context, f *personFound, mention string) error {
	rows, err := r.lake.rows(ctx, `SELECT site, visitor_id, submission_id,
		contact_id IS NOT NULL AND contact_id NOT IN %s AND email NOT IN %s AS other FROM submissions
		WHERE %s AND %s ORDER BY ALL`, list(f.contacts), list(r.spellings), mention, r.before())
	f.mentions = 0
	for _, row := range rows {
		if other, _ := row["other"].(bool); other {
			f.mentions++
			continue
		}
		f.found.Submissions = append(f.found.Submissions, nameOfSubmission(row))
	}
	return err
}

func nameOfSubmission(row row) *schemas.SubmissionName {
	return &schemas.SubmissionName{
		Site: row.text("site"), VisitorId: row.text("visitor_id"),
		SubmissionId: row.text("submission_id"),
	}
}

// before is the condition on rows that came in before the first request.
func (r *erase) before() string {
	if r.receipt.ErasedAt == "" {
		return "true"
	}
	return "received_at < TIMESTAMPTZ " + duck.Quote(r.receipt.ErasedAt)
}

// texts is the first column of an answer.
func (r *erase) texts(ctx context.Context, format string, args ...any) (texts []string, err error) {
	query := duck.Query{Database: r.lake.database, SQL: fmt.Sprintf(format, args...)}
	err = r.lake.child.Rows(ctx, query, func(_ []duck.Column, values []any) error {
		texts = append(texts, text(values[0]))
		return nil
	})
	return texts, err
}

// list is a list of texts for IN, which may be empty.
func list(texts []string) string {
	if len(texts) == 0 {
		return "(SELECT NULL::VARCHAR WHERE false)"
	}
	return literals(texts)
}

// preview says what an erasure would take out of the lake.
func (r *erase) preview(ctx context.Context) error {
	f, err := r.search(ctx)
	if err != nil {
		return err
	}
	if f.nothing() && len(f.browsers) == 0 {
		r.receipt.DryRun = true
		return r.receipt.print(r.call.stdout, r.format)
	}
	r.count(f)
	e := &schemas.Erasure{Records: f.records, Found: f.found}
	rows, err := r.lake.rows(ctx, `SELECT site, visitor_id,
		coalesce(epoch_us(valid_from), 0) AS from_us,
		coalesce(epoch_us(valid_to), epoch_us(now())) AS to_us FROM identities WHERE record_id IN %s
		ORDER BY ALL`, list(f.records))
	if err != nil {
		return err
	}
	for _, row := range rows {
		from, _ := row["from_us"].(int64)
		to, _ := row["to_us"].(int64)
		e.Visitors = append(e.Visitors, &schemas.VisitorSpan{
			Site: row.text("site"), VisitorId: row.text("visitor_id"), FromUs: from, ToUs: to,
		})
	}
	if len(f.contacts) == 0 {
		for _, v := range f.browsers {
			e.Visitors = append(e.Visitors, &schemas.VisitorSpan{
				Site: v.Site, VisitorId: v.VisitorId, ToUs: 1 << 62,
			})
		}
	}
	for _, s := range lake.Searches(e) {
		rows, err := r.lake.rows(ctx, "SELECT count(*) AS rows FROM files.%s WHERE %s", s.Table, s.Where)
		if err != nil {
			return err
		}
		if n, _ := rows[0]["rows"].(int64); n > 0 {
			r.receipt.Removed = append(r.receipt.Removed, tableRows{s.Table, n})
		}
	}
	r.receipt.DryRun = true
	return r.receipt.print(r.call.stdout, r.format)
}
