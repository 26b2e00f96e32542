package lake

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// Topics lists the topics that the lake keeps, in the order of the data.
func Topics() []string {
	var names []string
	for _, t := range schemas.Topics() {
		if _, ok := decoders()[t.Topic]; ok {
			names = append(names, string(t.Topic))
		}
	}
	return names
}

// decoder puts what a record says into the tables, or says why it cannot be read. It puts nothing
// where it returns an error.
type decoder func(t *tables, at place, r kafka.Record) error

func decoders() map[schemas.Topic]decoder {
	return map[schemas.Topic]decoder{
		schemas.Beacons:     (*tables).beacon,
		schemas.Visits:      (*tables).visit,
		schemas.Submissions: (*tables).submission,
		schemas.BadBeacons:  (*tables).badBeacon,
		schemas.Records:     (*tables).record,
		schemas.Edges:       (*tables).edge,
		schemas.Contacts:    (*tables).contact,
		schemas.Aliases:     (*tables).alias,
		schemas.Identities:  (*tables).identity,
		schemas.Decisions:   (*tables).decision,
		schemas.Scores:      (*tables).score,
	}
}

// tables holds the rows of one partition that are not in a file yet.
type tables struct {
	beacons      buffer[beaconRow]
	visits       buffer[visitRow]
	rebuilds     buffer[visitRow]
	submissions  buffer[submissionRow]
	records      buffer[recordRow]
	edges        buffer[edgeRow]
	contacts     buffer[contactRow]
	aliases      buffer[aliasRow]
	identities   buffer[identityRow]
	decisions    buffer[decisionRow]
	badBeacons   buffer[badBeaconRow]
	scores       buffer[scoreRow]
	explanations buffer[explanationRow]
	scoreRuns    buffer[scoreRunRow]

	seen       seen
	duplicates int64
	digest     xxhash.Digest
	badNames   *schemas.Names
	// regrouped is true where contacts have become one or several since it was last set to false.
	regrouped bool

	rows  int
	bytes int64
}

func newTables() *tables {
	t := &tables{badNames: schemas.NewNames("bad_beacon")}
	t.beacons.table = beaconsTable()
	t.visits.table = visitsTable()
	t.rebuilds.table = rebuildsTable()
	t.submissions.table = submissionsTable()
	t.records.table = recordsTable()
	t.edges.table = edgesTable()
	t.contacts.table = contactsTable()
	t.aliases.table = aliasesTable()
	t.identities.table = identitiesTable()
	t.decisions.table = decisionsTable()
	t.badBeacons.table = badBeaconsTable()
	t.scores.table = scoresTable()
	t.explanations.table = explanationsTable()
	t.scoreRuns.table = scoreRunsTable()
	return t
}

// all lists the tables, in the order of the data.
func (t *tables) all() []*table {
	return []*table{
		&t.beacons.table.table, &t.visits.table.table, &t.rebuilds.table.table,
		&t.submissions.table.table,
		&t.records.table.table, &t.edges.table.table, &t.contacts.table.table,
		&t.aliases.table.table, &t.identities.table.table, &t.decisions.table.table,
		&t.badBeacons.table.table, &t.scores.table.table, &t.explanations.table.table,
		&t.scoreRuns.table.table,
	}
}

// rowOverhead is what a row takes in builders beside its texts: offsets and bits of 40 columns.
const rowOverhead = 256

func (t *tables) added(bytes int) {
	t.rows++
	t.bytes += int64(bytes + rowOverhead)
}

// take empties the tables.
func (t *tables) take() []pending {
	var out []pending
	out = t.beacons.take(out)
	out = t.visits.take(out)
	out = t.rebuilds.take(out)
	out = t.submissions.take(out)
	out = t.records.take(out)
	out = t.edges.take(out)
	out = t.contacts.take(out)
	out = t.aliases.take(out)
	out = t.identities.take(out)
	out = t.decisions.take(out)
	out = t.badBeacons.take(out)
	out = t.scores.take(out)
	out = t.explanations.take(out)
	out = t.scoreRuns.take(out)
	t.rows, t.bytes = 0, 0
	return out
}

func (t *tables) beacon(at place, r kafka.Record) error {
	var entry schemas.BeaconRecord
	if err := entry.UnmarshalVT(r.Value); err != nil {
		return err
	}
	b := entry.GetBeacon()
	if b == nil {
		if entry.GetTick() == nil && entry.GetFlush() == nil {
			return fmt.Errorf("neither beacon, tick nor flush")
		}
		return nil
	}
	if t.seen.add(idOf(&t.digest, schemas.VisitorKey(schemas.Site(b.Site),
		schemas.VisitorID(b.VisitorId)), b.EventId), b.ReceivedAtUs) {
		t.duplicates++
		return nil
	}
	t.beacons.append(b.OccurredAtUs, &beaconRow{Beacon: b, place: at, url: splitURL(b.Url)})
	t.added(len(r.Value) + len(b.Url))
	return nil
}

func (t *tables) visit(at place, r kafka.Record) error {
	v := &schemas.Visit{}
	if err := v.UnmarshalVT(r.Value); err != nil {
		return err
	}
	if v.Rebuild != nil {
		t.rebuilds.append(v.Rebuild.RebuiltAtUs, &visitRow{v, at})
	} else {
		t.visits.append(v.StartedAtUs, &visitRow{v, at})
	}
	t.added(len(r.Value))
	return nil
}

func (t *tables) submission(at place, r kafka.Record) error {
	s := &schemas.Submission{}
	if err := s.UnmarshalVT(r.Value); err != nil {
		return err
	}
	if s.OccurredAtUs == 0 { // a review happens as it comes in
		s.OccurredAtUs = s.ReceivedAtUs
	}
	t.submissions.append(s.OccurredAtUs, &submissionRow{s, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) record(at place, r kafka.Record) error {
	v := &schemas.Record{}
	if err := v.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.records.append(v.LastAtUs, &recordRow{v, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) edge(at place, r kafka.Record) error {
	e := &schemas.Edge{}
	if err := e.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.edges.append(e.DecidedAtUs, &edgeRow{e, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) contact(at place, r kafka.Record) error {
	c := &schemas.Contact{}
	if err := c.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.contacts.append(c.UpdatedAtUs, &contactRow{c, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) alias(at place, r kafka.Record) error {
	a := &schemas.Alias{}
	if err := a.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.aliases.append(a.SinceUs, &aliasRow{a, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) identity(at place, r kafka.Record) error {
	i := &schemas.Identity{}
	if err := i.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.identities.append(i.LinkedAtUs, &identityRow{i, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) decision(at place, r kafka.Record) error {
	d := &schemas.Decision{}
	if err := d.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.regrouped = t.regrouped || len(d.Merged)+len(d.Parted) > 0
	t.decisions.append(d.DecidedAtUs, &decisionRow{d, at})
	t.added(len(r.Value))
	return nil
}

func (t *tables) badBeacon(at place, r kafka.Record) error {
	b := &schemas.BadBeacon{}
	if err := b.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.addBad(at, schemas.BadBeacons, b)
	return nil
}

func (t *tables) addBad(at place, topic schemas.Topic, b *schemas.BadBeacon) {
	t.badBeacons.append(b.ReceivedAtUs, &badBeaconRow{BadBeacon: b, place: at, topic: topic})
	t.added(len(b.Raw) + len(b.Detail))
}

func (t *tables) score(at place, r kafka.Record) error {
	s := &schemas.Score{}
	if err := s.UnmarshalVT(r.Value); err != nil {
		return err
	}
	if s.Run != nil {
		t.scoreRuns.append(s.AsOfUs, &scoreRunRow{s, at})
		t.added(len(r.Value))
		return nil
	}
	t.scores.append(s.AsOfUs, &scoreRow{s, at})
	t.added(len(r.Value))
	for i, c := range s.Contributions {
		t.explanations.append(s.AsOfUs, &explanationRow{s, c, at, int32(i + 1)})
		t.added(len(s.SubjectId) + len(c.EventId))
	}
	return nil
}

// undecodable keeps a record that nobody can read, with its bytes, among the bad beacons.
func (t *tables) undecodable(at place, topic schemas.Topic, r kafka.Record, cause error) {
	name := append([]byte(topic), 0)
	name = binary.BigEndian.AppendUint32(name, uint32(at.partition))
	name = binary.BigEndian.AppendUint64(name, uint64(at.offset))
	t.addBad(at, topic, &schemas.BadBeacon{
		BadBeaconId: t.badNames.ID(name), ReceivedAtUs: r.Timestamp * 1000,
		Protocol: "lake", Reason: "undecodable_record",
		Detail: fmt.Sprintf("topic %s, partition %d, offset %d: %v", topic, at.partition, at.offset,
			cause),
		Raw: r.Value,
	})
}
