package schemas

import "strconv"

// VisitIDs names visits by what began them, so that the same input gives the same id: a Names of
// kind visit over site, visitor, occurred_at of the first beacon in decimal microseconds since the
// epoch, and that beacon's event id. Not for concurrent use.
type VisitIDs struct {
	names *Names
	name  []byte
}

// NewVisitIDs returns the one naming of visits.
func NewVisitIDs() *VisitIDs { return &VisitIDs{names: NewNames("visit")} }

// ID returns the id of the visit that began with a beacon. Only the event id, which comes last in
// the name, may hold a zero byte itself.
func (v *VisitIDs) ID(site Site, visitor VisitorID, occurredUS int64, eventID string) string {
	v.name = append(append(v.name[:0], site...), 0)
	v.name = append(append(v.name, visitor...), 0)
	v.name = append(strconv.AppendInt(v.name, occurredUS, 10), 0)
	v.name = append(v.name, eventID...)
	return v.names.ID(v.name)
}
