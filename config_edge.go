package main

import (
	"fmt"
	"net/netip"
	"os"

	"crumbtrail/ingest"
	"crumbtrail/internal/strictyaml"
)

// Country says where to learn the country of an address.
type Country struct {
	// File is in MaxMind's format, such as GeoLite2-Country.mmdb; empty for none. In the file it is
	// relative to the file.
	File string `yaml:"file"`
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
func (c *Config) countries() (*ingest.Countries, error) {
	if c.Country.File == "" {
		return nil, nil
	}
	countries, err := ingest.OpenCountries(c.Country.File)
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
	return strictyaml.OneOf(string(text), string(ingest.AddressTruncated),
		string(ingest.AddressDropped), string(ingest.AddressWhole))
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
