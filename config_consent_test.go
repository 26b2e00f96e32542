package main

import (
	"reflect"
	"testing"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/schemas"
)

// TestCollectedConsent holds that the collector gets what the configuration says of consent.
func TestCollectedConsent(t *testing.T) {
	const text = `
sites:
  - key: exempt
    consent: exempt
  - key: all
    consent: implied
    enforcement: {analytics: disabled, marketing: non_restrictive, profiling: restrictive}
    consent_signals: [gpp, dnt]
    gpc: refuse
    embedded: true
    cookieless: true
    salt_hour: 5
    cookie_lifetime: 30d
    cookie_renew: false
`
	cfg, _, problems := parseConfig("c.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i, want := range []ingest.Site{
		{
			Consent: ingest.ConsentNotAsked, PrivacyControl: ingest.PrivacyOptOut,
			CookieLifetime: 393 * 24 * time.Hour, FixedLifetime: true,
		},
		{
			Consent: ingest.ConsentImplied, PrivacyControl: ingest.PrivacyRefuse,
			Enforcement: ingest.Purposes{
				Analytics: ingest.Disabled, Marketing: ingest.NonRestrictive, Profiling: ingest.Restrictive,
			},
			Signals:  []ingest.Signal{ingest.SignalGPP, ingest.SignalDoNotTrack},
			Embedded: true, Cookieless: true, SaltHour: 5,
			CookieLifetime: 30 * 24 * time.Hour, FixedLifetime: true,
		},
	} {
		got := cfg.Sites[i].collected()
		kept := ingest.Site{
			Consent: got.Consent, PrivacyControl: got.PrivacyControl, Enforcement: got.Enforcement,
			Signals: got.Signals, Embedded: got.Embedded, Cookieless: got.Cookieless,
			SaltHour: got.SaltHour, CookieLifetime: got.CookieLifetime, FixedLifetime: got.FixedLifetime,
		}
		if !reflect.DeepEqual(kept, want) {
			t.Errorf("site %s: %+v, want %+v", got.Key, kept, want)
		}
	}
}

// TestRecordedConsent holds what recorded beacons that say nothing of consent are.
func TestRecordedConsent(t *testing.T) {
	const text = `
sites:
  - key: ask
  - {key: day, cookieless: true}
  - {key: imply, consent: implied}
  - {key: count, consent: exempt}
  - {key: visits, enforcement: {analytics: non_restrictive}}
`
	cfg, _, problems := parseConfig("c.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	consent := cfg.consents()
	for key, want := range map[string]schemas.Consent{
		"ask":    schemas.Consent_CONSENT_NONE,
		"day":    schemas.Consent_CONSENT_NONE,
		"imply":  schemas.Consent_CONSENT_IDENTIFIED,
		"count":  schemas.Consent_CONSENT_STATISTICAL,
		"visits": schemas.Consent_CONSENT_STATISTICAL,
		"others": schemas.Consent_CONSENT_IDENTIFIED,
	} {
		if got := consent(key); got != want {
			t.Errorf("site %s: %v, want %v", key, got, want)
		}
	}
}
