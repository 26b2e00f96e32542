package ingest

import (
	"fmt"
	"net/http"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// ConsentPolicy says what a site assumes of a visitor who has said nothing.
type ConsentPolicy string

// The consent policies.
const (
	// ConsentRequired stores nothing and counts only, until consent is granted.
	ConsentRequired ConsentPolicy = "required"
	// ConsentImplied takes consent as given unless it is refused.
	ConsentImplied ConsentPolicy = "implied"
	// ConsentNotAsked makes visits, never people: nothing that a visitor says raises it.
	ConsentNotAsked ConsentPolicy = "not_asked"
)

// Validate returns an error for a policy that is none.
func (p ConsentPolicy) Validate() error {
	switch p {
	case ConsentRequired, ConsentImplied, ConsentNotAsked:
		return nil
	}
	return fmt.Errorf("consent policy %q: want required, implied or not_asked", string(p))
}

// choice is what a visitor has said about consent.
type choice int8

const (
	undecided choice = iota
	granted
	refused
)

// consent is the most that may be done with what comes from a visitor on a site of this policy.
// A signal of Global Privacy Control rules people out even where consent was granted before: where
// consent is required, nothing is left then.
func (p ConsentPolicy) consent(said choice, gpc bool) schemas.Consent {
	if said == refused {
		return schemas.Consent_CONSENT_NONE
	}
	switch p {
	case ConsentRequired:
		if said == granted && !gpc {
			return schemas.Consent_CONSENT_IDENTIFIED
		}
		return schemas.Consent_CONSENT_NONE
	case ConsentImplied:
		if !gpc {
			return schemas.Consent_CONSENT_IDENTIFIED
		}
	}
	return schemas.Consent_CONSENT_STATISTICAL
}

// lower returns the lesser of what is allowed and what the client asks for, if it asks.
func lower(allowed, asked schemas.Consent) schemas.Consent {
	if asked == schemas.Consent_CONSENT_UNSPECIFIED {
		return allowed
	}
	return min(allowed, asked)
}

// privacyControl says whether the browser sends the signal of Global Privacy Control.
func privacyControl(header http.Header) bool { return header.Get("Sec-GPC") == "1" }

// decodeChoice reads {"site":…,"choice":…}. To withdraw is to refuse from now on.
func decodeChoice(body []byte, limits Limits) (site string, said choice, ok bool) {
	if wellFormed(body, bounds{limits.Depth, limits.Keys, true}) != nil {
		return "", undecided, false
	}
	root := gjson.ParseBytes(body)
	switch root.Get("choice").Str {
	case "granted":
		said = granted
	case "refused", "withdrawn":
		said = refused
	default:
		return "", undecided, false
	}
	key := root.Get("site")
	return key.Str, said, key.Type == gjson.String
}
