package ingest

import (
	"bytes"
	"fmt"
	"strconv"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"
)

// callSite is the call of a line whose replay was given its site, whatever the line says.
const callSite = "site"

// lineParser turns lines of recorded traffic into entries. One goroutine at a time uses it.
type lineParser struct {
	cfg   RecordedConfig
	sites *sites
	// other has the rules of a site that sites has not.
	other    Site
	source   string
	enricher *enrich.Enricher
	events   *schemas.Names
	bads     *schemas.Names
	name     []byte
}

func newLineParser(
	cfg RecordedConfig, sites *sites, source string, enricher *enrich.Enricher,
) *lineParser {
	return &lineParser{
		cfg: cfg, sites: sites, other: DefaultSite(), source: source, enricher: enricher,
		events: schemas.NewNames("event"), bads: schemas.NewNames("bad_beacon"),
	}
}

func (p *lineParser) parse(c *chunk) []Entry {
	entries := make([]Entry, 0, len(c.lines))
	start := 0
	for i, l := range c.lines {
		text := bytes.TrimSuffix(c.data[start:l.end], []byte{'\n'})
		text = bytes.TrimSuffix(text, []byte{'\r'})
		start = l.end
		number := c.first + int64(i)
		switch {
		case l.cut:
			detail := fmt.Sprintf("want at most %d bytes in a line", lineBytes)
			entries = append(entries, p.refuse(text, number, &Rejection{ReasonTooLarge, detail, ""}))
		case p.cfg.Format == FormatCombined:
			entries = append(entries, p.combined(text, number))
		case len(bytes.TrimSpace(text)) > 0:
			entries = append(entries, p.ndjson(text, number))
		}
	}
	return entries
}

// ndjson reads one line of NDJSON: a beacon that says itself who it is from and when it came in.
func (p *lineParser) ndjson(text []byte, number int64) Entry {
	c, bad := decodeFor(p.cfg.Site, text, p.cfg.Limits)
	if bad == nil {
		bad = p.recorded(c)
	}
	if bad != nil {
		return p.refuse(text, number, bad)
	}
	b := c.beacon
	if b.EventId == "" {
		b.EventId = p.eventID(b.Site, number, text)
	}
	e := Entry{Line: number, Beacon: b}
	p.finish(b)
	if b.Type == schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT {
		e.Submission, _ = forms(p.cfg.Forms).submission(b, c.form, c.fields)
	}
	return e
}

// recorded checks what a replay needs beyond what HTTP does, and applies it to the beacon.
func (p *lineParser) recorded(c *claim) *Rejection {
	b := c.beacon
	if b.Consent = c.consent; b.Consent == schemas.Consent_CONSENT_UNSPECIFIED {
		b.Consent = p.consent(b.Site)
	}
	switch {
	case c.receivedAt == 0:
		return &Rejection{ReasonMissingField, "want received_at in a replay", "/received_at"}
	case b.Consent == schemas.Consent_CONSENT_NONE:
		// Counted only: nobody is named, whatever the recording says.
	case c.visitor == "":
		return &Rejection{ReasonMissingField, "want visitor in a replay", "/visitor"}
	default:
		b.VisitorId = c.visitor
	}
	b.ReceivedAtUs = c.receivedAt
	return nil
}

// finish fills what follows from a beacon's own content.
func (p *lineParser) finish(b *schemas.Beacon) {
	b.Collector = p.cfg.Collector
	site := p.sites.find(b.Site)
	if site == nil {
		site = &p.other
	}
	site.clean(b, p.cfg.Limits)
	b.OccurredAtUs, b.Clamped = occurred(
		b.ReceivedAtUs, b.CreatedAtUs, b.SentAtUs, p.cfg.Limits.MaxAge)
	p.enricher.Enrich(b, site.Address, enrich.ParseAddress(b.Ip), nil)
	if b.Consent == schemas.Consent_CONSENT_NONE {
		b.Ip = "" // counted only
	}
}

func (p *lineParser) consent(site string) schemas.Consent {
	if p.cfg.Consent == nil {
		return schemas.Consent_CONSENT_IDENTIFIED
	}
	return p.cfg.Consent(site)
}

// eventID names a line without an id of its own by its place: equal lines are real.
func (p *lineParser) eventID(site string, number int64, text []byte) string {
	p.name = append(append(p.name[:0], site...), 0)
	p.name = append(strconv.AppendInt(p.name, number, 10), 0)
	p.name = append(p.name, text...)
	return p.events.ID(p.name)
}

// refuse makes a bad beacon of a line; its received_at is the replay's clock, which Next knows.
func (p *lineParser) refuse(text []byte, number int64, bad *Rejection) Entry {
	site := p.cfg.Site
	switch {
	case site != "":
	case p.cfg.Format == FormatCombined:
		site = DefaultKey
	case wellFormed(text, bounds{depth: batchDepth, keys: len(text)}) == nil:
		site = claimedSite(text)
	}
	p.name = append(append(p.name[:0], site...), 0)
	p.name = append(append(p.name, p.source...), 0)
	p.name = append(strconv.AppendInt(p.name, number, 10), 0)
	p.name = append(p.name, text...)
	b := &schemas.BadBeacon{
		BadBeaconId: p.bads.ID(p.name),
		Site:        site,
		Protocol:    protocolNative,
		Reason:      bad.Reason,
		Detail:      bad.Detail,
		Path:        bad.Path,
		Source:      p.source,
		Line:        number,
	}
	if p.cfg.Format == FormatCombined {
		b.Protocol = protocolCombined
	} else if p.cfg.Site != "" {
		b.Context = &schemas.BadContext{Call: callSite}
	}
	text, b.Truncated = withoutSecrets(b.Protocol, text, p.cfg.Limits)
	if len(text) > p.cfg.Limits.RawBytes {
		text, b.Truncated = text[:p.cfg.Limits.RawBytes], true
	}
	b.Raw = bytes.Clone(text)
	return Entry{Line: number, Bad: b}
}
