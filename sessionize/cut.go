package sessionize

import (
	"bytes"
	"time"

	"crumbtrail/schemas"
)

// maxEngaged bounds what one ping adds to the engaged time.
const maxEngaged = 30 * time.Second

// putOut cuts a visit's beacons into pieces, and puts out each as a visit. The duplicates stand on
// the first piece.
func (s *sessions) putOut(v *visit, end string) {
	beacons, err := unpack(s.beacons[:0], v.packed)
	mustRead(err)
	s.beacons = beacons
	s.places = inOrder(s.places[:0], beacons, v.packed)
	start := v.start
	if start == "" {
		start = reasonFirstBeacon
		if v.late {
			start = reasonLate
		}
	}
	cuts := cutter{rules: v.visitor.rules, packed: v.packed}
	p := piece{duplicates: v.duplicates, start: start}
	for i := range s.places {
		k := &beacons[s.places[i].index]
		if reason := cuts.before(k); reason != "" {
			p.end = reason
			s.putPiece(v, &p)
			p = piece{start: reason}
		}
		p.add(k)
	}
	p.end = end
	s.putPiece(v, &p)
}

// cutter walks over the beacons of a visit and says where a new piece begins.
type cutter struct {
	rules    *rules
	packed   []byte
	begun    bool
	firstUS  int64  // of the piece
	day      string // of the last beacon, in the site's time zone
	campaign []byte // the last one that a beacon of the visit named
}

// before says why a new piece begins with a beacon, or nothing if the beacon goes on with the
// piece. Where more than one reason holds, max_visit comes before campaign and campaign before
// midnight.
func (c *cutter) before(k *kept) (reason string) {
	day := ""
	if c.rules.cutMidnight {
		day = time.UnixMicro(k.occurredUS).In(c.rules.zone).Format(time.DateOnly)
	}
	named := k.text[textCampaign].of(c.packed)
	switch {
	case !c.begun:
	case k.occurredUS-c.firstUS > c.rules.maxVisitUS:
		reason = reasonMaxVisit
	case c.rules.cutCampaign && len(named) > 0 && !bytes.Equal(named, c.campaign):
		reason = reasonCampaign
	case day != c.day:
		reason = reasonMidnight
	}
	if !c.begun || reason != "" {
		c.begun, c.firstUS = true, k.occurredUS
	}
	c.day = day
	if len(named) > 0 {
		c.campaign = named
	}
	return reason
}

// beaconTypes is how many schemas.BeaconType there are.
const beaconTypes = int(schemas.BeaconType_BEACON_TYPE_REQUEST) + 1

// piece is what comes out as one visit, gathered from its beacons in order.
type piece struct {
	first, last *kept
	// source is the first beacon that says where the visit came from, agent the first with an agent.
	source, agent *kept
	// The first and the last page view.
	entryPage, exitPage *kept

	beacons    int64
	ofType     [beaconTypes]int64
	duplicates int64
	engagedUS  int64
	consent    schemas.Consent
	lastOffset int64
	start, end string
}

// add takes the next beacon in.
func (p *piece) add(k *kept) {
	if p.first == nil {
		p.first, p.consent = k, k.consent
	}
	p.beacons++
	if k.kind >= 0 && int(k.kind) < beaconTypes {
		p.ofType[k.kind]++
	}
	p.consent = min(p.consent, k.consent)
	p.lastOffset = max(p.lastOffset, k.offset)
	if p.source == nil && !(k.text[textReferrer].empty() && k.text[textChannel].empty() &&
		k.text[textCampaign].empty()) {
		p.source = k
	}
	if p.agent == nil && !k.text[textAgent].empty() {
		p.agent = k
	}
	switch k.kind {
	case schemas.BeaconType_BEACON_TYPE_PAGE_VIEW:
		if p.entryPage == nil {
			p.entryPage = k
		}
		p.exitPage = k
	case schemas.BeaconType_BEACON_TYPE_PING:
		p.engagedUS += p.engaged(k)
	}
	p.last = k
}

// engaged is how long the visitor was engaged up to a ping: as long as the page says that it was in
// sight and in use, or else since the beacon before; at most maxEngaged. A gap without pings adds
// nothing.
func (p *piece) engaged(ping *kept) int64 {
	us := int64(0)
	switch {
	case ping.engagedMS > 0:
		us = int64(ping.engagedMS) * 1000
	case p.last != nil:
		us = ping.occurredUS - p.last.occurredUS
	}
	return min(us, maxEngaged.Microseconds())
}
