package ingest

import (
	"net/http"
	"strings"
	"testing"

	"crumbtrail/schemas"
)

// TestEnforcement holds the nine cells of enforcement and state over HTTP, once for visits and once
// for people, and that a browser's signal beats each of them.
func TestEnforcement(t *testing.T) {
	const yes, no = true, false
	for _, c := range []struct {
		enforcement             Enforcement
		out, unset, in          bool // may be pursued
		outGPC, unsetGPC, inGPC bool // visits may, although the browser objects to people
	}{
		{Restrictive, no, no, yes, no, no, no},
		{NonRestrictive, no, yes, yes, no, yes, yes},
		{Disabled, yes, yes, yes, yes, yes, yes},
	} {
		e := newEdge(t, func(cfg *Config) {
			cfg.Sites = []Site{
				{Key: "visits", Consent: ConsentNotAsked, Enforcement: Purposes{Analytics: c.enforcement}},
				{Key: "people", Consent: ConsentRequired, Enforcement: Purposes{
					Disabled, c.enforcement, c.enforcement,
				}},
				{Key: "marketing", Consent: ConsentRequired, Enforcement: Purposes{
					Disabled, c.enforcement, Disabled,
				}},
				{Key: "profiling", Consent: ConsentRequired, Enforcement: Purposes{
					Disabled, Disabled, c.enforcement,
				}},
			}
		}).run(t)
		for _, s := range []struct {
			said         string
			pursued, gpc bool
		}{
			{`"choice":"refused"`, c.out, c.outGPC},
			{`"choice":"withdrawn"`, c.out, c.outGPC},
			{``, c.unset, c.unsetGPC},
			{`"choice":"granted"`, c.in, c.inGPC},
		} {
			for _, site := range []string{"visits", "people", "marketing", "profiling"} {
				said := say(t, e, site, s.said)
				want := modes(site, s.pursued)
				if got := modeOf(t, e, site, said...); got != want {
					t.Errorf("%s, %s enforced: said %s: %v, want %v", site, c.enforcement, s.said, got, want)
				}
				want = schemas.Consent_CONSENT_STATISTICAL
				if site == "visits" {
					want = modes(site, s.gpc)
				}
				got := modeOf(t, e, site, append(said, "Sec-GPC", "1")...)
				if got != want {
					t.Errorf("%s, %s enforced: said %s, with GPC: %v, want %v", site, c.enforcement, s.said,
						got, want)
				}
			}
		}
	}
}

// modes is what a site's beacons are where its purpose may be pursued, and where not.
func modes(site string, pursued bool) schemas.Consent {
	mode := schemas.Consent_CONSENT_STATISTICAL
	if site == "visits" {
		mode = schemas.Consent_CONSENT_NONE
	}
	if pursued {
		mode++
	}
	return mode
}

// say posts a choice, unless it is empty, and returns the header that carries it from then on.
func say(t *testing.T, e *edge, site, choice string) []string {
	t.Helper()
	if choice == "" {
		return nil
	}
	w := e.post("/v1/consent", `{"site":"`+site+`",`+choice+`}`)
	said := cookiesOf(w)["ct_consent"]
	if w.Code != http.StatusOK || said == nil {
		t.Fatalf("%s: %d %s", choice, w.Code, w.Body)
	}
	return []string{"Cookie", "ct_consent=" + said.Value}
}

// modeOf is the consent of a beacon; cookies and the visitor's id must agree with it.
func modeOf(t *testing.T, e *edge, site string, headers ...string) schemas.Consent {
	t.Helper()
	w := e.post("/v1/beacons", `{"site":"`+site+`","type":"ping"}`, headers...)
	b := e.tape.read(t).beacons
	last := b[len(b)-1]
	known := last.VisitorId != ""
	if known != (cookiesOf(w)["ct_visitor"] != nil) ||
		known != (last.Consent > schemas.Consent_CONSENT_NONE) {
		t.Errorf("%s, %v: %v with cookies %v", site, headers, last, cookiesOf(w))
	}
	return last.Consent
}

// TestSignals holds what each signal takes back, and that it is recorded.
func TestSignals(t *testing.T) {
	none, statistical := schemas.Consent_CONSENT_NONE, schemas.Consent_CONSENT_STATISTICAL
	identified := schemas.Consent_CONSENT_IDENTIFIED
	e := newEdge(t, func(cfg *Config) {
		dnt := []Signal{SignalTCF, SignalDoNotTrack}
		cfg.Sites = []Site{
			{Key: "plain", Consent: ConsentImplied},
			{Key: "dnt", Consent: ConsentImplied, Signals: dnt},
			{Key: "refuse", Consent: ConsentImplied, PrivacyControl: PrivacyRefuse, Signals: dnt},
			{Key: "ignore", Consent: ConsentImplied, PrivacyControl: PrivacyIgnore},
			{Key: "ignore-dnt", Consent: ConsentImplied, PrivacyControl: PrivacyIgnore, Signals: dnt},
			{Key: "off", Consent: ConsentRequired, PrivacyControl: PrivacyRefuse, Enforcement: Purposes{
				Disabled, Disabled, Disabled,
			}},
		}
	}).run(t)
	for _, c := range []struct {
		site, signal string
		want         schemas.Consent
		source       string
	}{
		{"plain", "Sec-GPC", statistical, "gpc"},
		{"plain", "DNT", identified, "site"},
		{"plain", "SP-Anonymous", identified, "site"}, // not a Snowplow tracker's request
		{"dnt", "DNT", statistical, "dnt"},
		{"refuse", "Sec-GPC", none, "gpc"},
		{"refuse", "DNT", none, "dnt"},
		{"ignore", "Sec-GPC", identified, "site"},
		{"ignore", "DNT", identified, "site"},
		{"ignore-dnt", "DNT", statistical, "dnt"},
		{"off", "Sec-GPC", none, "gpc"},
		{"off", "DNT", identified, "site"},
	} {
		got := modeOf(t, e, c.site, c.signal, "1")
		b := e.tape.read(t).beacons
		last := b[len(b)-1]
		if got != c.want || last.ConsentSource.Name() != c.source ||
			last.Gpc != (c.signal == "Sec-GPC") {
			t.Errorf("%s with %s: %v", c.site, c.signal, last)
		}
		if got := modeOf(t, e, c.site, c.signal, "0"); got != identified {
			t.Errorf("%s with %s: 0: %v", c.site, c.signal, got)
		}
	}
	// Of what the visitor refused anyway, the refusal is the source.
	modeOf(t, e, "plain", "Sec-GPC", "1", "Cookie", "ct_consent=refused.1700000000.tcf")
	if b := e.tape.read(t).beacons; b[len(b)-1].ConsentSource.Name() != "tcf" {
		t.Errorf("refused and objected to: %v", b[len(b)-1])
	}
	for path, want := range map[string]string{
		"/.well-known/gpc.json": `{"gpc":false,`,
		"/t/plain.js":           `"consent":"implied","cross":false}`,
		"/t/dnt.js":             `"cross":false,"signals":["tcf","dnt"]}`,
		"/t/ignore.js":          `"cross":false,"ignore_gpc":true}`,
	} {
		if w := e.send("GET", path, ""); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %.300s", path, w.Body)
		}
	}
	w := newEdge(t, nil).send("GET", "/.well-known/gpc.json", "")
	if !strings.HasPrefix(w.Body.String(), `{"gpc":true,`) {
		t.Errorf("gpc.json: %s", w.Body)
	}
}

// TestScriptPolicy holds what the tracker goes by: it keeps nothing while more may be granted.
func TestScriptPolicy(t *testing.T) {
	for _, c := range []struct {
		policy ConsentPolicy
		set    Purposes
		want   ConsentPolicy
	}{
		{ConsentRequired, Purposes{}, ConsentRequired},
		{ConsentImplied, Purposes{}, ConsentImplied},
		{ConsentNotAsked, Purposes{}, ConsentNotAsked},
		{ConsentRequired, Purposes{Analytics: NonRestrictive}, ConsentRequired},
		{ConsentImplied, Purposes{Profiling: Restrictive}, ConsentRequired},
		{ConsentNotAsked, Purposes{Analytics: Disabled}, ConsentNotAsked},
		{ConsentNotAsked, Purposes{Analytics: Restrictive}, ConsentRequired},
		{ConsentRequired, Purposes{Disabled, Disabled, Disabled}, ConsentImplied},
	} {
		if got := c.policy.purposes(c.set, false).script(); got != c.want {
			t.Errorf("%s with %v: the script goes by %s, want %s", c.policy, c.set, got, c.want)
		}
	}
}

func TestConsentIsConfiguredRight(t *testing.T) {
	for want, site := range map[string]Site{
		"consent policy":  {Key: "a", Consent: "maybe"},
		"enforcement":     {Key: "a", Enforcement: Purposes{Marketing: "never"}},
		"privacy control": {Key: "a", PrivacyControl: "no"},
		"consent signal":  {Key: "a", Signals: []Signal{"p3p"}},
	} {
		if _, err := newSites([]Site{site}, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want a word about the %s", site, err, want)
		}
	}
}
