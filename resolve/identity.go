package resolve

import (
	"crumbtrail/schemas"
)

// maxEdges bounds what is remembered of one browser. Only the last edge decides; the others are
// for people who look at a shared device.
const maxEdges = 64

// identities holds the edges from visitors to contacts, each visitor's in the order of its
// submissions.
type identities struct {
	byVisitor map[string]*schemas.VisitorEdges // by schemas.VisitorKey
	changed   map[string]bool                  // since the last checkpoint
}

func newIdentities() identities {
	return identities{byVisitor: map[string]*schemas.VisitorEdges{}, changed: map[string]bool{}}
}

// current returns the contact that a visitor is, empty where it is nobody yet.
func (i *identities) current(visitor []byte) (contactID string) {
	if edges := i.byVisitor[string(visitor)].GetEdges(); len(edges) > 0 {
		return edges[len(edges)-1].ContactId
	}
	return ""
}

// passedOn reports that a visitor was linked to another contact after a moment.
func (i *identities) passedOn(visitor []byte, us int64, contactID string) bool {
	edges := i.byVisitor[string(visitor)].GetEdges()
	if len(edges) == 0 {
		return false
	}
	last := edges[len(edges)-1]
	return last.LinkedAtUs > us && last.ContactId != contactID
}

// link records that a visitor is the contact of a submission, and returns the edge, nil where that
// was known. A visitor's first edge reaches back without limit: the history becomes known. On a
// shared device each later edge begins with its own submission, and never before the edge that it
// follows, so that every moment belongs to one contact.
func (i *identities) link(
	visitor []byte, s *schemas.Submission, contactID string,
) (edge *schemas.Identity, handedOver bool) {
	state := i.byVisitor[string(visitor)]
	if state == nil {
		state = &schemas.VisitorEdges{}
		i.byVisitor[string(visitor)] = state
	}
	edge = &schemas.Identity{
		Site: s.Site, VisitorId: s.VisitorId, ContactId: contactID, LinkedAtUs: s.ReceivedAtUs,
		Evidence: evidence(s.Kind), SubmissionId: s.SubmissionId,
	}
	if n := len(state.Edges); n > 0 {
		last := state.Edges[n-1]
		if last.ContactId == contactID {
			return nil, false
		}
		handedOver = true
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
	return edge, handedOver
}

// evidence names what a submission of a kind proves an edge by.
func evidence(kind schemas.SubmissionKind) string {
	if name := kind.Name(); name != "" {
		return name
	}
	return schemas.SubmissionKind_SUBMISSION_KIND_FORM.Name()
}
