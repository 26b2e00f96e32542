package ingest

import (
	"cmp"
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

// purposes is what a policy stands for, where p says nothing else. Visits need no opt-in where
// nothing is stored for them.
func (c ConsentPolicy) purposes(p Purposes, cookieless bool) Purposes {
	preset := Purposes{Restrictive, Restrictive, Restrictive}
	if cookieless {
		preset.Analytics = NonRestrictive
	}
	switch c {
	case ConsentImplied:
		preset = Purposes{NonRestrictive, NonRestrictive, NonRestrictive}
	case ConsentNotAsked:
		preset = Purposes{Analytics: NonRestrictive}
	}
	return Purposes{
		Analytics: cmp.Or(p.Analytics, preset.Analytics),
		Marketing: cmp.Or(p.Marketing, preset.Marketing),
		Profiling: cmp.Or(p.Profiling, preset.Profiling),
	}
}

func (p Purposes) validate() error {
	for _, e := range []Enforcement{p.Analytics, p.Marketing, p.Profiling} {
		switch e {
		case "", Restrictive, NonRestrictive, Disabled:
		default:
			return fmt.Errorf("enforcement %q: want restrictive, non_restrictive or disabled", string(e))
		}
	}
	return nil
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
	withdrawn   = schemas.ConsentChoice_CONSENT_CHOICE_WITHDRAWN
)

// states are those of analytics and of what makes people.
func states(said schemas.ConsentChoice) (analytics, people state) {
	switch said {
	case granted:
		return optedIn, optedIn
	case statistical:
		return optedIn, optedOut
	case refused, withdrawn:
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

// PrivacyControl says what Global Privacy Control takes back on a site.
type PrivacyControl string

// What Global Privacy Control takes back.
const (
	// PrivacyOptOut rules people out, and visits that need consent.
	PrivacyOptOut PrivacyControl = "opt_out"
	// PrivacyRefuse is a refusal of everything.
	PrivacyRefuse PrivacyControl = "refuse"
	// PrivacyIgnore takes nothing back.
	PrivacyIgnore PrivacyControl = "ignore"
)

func (p PrivacyControl) objection() (objection, error) {
	switch p {
	case "", PrivacyOptOut:
		return toPeople, nil
	case PrivacyRefuse:
		return toAll, nil
	case PrivacyIgnore:
		return noObjection, nil
	}
	return toAll, fmt.Errorf("privacy control %q: want opt_out, refuse or ignore", string(p))
}

// Signal is a means by which a page or a browser says what its visitor wants.
type Signal string

// The signals that a site can have, besides Global Privacy Control. The tracker asks for those of
// banners; the collector itself reads Do Not Track.
const (
	SignalTCF         Signal = "tcf"
	SignalGPP         Signal = "gpp"
	SignalConsentMode Signal = "gcm"
	SignalDoNotTrack  Signal = "dnt"
)

// Validate returns an error for a signal that is none.
func (s Signal) Validate() error {
	switch s {
	case SignalTCF, SignalGPP, SignalConsentMode, SignalDoNotTrack:
		return nil
	}
	return fmt.Errorf("consent signal %q: want tcf, gpp, gcm or dnt", string(s))
}

// signals are what the headers of a request say.
type signals struct {
	// privacyControl is Global Privacy Control, doNotTrack its predecessor.
	privacyControl, doNotTrack bool
	// anonymous is a Snowplow tracker's wish that nobody be known.
	anonymous bool
}

func signalsOf(h http.Header) signals {
	return signals{privacyControl: h.Get("Sec-Gpc") == "1", doNotTrack: h.Get("Dnt") == "1"}
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
		v = v.under(s.purposes.consent(said.choice, s.objection),
			schemas.ConsentSource_CONSENT_SOURCE_GPC)
	}
	if sent.doNotTrack && s.doNotTrack {
		v = v.under(s.purposes.consent(said.choice, max(s.objection, toPeople)),
			schemas.ConsentSource_CONSENT_SOURCE_DNT)
	}
	if sent.anonymous {
		v = v.under(schemas.Consent_CONSENT_NONE, schemas.ConsentSource_CONSENT_SOURCE_CLIENT)
	}
	return v
}

// Recorded is the consent of a recorded beacon that says nothing of it. Its visitor was known to
// whoever recorded it, so that it is not cookieless.
func (s Site) Recorded() schemas.Consent {
	return s.Consent.purposes(s.Enforcement, false).consent(undecided, noObjection)
}

// script is the policy that a site's tracker goes by before the collector has said anything: it
// stores nothing of its own until as much is known as makes people of visits.
func (p Purposes) script() ConsentPolicy {
	unsaid, most := p.consent(undecided, noObjection), p.consent(granted, noObjection)
	switch {
	case unsaid == most && most == schemas.Consent_CONSENT_IDENTIFIED:
		return ConsentImplied
	case unsaid == most && most == schemas.Consent_CONSENT_STATISTICAL:
		return ConsentNotAsked
	}
	return ConsentRequired
}

// under is the lesser of a verdict and what a source leaves.
func (v verdict) under(most schemas.Consent, source schemas.ConsentSource) verdict {
	if most < v.consent {
		return verdict{most, source}
	}
	return v
}
