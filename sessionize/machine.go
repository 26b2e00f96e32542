package sessionize

import (
	"fmt"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// Machine sessionizes one partition of the topic beacons; see stage.Machine. Its state holds what
// the open visits and the dedupe window need: it is bounded by the beacons that come in within
// gap, grace and window, and per visitor by maxVisitorBytes and maxClosedIDs.
type Machine struct {
	partition int32
	sessions  *sessions
	badIDs    *schemas.Names
	record    record
	out       *stage.Output // during Apply
}

// Counts says what became of the records of a partition since its first one, across restarts, and
// how many visits are open. Beacons = Counted + Duplicates + those in visits.
type Counts struct {
	// Beacons are all that could be read.
	Beacons int64
	// Counted beacons have no consent or no visitor, so they are in no visit.
	Counted int64
	// Duplicates of a beacon in an open visit, or in one that closed within the dedupe window.
	Duplicates int64
	// Late beacons came after their time had been closed.
	Late int64
	// Bad records could not be used and went to bad-beacons.
	Bad int64
	// Visits were put out.
	Visits int64
	// Open visits there are now.
	Open int64
}

// New returns the machine of a partition, before its first record. The configuration must be
// valid.
func New(cfg Config, partition int32) *Machine {
	m := &Machine{partition: partition, badIDs: schemas.NewNames("bad_beacon")}
	m.sessions = newSessions(cfg, partition, m.emit)
	return m
}

// Counts may be called wherever Apply may be.
func (m *Machine) Counts() Counts { return m.sessions.counts }

// ClockUS returns the partition's clock in microseconds since the epoch, 0 before the first record.
func (m *Machine) ClockUS() int64 { return m.sessions.clock.nowUS }

// Size implements stage.Machine. What was put out is not in it.
func (m *Machine) Size() int64 { return m.sessions.size() }

// Apply implements stage.Machine.
func (m *Machine) Apply(batch []stage.Record, out *stage.Output) {
	m.out = out
	for i := range batch {
		out.Timestamp = batch[i].Timestamp
		m.apply(&batch[i])
	}
	m.out = nil
}

func (m *Machine) apply(from *stage.Record) {
	r := &m.record
	if f := r.decode(from.Value); f.reason != "" {
		m.reject(from, f)
		return
	}
	switch r.kind {
	case beaconRecord:
		r.beacon.offset = from.Offset
		if len(r.beacon.collector) > 0 { // a redrive says nothing of what time it is
			m.sessions.hear(r.beacon.collector, r.beacon.saidUS(), from.Timestamp)
		}
		m.sessions.add(&r.beacon)
	case tickRecord:
		m.sessions.hear(r.collector, r.saidUS, from.Timestamp)
	case flushRecord:
		m.sessions.flush()
	}
}

// emit puts out a visit that has closed.
func (m *Machine) emit(key, value []byte) { m.out.Put(string(schemas.Visits), key, value) }

// badRawBytes is how much of a bad record is kept.
const badRawBytes = 64 << 10

// reject puts a record that cannot be used where it can be looked at. Its id follows from where
// it stands, so that a replay repeats it.
func (m *Machine) reject(from *stage.Record, f fault) {
	m.sessions.counts.Bad++
	site, _, _ := schemas.SplitVisitorKey(from.Key)
	where := fmt.Sprintf("%s/%d/%d", schemas.Beacons, m.partition, from.Offset)
	bad := &schemas.BadBeacon{
		BadBeaconId:  m.badIDs.ID([]byte(where)),
		Site:         string(site),
		ReceivedAtUs: from.Timestamp * 1000,
		Protocol:     "sessionize",
		Reason:       f.reason,
		Detail:       where + ": " + f.detail,
		Path:         f.path,
		Raw:          from.Value[:min(len(from.Value), badRawBytes)],
		Truncated:    len(from.Value) > badRawBytes,
	}
	value, err := bad.MarshalVT()
	mustWrite(err)
	m.out.Put(string(schemas.BadBeacons), []byte(site), value)
}

// Checkpoint implements stage.Machine.
func (m *Machine) Checkpoint(put func(key, value []byte)) {
	mustWrite(m.sessions.checkpoint(put))
}

// Restore implements stage.Machine.
func (m *Machine) Restore(key, value []byte) error { return m.sessions.restore(key, value) }

// mustWrite panics where a message of ours cannot be encoded, which no input can bring about.
func mustWrite(err error) {
	if err != nil {
		panic("sessionize: encode: " + err.Error())
	}
}
