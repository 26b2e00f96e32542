package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"crumbtrail/resolve"
	"crumbtrail/schemas"
)

// receipt says what was erased and what is left for how long, without personal data.
type receipt struct {
	DryRun bool `json:"dry_run"`
	// Requests are none where nothing was known of the person.
	Requests []string `json:"requests"`
	ErasedAt string   `json:"erased_at,omitempty"`
	DoneAt   string   `json:"done_at,omitempty"`
	By       string   `json:"by,omitempty"`
	Note     string   `json:"note,omitempty"`
	Contacts int64    `json:"contacts"`
	Records  int64    `json:"records"`
	Visitors int64    `json:"visitors"`
	// Removed are the rows that are not in the lake any more.
	Removed []tableRows `json:"removed"`
	// Remaining is what the log holds until it forgets it by itself.
	Remaining []logRecords `json:"remaining"`
	// Unlinked are beacons of nobody known on the sites where the person was: if some are theirs,
	// nothing says so.
	Unlinked int64 `json:"unlinked_beacons"`
	// Mentions are submissions of other people in which an address of the person stands.
	Mentions int64 `json:"mentions"`
}

// tableRows are rows of a table.
type tableRows struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// logRecords are records of a topic.
type logRecords struct {
	Topic string `json:"topic"`
	// Records is how many at most.
	Records int64 `json:"records"`
	// Until is when the last of them is gone; empty: when the topic is compacted next.
	Until string `json:"until,omitempty"`
}

// count puts into the receipt what was found.
func (r *erase) count(f *personFound) {
	r.receipt.By, r.receipt.Note = r.by, r.note
	r.receipt.Contacts, r.receipt.Records = int64(len(f.contacts)), int64(len(f.records))
	r.receipt.Unlinked, r.receipt.Mentions = f.unlinked, f.mentions
}

// finish completes the receipt and prints it.
func (r *erase) finish(ctx context.Context) error {
	of := list(r.receipt.Requests)
	rows, err := r.lake.rows(ctx, `SELECT sum(contacts)::BIGINT AS contacts,
		sum(records)::BIGINT AS records, sum(visitors)::BIGINT AS visitors FROM erasures
		WHERE request_id IN %s`, of)
	if err != nil {
		return err
	}
	r.receipt.Contacts, _ = rows[0]["contacts"].(int64)
	r.receipt.Records, _ = rows[0]["records"].(int64)
	r.receipt.Visitors, _ = rows[0]["visitors"].(int64)
	if rows, err = r.lake.rows(ctx, `SELECT topic, table_name, sum(rows)::BIGINT AS rows
		FROM files.erased WHERE request_id IN %s GROUP BY ALL ORDER BY ALL`, of); err != nil {
		return err
	}
	byTable := map[string]int64{}
	byTopic := map[string]int64{}
	for _, row := range rows {
		n, _ := row["rows"].(int64)
		byTable[row.text("table_name")] += n
		if table := row.text("table_name"); table != "score_explanations" { // of the scores' records
			byTopic[row.text("topic")] += n
		}
	}
	now := time.Now().UTC()
	r.receipt.DoneAt = now.Format(time.RFC3339)
	for _, table := range sortedKeys(byTable) {
		r.receipt.Removed = append(r.receipt.Removed, tableRows{table, byTable[table]})
	}
	for _, t := range schemas.Topics() {
		if n := byTopic[string(t.Topic)]; n > 0 {
			left := logRecords{Topic: string(t.Topic), Records: n}
			if !t.Compacted {
				left.Until = now.Add(retention(t.Topic)).Format(time.RFC3339)
			}
			r.receipt.Remaining = append(r.receipt.Remaining, left)
		}
	}
	return r.receipt.print(r.call.stdout, r.format)
}

func sortedKeys(m map[string]int64) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}

func (r *receipt) print(w io.Writer, format string) error {
	if format == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	if len(r.Requests) == 0 && (!r.DryRun || len(r.Removed) == 0) {
		_, err := fmt.Fprintln(w, resolve.NothingKnown+
			"; what came within the last minute may not be in the lake yet")
		return err
	}
	var b strings.Builder
	was, verb := "erased", "removed"
	if r.DryRun {
		was, verb = "would be erased", "would be removed"
	}
	fmt.Fprintf(&b, "%s: contacts %d, records %d", was, r.Contacts, r.Records)
	if !r.DryRun {
		fmt.Fprintf(&b, ", browsers %d; request %s", r.Visitors, strings.Join(r.Requests, ", "))
	}
	b.WriteByte('\n')
	for _, t := range r.Removed {
		fmt.Fprintf(&b, "  %-20s %6d rows %s\n", t.Table, t.Rows, verb)
	}
	for _, t := range r.Remaining {
		until := "it is compacted"
		if t.Until != "" {
			until = t.Until
		}
		fmt.Fprintf(&b, "  topic %-14s holds up to %d records until %s\n", t.Topic, t.Records, until)
	}
	fmt.Fprintf(&b, "not linked to anybody: %d beacons on the same sites; whether some are theirs "+
		"nobody can tell\n", r.Unlinked)
	if r.Mentions > 0 {
		fmt.Fprintf(&b, "of other people: %d submissions name an address of theirs; look at them\n",
			r.Mentions)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
