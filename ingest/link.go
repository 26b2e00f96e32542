package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"
)

// Link is a named redirect, GET /r/name.
type Link struct {
	Name string
	// Target is where it leads, see CheckTarget.
	Target string
	// Site is whose clicks they are.
	Site string
	// PassQuery adds to the target what the request's query has and the target's has not.
	PassQuery bool
}

const (
	protocolLink = "link"
	protocolOpen = "open"
)

// ReasonUnknownLink is the reason of a redirect that nobody has configured.
const ReasonUnknownLink = "unknown_link"

// linksOf finds links by their names.
func linksOf(list []Link) (map[string]Link, error) {
	byName := make(map[string]Link, len(list))
	for _, l := range list {
		if _, twice := byName[l.Name]; twice || l.Name == "" {
			return nil, fmt.Errorf("link %q: want a name of its own", l.Name)
		}
		if err := CheckTarget(l.Target); err != nil {
			return nil, fmt.Errorf("link %q: target %q: %w", l.Name, l.Target, err)
		}
		byName[l.Name] = l
	}
	return byName, nil
}

// click is somebody following a link.
type click struct {
	link Link
	// signed is what the token says, nil where there is none that says anything; reason is why.
	signed *schemas.SignedLink
	reason string
}

// getLink leads to the target of a named link. A token in its query says who it was made for; a bad
// one says nothing, and whoever holds it is led on all the same.
func (c *Collector) getLink(w http.ResponseWriter, r *http.Request) {
	link, known := c.links[r.PathValue("name")]
	if !known {
		c.refuseLink(w, r, protocolLink, ReasonUnknownLink)
		http.Error(w, "There is no such link.", http.StatusNotFound)
		return
	}
	k := click{link: link}
	if text := r.URL.Query().Get(tokenParameter); text != "" {
		k.signed, k.reason = c.opened(purposeLink, text)
		if k.signed != nil && (k.signed.Link != link.Name || k.signed.Site != link.Site) {
			k.signed, k.reason = nil, ReasonTokenMisplaced
		}
		c.metrics.token(protocolLink, k.reason)
	}
	if link.PassQuery {
		k.link.Target = withParameters(link.Target, passed(r.URL.RawQuery, c.limits))
	}
	c.follow(w, r, k)
}

// getSignedLink leads to the target in a token. Nothing else vouches for the target, so that a
// token that is no longer good leads nowhere.
func (c *Collector) getSignedLink(w http.ResponseWriter, r *http.Request) {
	l, reason := c.opened(purposeLink, r.PathValue("token"))
	if l != nil && CheckTarget(l.Target) != nil { // of a named link
		reason = ReasonTokenMisplaced
	}
	c.metrics.token(protocolLink, reason)
	switch reason {
	case "":
		c.follow(w, r, click{link: Link{Target: l.Target, Site: l.Site}, signed: l})
	case ReasonTokenExpired:
		c.refuseLink(w, r, protocolLink, reason)
		http.Error(w, "This link has expired.", http.StatusGone)
	default:
		c.refuseLink(w, r, protocolLink, reason)
		http.Error(w, "This link is not one of ours.", http.StatusForbidden)
	}
}

// follow makes a click durable and leads on. Whoever clicks is not kept waiting for long: where the
// click is not durable by then, or nothing takes it, it is counted as such.
func (c *Collector) follow(w http.ResponseWriter, r *http.Request, k click) {
	target := withParameters(k.link.Target, campaignParameters(k.signed.GetCampaign()))
	rule := machineRule(r)
	c.brings(w, r, protocolLink, func(in *intake) {
		in.unbound = rule != ""
		claim := &claim{
			beacon: &schemas.Beacon{
				Site: k.link.Site, Type: schemas.BeaconType_BEACON_TYPE_LINK_CLICK,
				Url: target, Referrer: plain(r.Referer(), maxURL), Link: k.link.Name,
				Campaign: k.signed.GetCampaign(),
				Props: object(memberIf(member(nil, "href", quote(target)),
					"token", k.reason)),
			},
			rule: rule, recipient: k.signed.GetContactId(),
		}
		in.claim([]byte(r.URL.RequestURI()), claim)
		in.vouch(claim.beacon, k.signed)
	})
	h := w.Header()
	h.Set("Referrer-Policy", "no-referrer")
	if rule == enrich.RulePrefetch {
		// A browser that only looks ahead asks again once somebody follows the link.
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// vouch makes a submission of a click on a signed link: the sender says who has the link. It takes
// a person's click, and consent to people.
func (in *intake) vouch(b *schemas.Beacon, l *schemas.SignedLink) {
	if b.Consent != schemas.Consent_CONSENT_IDENTIFIED || b.VisitorId == "" ||
		b.GetAgent().GetBotRule() != "" || l.GetContactId() == "" && l.GetEmail() == "" {
		return
	}
	in.parcel.submission(&schemas.Submission{
		SubmissionId: b.EventId, Kind: schemas.SubmissionKind_SUBMISSION_KIND_SIGNED_LINK,
		Site: b.Site, VisitorId: b.VisitorId, Consent: b.Consent,
		ReceivedAtUs: b.ReceivedAtUs, OccurredAtUs: b.OccurredAtUs, Url: b.Url,
		Email: l.GetEmail(), Recipient: l.GetContactId(), Protocol: b.Protocol,
	}, b.ClockUs)
}

// getOpen answers the pixel of a mail, whatever became of what it says: the mail is not to look
// broken. A mail is no page: an open is of no browser and no visit.
func (c *Collector) getOpen(w http.ResponseWriter, r *http.Request) {
	text := strings.TrimSuffix(r.PathValue("file"), openSuffix)
	l, reason := c.opened(purposeOpen, text)
	c.metrics.token(protocolOpen, reason)
	if l == nil {
		c.refuseLink(w, r, protocolOpen, reason)
	} else {
		c.brings(w, r, protocolOpen, func(in *intake) { in.open(l) })
	}
	w.Header().Set("Content-Type", "image/gif")
	_, _ = w.Write(pixel()) // a client that went away needs no answer
}

// open takes the loading of a mail's pixel.
func (in *intake) open(l *schemas.SignedLink) {
	in.unbound = true
	userAgent := in.r.UserAgent()
	proxy := imageProxy(userAgent)
	in.claim([]byte(in.r.URL.RequestURI()), &claim{
		beacon: &schemas.Beacon{
			Site: l.Site, Type: schemas.BeaconType_BEACON_TYPE_CUSTOM, Campaign: l.Campaign,
			Props: object(memberIf(member(nil, "name", quote("open")), "proxy", proxy)),
		},
		rule: openRule(in.r), recipient: l.ContactId,
		// A provider's machine says nothing of the reader's device and place.
		server: proxy != "",
	})
}

// brings takes what a request brings and waits for limits.RedirectAfter at most.
func (c *Collector) brings(
	w http.ResponseWriter, r *http.Request, protocol string, take func(*intake),
) {
	if !c.addresses.take(c.peer(r), time.Now()) {
		c.metrics.shed(&tally{accepted: 1})
		c.metrics.link(protocol, linkLost)
		return
	}
	in := c.intake(w, r, protocol, len(r.URL.RawQuery))
	defer in.end()
	take(in)
	err := in.commitWithin(c.limits.RedirectAfter)
	switch {
	case err == nil:
		c.metrics.link(protocol, linkRecorded)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		c.metrics.link(protocol, linkUnconfirmed)
	default:
		c.metrics.link(protocol, linkLost)
	}
}

// refuseLink keeps what was no link, or no longer.
func (c *Collector) refuseLink(
	w http.ResponseWriter, r *http.Request, protocol, reason string,
) {
	c.brings(w, r, protocol, func(in *intake) {
		in.refuse([]byte(r.URL.RequestURI()), "", &Rejection{reason, "want a link of ours", ""})
	})
}

// What became of a click or an open once it was answered.
const (
	linkRecorded = "recorded"
	// linkUnconfirmed was answered before it was known to be durable.
	linkUnconfirmed = "unconfirmed"
	linkLost        = "lost"
)
