package schemas

import "strconv"

// VisitIDs names visits by what began them, so that the same input gives the same id: a Names of
// kind visit over site, visitor, occurred_at of the first beacon in decimal microseconds since the
// epoch, and that beacon's event id. Not for concurrent use.
type VisitIDs struct {
	names, late *Names
	name        []byte
}

// NewVisitIDs returns the one naming of visits.
func NewVisitIDs() *VisitIDs {
	return &VisitIDs{names: NewNames("visit"), late: NewNames("late_visit")}
}

// AppendID appends the id of the visit that began with a beacon of the visitor who has the
// VisitorKey. Only the event id, which comes last in the name, may hold a zero byte itself.
func (v *VisitIDs) AppendID(to []byte, visitorKey string, occurredUS int64, eventID []byte) []byte {
	v.begin(visitorKey, occurredUS)
	v.name = append(v.name, eventID...)
	return v.names.AppendID(to, v.name)
}

// AppendLateID appends the id of a late visit, which also names the clock until which it waited:
// beacons that are sent again after the dedupe window make a late visit that begins as the first
// one did, and two visits must not have one id.
func (v *VisitIDs) AppendLateID(
	to []byte, visitorKey string, occurredUS, lingerUntilUS int64, eventID []byte,
) []byte {
	v.begin(visitorKey, occurredUS)
	v.name = append(strconv.AppendInt(v.name, lingerUntilUS, 10), 0)
	v.name = append(v.name, eventID...)
	return v.late.AppendID(to, v.name)
}

func (v *VisitIDs) begin(visitorKey string, occurredUS int64) {
	v.name = append(append(v.name[:0], visitorKey...), 0)
	v.name = append(strconv.AppendInt(v.name, occurredUS, 10), 0)
}
