package ingest

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is who sent a request: the other end of the connection or, where that is a trusted proxy,
// the last address before the trusted ones in X-Forwarded-For. What is no address ends the search.
func (c *Collector) peer(r *http.Request) netip.Addr {
	at := peerOf(r)
	if !c.trusted(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := parsePeer(strings.TrimSpace(hop))
		if err != nil {
			return at
		}
		if at = addr; !c.trusted(at) {
			return at
		}
	}
	return at
}

// overTLS says whether the client came by HTTPS, directly or to a trusted proxy.
func (c *Collector) overTLS(r *http.Request) bool {
	return r.TLS != nil ||
		c.trusted(peerOf(r)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func (c *Collector) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(c.cfg.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(addr)
	})
}

func peerOf(r *http.Request) netip.Addr {
	addr, err := parsePeer(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// parsePeer reads an address with or without port.
func parsePeer(text string) (netip.Addr, error) {
	withPort, err := netip.ParseAddrPort(text)
	if err == nil {
		return withPort.Addr().Unmap().WithZone(""), nil
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err
}
