package ingest

import (
	"cmp"
	"net/netip"
	"time"

	"crumbtrail/ingest/daily"
	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"
)

// ofOneDay is the visitor of a beacon of whom nothing is stored. Where a server sends it, and says
// no address, its own id of the visitor stands for one.
func (in *intake) ofOneDay(claim *claim, site *Site, address netip.Addr) string {
	b := claim.beacon
	who := daily.Browser{
		Host:    enrich.HostOf(cmp.Or(b.Url, in.origin, in.r.Referer())),
		Address: address, Agent: b.UserAgent,
	}
	switch {
	case address.IsValid():
	case claim.visitor+claim.user != "":
		who.Claim = cmp.Or(claim.visitor, claim.user)
	case in.again != nil:
		who.Claim = in.again.visitor()
	default:
		who.Claim = newVisitor()
	}
	rules := site.days
	rules.Site = b.Site // which may be any, under the rules of the default one
	return in.c.days.ID(&rules, who, time.UnixMicro(in.us))
}

// stores says whether anything of a visitor of this consent is kept in the browser.
func (s *Site) stores(allowed schemas.Consent) bool {
	return allowed > schemas.Consent_CONSENT_NONE && !s.namesDaily(allowed)
}

// namesDaily says whether a visitor of this consent is known for a day alone.
func (s *Site) namesDaily(allowed schemas.Consent) bool {
	return s.Cookieless && allowed == schemas.Consent_CONSENT_STATISTICAL
}
