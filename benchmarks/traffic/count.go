package traffic

import (
	"strings"
	"time"

	"crumbtrail/schemas"
)

// lateFrom is how long after it happened a beacon comes in that counts as late.
const lateFrom = time.Hour

// count keeps the books of what was sent, from which Expected is read.
type count struct {
	total Expected
	// taken holds every address given to somebody.
	taken    map[string]bool
	visitors map[visitorKey]bool
	emails   map[string]map[visitorKey]bool
	people   map[int]map[visitorKey]bool
}

type visitorKey struct{ site, visitor string }

func newCount() *count {
	return &count{
		taken:    map[string]bool{},
		visitors: map[visitorKey]bool{},
		emails:   map[string]map[visitorKey]bool{},
		people:   map[int]map[visitorKey]bool{},
	}
}

// accept counts a beacon that ends in the log for the first time.
func (c *count) accept(b *browser, site string, e event, received time.Time) {
	c.total.Received++
	c.total.Accepted++
	switch b.is {
	case schemas.Consent_CONSENT_NONE:
		c.total.Counted++
	case schemas.Consent_CONSENT_STATISTICAL:
		c.total.Statistical++
	default:
		c.total.Identified++
	}
	if b.is != schemas.Consent_CONSENT_NONE {
		c.visitors[visitorKey{site, b.visitor[site]}] = true
	}
	if e.kind == schemas.BeaconType_BEACON_TYPE_PAGE_VIEW {
		c.total.PageViews++
	}
	if b.bot {
		c.total.Bots++
	}
	if b.is != schemas.Consent_CONSENT_NONE && received.Sub(e.at) > lateFrom {
		c.total.Late++
	}
}

func (c *count) malformed(n int) {
	c.total.Received += n
	c.total.Malformed += n
}

func (c *count) duplicates(n int) {
	c.total.Received += n
	c.total.Accepted += n
	c.total.Duplicates += n
}

// submit counts a form; its beacon is counted by accept.
func (c *count) submit(b *browser, site string, p *person, email string) {
	c.total.Submissions++
	email = sameEmail(email)
	visitor := visitorKey{site, b.visitor[site]}
	if b.is != schemas.Consent_CONSENT_IDENTIFIED {
		visitor = visitorKey{}
	} else {
		c.total.Linkable++
	}
	note(c.emails, email, visitor)
	note(c.people, p.number, visitor)
}

// sameEmail is the form in which addresses of this traffic that reach one mailbox are equal.
func sameEmail(email string) string {
	local, domain, _ := strings.Cut(strings.ToLower(strings.TrimSpace(email)), "@")
	local, _, _ = strings.Cut(local, "+")
	if domain == "gmail.com" {
		local = strings.ReplaceAll(local, ".", "")
	}
	return local + "@" + domain
}

// visit counts a visit, unless its beacons come late or may not be put together.
func (c *count) visit(b *browser, late bool) {
	if b.is != schemas.Consent_CONSENT_NONE && !late {
		c.total.Visits++
	}
}

// note notes that somebody was seen with a visitor, or with none.
func note[K comparable](seen map[K]map[visitorKey]bool, key K, visitor visitorKey) {
	if seen[key] == nil {
		seen[key] = map[visitorKey]bool{}
	}
	if visitor != (visitorKey{}) {
		seen[key][visitor] = true
	}
}

func (c *count) expected() Expected {
	out := c.total
	out.Visitors = len(c.visitors)
	out.Emails = len(c.emails)
	out.People = len(c.people)
	out.JoinedPeople = joined(c.people)
	out.JoinedEmails = joined(c.emails)
	return out
}

// joined counts who was seen with several visitors.
func joined[K comparable](seen map[K]map[visitorKey]bool) (n int) {
	for _, visitors := range seen {
		if len(visitors) > 1 {
			n++
		}
	}
	return n
}
