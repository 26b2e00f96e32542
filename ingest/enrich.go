package ingest

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"crumbtrail/schemas"
)

// AddressPolicy says what becomes of a client's address before anything is written.
type AddressPolicy string

// The address policies.
const (
	// TruncateAddresses keeps the first 24 bits of an IPv4 and 48 of an IPv6 address.
	TruncateAddresses AddressPolicy = "truncate"
	// DropAddresses keeps nothing of it.
	DropAddresses AddressPolicy = "drop"
	// KeepAddresses keeps the whole of it.
	KeepAddresses AddressPolicy = "keep"
)

// Validate returns an error for a policy that is none; the empty one is TruncateAddresses.
func (p AddressPolicy) Validate() error {
	switch p {
	case "", TruncateAddresses, DropAddresses, KeepAddresses:
		return nil
	}
	return fmt.Errorf("address policy %q: want truncate, drop or keep", string(p))
}

// enricher adds to a beacon what its user agent, address, referrer and URL tell. Safe for
// concurrent use.
type enricher struct {
	agents    *agents
	referrers *referrers
	addresses AddressPolicy
}

func newEnricher(addresses AddressPolicy) *enricher {
	return &enricher{newAgents(), newReferrers(referrerList), addresses}
}

// enrich fills campaign, channel and agent, and replaces the address by what may be kept of it.
// remoteAddr is the peer's address, with or without port, empty in a replay, where the address in
// the beacon stands; header is the request's and may be nil. What the beacon says of its user
// agent and language beats the header: a beacon may be passed on by the site's own server. What
// its URL says of the campaign beats what else it says.
func (e *enricher) enrich(b *schemas.Beacon, remoteAddr string, header http.Header) {
	if b.UserAgent == "" {
		b.UserAgent = strings.ToValidUTF8(clip(header.Get("User-Agent"), maxUserAgent), "\uFFFD")
	}
	if remoteAddr != "" {
		b.Ip = remoteAddr
	}
	b.Ip = e.address(b.Ip)
	inURL, paidClick := campaign(b.Url)
	if inURL != nil {
		b.Campaign = inURL
	}
	b.Channel = e.referrers.channel(b.Campaign, paidClick, hostOf(b.Url), b.Referrer)
	language := b.GetAgent().GetLanguage()
	if language == "" {
		language = firstLanguage(header.Get("Accept-Language"))
	}
	b.Agent = e.agents.lookup(b.UserAgent)
	if language != "" {
		agent := &schemas.Agent{
			Device:   b.Agent.Device,
			Browser:  b.Agent.Browser,
			Os:       b.Agent.Os,
			BotRule:  b.Agent.BotRule,
			Language: language,
		}
		b.Agent = agent
	}
}

// address applies the policy. What is no address is dropped: it cannot be truncated.
func (e *enricher) address(addr string) string {
	if addr == "" || e.addresses == DropAddresses {
		return ""
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(addr)
		if splitErr != nil {
			return ""
		}
		if ip, err = netip.ParseAddr(host); err != nil {
			return ""
		}
	}
	ip = ip.Unmap().WithZone("")
	if e.addresses == KeepAddresses {
		return ip.String()
	}
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(ip, bits).Masked().Addr().String()
}

// firstLanguage returns the language tag that a browser puts first, in BCP 47's usual case for a
// language and a region (de, de-CH), empty where the header names none.
func firstLanguage(header string) string {
	tag, _, _ := strings.Cut(header, ",")
	tag, _, _ = strings.Cut(tag, ";")
	tag = strings.TrimSpace(tag)
	if len(tag) < 2 || len(tag) > 35 {
		return ""
	}
	for i := range len(tag) {
		c := tag[i] | 0x20
		if (c < 'a' || c > 'z') && tag[i] != '-' && (tag[i] < '0' || tag[i] > '9') {
			return ""
		}
	}
	language, rest, ok := strings.Cut(tag, "-")
	if language = strings.ToLower(language); !ok {
		return language
	}
	if len(rest) == 2 {
		rest = strings.ToUpper(rest)
	}
	return language + "-" + rest
}

// clip cuts text to at most so many bytes.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}
