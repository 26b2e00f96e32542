package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"crumbtrail/internal/strictyaml"
)

// Site is one web site: all pages that carry the same tracking script.
type Site struct {
	Key string `yaml:"key,required"`
	// Origins are those that browsers may send from, as scheme://host[:port], or "*" for any.
	Origins []string `yaml:"origins,single"`
	// AnyLoopback takes every origin on a loopback address and a page from disk.
	AnyLoopback bool `yaml:"-"`
	// Gap, Grace, MaxVisit, MaxBeacons and Cuts are what a visit is, see sessionize.Rules.
	Gap        time.Duration `yaml:"gap"`
	Grace      time.Duration `yaml:"grace"`
	MaxVisit   time.Duration `yaml:"max_visit"`
	MaxBeacons int           `yaml:"max_beacons"`
	Cuts       []Cut         `yaml:"cuts,single"`
	Consent    ConsentPolicy `yaml:"consent"`
	// Enforcement is what Consent stands for, purpose by purpose, where it is said.
	Enforcement Enforcements `yaml:"enforcement"`
	// Signals are those that count besides Global Privacy Control, for which there is GPC.
	Signals []ConsentSignal `yaml:"consent_signals,single"`
	GPC     PrivacyControl  `yaml:"gpc"`
	// TimeZone is an IANA name; it says when midnight is.
	TimeZone string `yaml:"time_zone"`
	// Region is where phone numbers without a country code are from, such as GB; empty is as resolve
	// says.
	Region string `yaml:"region"`
	// Cookieless stores nothing of visitors who are not identified: they are known for a day, which
	// begins when the clocks in TimeZone show SaltHour.
	Cookieless bool `yaml:"cookieless"`
	SaltHour   int  `yaml:"salt_hour"`
	// CookieLifetime is what ct_visitor asks for; it is sent as at most 400 days.
	CookieLifetime time.Duration `yaml:"cookie_lifetime"`
	// CookieRenew begins that anew with each answer.
	CookieRenew bool `yaml:"cookie_renew"`
	// Embedded lets cookies be kept in frames of other sites, for each of those apart.
	Embedded bool `yaml:"embedded"`
	// Redirects are the hosts, as host or host:port, that GET /r/tp2 may lead to.
	Redirects []string `yaml:"redirects,single"`
	// Heartbeat is what a ping of the site's Snowplow trackers stands for.
	Heartbeat time.Duration `yaml:"heartbeat"`
	Address   AddressPolicy `yaml:"address"`
	// StripQuery are parameters that are cut out of addresses of pages.
	StripQuery []string `yaml:"strip_query,single"`
	// BytesPerSecond is the site's budget; 0 is none. Ten times as many bytes may come at once.
	BytesPerSecond int `yaml:"bytes_per_second"`
}

// defaultCookieLifetime is two years.
const defaultCookieLifetime = 730 * 24 * time.Hour

// SetDefaults makes a site of which only the key is missing.
func (s *Site) SetDefaults() {
	*s = Site{
		Gap: 30 * time.Minute, Grace: time.Minute, MaxVisit: 24 * time.Hour, MaxBeacons: 10_000,
		Consent: ConsentRequired, GPC: PrivacyOptOut, TimeZone: "UTC",
		CookieLifetime: defaultCookieLifetime, CookieRenew: true, Heartbeat: 10 * time.Second,
	}
}

// Location is the site's time zone, UTC where the machine does not know it.
func (s *Site) Location() *time.Location {
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return time.UTC // LoadConfig has reported it
	}
	return zone
}

// Cut is a reason to cut a visit besides its length: campaign or midnight.
type Cut string

// The cuts.
const (
	CutCampaign Cut = "campaign"
	CutMidnight Cut = "midnight"
)

// UnmarshalText refuses what is no cut.
func (c *Cut) UnmarshalText(text []byte) error {
	*c = Cut(text)
	return strictyaml.OneOf(string(text), string(CutCampaign), string(CutMidnight))
}

func defaultSite() Site {
	var s Site
	s.SetDefaults()
	s.Key, s.Consent, s.AnyLoopback = "default", ConsentImplied, true
	return s
}

func (r *configRules) sites() {
	keys := map[string]string{}
	for i := range r.cfg.Sites {
		at, s := fmt.Sprintf("sites[%d].", i), &r.cfg.Sites[i]
		if r.doc.Has(at + "key") {
			r.name(at+"key", s.Key)
		}
		r.unique(keys, at+"key", s.Key, s.Key)
		for j, origin := range s.Origins {
			r.origin(fmt.Sprintf("%sorigins[%d]", at, j), origin)
		}
		r.between(at+"gap", s.Gap, time.Millisecond, longest)
		r.between(at+"grace", s.Grace, 0, day)
		if s.MaxVisit < s.Gap {
			r.report(at+"max_visit", "", "%s is shorter than the gap of %s",
				strictyaml.FormatDuration(s.MaxVisit), strictyaml.FormatDuration(s.Gap))
		}
		r.between(at+"max_visit", s.MaxVisit, time.Millisecond, longest)
		r.count(at+"max_beacons", s.MaxBeacons, 1, maxVisitBound)
		cuts := map[string]string{}
		for j, cut := range s.Cuts {
			r.unique(cuts, fmt.Sprintf("%scuts[%d]", at, j), string(cut), string(cut))
		}
		signals := map[string]string{}
		for j, signal := range s.Signals {
			r.unique(signals, fmt.Sprintf("%sconsent_signals[%d]", at, j), string(signal), string(signal))
		}
		if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "Local" {
			r.report(at+"time_zone", "use an IANA name such as Europe/Paris",
				"no time zone is called %q", s.TimeZone)
		}
		r.region(at+"region", s.Region)
		r.exempt(at, s)
		r.count(at+"salt_hour", s.SaltHour, 0, 23)
		if s.SaltHour != 0 && !s.Cookieless {
			r.report(at+"salt_hour", "set cookieless: true, or leave it out",
				"only cookieless visitors are known for a day")
		}
		r.between(at+"cookie_lifetime", s.CookieLifetime, day, 5*longest)
		for j, host := range s.Redirects {
			r.host(fmt.Sprintf("%sredirects[%d]", at, j), host)
		}
		// A ping counts for no more than half a minute.
		r.between(at+"heartbeat", s.Heartbeat, time.Second, 30*time.Second)
		for j, name := range s.StripQuery {
			if name == "" || strings.ContainsAny(name, "?&=#% ") {
				r.report(fmt.Sprintf("%sstrip_query[%d]", at, j), "write each parameter by itself, unescaped",
					"%q is no name of a parameter", name)
			}
		}
		if r.doc.Has(at + "bytes_per_second") {
			r.count(at+"bytes_per_second", s.BytesPerSecond, 1, maxLimit)
		}
	}
}

// siteKeys lists the sites that the configuration may name, at least one.
func (r *configRules) siteKeys() (keys []string) {
	for _, s := range r.cfg.Sites {
		if s.Key != "" && !slices.Contains(keys, s.Key) {
			keys = append(keys, s.Key)
		}
	}
	if len(keys) == 0 {
		return []string{defaultSite().Key}
	}
	return keys
}

// host reports what cannot be the host of a URL as a browser writes it.
func (r *configRules) host(path, host string) {
	u, err := url.Parse("https://" + host)
	if err != nil || u.Hostname() == "" || browserOrigin(u) != "https://"+host ||
		strings.Contains(host, "*") {
		r.report(path, "write each host by itself, in lower case, with its port if it has one",
			"%q is no host", host)
	}
}

func (r *configRules) origin(path, origin string) {
	if origin == "*" {
		return
	}
	u, err := url.Parse(origin)
	if err != nil || !isWeb(u) {
		r.report(path, `write https://host, or "*" for any`, "%q is no origin", origin)
		return
	}
	if strings.Contains(u.Host, "*") {
		r.report(path, `name each host, or write "*" alone for any`,
			"%q has a wildcard in it", origin)
		return
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			r.report(path, "", "%q has no valid port", origin)
			return
		}
	}
	if exact := browserOrigin(u); exact != origin {
		r.report(path, "write "+exact, "%q is not what a browser sends as its origin", origin)
	}
}

func isWeb(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// browserOrigin writes a URL's origin as a browser does: lower case, no default port, no path.
func browserOrigin(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}
