package schemas

// ConfirmPurpose is what the token in a confirmation's link is signed for. Its payload is what
// Confirmation returns, encoded.
const ConfirmPurpose = "confirm"

// ConfirmationID is the id of the confirmation of a submission, which follows from who sent what: a
// submission's own id is its sender's text, so that a link for one person's mailbox must not
// confirm what another has sent under the same id.
func ConfirmationID(s *Submission) string {
	name := append(VisitorKey(Site(s.Site), VisitorID(s.VisitorId)), 0)
	name = append(append(name, s.SubmissionId...), 0)
	return NewNames("confirmation").ID(append(name, s.Email...))
}

// Confirmation is what confirms a submission, once it has its time: its link's click.
func Confirmation(s *Submission) *Submission {
	return &Submission{
		SubmissionId: ConfirmationID(s), Kind: SubmissionKind_SUBMISSION_KIND_CONFIRMATION,
		Site: s.Site, Form: s.Form, Confirms: s.SubmissionId, Consent: Consent_CONSENT_NONE,
	}
}
