package resolve

import (
	"crumbtrail/schemas"
)

// maxEdges bounds what is remembered of one browser. Only the last edge decides; the others are
// for people who look at a shared device.
const maxEdges = 64

// identities holds the edges from visitors to records, each visitor's in the order of its
// submissions. Whose browser it is says the contact that the record is part of now.
type identities struct {
	byVisitor map[string]*schemas.VisitorEdges // by schemas.VisitorKey
	changed   map[string]bool                  // since the last checkpoint
}

func newIdentities() identities {
	return identities{byVisitor: map[string]*schemas.VisitorEdges{}, changed: map[string]bool{}}
}

// last returns a visitor's last edge, nil where it is nobody yet.
func (i *identities) last(visitor []byte) *schemas.Identity {
	if edges := i.byVisitor[string(visitor)].GetEdges(); len(edges) > 0 {
		return edges[len(edges)-1]
	}
	return nil
}

// link records that a visitor is whoever has a record that a submission made or repeated, and
// returns the edge, nil where the last one is of the same record. A visitor's first edge reaches
// back without limit: the history becomes known. Each later edge begins with its own submission,
// and never before the edge that it follows, so that every moment belongs to one record, and on a
// shared device, or after a contact came apart, to one contact.
func (i *identities) link(
	visitor []byte, s *schemas.Submission, recordID, contactID string,
) *schemas.Identity {
	state := i.byVisitor[string(visitor)]
	if state == nil {
		state = &schemas.VisitorEdges{}
		i.byVisitor[string(visitor)] = state
	}
	edge := &schemas.Identity{
		Site: s.Site, VisitorId: s.VisitorId, ContactId: contactID, LinkedAtUs: s.ReceivedAtUs,
		Evidence: evidence(s.Kind), SubmissionId: s.SubmissionId, RecordId: recordID,
	}
	if last := i.last(visitor); last != nil {
		if last.RecordId == recordID {
			return nil
		}
		edge.ValidFromUs = s.OccurredAtUs
		if edge.ValidFromUs == 0 {
			edge.ValidFromUs = s.ReceivedAtUs
		}
		edge.ValidFromUs = max(edge.ValidFromUs, last.ValidFromUs+1)
	}
	state.Edges = append(state.Edges, edge)
	if extra := len(state.Edges) - maxEdges; extra > 0 {
		state.Edges = append(state.Edges[:0:0], state.Edges[extra:]...)
	}
	i.changed[string(visitor)] = true
	return edge
}

// evidence names what a submission of a kind proves an edge by.
func evidence(kind schemas.SubmissionKind) string {
	if name := kind.Name(); name != "" {
		return name
	}
	return schemas.SubmissionKind_SUBMISSION_KIND_FORM.Name()
}
