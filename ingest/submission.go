package ingest

import (
	"cmp"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// submission is what a form says of who sent it: its form_submit beacon gives the rest. fields is
// a JSON object or empty; secrets counts those that were left out.
func (f forms) submission(
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
	held := gjson.ParseBytes(s.Fields)
	rules := f.of(b.Site, form)
	// Where a trap has a secret's name, what filled it in is not kept.
	s.SpamRule = rules.spamRule(gjson.ParseBytes(fields), cmp.Or(b.CreatedAtUs, b.ReceivedAtUs))
	s.Consents = rules.consents(held)
	for _, a := range []struct {
		attribute string
		to        *string
	}{
		{"email", &s.Email},
		{"first_name", &s.FirstName},
		{"last_name", &s.LastName},
		{"phone", &s.Phone},
		{"company", &s.Company},
	} {
		*a.to = typed(fieldOf(held, f.fieldOf(a.attribute, b.Site, form)))
	}
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
