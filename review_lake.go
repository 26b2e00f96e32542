package main

import (
	"context"
	"fmt"
	"strings"

	"crumbtrail/internal/duck"
)

// lakeReader asks the lake for what a review is about.
type lakeReader struct {
	child    duck.Child
	database string
}

// row is a row of an answer by its columns.
type row map[string]any

// text is a value for people, empty for NULL.
func (r row) text(column string) string { return text(r[column]) }

func (l lakeReader) rows(ctx context.Context, format string, args ...any) ([]row, error) {
	query := duck.Query{Database: l.database, SQL: fmt.Sprintf(format, args...)}
	var all []row
	err := l.child.Rows(ctx, query, func(columns []duck.Column, values []any) error {
		one := row{}
		for i, c := range columns {
			one[c.Name] = values[i]
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

// literals writes a SQL list of texts, for IN.
func literals(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = duck.Quote(s)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// reviews finds a review by its id.
func (l lakeReader) reviews(ctx context.Context, id string) ([]row, error) {
	return l.rows(ctx, "SELECT * FROM reviews WHERE review_id = %s", duck.Quote(id))
}

// records lists the records of the contacts that ids stand for now, those of a contact together,
// with what hangs on each.
func (l lakeReader) records(ctx context.Context, ids ...string) ([]row, error) {
	return l.rows(ctx, recordsSQL, literals(ids))
}

// recordsSQL has a record a row. A contact from before there were records is one of its own.
const recordsSQL = `
WITH asked AS (
  SELECT DISTINCT coalesce(current_contact_id, id) AS contact_id
  FROM (SELECT unnest(list_value%s) AS id) LEFT JOIN aliases ON id = contact_id
),
known AS (
  SELECT contact_id, record_id, number, email, first_name, last_name, phone, company, joined_to,
         because, site, form, first_at
  FROM records SEMI JOIN asked USING (contact_id)
  UNION ALL
  SELECT contact_id, contact_id, -1, email, first_name, last_name, phone, company, NULL, NULL, NULL,
         NULL, created_at
  FROM contacts SEMI JOIN asked USING (contact_id)
  WHERE contact_id NOT IN (SELECT record_id FROM records)
),
browsers AS (
  SELECT record_id, count(DISTINCT (site, visitor_id)) AS visitors
  FROM identities SEMI JOIN asked USING (contact_id) GROUP BY ALL
),
visited AS (
  SELECT record_id, count(*) AS visits, min(started_at) AS first_visit_at,
         max(started_at) AS last_visit_at
  FROM visits v SEMI JOIN asked USING (contact_id)
  JOIN identities i ON v.site = i.site AND v.visitor_id = i.visitor_id
    AND v.identified_by = i.submission_id
  GROUP BY ALL
),
said AS (
  SELECT record_id, count(*) AS submissions
  FROM submissions SEMI JOIN asked USING (contact_id) GROUP BY ALL
)
SELECT known.*, coalesce(submissions, 0) AS submissions, coalesce(visitors, 0) AS visitors,
       coalesce(visits, 0) AS visits, first_visit_at, last_visit_at
FROM known LEFT JOIN said USING (record_id) LEFT JOIN browsers USING (record_id)
LEFT JOIN visited USING (record_id)
ORDER BY min(number) OVER (PARTITION BY contact_id), contact_id, number`
