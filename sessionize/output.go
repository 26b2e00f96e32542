package sessionize

import (
	"strings"

	"crumbtrail/schemas"
)

// The numbers of Visit's fields.
const (
	visitID = iota + 1
	visitSite
	visitVisitorID
	visitStartedAt
	visitEndedAt
	visitBeacons
	visitDuplicates
	visitPageViews
	visitPings
	visitLinkClicks
	visitFormSubmits
	visitCustoms
	visitRequests
	visitEngaged
	visitEntryURL
	visitExitURL
	visitReferrer
	visitChannel
	visitCampaign
	visitAgent
	visitConsent
	visitLate
	visitStartReason
	visitEndReason
	visitFirstEventID
	visitLastEventID
	visitInputPartition
	visitLastOffset
)

// visitNumbersBytes bounds what a Visit takes besides its texts and embedded messages: its id, its
// numbers, its reasons, and the tags and lengths of all.
const visitNumbersBytes = 512

// putPiece writes a piece of a visit as a schemas.Visit, as the schema would, and emits it.
func (s *sessions) putPiece(v *visit, p *piece) {
	key := v.visitor.key
	if p.entryPage == nil {
		p.entryPage, p.exitPage = p.first, p.last
	}
	first, last := p.first.eventID.of(v.packed), p.last.eventID.of(v.packed)
	entry, exit := p.entryPage.text[textURL].of(v.packed), p.exitPage.text[textURL].of(v.packed)
	var referrer, channel, campaign, agent []byte
	if p.source != nil {
		referrer = p.source.text[textReferrer].of(v.packed)
		channel = p.source.text[textChannel].of(v.packed)
		campaign = p.source.text[textCampaign].of(v.packed)
	}
	if p.agent != nil {
		agent = p.agent.text[textAgent].of(v.packed)
	}
	to := s.out.room(visitNumbersBytes + len(key) + len(entry) + len(exit) + len(referrer) +
		len(channel) + len(campaign) + len(agent) + len(first) + len(last))
	to = s.appendVisitID(to, v, p)
	site := strings.IndexByte(key, 0)
	to = appendText(to, visitSite, key[:site])
	to = appendText(to, visitVisitorID, key[site+1:])
	to = appendVarint(to, visitStartedAt, uint64(p.first.occurredUS))
	to = appendVarint(to, visitEndedAt, uint64(p.last.occurredUS))
	to = appendVarint(to, visitBeacons, uint64(p.beacons))
	to = appendVarint(to, visitDuplicates, uint64(p.duplicates))
	for i, count := range p.ofType[1:] { // their numbers follow each other
		to = appendVarint(to, visitPageViews+uint64(i), uint64(count))
	}
	to = appendVarint(to, visitEngaged, uint64(p.engagedUS/1000))
	to = appendBytes(to, visitEntryURL, entry)
	to = appendBytes(to, visitExitURL, exit)
	to = appendBytes(to, visitReferrer, referrer)
	to = appendBytes(to, visitChannel, channel)
	if len(campaign) > 0 { // a message is there even where it says nothing
		campaign = plainCampaign(campaign)
		to = append(appendHead(to, visitCampaign, len(campaign)), campaign...)
	}
	if len(agent) > 0 {
		agent = plainAgent(agent)
		to = append(appendHead(to, visitAgent, len(agent)), agent...)
	}
	to = appendVarint(to, visitConsent, uint64(p.consent))
	to = appendBool(to, visitLate, v.late)
	to = appendText(to, visitStartReason, p.start)
	to = appendText(to, visitEndReason, p.end)
	to = appendBytes(to, visitFirstEventID, first)
	to = appendBytes(to, visitLastEventID, last)
	to = appendVarint(to, visitInputPartition, uint64(s.partition))
	to = appendVarint(to, visitLastOffset, uint64(p.lastOffset))
	value := s.out.take(to)
	s.counts.Visits++
	s.emit(s.out.key(key), value)
}

func (s *sessions) appendVisitID(to []byte, v *visit, p *piece) []byte {
	const textLength = 36
	to = appendHead(to, visitID, textLength)
	began, event := p.first.occurredUS, p.first.eventID.of(v.packed)
	if v.late {
		return s.ids.AppendLateID(to, v.visitor.key, began, v.dueUS, event)
	}
	return s.ids.AppendID(to, v.visitor.key, began, event)
}

// plainCampaign returns an encoded schemas.Campaign as the schema would write it.
func plainCampaign(encoded []byte) []byte {
	if plain(encoded, campaignFields) {
		return encoded
	}
	var campaign schemas.Campaign
	mustRead(campaign.UnmarshalVT(encoded))
	again, err := campaign.MarshalVT()
	mustWrite(err)
	return again
}

// plainAgent returns an encoded schemas.Agent as the schema would write it.
func plainAgent(encoded []byte) []byte {
	if plain(encoded, agentFields) {
		return encoded
	}
	var agent schemas.Agent
	mustRead(agent.UnmarshalVT(encoded))
	again, err := agent.MarshalVT()
	mustWrite(err)
	return again
}

// mustRead panics on bytes that were accepted, or packed, before.
func mustRead(err error) {
	if err != nil {
		panic("sessionize: what was read before: " + err.Error())
	}
}
