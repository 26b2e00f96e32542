package schemas

import "strings"

// The names of enum values as they stand at the edge and in the lake: page_view, identified, ...
// An unspecified value has the empty name, and an unknown name is the unspecified value.

// Name returns the beacon type's name in the wire format and in SQL.
func (x BeaconType) Name() string {
	switch x {
	case BeaconType_BEACON_TYPE_PAGE_VIEW:
		return "page_view"
	case BeaconType_BEACON_TYPE_PING:
		return "ping"
	case BeaconType_BEACON_TYPE_LINK_CLICK:
		return "link_click"
	case BeaconType_BEACON_TYPE_FORM_SUBMIT:
		return "form_submit"
	case BeaconType_BEACON_TYPE_CUSTOM:
		return "custom"
	case BeaconType_BEACON_TYPE_REQUEST:
		return "request"
	}
	return enumName(x.String(), "BEACON_TYPE_")
}

// ParseBeaconType is the inverse of Name; ok is false for a name that is none.
func ParseBeaconType(name string) (t BeaconType, ok bool) {
	v, ok := parseEnum(BeaconType_value, "BEACON_TYPE_", name)
	return BeaconType(v), ok
}

// Name returns the consent mode's name in the wire format and in SQL.
func (x Consent) Name() string {
	switch x {
	case Consent_CONSENT_NONE:
		return "none"
	case Consent_CONSENT_STATISTICAL:
		return "statistical"
	case Consent_CONSENT_IDENTIFIED:
		return "identified"
	}
	return enumName(x.String(), "CONSENT_")
}

// ParseConsent is the inverse of Name; ok is false for a name that is none.
func ParseConsent(name string) (c Consent, ok bool) {
	v, ok := parseEnum(Consent_value, "CONSENT_", name)
	return Consent(v), ok
}

// Name returns the choice's name in the cookie and in SQL.
func (x ConsentChoice) Name() string {
	switch x {
	case ConsentChoice_CONSENT_CHOICE_REFUSED:
		return "refused"
	case ConsentChoice_CONSENT_CHOICE_STATISTICAL:
		return "statistical"
	case ConsentChoice_CONSENT_CHOICE_GRANTED:
		return "granted"
	case ConsentChoice_CONSENT_CHOICE_WITHDRAWN:
		return "withdrawn"
	}
	return ""
}

// Name returns the source's name in the cookie and in SQL.
func (x ConsentSource) Name() string {
	switch x {
	case ConsentSource_CONSENT_SOURCE_SITE:
		return "site"
	case ConsentSource_CONSENT_SOURCE_API:
		return "api"
	case ConsentSource_CONSENT_SOURCE_TCF:
		return "tcf"
	case ConsentSource_CONSENT_SOURCE_GPP:
		return "gpp"
	case ConsentSource_CONSENT_SOURCE_GCM:
		return "gcm"
	case ConsentSource_CONSENT_SOURCE_GPC:
		return "gpc"
	case ConsentSource_CONSENT_SOURCE_DNT:
		return "dnt"
	case ConsentSource_CONSENT_SOURCE_CLIENT:
		return "client"
	}
	return ""
}

// Name returns the submission kind's name in SQL.
func (x SubmissionKind) Name() string { return enumName(x.String(), "SUBMISSION_KIND_") }

// Name returns the verdict's name in SQL.
func (x EdgeVerdict) Name() string { return enumName(x.String(), "EDGE_VERDICT_") }

// Name returns the verdict's name in SQL.
func (x Verdict) Name() string { return enumName(x.String(), "VERDICT_") }

// Name returns the outcome's name in SQL.
func (x Outcome) Name() string { return enumName(x.String(), "OUTCOME_") }

// Name returns the outcome's name in SQL.
func (x DeliveryOutcome) Name() string { return enumName(x.String(), "DELIVERY_OUTCOME_") }

const unspecified = "unspecified"

func enumName(value, prefix string) string {
	name := strings.ToLower(strings.TrimPrefix(value, prefix))
	if name == unspecified {
		return ""
	}
	return name
}

func parseEnum(values map[string]int32, prefix, name string) (int32, bool) {
	if name == "" || name == unspecified || name != strings.ToLower(name) {
		return 0, false
	}
	v, ok := values[prefix+strings.ToUpper(name)]
	return v, ok
}
