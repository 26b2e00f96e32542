package ingest

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is who sent a request: the other end of the connection or, where that is a trusted proxy,
// the last address before the trusted ones in X-Forwarded-For. What is no address ends the search.
// That header alone is read: of two, a client could write the one that the proxy leaves alone.
func (c *Collector) peer(r *http.Request) netip.Addr {
	at := peerOf(r)
	if !c.trusted(at) {
		return at
	}
	for _, list := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for more := true; more; {
			hop := list
			if comma := strings.LastIndexByte(list, ','); comma >= 0 {
				list, hop = list[:comma], list[comma+1:]
			} else {
				more = false
			}
			addr, err := parsePeer(strings.TrimSpace(hop))
			if err != nil {
				return at
			}
			if at = addr; !c.trusted(at) {
				return at
			}
		}
	}
	return at
}

// overTLS says whether the client came by HTTPS, directly or to a trusted proxy. Where there are
// several proxies, the first in the list is the one that the client came to.
func (c *Collector) overTLS(r *http.Request) bool {
	if r.TLS != nil || !c.trusted(peerOf(r)) {
		return r.TLS != nil
	}
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.EqualFold(strings.TrimSpace(scheme), "https")
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
