// Package enrich adds to a beacon what its user agent, address, referrer and URL tell: device,
// browser, system, whether it is a bot and by which rule, country, campaign and channel. It reads
// its own lists and, where there is one, a file of countries, which it looks at again and again; it
// writes to the beacon alone, and guarantees that no more of an address is in it than the site's
// policy keeps.
package enrich

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
	// AddressTruncated keeps the first 24 bits of an IPv4 and 48 of an IPv6 address.
	AddressTruncated AddressPolicy = "truncated"
	// AddressDropped keeps nothing of it.
	AddressDropped AddressPolicy = "dropped"
	// AddressWhole keeps the whole of it.
	AddressWhole AddressPolicy = "whole"
)

// Validate returns an error for a policy that is none; the empty one is AddressTruncated.
func (p AddressPolicy) Validate() error {
	switch p {
	case "", AddressTruncated, AddressDropped, AddressWhole:
		return nil
	}
	return fmt.Errorf("address policy %q: want truncated, dropped or whole", string(p))
}

// MaxUserAgent is as much of a user agent as a beacon has, in bytes.
const MaxUserAgent = 2048

// Enricher adds to a beacon what its user agent, address, referrer and URL tell. Safe for
// concurrent use.
type Enricher struct {
	agents    *agents
	referrers *referrers
	countries *Countries
}

// New returns an enricher; nil countries know none.
func New(countries *Countries) *Enricher {
	return &Enricher{newAgents(), newReferrers(referrerList), countries}
}

// Enrich fills campaign, channel and agent, and sets the address to what may be kept of addr, which
// is the visitor's and need not be valid; the country is that of the whole of it. header is the
// request's and may be nil. What the beacon says of its user agent and language beats the header: a
// beacon may be passed on by the site's own server. What its URL says of the campaign beats what
// else it says.
func (e *Enricher) Enrich(
	b *schemas.Beacon, policy AddressPolicy, addr netip.Addr, header http.Header,
) {
	e.Add(b, policy, e.Client(addr, header))
}

// Client is what a connection tells of who sends.
type Client struct {
	// Addr is not valid where it is not known.
	Addr                         netip.Addr
	userAgent, language, country string
	hints                        hints
	// agent is what these tell, nil as long as nobody has asked.
	agent *schemas.Agent
	// kept is what policy keeps of the address, once known is true.
	kept   string
	policy AddressPolicy
	known  bool
}

// Client reads what all beacons of a request have in common.
func (e *Enricher) Client(addr netip.Addr, header http.Header) *Client {
	userAgent := header.Get("User-Agent")
	userAgent = userAgent[:min(len(userAgent), MaxUserAgent)]
	return &Client{
		Addr:      addr,
		userAgent: strings.ToValidUTF8(userAgent, "\uFFFD"),
		language:  FirstLanguage(header.Get("Accept-Language")),
		country:   e.countries.of(addr),
		hints:     hintsOf(header),
	}
}

// address is what a policy keeps of the client's address.
func (c *Client) address(policy AddressPolicy) string {
	if !c.known || c.policy != policy {
		c.kept, c.policy, c.known = policy.Keep(c.Addr), policy, true
	}
	return c.kept
}

// Add is Enrich with what was read before.
func (e *Enricher) Add(b *schemas.Beacon, policy AddressPolicy, c *Client) {
	if b.UserAgent == "" {
		b.UserAgent = c.userAgent
	}
	b.Ip = c.address(policy)
	inURL, paidClick := campaign(b.Url)
	if inURL != nil {
		b.Campaign = inURL
	}
	b.Channel = e.referrers.channel(b.Campaign, paidClick, HostOf(b.Url), b.Referrer)
	language := b.GetAgent().GetLanguage()
	if language == "" {
		language = c.language
	}
	if b.UserAgent != c.userAgent {
		b.Agent = e.agent(b.UserAgent, language, c.country, hints{rule: c.hints.rule})
		return
	}
	if language != c.language {
		b.Agent = e.agent(b.UserAgent, language, c.country, c.hints)
		return
	}
	if c.agent == nil {
		c.agent = e.agent(b.UserAgent, language, c.country, c.hints)
	}
	b.Agent = c.agent
}

// agent is what user agent, language, country and hints tell. The result is shared and must not be
// changed.
func (e *Enricher) agent(userAgent, language, country string, h hints) *schemas.Agent {
	known := e.agents.lookup(userAgent)
	if language == "" && country == "" && h == (hints{}) {
		return known
	}
	agent := h.on(known)
	agent.Country, agent.Language = country, language
	return agent
}

// ParseAddress reads an address with or without port; what is none is not valid.
func ParseAddress(text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(text)
		if splitErr != nil {
			return netip.Addr{}
		}
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.Addr{}
		}
	}
	return ip.Unmap().WithZone("")
}

// Keep returns what may be kept of an address. What is none is dropped: it cannot be truncated.
func (p AddressPolicy) Keep(addr netip.Addr) string {
	switch {
	case p == AddressDropped || !addr.IsValid():
		return ""
	case p == AddressWhole:
		return addr.String()
	}
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(addr, bits).Masked().Addr().String()
}

// FirstLanguage returns the language tag that a browser puts first, in BCP 47's usual case for a
// language and a region (de, de-CH), empty where the header names none.
func FirstLanguage(header string) string {
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
