package ingest

import (
	"fmt"
	"net/http"

	"crumbtrail/schemas"
)

// ConsentPolicy says what a site assumes of a visitor who has said nothing. It stands for an
// enforcement of each purpose.
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

// Purposes are what the beacons of a site may be used for, each with its enforcement. Analytics
// makes visits; marketing and profiling together make contacts and scores.
type Purposes struct{ Analytics, Marketing, Profiling Enforcement }

// purposes is what a policy stands for.
func (p ConsentPolicy) purposes() Purposes {
	switch p {
	case ConsentImplied:
		return Purposes{NonRestrictive, NonRestrictive, NonRestrictive}
	case ConsentNotAsked:
		return Purposes{Analytics: NonRestrictive}
	}
	return Purposes{Restrictive, Restrictive, Restrictive}
}

// Enforcement says what a purpose needs of the visitor. A purpose without one is not pursued.
type Enforcement string

// The enforcements.
const (
	// Restrictive needs that the visitor has opted in.
	Restrictive Enforcement = "restrictive"
	// NonRestrictive needs that the visitor has not opted out.
	NonRestrictive Enforcement = "non_restrictive"
	// Disabled does not ask what the visitor has said.
	Disabled Enforcement = "disabled"
)

// state is what a visitor has said of one purpose.
type state int8

const (
	optedOut state = iota - 1
	notSet
	optedIn
)

// permits says whether a purpose may be pursued.
func (e Enforcement) permits(s state) bool {
	switch e {
	case Restrictive:
		return s == optedIn
	case NonRestrictive:
		return s != optedOut
	case Disabled:
		return true
	}
	return false
}

// Short names of what a visitor has said.
const (
	undecided   = schemas.ConsentChoice_CONSENT_CHOICE_UNSPECIFIED
	refused     = schemas.ConsentChoice_CONSENT_CHOICE_REFUSED
	statistical = schemas.ConsentChoice_CONSENT_CHOICE_STATISTICAL
	granted     = schemas.ConsentChoice_CONSENT_CHOICE_GRANTED
)

// states are those of analytics and of what makes people.
func states(said schemas.ConsentChoice) (analytics, people state) {
	switch said {
	case granted:
		return optedIn, optedIn
	case statistical:
		return optedIn, optedOut
	case refused:
		return optedOut, optedOut
	}
	return notSet, notSet
}

// objection is what a signal of the browser or of the sender takes back, whatever was said before
// and however it is enforced.
type objection int8

const (
	noObjection objection = iota
	// toPeople takes back every opt-in, and leaves visits where they need none.
	toPeople
	// toAll is a refusal.
	toAll
)

// consent is the most that may be done with what comes from a visitor.
func (p Purposes) consent(said schemas.ConsentChoice, against objection) schemas.Consent {
	analytics, people := states(said)
	if against == toPeople {
		analytics = min(analytics, notSet)
	}
	switch {
	case against == toAll || !p.Analytics.permits(analytics):
		return schemas.Consent_CONSENT_NONE
	case against == noObjection && p.Marketing.permits(people) && p.Profiling.permits(people):
		return schemas.Consent_CONSENT_IDENTIFIED
	}
	return schemas.Consent_CONSENT_STATISTICAL
}

// signals are what the headers of a request say.
type signals struct {
	// privacyControl is Global Privacy Control.
	privacyControl bool
	// anonymous is a Snowplow tracker's wish that nobody be known.
	anonymous bool
}

func signalsOf(h http.Header) signals {
	return signals{privacyControl: h.Get("Sec-GPC") == "1"}
}

// verdict is how far consent goes, and what decided that.
type verdict struct {
	consent schemas.Consent
	source  schemas.ConsentSource
}

// judge decides what may be done on a site with what comes from a visitor. A signal is the source
// where it leaves less than the visitor's choice would.
func (s *Site) judge(said *statement, sent signals) verdict {
	v := verdict{s.purposes.consent(said.choice, noObjection), said.source}
	if said.choice == undecided {
		v.source = schemas.ConsentSource_CONSENT_SOURCE_SITE
	}
	if sent.privacyControl {
		v = v.under(s.purposes.consent(said.choice, toPeople), schemas.ConsentSource_CONSENT_SOURCE_GPC)
	}
	if sent.anonymous {
		v = v.under(schemas.Consent_CONSENT_NONE, schemas.ConsentSource_CONSENT_SOURCE_CLIENT)
	}
	return v
}

// under is the lesser of a verdict and what a source leaves.
func (v verdict) under(most schemas.Consent, source schemas.ConsentSource) verdict {
	if most < v.consent {
		return verdict{most, source}
	}
	return v
}
