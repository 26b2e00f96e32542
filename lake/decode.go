package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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
		schemas.Handoffs:    (*tables).handoff,
		schemas.Erasures:    (*tables).erasure,
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
	handoffs     buffer[handoffRow]
	deliveries   buffer[deliveryRow]
	erasures     buffer[erasureRow]

	seen       seen
	duplicates int64
	reading    reading
	badNames   *schemas.Names
	// regrouped is true where contacts have become one or several since it was last set to false.
	regrouped bool
	// filter says what is erased, dropped counts by request and table the rows that were not written
	// for it or were taken out; droppedAny is true where some were since it was last set to false.
	filter     *filter
	dropped    map[string]tableRows
	droppedAny bool

	rows int
}

// reading is what a beacon is read into, again and again: its texts are those of the record.
type reading struct {
	entry  schemas.BeaconRecord
	beacon schemas.BeaconRecord_Beacon
	agent  schemas.Agent
	row    beaconRow
	id     []byte
}

// beaconTag is how a record begins that is a beacon.
const beaconTag = 1<<3 | 2

// decode reads a record. What it returns holds until the next call, and as long as value does.
func (r *reading) decode(value []byte) (*schemas.BeaconRecord, error) {
	r.entry.Entry = nil
	if len(value) > 0 && value[0] == beaconTag {
		r.agent.Reset()
		r.beacon.Beacon.Reset()
		r.beacon.Beacon.Agent = &r.agent
		r.entry.Entry = &r.beacon
	}
	err := r.entry.UnmarshalVTUnsafe(value)
	return &r.entry, err
}

func newTables() *tables {
	t := &tables{
		badNames: schemas.NewNames("bad_beacon"), filter: newFilter(nil),
		dropped: map[string]tableRows{},
	}
	t.reading.beacon.Beacon = &schemas.Beacon{}
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
	t.handoffs.table = handoffsTable()
	t.deliveries.table = deliveriesTable()
	t.erasures.table = erasuresTable()
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
		&t.scoreRuns.table.table, &t.handoffs.table.table, &t.deliveries.table.table,
		&t.erasures.table.table,
	}
}

// named is the table of a name.
func (t *tables) named(name string) *table {
	all := t.all()
	return all[slices.IndexFunc(all, func(t *table) bool { return t.name == name })]
}

// bytes is about what the rows take in memory.
func (t *tables) bytes() int64 {
	return t.beacons.bytes() + t.visits.bytes() + t.submissions.bytes() + t.records.bytes() +
		t.edges.bytes() + t.contacts.bytes() + t.aliases.bytes() + t.identities.bytes() +
		t.decisions.bytes() + t.badBeacons.bytes() + t.scores.bytes() + t.explanations.bytes() +
		t.scoreRuns.bytes() + t.rebuilds.bytes() + t.handoffs.bytes() + t.deliveries.bytes() +
		t.erasures.bytes()
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
	out = t.handoffs.take(out)
	out = t.deliveries.take(out)
	out = t.erasures.take(out)
	t.rows = 0
	return out
}

func (t *tables) beacon(at place, r kafka.Record) error {
	entry, err := t.reading.decode(r.Value)
	if err != nil {
		return err
	}
	b := entry.GetBeacon()
	if b == nil {
		if entry.GetTick() == nil && entry.GetFlush() == nil {
			return fmt.Errorf("neither beacon, tick nor flush")
		}
		return nil
	}
	if t.erased("beacons", t.filter.beacon(b)) {
		return nil
	}
	id := idOf(&t.reading.id, b.Site, b.VisitorId, b.EventId)
	if t.seen.add(id, b.ReceivedAtUs) {
		t.duplicates++
		return nil
	}
	t.reading.row = beaconRow{Beacon: b, place: at, url: splitURL(b.Url)}
	t.beacons.append(b.OccurredAtUs, &t.reading.row)
	t.rows++
	return nil
}

func (t *tables) visit(at place, r kafka.Record) error {
	v := &schemas.Visit{}
	if err := v.UnmarshalVT(r.Value); err != nil {
		return err
	}
	if v.Rebuild != nil {
		t.rebuilds.append(v.Rebuild.RebuiltAtUs, &visitRow{v, at})
		t.rows++
		return nil
	}
	if t.erased("visits", t.filter.visit(v, r.Timestamp*1000)) {
		return nil
	}
	t.visits.append(v.StartedAtUs, &visitRow{v, at})
	t.rows++
	return nil
}

func (t *tables) submission(at place, r kafka.Record) error {
	s := &schemas.Submission{}
	if err := s.UnmarshalVT(r.Value); err != nil {
		return err
	}
	if s.Kind == schemas.SubmissionKind_SUBMISSION_KIND_ERASURE {
		return nil // what came of it is on a topic of its own
	}
	if s.OccurredAtUs == 0 { // a review happens as it comes in
		s.OccurredAtUs = s.ReceivedAtUs
	}
	t.submissions.append(s.OccurredAtUs, &submissionRow{s, at})
	t.rows++
	return nil
}

func (t *tables) record(at place, r kafka.Record) error {
	v := &schemas.Record{}
	if err := v.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.records.append(v.LastAtUs, &recordRow{v, at})
	t.rows++
	return nil
}

func (t *tables) edge(at place, r kafka.Record) error {
	e := &schemas.Edge{}
	if err := e.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.edges.append(e.DecidedAtUs, &edgeRow{e, at})
	t.rows++
	return nil
}

func (t *tables) contact(at place, r kafka.Record) error {
	c := &schemas.Contact{}
	if err := c.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.contacts.append(c.UpdatedAtUs, &contactRow{c, at})
	t.rows++
	return nil
}

func (t *tables) alias(at place, r kafka.Record) error {
	a := &schemas.Alias{}
	if err := a.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.aliases.append(a.SinceUs, &aliasRow{a, at})
	t.rows++
	return nil
}

func (t *tables) identity(at place, r kafka.Record) error {
	i := &schemas.Identity{}
	if err := i.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.identities.append(i.LinkedAtUs, &identityRow{i, at})
	t.rows++
	return nil
}

func (t *tables) decision(at place, r kafka.Record) error {
	d := &schemas.Decision{}
	if err := d.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.regrouped = t.regrouped || len(d.Merged)+len(d.Parted) > 0
	t.decisions.append(d.DecidedAtUs, &decisionRow{d, at})
	t.rows++
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
	t.rows++
}

func (t *tables) score(at place, r kafka.Record) error {
	s := &schemas.Score{}
	if err := s.UnmarshalVT(r.Value); err != nil {
		return err
	}
	if s.Run != nil {
		t.scoreRuns.append(s.AsOfUs, &scoreRunRow{s, at})
		t.rows++
		return nil
	}
	if t.erased("scores", t.filter.subject(s.SubjectType, s.SubjectId, s.RunAtUs)) {
		return nil
	}
	t.scores.append(s.AsOfUs, &scoreRow{s, at})
	t.rows++
	for i, c := range s.Contributions {
		t.explanations.append(s.AsOfUs, &explanationRow{s, c, at, int32(i + 1)})
		t.rows++
	}
	return nil
}

func (t *tables) handoff(at place, r kafka.Record) error {
	entry := &schemas.HandoffRecord{}
	if err := entry.UnmarshalVT(r.Value); err != nil {
		return err
	}
	switch e := entry.Entry.(type) {
	case *schemas.HandoffRecord_Handoff:
		h := e.Handoff
		if t.erased("handoffs", t.filter.subject(h.SubjectType, h.SubjectId, h.RunAtUs)) {
			return nil
		}
		t.handoffs.append(e.Handoff.RunAtUs, &handoffRow{e.Handoff, at})
	case *schemas.HandoffRecord_Delivery:
		t.deliveries.append(e.Delivery.AtUs, &deliveryRow{e.Delivery, at})
	case *schemas.HandoffRecord_Redelivery: // the delivery that it asks for says what came of it
		return nil
	default:
		return errors.New("neither hand-off, delivery nor redelivery")
	}
	t.rows++
	return nil
}

// erased counts a record that has no row in a table, as a request, where there is one, says so.
func (t *tables) erased(table, request string) bool {
	if request == "" {
		return false
	}
	addRows(t.dropped, request, table, 1)
	t.droppedAny = true
	return true
}

func (t *tables) erasure(at place, r kafka.Record) error {
	e := &schemas.Erasure{}
	if err := e.UnmarshalVT(r.Value); err != nil {
		return err
	}
	t.erasures.append(e.ErasedAtUs, &erasureRow{e, at})
	t.rows++
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
