package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"crumbtrail/ingest"
	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/strictyaml"
)

// Country says where to learn the country of an address.
type Country struct {
	// File is in MaxMind's format, such as GeoLite2-Country.mmdb; empty for none. In the file it is
	// relative to the file.
	File string `yaml:"file"`
}

// Snowplow says what is special about Snowplow's trackers.
type Snowplow struct {
	// DoNotTrack is nil where no cookie says that somebody is not to be tracked.
	DoNotTrack *DoNotTrack `yaml:"do_not_track"`
	// Paths are further paths, and the one of Snowplow's collector that each stands for.
	Paths map[string]string `yaml:"paths"`
}

// DoNotTrack is a cookie with a value that matches a regular expression, as any does the empty one.
type DoNotTrack struct {
	Cookie string `yaml:"cookie,required"`
	Value  string `yaml:"value"`
}

// Segment says what is special about Segment's libraries.
type Segment struct {
	// Strict answers 401 where a write key is no site's, instead of 200.
	Strict bool `yaml:"strict"`
}

// vendorPath is a path that is free for a tracker: its vendor is a domain, written backwards.
var vendorPath = regexp.MustCompile(`^/[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/[A-Za-z0-9._-]+$`)

func (r *configRules) snowplow() {
	s := r.cfg.Snowplow
	if d := s.DoNotTrack; d != nil {
		if _, err := regexp.Compile(d.Value); err != nil {
			r.report("snowplow.do_not_track.value", "write a regular expression, such as ^1$", "%v", err)
		}
		if (&http.Cookie{Name: d.Cookie, Value: "1"}).Valid() != nil {
			r.report("snowplow.do_not_track.cookie", "", "%q is no name of a cookie", d.Cookie)
		}
	}
	for path, to := range s.Paths {
		at := fmt.Sprintf("snowplow.paths.%s", path)
		if strings.ContainsAny(path, ".") {
			at = fmt.Sprintf("snowplow.paths[%q]", path)
		}
		known := []string{ingest.PathPayload, ingest.PathRedirect, ingest.PathHook}
		if slices.Contains(known, path) || !vendorPath.MatchString(path) {
			r.report(at, "write it as /com.acme/track", "%q is no path for trackers", path)
		} else if err := strictyaml.OneOf(to, known...); err != nil {
			r.report(at, "", "%v", err)
		}
	}
}

// collected is the same as the edge knows it.
func (s Snowplow) collected() ingest.Snowplow {
	out := ingest.Snowplow{Paths: s.Paths}
	if d := s.DoNotTrack; d != nil {
		out.DoNotTrack = ingest.DoNotTrack{Cookie: d.Cookie, Value: regexp.MustCompile(d.Value)}
	}
	return out
}

const countryHint = "download GeoLite2-Country.mmdb or another file in MaxMind's format, " +
	"or leave the key out"

// country looks whether there is a file; what is in it is known once it is opened.
func (r *configRules) country() {
	if file := r.cfg.Country.File; file != "" {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			r.report("country.file", countryHint, "no file at %s", file)
		}
	}
}

// countries opens the file of countries, nil where there is none.
func (c *Config) countries() (*enrich.Countries, error) {
	if c.Country.File == "" {
		return nil, nil
	}
	countries, err := enrich.OpenCountries(c.Country.File)
	if err != nil {
		return nil, fmt.Errorf("country.file: %w; %s", err, countryHint)
	}
	return countries, nil
}

// AddressPolicy says what is kept of visitors' addresses: truncated, dropped or whole.
type AddressPolicy string

// UnmarshalText refuses what is no policy.
func (p *AddressPolicy) UnmarshalText(text []byte) error {
	*p = AddressPolicy(text)
	return strictyaml.OneOf(string(text), string(enrich.AddressTruncated),
		string(enrich.AddressDropped), string(enrich.AddressWhole))
}

// Network is a range of addresses, written as 10.0.0.0/8 or as one address.
type Network struct{ netip.Prefix }

// UnmarshalText refuses what is no network.
func (n *Network) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(string(text)); err == nil {
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
	}
	switch addr := prefix.Addr(); {
	case err != nil || addr.Zone() != "" || addr.Is4In6():
		return fmt.Errorf("%q is no network: write it as 10.0.0.0/8 or fd00::/8, or one address", text)
	case prefix != prefix.Masked():
		return fmt.Errorf("%q has bits beyond its /%d: write %s", text, prefix.Bits(), prefix.Masked())
	}
	n.Prefix = prefix
	return nil
}
