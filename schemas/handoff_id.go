package schemas

import "strconv"

// HandoffIDs names hand-offs by what they say, so that the same episode has the same id whenever it
// is found: a Names of kind handoff over model, subject type, subject id and episode in decimal
// microseconds since the epoch. Not for concurrent use.
type HandoffIDs struct{ names *Names }

// NewHandoffIDs returns the one naming of hand-offs.
func NewHandoffIDs() *HandoffIDs { return &HandoffIDs{NewNames("handoff")} }

// ID returns the id of a hand-off.
func (h *HandoffIDs) ID(model, subjectType, subjectID string, episodeUs int64) string {
	return h.names.ID(strconv.AppendInt(
		[]byte(model+"\x00"+subjectType+"\x00"+subjectID+"\x00"), episodeUs, 10))
}
