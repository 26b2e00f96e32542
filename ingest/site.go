package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"crumbtrail/ingest/daily"
	"crumbtrail/ingest/enrich"
)

// Site is what the collector knows of one web site: all pages that carry the same tracking script.
type Site struct {
	// Key is the name that the tracking script carries.
	Key string
	// Origins are those that browsers may send from, as scheme://host[:port], or "*" for any. A
	// request without an Origin is accepted.
	Origins []string
	// AnyLoopback accepts every origin on a loopback address, and pages from disk, whose origin is
	// "null": enough to try it.
	AnyLoopback bool
	Consent     ConsentPolicy
	// Enforcement is what the policy stands for, where it is set.
	Enforcement Purposes
	// PrivacyControl is what Global Privacy Control takes back; empty is PrivacyOptOut.
	PrivacyControl PrivacyControl
	// Signals are those that are obeyed besides.
	Signals []Signal
	// Gap is how long ct_visit lives without a beacon; 0 is 30 minutes.
	Gap time.Duration
	// Cookieless stores nothing of visitors who are not identified: they are known for a day.
	Cookieless bool
	// SaltHour is what the site's clocks, in TimeZone, show when such a day begins; a nil zone is UTC.
	SaltHour int
	TimeZone *time.Location
	// CookieLifetime is what ct_visitor asks for; 0 is two years. Browsers allow 400 days.
	CookieLifetime time.Duration
	// Embedded lets the cookies be kept in frames of other sites, for each of those apart.
	Embedded bool
	// FixedLifetime leaves ct_visitor to run out instead of renewing it at each visit.
	FixedLifetime bool
	// Redirects are the hosts, as host or host:port, that GET /r/tp2 may lead to.
	Redirects []string
	// Heartbeat is how often the site's Snowplow trackers ping while somebody is active: what a
	// ping of theirs stands for, since they do not say it. 0 is 10 seconds.
	Heartbeat time.Duration
	// Address says what is kept of its visitors' addresses; empty is enrich.AddressTruncated.
	Address enrich.AddressPolicy
	// StripQuery are parameters of addresses that are cut out, whatever they hold, besides those that
	// look like secrets or personal data.
	StripQuery []string
	// BytesPerSecond is how many bytes of beacons the site may send, and ten times as many at once;
	// 0 is any number.
	BytesPerSecond int

	budget *bucket
	// purposes, objection (to Global Privacy Control) and doNotTrack are the rules of consent.
	purposes   Purposes
	objection  objection
	doNotTrack bool
	days       daily.Rules
}

// DefaultKey is the site that is there without a configuration.
const DefaultKey = "default"

// DefaultSite is the one site without a configuration.
func DefaultSite() Site {
	return Site{Key: DefaultKey, AnyLoopback: true, Consent: ConsentImplied}
}

const (
	defaultGap      = 30 * time.Minute
	defaultLifetime = 2 * 365 * 24 * time.Hour
	// defaultHeartbeat is what the documentation of Snowplow's trackers sets.
	defaultHeartbeat = 10 * time.Second
)

// allows says whether browsers may send beacons of the site from pages of an origin.
func (s *Site) allows(origin string) bool {
	if origin == "" {
		return true
	}
	for _, o := range s.Origins {
		if o == "*" || o == origin {
			return true
		}
	}
	return s.AnyLoopback && (origin == originNull || isLoopback(origin))
}

// spend takes so many bytes of the site's budget, if there is any left.
func (s *Site) spend(bytes int) bool {
	return s.budget == nil || s.budget.take(float64(bytes), time.Now())
}

// home is the origin of a page that may be led back to: one that the site names. Empty is the
// collector's own.
func (s *Site) home(origin string) string {
	if slices.Contains(s.Origins, origin) || s.AnyLoopback && isLoopback(origin) {
		return origin
	}
	return ""
}

// originNull is what browsers send for pages from disk and from sandboxes.
const originNull = "null"

func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sites finds a site by its key. It does not change once it is made.
type sites struct {
	byKey map[string]*Site
	// origins are those that any site allows, ascending; loopback is true where one of them allows
	// every origin on a loopback address.
	origins  []string
	loopback bool
	// other has the rules of every site that is not in byKey, nil where there are none such.
	other *Site
	// privacyControl is true where no site ignores Global Privacy Control.
	privacyControl bool
}

func newSites(list []Site, anySite bool) (*sites, error) {
	if len(list) == 0 {
		list = []Site{DefaultSite()}
	}
	s := &sites{byKey: make(map[string]*Site, len(list))}
	for _, site := range list {
		site.Origins = slices.Clone(site.Origins)
		site.StripQuery = slices.Clone(site.StripQuery)
		if err := site.normalise(); err != nil {
			return nil, err
		}
		if s.byKey[site.Key] != nil {
			return nil, fmt.Errorf("site %q: configured twice", site.Key)
		}
		s.byKey[site.Key] = &site
	}
	if anySite {
		if s.other = s.byKey[DefaultKey]; s.other == nil {
			site := DefaultSite()
			_ = site.normalise() // nothing in it is refused
			s.other = &site
			s.loopback = true
		}
	}
	s.union()
	return s, nil
}

// union takes together what the sites allow.
func (s *sites) union() {
	s.privacyControl = true
	for _, site := range s.byKey {
		s.privacyControl = s.privacyControl && site.objection != noObjection
		s.loopback = s.loopback || site.AnyLoopback
		s.origins = append(s.origins, site.Origins...)
	}
	slices.Sort(s.origins)
	s.origins = slices.Compact(s.origins)
}

// normalise fills in defaults and puts origins in the form that browsers send.
func (s *Site) normalise() error {
	if s.Key == "" || strings.ContainsRune(s.Key, 0) {
		return fmt.Errorf("site %q: want a key", s.Key)
	}
	if s.Consent == "" {
		s.Consent = ConsentRequired
	}
	for i, name := range s.StripQuery {
		s.StripQuery[i] = strings.ToLower(name)
	}
	if err := s.Address.Validate(); err != nil {
		return fmt.Errorf("site %q: %w", s.Key, err)
	}
	if s.Gap == 0 {
		s.Gap = defaultGap
	}
	if err := s.settleConsent(); err != nil {
		return fmt.Errorf("site %q: %w", s.Key, err)
	}
	if s.CookieLifetime == 0 {
		s.CookieLifetime = defaultLifetime
	}
	if s.Heartbeat == 0 {
		s.Heartbeat = defaultHeartbeat
	}
	if n := float64(s.BytesPerSecond); n > 0 {
		s.budget = newBucket(n, 10*n)
	}
	for i, origin := range s.Origins {
		if origin == "*" {
			continue
		}
		u, err := url.Parse(strings.ToLower(strings.TrimSuffix(origin, "/")))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("site %q: origin %q: want scheme://host or scheme://host:port, or *",
				s.Key, origin)
		}
		host := u.Host
		if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
			host = strings.TrimSuffix(host, ":"+port)
		}
		s.Origins[i] = u.Scheme + "://" + host
	}
	return nil
}

// settleConsent makes rules of what is configured about consent.
func (s *Site) settleConsent() error {
	errs := []error{s.Consent.Validate(), s.Enforcement.validate()}
	s.purposes = s.Consent.purposes(s.Enforcement, s.Cookieless)
	if s.SaltHour < 0 || s.SaltHour > 23 {
		errs = append(errs, fmt.Errorf("salt hour %d: want 0 to 23", s.SaltHour))
	}
	s.days = daily.Rules{Site: s.Key, Zone: cmp.Or(s.TimeZone, time.UTC), Hour: s.SaltHour, Gap: s.Gap}
	var err error
	s.objection, err = s.PrivacyControl.objection()
	errs = append(errs, err)
	for _, signal := range s.Signals {
		errs = append(errs, signal.Validate())
		s.doNotTrack = s.doNotTrack || signal == SignalDoNotTrack
	}
	return errors.Join(errs...)
}

// find returns the rules of a site, nil for a site that nobody configured.
func (s *sites) find(key string) *Site {
	if site := s.byKey[key]; site != nil {
		return site
	}
	return s.other
}

// allow says whether any site allows an origin, which is what can be known before a body is read.
func (s *sites) allow(origin string) bool {
	for _, o := range []string{origin, "*"} {
		if _, found := slices.BinarySearch(s.origins, o); found {
			return true
		}
	}
	return s.loopback && (origin == originNull || isLoopback(origin))
}
