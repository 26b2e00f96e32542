package sessionize

import (
	"bytes"
	"time"

	"crumbtrail/schemas"
)

// maxEngaged bounds what one ping adds to the engaged time.
const maxEngaged = 30 * time.Second

// putOut cuts a visit's beacons, which are in order, into pieces, and emits each as a visit. The
// duplicates stand on the first piece.
func (s *sessions) putOut(v *visit, entries []entry, end string) {
	start := v.start
	if start == "" {
		start = reasonFirstBeacon
		if v.late {
			start = reasonLate
		}
	}
	cuts := cutter{rules: v.visitor.rules}
	duplicates, from := v.duplicates, 0
	for i := range entries {
		reason := cuts.before(&entries[i])
		if reason == "" {
			continue
		}
		s.emitPiece(v, entries[from:i], start, reason, duplicates)
		start, duplicates, from = reason, 0, i
	}
	s.emitPiece(v, entries[from:], start, end, duplicates)
}

// cutter walks over the beacons of a visit and says where a new piece begins.
type cutter struct {
	rules    *rules
	begun    bool
	firstUS  int64  // of the piece
	day      string // of the last beacon, in the site's time zone
	campaign []byte // the last one that a beacon of the visit named
}

// before says why a new piece begins with e, or nothing if e goes on with the piece. Where more
// than one reason holds, max_visit comes before campaign and campaign before midnight.
func (c *cutter) before(e *entry) (reason string) {
	day := ""
	if c.rules.cutMidnight {
		day = time.UnixMicro(e.occurredUS).In(c.rules.zone).Format(time.DateOnly)
	}
	named := e.text[textCampaign]
	switch {
	case !c.begun:
	case e.occurredUS-c.firstUS > c.rules.maxVisitUS:
		reason = reasonMaxVisit
	case c.rules.cutCampaign && len(named) > 0 && !bytes.Equal(named, c.campaign):
		reason = reasonCampaign
	case day != c.day:
		reason = reasonMidnight
	}
	if !c.begun || reason != "" {
		c.begun, c.firstUS = true, e.occurredUS
	}
	c.day = day
	if len(named) > 0 {
		c.campaign = named
	}
	return reason
}

// emitPiece emits beacons that are in order as one visit.
func (s *sessions) emitPiece(v *visit, piece []entry, start, end string, duplicates int64) {
	site, visitorID, _ := schemas.SplitVisitorKey([]byte(v.visitor.key))
	first, last := &piece[0], &piece[len(piece)-1]
	out := &schemas.Visit{
		Site: string(site), VisitorId: string(visitorID),
		StartedAtUs: first.occurredUS, EndedAtUs: last.occurredUS,
		FirstEventId: string(first.eventID), LastEventId: string(last.eventID),
		Beacons: int64(len(piece)), Duplicates: duplicates, EngagedMs: engagedMS(piece),
		Consent: first.consent, Late: v.late, StartReason: start, EndReason: end,
	}
	if v.late {
		out.VisitId = s.ids.LateID(site, visitorID, out.StartedAtUs, v.dueUS, out.FirstEventId)
	} else {
		out.VisitId = s.ids.ID(site, visitorID, out.StartedAtUs, out.FirstEventId)
	}
	for i := range piece {
		countKind(out, piece[i].kind)
		out.Consent = min(out.Consent, piece[i].consent)
		out.LastOffset = max(out.LastOffset, piece[i].offset)
	}
	describe(out, piece)
	s.counts.Visits++
	s.emit(v.visitor.key, out)
}

func countKind(out *schemas.Visit, kind schemas.BeaconType) {
	switch kind {
	case schemas.BeaconType_BEACON_TYPE_PAGE_VIEW:
		out.PageViews++
	case schemas.BeaconType_BEACON_TYPE_PING:
		out.Pings++
	case schemas.BeaconType_BEACON_TYPE_LINK_CLICK:
		out.LinkClicks++
	case schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT:
		out.FormSubmits++
	case schemas.BeaconType_BEACON_TYPE_CUSTOM:
		out.Customs++
	case schemas.BeaconType_BEACON_TYPE_REQUEST:
		out.Requests++
	}
}

// engagedMS sums, over the pings, the time that the page says it was in sight and in use, or else
// the time since the beacon before; each at most maxEngaged. A gap without pings adds nothing.
func engagedMS(piece []entry) int64 {
	us := int64(0)
	for i := range piece {
		if piece[i].kind != schemas.BeaconType_BEACON_TYPE_PING {
			continue
		}
		switch {
		case piece[i].engagedMS > 0:
			us += min(int64(piece[i].engagedMS)*1000, maxEngaged.Microseconds())
		case i > 0:
			us += min(piece[i].occurredUS-piece[i-1].occurredUS, maxEngaged.Microseconds())
		}
	}
	return us / 1000
}

// describe fills in what the visit takes from single beacons: where it came from, by the first
// that says so, the agent, and the first and last page.
func describe(out *schemas.Visit, piece []entry) {
	var source, agent, entryPage, exitPage *entry
	for i := range piece {
		e := &piece[i]
		came := len(e.text[textReferrer])+len(e.text[textChannel])+len(e.text[textCampaign]) > 0
		if source == nil && came {
			source = e
		}
		if agent == nil && len(e.text[textAgent]) > 0 {
			agent = e
		}
		if e.kind == schemas.BeaconType_BEACON_TYPE_PAGE_VIEW {
			if entryPage == nil {
				entryPage = e
			}
			exitPage = e
		}
	}
	if entryPage == nil {
		entryPage, exitPage = &piece[0], &piece[len(piece)-1]
	}
	out.EntryUrl = string(entryPage.text[textURL])
	out.ExitUrl = string(exitPage.text[textURL])
	if source != nil {
		out.Referrer = string(source.text[textReferrer])
		out.Channel = string(source.text[textChannel])
		if encoded := source.text[textCampaign]; len(encoded) > 0 {
			out.Campaign = &schemas.Campaign{}
			mustRead(out.Campaign.UnmarshalVT(encoded))
		}
	}
	if agent != nil {
		out.Agent = &schemas.Agent{}
		mustRead(out.Agent.UnmarshalVT(agent.text[textAgent]))
	}
}

// mustRead panics on a message that decode had accepted.
func mustRead(err error) {
	if err != nil {
		panic("sessionize: a message that was read before: " + err.Error())
	}
}
