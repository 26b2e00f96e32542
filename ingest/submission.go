package ingest

import (
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// submission is what a form says of who sent it: its form_submit beacon gives the rest. fields is
// a JSON object or empty; secrets counts those that were left out.
func submission(
	b *schemas.Beacon, form string, fields []byte,
) (s *schemas.Submission, secrets int) {
	s = &schemas.Submission{
		SubmissionId: b.EventId,
		Kind:         schemas.SubmissionKind_SUBMISSION_KIND_FORM,
		Site:         b.Site,
		VisitorId:    b.VisitorId,
		Consent:      b.Consent,
		ReceivedAtUs: b.ReceivedAtUs,
		OccurredAtUs: b.OccurredAtUs,
		Form:         form,
		Url:          b.Url,
		Protocol:     b.Protocol,
	}
	if len(fields) == 0 {
		return s, 0
	}
	s.Fields, secrets = dropSecrets(fields)
	gjson.ParseBytes(s.Fields).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "email":
			s.Email = typed(v)
		case "first_name":
			s.FirstName = typed(v)
		case "last_name":
			s.LastName = typed(v)
		case "phone":
			s.Phone = typed(v)
		case "company":
			s.Company = typed(v)
		}
		return true
	})
	return s, secrets
}

// typed is what was typed into a field, the first of several; a number is its digits.
func typed(v gjson.Result) string {
	if v.IsArray() {
		v = v.Get("0")
	}
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		return v.Raw
	}
	return ""
}
