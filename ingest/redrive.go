package ingest

import (
	"bytes"
	"cmp"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"
)

// redrivenKey is the member of props that names the bad beacon which a beacon comes from.
const redrivenKey = "_redriven_from"

// Redriver drives refused input through the edge again, once the configuration or the input has
// been repaired: the same decoders, limits, sites and consent, at the time when it came in. Not for
// concurrent use.
type Redriver struct {
	c        *Collector
	consent  func(site string) schemas.Consent
	events   *schemas.Names
	bads     *schemas.Names
	visitors *schemas.Names
}

// NewRedriver makes a redriver for a collector's configuration. consent is that of recorded input
// which says nothing of it, by site.
func NewRedriver(cfg Config, consent func(site string) schemas.Consent) (*Redriver, error) {
	cfg.Collector, cfg.Spill, cfg.Clock = "redrive", nil, nil
	// It never runs: of the collector this uses what is decided before the log.
	c, err := New(cfg, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return &Redriver{
		c: c, consent: consent, events: schemas.NewNames("redriven_event"),
		bads: schemas.NewNames("redriven_bad_beacon"), visitors: schemas.NewNames("redriven_visitor"),
	}, nil
}

// Redriven is what became of a bad beacon.
type Redriven struct {
	// Messages must be durable together, or none of them: what was taken, what is still refused of
	// an input of which the rest was taken, and the receipt. There are none where nothing was taken.
	Messages []kafka.Message
	// Accepted is how many beacons were taken, Refused why others were not.
	Accepted int
	Refused  []Rejection
	// Hopeless is why it could not even be tried, empty where it was.
	Hopeless string
}

// Drive drives one bad beacon. What comes of it depends on the bad beacon and the configuration
// alone, so that it can be repeated; now is the time of the receipt.
func (d *Redriver) Drive(bad *schemas.BadBeacon, now time.Time) Redriven {
	if why := hopeless(bad, now); why != "" {
		return Redriven{Hopeless: why}
	}
	in := d.intake(bad)
	if bad.Source != "" {
		in.recorded(d, bad)
	} else {
		in.repeat(bad)
	}
	out := Redriven{Accepted: int(in.parcel.tally.accepted)}
	for _, r := range in.rejected {
		out.Refused = append(out.Refused, Rejection{r.Reason, r.Detail, r.Path})
	}
	if out.Accepted == 0 {
		return out
	}
	in.parcel.add(schemas.BadBeacons, kafka.AnyPartition, 0, []byte(bad.Site), &schemas.BadBeacon{
		BadBeaconId: bad.BadBeaconId, Site: bad.Site, ReceivedAtUs: now.UnixMicro(),
		Protocol: bad.Protocol, Reason: bad.Reason, RedrivenAtUs: now.UnixMicro(),
		RedrivenBeacons: int32(out.Accepted),
	})
	out.Messages = in.parcel.msgs
	for i := range out.Messages {
		out.Messages[i].Timestamp = now.UnixMilli() // retention goes by it
	}
	return out
}

// hopeless says why a bad beacon cannot be driven again, empty where it can.
func hopeless(bad *schemas.BadBeacon, now time.Time) string {
	switch bad.Protocol {
	case protocolNative, protocolPixel, protocolForm, protocolCombined, protocolSnowplow,
		protocolSegment:
	case protocolLink, protocolOpen:
		return "nobody is there any more to be led on"
	default:
		return "nothing that came by " + bad.Protocol + " is driven again"
	}
	switch {
	case bad.Truncated:
		return "not all of its bytes were kept"
	case len(bad.Raw) == 0:
		return "its bytes were not kept, since they may hold secrets"
	case bad.ReceivedAtUs <= 0 || bad.ReceivedAtUs > now.UnixMicro():
		return "it does not say when it came in, or says a time to come"
	}
	return ""
}

// intake is one that stands where the request stood that brought a bad beacon.
func (d *Redriver) intake(bad *schemas.BadBeacon) *intake {
	said := bad.GetContext()
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: http.Header{}}
	for name, value := range map[string]string{
		"Origin": said.GetOrigin(), "Referer": said.GetReferrer(),
		"User-Agent": said.GetUserAgent(), "Accept-Language": said.GetLanguage(),
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	in := &intake{
		c: d.c, r: r, protocol: bad.Protocol, origin: said.GetOrigin(),
		said: parseStatement(said.GetConsent(), bad.ReceivedAtUs/1e6),
		sent: signals{
			privacyControl: said.GetGpc(), doNotTrack: said.GetDoNotTrack(),
			anonymous: said.GetAnonymous(),
		},
		jar: d.c.jar(r), known: said.GetVisitorId(), us: bad.ReceivedAtUs,
		parcel: newParcel(2*len(bad.Raw) + 512), decoder: newDecoder(), again: &again{d, bad},
	}
	in.peer, _ = netip.ParseAddr(said.GetIp())
	return in
}

// repeat reads raw as its protocol does.
func (in *intake) repeat(bad *schemas.BadBeacon) {
	said, limits := bad.GetContext(), in.c.limits
	whole := func(bad *Rejection, raw []byte) {
		if bad != nil {
			in.refuse(raw, "", bad)
		}
	}
	switch bad.Protocol {
	case protocolNative:
		whole(decodeBatch(bad.Raw, limits, func(raw []byte, sentAt time.Time) {
			if sentAt.IsZero() && said.GetSentAtUs() != 0 {
				sentAt = time.UnixMicro(said.GetSentAtUs())
			}
			in.beacon(raw, sentAt)
		}), bad.Raw)
	case protocolPixel:
		raw, broken := bad.Raw, (*Rejection)(nil)
		if said.GetCall() == callQuery {
			raw, broken = decodePixel(string(bad.Raw), said.GetReferrer(), limits)
		}
		if whole(broken, bad.Raw); broken == nil {
			in.alone(raw)
		}
	case protocolForm:
		f := &form{}
		broken := f.json(bad.Raw, limits)
		f.name, f.url = cmp.Or(f.name, said.GetForm()), cmp.Or(f.url, said.GetUrl())
		if whole(broken, bad.Raw); broken == nil {
			in.form(bad.Site, f)
		}
	case protocolSnowplow:
		s := &snowplow{intake: in, network: in.known}
		s.repeat(bad.Raw, said)
	case protocolSegment:
		s := &segment{intake: in, limits: limits, bearer: siteKey(bad.Site)}
		s.limits.BeaconBytes = min(limits.BeaconBytes, segmentCallBytes)
		whole(s.repeat(bad.Raw, said), bad.Raw)
	}
}

// repeat reads what a tracker has sent, by the way in which it came.
func (s *snowplow) repeat(raw []byte, said *schemas.BadContext) {
	limits := s.c.limits
	s.beside.Call = said.GetCall()
	switch said.GetCall() {
	case callPayload:
		if bad := decodePayload(raw, s.event); bad != nil {
			s.refuse(raw, "", bad)
		}
	case callQuery:
		p, bad := queryParams(string(raw), limits)
		s.take(raw, p, bad)
	case callHook:
		s.beside.Query = said.GetQuery()
		query, body := said.GetQuery(), raw
		if query == "" {
			query, body = string(raw), nil
		}
		p, bad := hookParams(query, body, limits)
		s.take(raw, p, bad)
	case callRedirect:
		p, bad := queryParams(string(raw), limits)
		if key := s.c.sites.leadsTo(p.get("aid"), p.get("u")); bad == nil && key == "" {
			bad = &Rejection{ReasonInvalidRedirect, "want a host that the site lists", "/u"}
		} else if bad == nil {
			p = p.redirected(key)
		}
		s.take(raw, p, bad)
	default:
		s.event(raw)
	}
}

// repeat reads what a library has sent: one event of a batch, or the body of a call.
func (s *segment) repeat(raw []byte, said *schemas.BadContext) *Rejection {
	s.beside.Call = said.GetCall()
	switch said.GetCall() {
	case callBatch:
		return s.decodeBatch(raw)
	case "":
		s.batch.sentAt, s.batch.context = said.GetSentAtUs(), gjson.Parse(said.GetBatch())
		if s.batch.bad = checkContext(s.batch.context.Raw, s.limits); s.batch.bad != nil {
			s.batch.context = gjson.Result{}
		}
		s.event("", raw)
		return nil
	}
	return s.single(said.GetCall(), raw)
}

// recorded reads a line of recorded traffic.
func (in *intake) recorded(d *Redriver, bad *schemas.BadBeacon) {
	cfg := RecordedConfig{
		Format: FormatNDJSON, Site: bad.Site, Consent: d.consent, Limits: in.c.limits,
		Forms: in.c.cfg.Forms,
	}
	read := (*lineParser).ndjson
	if bad.Protocol == protocolCombined {
		cfg.Format, read = FormatCombined, (*lineParser).combined
	} else if bad.GetContext().GetCall() != callSite {
		// A line says itself whose it is, unless it was replayed with a site.
		cfg.Site = ""
	}
	e := read(newLineParser(cfg, in.c.sites, bad.Source, in.c.enricher), bad.Raw, bad.Line)
	if e.Bad != nil {
		in.refuse(bad.Raw, bad.Site, &Rejection{e.Bad.Reason, e.Bad.Detail, e.Bad.Path})
		return
	}
	e.Beacon.ClockUs = e.Beacon.ReceivedAtUs
	in.again.mark(e.Beacon)
	in.parcel.beacon(e.Beacon, in.c.cfg.Partitions)
	if e.Submission != nil {
		in.parcel.submission(e.Submission, e.Beacon.ClockUs)
	}
}

// again is the bad beacon that an intake takes for the second time. What it names follows from the
// bad beacon, so that a redrive that is repeated makes the same beacons.
type again struct {
	d   *Redriver
	bad *schemas.BadBeacon
}

func (a *again) name(index int) []byte {
	return strconv.AppendInt(append([]byte(a.bad.BadBeaconId), 0), int64(index), 10)
}

func (a *again) eventID(index int) string { return a.d.events.ID(a.name(index)) }

func (a *again) visitor() string { return a.d.visitors.ID([]byte(a.bad.BadBeaconId)) }

// mark says on a beacon that it comes from a redrive. It names no collector: what came in long ago
// says nothing of what time it is.
func (a *again) mark(b *schemas.Beacon) {
	b.Collector = ""
	members := bytes.TrimSpace(b.Props)
	if len(members) > 0 {
		members = members[1 : len(members)-1]
	}
	if len(bytes.TrimSpace(members)) > 0 {
		members = append(slices.Clone(members), ',')
	}
	b.Props = object(member(slices.Clip(members), redrivenKey, quote(a.bad.BadBeaconId)))
}

// part makes a bad beacon that is still refused a part of the one that it comes from.
func (a *again) part(b *schemas.BadBeacon, index int) {
	b.BadBeaconId, b.PartOf = a.d.bads.ID(a.name(index)), a.bad.BadBeaconId
	b.Source, b.Line = a.bad.Source, a.bad.Line
}

// badBeacon makes of a refused input what is kept of it.
func (in *intake) badBeacon(raw []byte, site string, bad *Rejection) *schemas.BadBeacon {
	b := &schemas.BadBeacon{
		Site: site, ReceivedAtUs: in.us, Protocol: in.protocol, Reason: bad.Reason,
		Detail: bad.Detail, Path: bad.Path, Context: in.context(site),
	}
	raw, b.Truncated = withoutSecrets(in.protocol, raw, in.c.limits)
	if len(raw) > in.c.limits.RawBytes {
		raw, b.Truncated = raw[:in.c.limits.RawBytes], true
	}
	b.Raw = bytes.Clone(raw)
	if in.again != nil {
		in.again.part(b, in.index)
	} else {
		b.BadBeaconId = schemas.NewID()
	}
	return b
}

// context is what the request said besides: of who sent it, no more than a beacon would hold.
func (in *intake) context(site string) *schemas.BadContext {
	const mostHeader = 1024
	known := in.c.sites.find(site)
	var strip []string
	if known != nil {
		strip = known.StripQuery
	}
	header := func(name string) string {
		return plainText([]byte(clip(in.r.Header.Get(name), mostHeader)))
	}
	out := &schemas.BadContext{
		Call: in.beside.Call, SentAtUs: in.beside.SentAtUs, Batch: in.beside.Batch,
		Query: in.beside.Query, Form: in.beside.Form, Url: cleanURL(in.beside.Url, strip),
		Origin:    plainText([]byte(clip(in.origin, mostHeader))),
		Referrer:  cleanURL(header("Referer"), strip),
		UserAgent: header("User-Agent"),
		Language:  enrich.FirstLanguage(in.r.Header.Get("Accept-Language")),
		Gpc:       in.sent.privacyControl, DoNotTrack: in.sent.doNotTrack, Anonymous: in.sent.anonymous,
	}
	if out.Batch != "" {
		batch, _ := dropSecrets([]byte(out.Batch))
		out.Batch = string(batch)
	}
	if out.Query != "" {
		k := keeper{packed: true, most: in.c.limits.RawBytes}
		out.Query = string(k.query([]byte(out.Query)))
	}
	// A visitor's cookie was set with consent; whether it may count is decided in the redrive.
	allowed := !in.said.objects() && in.sent == signals{}
	policy := enrich.AddressTruncated
	if known != nil {
		policy = known.Address
		allowed = known.stores(known.judge(&in.said, in.sent).consent)
	}
	said := in.said
	if !allowed {
		said = said.unnamed()
	}
	if said.choice != undecided {
		out.Consent = said.cookie()
	}
	if allowed {
		if !in.led() {
			out.VisitorId = cmp.Or(in.known, in.beside.VisitorId)
		}
		out.Ip = policy.Keep(in.peer)
	}
	return out
}

// String says it in one line.
func (r Rejection) String() string {
	return strings.TrimSpace(r.Reason + ": " + r.Detail + " " + r.Path)
}
