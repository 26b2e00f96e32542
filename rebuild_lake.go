package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

// rebuildPart is some of the visitors of one partition, by a hash, and the time that is read.
type rebuildPart struct {
	partition   int32
	part, parts int64
	known       sessionize.Span
}

// rebuildColumns are what a visit needs to know of a beacon, in the order of readBeacon.
const rebuildColumns = `site, visitor_id, event_id, topic_offset, type, consent,
  epoch_us(occurred_at), engaged_ms, url, referrer, channel,
  utm_source, utm_medium, utm_campaign, utm_term, utm_content,
  device, browser, os, country, language, bot_rule`

// visitColumns are all that a visit says, in the order of readVisit.
const visitColumns = `site, visitor_id, visit_id, epoch_us(started_at), epoch_us(ended_at), beacons,
  duplicates, page_views, pings, link_clicks, form_submits, customs, requests, engaged_ms,
  entry_url, exit_url, referrer, channel,
  utm_source, utm_medium, utm_campaign, utm_term, utm_content,
  device, browser, os, country, language, bot_rule,
  consent, late, start_reason, end_reason, first_event_id, last_event_id, input_partition,
  last_offset`

// instantSQL writes a moment as SQL.
func instantSQL(us int64) string {
	const layout = "2006-01-02 15:04:05.000000+00"
	return "TIMESTAMPTZ " + duck.Quote(time.UnixMicro(us).UTC().Format(layout))
}

// during is a condition: what goes from one moment to another has a part in a span.
func during(s sessionize.Span, from, to string) string {
	out, always := "true", sessionize.Always()
	if s.FirstUS > always.FirstUS {
		out += " AND " + to + " >= " + instantSQL(s.FirstUS)
	}
	if s.LastUS < always.LastUS {
		out += " AND " + from + " <= " + instantSQL(s.LastUS)
	}
	return out
}

// visitors asks for those of a part who have a beacon or the beginning of a visit in the days.
func (p rebuildPart) visitors(days sessionize.Span) string {
	return fmt.Sprintf(`SELECT site, visitor_id FROM files.beacons
  WHERE %[1]s AND visitor_id IS NOT NULL AND %[2]s
  UNION
  SELECT site, visitor_id FROM files.current_visits WHERE %[1]s AND %[3]s`,
		p.condition(), during(days, "occurred_at", "occurred_at"),
		during(days, "started_at", "started_at"))
}

func (p rebuildPart) condition() string {
	return fmt.Sprintf("topic_partition = %d AND hash(visitor_id) %% %d = %d", p.partition, p.parts,
		p.part)
}

// beaconsSQL asks for the beacons of a part that are in visits. Its order is that of the days of a
// visitor, and of text by its bytes.
func (r *rebuild) beaconsSQL(p rebuildPart) string {
	return fmt.Sprintf(`SELECT %s
FROM files.beacons SEMI JOIN (%s) USING (site, visitor_id)
WHERE %s AND topic_offset < %d AND consent IN ('statistical', 'identified') AND %s
ORDER BY site, visitor_id, occurred_at, event_id`, rebuildColumns, p.visitors(r.days()),
		p.condition(), r.partitions[p.partition].reached,
		during(p.known, "occurred_at", "occurred_at"))
}

// visitsSQL asks for the visits of a part as they stand, without those of beacons that came later
// than what is reached.
func (r *rebuild) visitsSQL(p rebuildPart) string {
	return fmt.Sprintf(`SELECT %s
FROM files.current_visits SEMI JOIN (%s) USING (site, visitor_id)
WHERE %s AND last_offset < %d AND %s
ORDER BY site, visitor_id, started_at, first_event_id`, visitColumns, p.visitors(r.days()),
		p.condition(), r.partitions[p.partition].reached, during(p.known, "started_at", "ended_at"))
}

// rebuildPart makes the visits of a part again.
func (r *rebuild) rebuildPart(ctx context.Context, p rebuildPart) error {
	old := map[string][]*schemas.Visit{}
	err := r.ask(ctx, r.visitsSQL(p), func(row *lakeRow) error {
		v := row.visit()
		key := string(schemas.VisitorKey(schemas.Site(v.Site), schemas.VisitorID(v.VisitorId)))
		old[key] = append(old[key], v)
		return nil
	})
	if err != nil {
		return err
	}
	of := rebuildVisitor{
		rebuild: r, partition: p.partition, old: old,
		rebuilder: sessionize.NewRebuilder(r.rules, p.partition, r.days(), p.known),
	}
	err = r.ask(ctx, r.beaconsSQL(p), func(row *lakeRow) error {
		r.read++
		return of.add(ctx, row)
	})
	if err != nil {
		return err
	}
	if err := of.end(ctx); err != nil {
		return err
	}
	for key := range old { // of whom the lake has no beacons
		if err := of.begin(ctx, []byte(key)); err != nil {
			return err
		}
	}
	return of.end(ctx)
}

// rebuildVisitor takes beacons in order and rebuilds one visitor after the other.
type rebuildVisitor struct {
	*rebuild
	partition int32
	rebuilder *sessionize.Rebuilder
	// old are the visits of those who have not had their turn.
	old map[string][]*schemas.Visit
	key []byte // of the visitor; nil: none yet
}

func (v *rebuildVisitor) add(ctx context.Context, row *lakeRow) error {
	b, offset := row.beacon()
	key := schemas.VisitorKey(schemas.Site(b.Site), schemas.VisitorID(b.VisitorId))
	if string(key) != string(v.key) {
		if err := v.begin(ctx, key); err != nil {
			return err
		}
	}
	return v.rebuilder.Add(b, offset)
}

func (v *rebuildVisitor) begin(ctx context.Context, key []byte) error {
	if err := v.end(ctx); err != nil {
		return err
	}
	v.key = key
	site, visitor, _ := schemas.SplitVisitorKey(key)
	v.rebuilder.Begin(site, visitor, v.old[string(key)], v.openOf(v.partition, key))
	delete(v.old, string(key))
	return nil
}

func (v *rebuildVisitor) end(ctx context.Context) error {
	if v.key == nil {
		return nil
	}
	stretches, err := v.rebuilder.End()
	if err == nil {
		err = v.take(ctx, v.partition, v.key, stretches)
	}
	v.key = nil
	return err
}

// ask puts a query to the lake. One row is at hand at a time.
func (r *rebuild) ask(ctx context.Context, sql string, see func(*lakeRow) error) error {
	query := duck.Query{Database: catalogPath(r.data), SQL: sql}
	return r.child.Rows(ctx, query, func(_ []duck.Column, values []any) error {
		return see(&lakeRow{values: values})
	})
}

// lakeRow reads the columns of a row one after the other; NULL is the zero value.
type lakeRow struct{ values []any }

func (r *lakeRow) next() any {
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *lakeRow) text() string {
	s, _ := r.next().(string)
	return s
}

func (r *lakeRow) number() int64 {
	n, _ := r.next().(int64)
	return n
}

func (r *lakeRow) bool() bool {
	b, _ := r.next().(bool)
	return b
}

// beacon reads rebuildColumns.
func (r *lakeRow) beacon() (b *schemas.Beacon, offset int64) {
	b = &schemas.Beacon{Site: r.text(), VisitorId: r.text(), EventId: r.text()}
	offset = r.number()
	b.Type, _ = schemas.ParseBeaconType(r.text())
	b.Consent, _ = schemas.ParseConsent(r.text())
	b.OccurredAtUs, b.EngagedMs = r.number(), int32(r.number())
	b.Url, b.Referrer, b.Channel = r.text(), r.text(), r.text()
	b.Campaign, b.Agent = r.campaign(), r.agent()
	return b, offset
}

// campaign is nil where there is none.
func (r *lakeRow) campaign() *schemas.Campaign {
	c := &schemas.Campaign{
		Source: r.text(), Medium: r.text(), Name: r.text(), Term: r.text(), Content: r.text(),
	}
	if c.SizeVT() == 0 {
		return nil
	}
	return c
}

// agent is nil where nothing is known.
func (r *lakeRow) agent() *schemas.Agent {
	a := &schemas.Agent{
		Device: r.text(), Browser: r.text(), Os: r.text(), Country: r.text(), Language: r.text(),
		BotRule: r.text(),
	}
	if a.SizeVT() == 0 {
		return nil
	}
	return a
}

// visit reads visitColumns.
func (r *lakeRow) visit() *schemas.Visit {
	v := &schemas.Visit{
		Site: r.text(), VisitorId: r.text(), VisitId: r.text(),
		StartedAtUs: r.number(), EndedAtUs: r.number(), Beacons: r.number(),
		Duplicates: r.number(), PageViews: r.number(), Pings: r.number(), LinkClicks: r.number(),
		FormSubmits: r.number(), Customs: r.number(), Requests: r.number(), EngagedMs: r.number(),
		EntryUrl: r.text(), ExitUrl: r.text(), Referrer: r.text(), Channel: r.text(),
		Campaign: r.campaign(), Agent: r.agent(),
	}
	v.Consent, _ = schemas.ParseConsent(r.text())
	v.Late, v.StartReason, v.EndReason = r.bool(), r.text(), r.text()
	v.FirstEventId, v.LastEventId = r.text(), r.text()
	v.InputPartition, v.LastOffset = int32(r.number()), r.number()
	return v
}

// extent is the time of all beacons and visits.
func (r *rebuild) extent(ctx context.Context) (all sessionize.Span, err error) {
	const sql = `SELECT epoch_us(min(first)), epoch_us(max(last)) FROM (
  SELECT min(occurred_at) AS first, max(occurred_at) AS last FROM files.beacons UNION ALL
  SELECT min(started_at), max(ended_at) FROM files.current_visits)`
	err = r.ask(ctx, sql, func(row *lakeRow) error {
		all = sessionize.Span{FirstUS: row.number(), LastUS: row.number()}
		return nil
	})
	return all, err
}

// rowsOf counts the beacons of each partition in a time.
func (r *rebuild) rowsOf(ctx context.Context, known sessionize.Span) ([]int64, error) {
	rows := make([]int64, len(r.partitions))
	sql := fmt.Sprintf("SELECT topic_partition, count(*) FROM files.beacons WHERE %s GROUP BY 1",
		during(known, "occurred_at", "occurred_at"))
	err := r.ask(ctx, sql, func(row *lakeRow) error {
		if p := row.number(); p < int64(len(rows)) {
			rows[p] = row.number()
		}
		return nil
	})
	return rows, err
}

// catalogLook is how often a rebuild looks whether there is a new catalog.
const catalogLook = 200 * time.Millisecond

// awaitLake returns once the catalog shows the beacons before some offsets, and all visits that
// there are now. A lake in another process shows them when it likes to.
func (r *rebuild) awaitLake(ctx context.Context, beacons []int64) error {
	if !r.joined {
		return r.drainLake(ctx)
	}
	visits, err := r.client.Ends(ctx, string(schemas.Visits))
	if err != nil {
		return err
	}
	var seen os.FileInfo
	for {
		now, err := os.Stat(catalogPath(r.data))
		if err != nil {
			return fmt.Errorf("look for the lake: %w", err)
		}
		if seen == nil || !os.SameFile(seen, now) {
			shown, err := r.shows(ctx, beacons, visits)
			if shown || err != nil {
				return err
			}
			seen = now
			r.log.Info("waiting for the lake, which shows what is new at its next flush")
		}
		if !kafka.Pause(ctx, catalogLook) {
			return ctx.Err()
		}
	}
}

// errBehind says that the catalog does not show a record.
var errBehind = errors.New("the catalog is behind")

// shows says whether the catalog has all before some offsets. It does not move for what leaves no
// rows, such as ticks.
func (r *rebuild) shows(ctx context.Context, beacons, visits []int64) (bool, error) {
	next := map[string][]int64{
		string(schemas.Beacons): make([]int64, len(beacons)),
		string(schemas.Visits):  make([]int64, len(visits)),
	}
	err := r.ask(ctx, "SELECT topic, topic_partition, next_offset FROM pipeline_counts "+
		"WHERE topic IN ('beacons', 'visits')", func(row *lakeRow) error {
		topic, partition := row.text(), row.number()
		if int(partition) < len(next[topic]) {
			next[topic][partition] = row.number()
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	err = errors.Join(
		r.unseen(ctx, schemas.Beacons, next, beacons, func(value []byte) bool {
			var entry schemas.BeaconRecord
			return entry.UnmarshalVT(value) != nil || entry.GetBeacon() != nil
		}),
		r.unseen(ctx, schemas.Visits, next, visits, func([]byte) bool { return true }))
	if errors.Is(err, errBehind) {
		return false, nil
	}
	return err == nil, err
}

// unseen is errBehind where a topic has something that counts between where the catalog is and
// where it should be.
func (r *rebuild) unseen(
	ctx context.Context, topic schemas.Topic, next map[string][]int64, to []int64,
	counts func(value []byte) bool,
) error {
	from := next[string(topic)]
	starts, err := r.client.Starts(ctx, string(topic))
	if err != nil {
		return err
	}
	for p := range from {
		from[p] = max(from[p], starts[p])
	}
	return r.client.Scan(ctx, string(topic), from, to, func(records []kafka.Record) error {
		for i := range records {
			if counts(records[i].Value) {
				return errBehind
			}
		}
		return nil
	})
}
