package ingest

import (
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// FormMapping says which fields of a form hold what is known of a contact.
type FormMapping struct {
	// Form is what the page, or the poster, calls the form.
	Form string
	// Site is a site's key; empty for all sites that have no mapping of their own.
	Site string
	// Fields has the name of the form's field by attribute: email, first_name, last_name, phone,
	// company. An attribute that is not in it goes by its own name.
	Fields map[string]string
	// Selector is the CSS selector by which the tracker knows the form on a page that says nothing
	// of it: the form's own, or that of an element around it. Empty where it does not look for it.
	Selector string
}

// forms are the mappings of a configuration.
type forms []FormMapping

// fieldOf returns the name of the field that holds an attribute.
func (f forms) fieldOf(attribute, site, form string) string {
	field := attribute
	for _, m := range f {
		if m.Form != form || m.Site != "" && m.Site != site {
			continue
		}
		mapped, ok := m.Fields[attribute]
		switch {
		case !ok:
		case m.Site != "":
			return mapped
		default:
			field = mapped
		}
	}
	return field
}

// captured are the selectors and names of the forms that a site's tracker looks for, the site's own
// before those of all sites.
func (f forms) captured(site string) (list [][2]string) {
	for _, of := range []string{site, ""} {
		for _, m := range f {
			if m.Selector != "" && m.Site == of {
				list = append(list, [2]string{m.Selector, m.Form})
			}
		}
	}
	return list
}

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
		field := f.fieldOf(a.attribute, b.Site, form)
		// Not Get: in a path, characters of a field's name would have a meaning.
		held.ForEach(func(key, v gjson.Result) bool {
			if key.Str == field {
				*a.to = typed(v)
			}
			return true
		})
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
