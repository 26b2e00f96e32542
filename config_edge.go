package main

import (
	"fmt"
	"net/netip"
)

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
