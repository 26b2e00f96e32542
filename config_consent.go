package main

import "crumbtrail/internal/strictyaml"

// ConsentPolicy says what a site assumes of a visitor who has said nothing yet.
type ConsentPolicy string

// The policies: nothing stored until granted; identified unless refused; never more than
// statistical; that, within the bounds of an exemption from asking.
const (
	ConsentRequired ConsentPolicy = "required"
	ConsentImplied  ConsentPolicy = "implied"
	ConsentNotAsked ConsentPolicy = "not_asked"
	ConsentExempt   ConsentPolicy = "exempt"
)

// UnmarshalText refuses what is no policy.
func (p *ConsentPolicy) UnmarshalText(text []byte) error {
	*p = ConsentPolicy(text)
	return strictyaml.OneOf(string(text), string(ConsentRequired), string(ConsentImplied),
		string(ConsentNotAsked), string(ConsentExempt))
}

// exemptLifetime is the shortest thirteen months, from the 1st of February to the 1st of March.
const exemptLifetime = 393 * day

// exempt holds a site to what France's CNIL exempts from asking: statistics alone, and a cookie of
// thirteen months that is not renewed.
func (r *configRules) exempt(at string, s *Site) {
	if s.Consent != ConsentExempt {
		return
	}
	if !r.doc.Has(at + "cookie_lifetime") {
		s.CookieLifetime = exemptLifetime
	}
	if !r.doc.Has(at + "cookie_renew") {
		s.CookieRenew = false
	}
	const hint = `"not_asked" has no such bounds`
	if s.CookieLifetime > exemptLifetime {
		r.report(at+"cookie_lifetime", hint, "consent: exempt allows %s at most",
			strictyaml.FormatDuration(exemptLifetime))
	}
	if s.CookieRenew {
		r.report(at+"cookie_renew", hint, "consent: exempt allows no renewal")
	}
	const people = "consent: exempt allows statistics alone"
	if s.Enforcement.Marketing != "" {
		r.report(at+"enforcement.marketing", "leave it out: it needs consent", people)
	}
	if s.Enforcement.Profiling != "" {
		r.report(at+"enforcement.profiling", "leave it out: it needs consent", people)
	}
	if s.Enforcement.Analytics == EnforcementDisabled {
		r.report(at+"enforcement.analytics", "", "consent: exempt leaves visitors a way to object")
	}
}

// Enforcements say of each purpose what it needs of a visitor; an empty one is what the site's
// consent policy stands for.
type Enforcements struct {
	Analytics Enforcement `yaml:"analytics"`
	Marketing Enforcement `yaml:"marketing"`
	Profiling Enforcement `yaml:"profiling"`
}

// Enforcement says what a purpose needs of a visitor before it is pursued.
type Enforcement string

// The enforcements: that the visitor has opted in; that they have not opted out; nothing.
const (
	Restrictive         Enforcement = "restrictive"
	NonRestrictive      Enforcement = "non_restrictive"
	EnforcementDisabled Enforcement = "disabled"
)

// UnmarshalText refuses what is no enforcement.
func (e *Enforcement) UnmarshalText(text []byte) error {
	*e = Enforcement(text)
	return strictyaml.OneOf(string(text),
		string(Restrictive), string(NonRestrictive), string(EnforcementDisabled))
}

// PrivacyControl says what the signal of Global Privacy Control takes back.
type PrivacyControl string

// What it takes back: people, and visits that need consent; everything; nothing.
const (
	PrivacyOptOut PrivacyControl = "opt_out"
	PrivacyRefuse PrivacyControl = "refuse"
	PrivacyIgnore PrivacyControl = "ignore"
)

// UnmarshalText refuses what is none of them.
func (p *PrivacyControl) UnmarshalText(text []byte) error {
	*p = PrivacyControl(text)
	return strictyaml.OneOf(string(text),
		string(PrivacyOptOut), string(PrivacyRefuse), string(PrivacyIgnore))
}

// ConsentSignal is a means by which a page or a browser says what its visitor wants: IAB TCF, IAB
// GPP, Google's Consent Mode, Do Not Track.
type ConsentSignal string

// UnmarshalText refuses what is no signal.
func (s *ConsentSignal) UnmarshalText(text []byte) error {
	*s = ConsentSignal(text)
	return strictyaml.OneOf(string(text), "tcf", "gpp", "gcm", "dnt")
}
