package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/fault"
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"
)

// Why a well-formed beacon is refused over HTTP.
const (
	ReasonUnknownSite = "unknown_site"
	ReasonOrigin      = "origin_not_allowed"
)

// intake is what one request brings, from the moment that its body has been read.
type intake struct {
	c      *Collector
	w      http.ResponseWriter
	r      *http.Request
	peer   netip.Addr
	origin string
	jar    jar
	said   statement
	sent   signals
	// protocol is the wire protocol.
	protocol string

	parcel  *parcel
	decoder *decoder
	// timer bounds how long the log may take.
	timer *time.Timer
	us    int64
	// unbound says that what comes is of no browser: it has no visitor and sets no cookie.
	unbound bool
	// overBudget says that a site sends more than it may.
	overBudget bool
	// committed says that the parcel's fate is with the appender.
	committed bool
	// over says that the appender holds nothing of it any more.
	over bool
	// beside is what the request says besides the bytes of an input, for those that are refused.
	beside schemas.BadContext
	// again is nil but in a redrive.
	again *again
	// index counts the inputs, rejected lists the refused ones.
	index    int
	rejected []rejectedBeacon
	// known is the visitor in our cookie, claimed one that the client named and that was taken,
	// fresh one that was made for this request.
	known, claimed, fresh string
	// reset says that who sent goes away, and that the next cookies are somebody else's.
	reset bool
	// site is the first site that took a beacon, allowed the most that its visitor allows.
	site    *Site
	allowed schemas.Consent
	// verdict is that of the site judged, which nearly always is the next beacon's, too.
	judged  *Site
	verdict verdict
	// heard is the last site that allowed the origin.
	heard *Site
	// client is what the connection tells, once it was asked for.
	client *enrich.Client
}

// rejectedBeacon is one line of the answer.
type rejectedBeacon struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	Path   string `json:"path,omitempty"`
}

func (c *Collector) intake(
	w http.ResponseWriter, r *http.Request, protocol string, sizeHint int,
) *intake {
	in, ok := c.intakes.Get().(*intake)
	if !ok {
		in = &intake{parcel: newParcel(0), decoder: newDecoder()}
	}
	in.c, in.w, in.r, in.protocol = c, w, r, protocol
	in.peer, in.origin = c.peer(r), r.Header.Get("Origin")
	in.jar, in.sent = c.jar(r), signalsOf(r.Header)
	// What enrichment adds is about that much.
	in.parcel.buf = slices.Grow(in.parcel.buf, sizeHint+sizeHint/4+512)
	in.parcel.arrival = c.arrivals.arrive(&in.parcel.own)
	in.us = in.parcel.arrival.us
	in.said, in.known = in.jar.said(time.UnixMicro(in.us)), in.jar.visitor()
	return in
}

func (c *Collector) jar(r *http.Request) jar {
	return jar{request: r, secure: c.overTLS(r), signer: c.signer}
}

// alone takes a beacon that did not come in a batch.
func (in *intake) alone(raw []byte) {
	limits := in.c.limits
	if len(raw) <= limits.BeaconBytes {
		if bad := wellFormed(raw, bounds{limits.Depth, limits.Keys, true}); bad != nil {
			in.refuse(raw, claimedSite(raw), bad)
			return
		}
	}
	in.beacon(raw, time.Time{})
}

// beacon takes an element of a batch, which is well-formed, as it came.
func (in *intake) beacon(raw []byte, batchSentAt time.Time) {
	defer in.survive(raw, in.place())
	in.beside.SentAtUs = 0
	if !batchSentAt.IsZero() {
		in.beside.SentAtUs = batchSentAt.UnixMicro()
	}
	claim, bad := in.decoder.next(raw, in.c.limits)
	if bad != nil {
		in.refuse(raw, claimedSite(raw), bad)
		return
	}
	if claim.beacon.SentAtUs == 0 {
		claim.beacon.SentAtUs = in.beside.SentAtUs
	}
	in.claim(raw, claim)
}

// claim settles what a client may not decide: whether it is heard, who it is, what may be done
// with what it says, and when it was.
func (in *intake) claim(raw []byte, claim *claim) {
	b := claim.beacon
	site := in.c.sites.find(b.Site)
	switch {
	case site == nil:
		in.refuse(raw, b.Site,
			&Rejection{ReasonUnknownSite, "want the key of a site", sitePath(in.protocol)})
		return
	case site != in.heard && !site.allows(in.origin):
		in.refuse(raw, b.Site, &Rejection{ReasonOrigin, "want an origin of the site's list", ""})
		return
	case in.again == nil && (in.overBudget || !site.spend(len(raw))):
		// All of the request is to come again: clients cannot send a part of it.
		in.overBudget = true
		in.parcel.tally.accepted++
		return
	}
	in.heard = site
	in.consent(b, site, claim.consent)
	names := b.Consent
	switch {
	case site.namesDaily(b.Consent):
		names = schemas.Consent_CONSENT_NONE // no id of the sender's stands beside that of the day
	case claim.submits() && in.led():
	case b.Consent > schemas.Consent_CONSENT_NONE && !in.unbound:
		if claim.visitor == "" && b.Consent == schemas.Consent_CONSENT_IDENTIFIED {
			claim.visitor = claim.user
		}
		b.VisitorId = in.visitor(claim.visitor)
	}
	if b.Consent == schemas.Consent_CONSENT_IDENTIFIED {
		b.Recipient = claim.recipient
	}
	if names == schemas.Consent_CONSENT_NONE {
		b.ReferringVisitorId, b.ReferringVisitorAtUs = "", 0
	}
	if claim.props != nil {
		b.Props = claim.props(names)
	}
	site.clean(b, in.c.limits)
	if b.EventId == "" {
		b.EventId = in.eventID()
	}
	b.Protocol, b.Collector = in.protocol, in.c.cfg.Collector
	b.ReceivedAtUs, b.ClockUs = in.us, in.us
	if claim.happenedAt != 0 {
		b.OccurredAtUs, b.Clamped = occurred(in.us, claim.happenedAt, 0, in.c.limits.MaxAge)
	} else {
		b.OccurredAtUs, b.Clamped = occurred(in.us, b.CreatedAtUs, b.SentAtUs, in.c.limits.MaxAge)
	}
	in.enrich(claim, site)
	if in.again != nil {
		in.again.mark(b)
	}
	in.parcel.beacon(b, in.c.cfg.Partitions)
	if claim.submits() {
		s, secrets := forms(in.c.cfg.Forms).submission(b, claim.form, claim.fields)
		s.Kind = max(s.Kind, claim.kind)
		s.ConfirmUntilUs = in.confirmUntil(s)
		in.parcel.submission(s, b.ClockUs)
		in.parcel.tally.secrets += int64(secrets)
	}
	in.index++
}

// led says that a browser was led to an address as to a page. Such a link may be of anybody:
// cookies come with it, an origin does not, and so it must not say who its visitor is.
func (in *intake) led() bool {
	return in.r.Method != http.MethodPost && in.r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// sitePath points to where an input of a protocol says which site it is of.
func sitePath(protocol string) string {
	switch protocol {
	case protocolForm:
		return "" // in the request's path
	case protocolSnowplow:
		return "/aid"
	case protocolSegment:
		return "/writeKey"
	}
	return "/site"
}

// consent settles what may be done with a beacon of a site, of which its sender may ask for less.
func (in *intake) consent(b *schemas.Beacon, site *Site, asked schemas.Consent) {
	if in.judged != site {
		in.judged, in.verdict = site, site.judge(&in.said, in.sent)
	}
	v := in.verdict
	if in.site == nil || v.consent > in.allowed {
		in.site, in.allowed = site, v.consent
	}
	if asked != schemas.Consent_CONSENT_UNSPECIFIED {
		v = v.under(asked, schemas.ConsentSource_CONSENT_SOURCE_CLIENT)
	}
	said := in.said
	if !site.stores(v.consent) {
		said = said.unnamed()
	}
	b.Consent, b.ConsentSource, b.ConsentChoice = v.consent, v.source, said.choice
	b.ConsentAtUs, b.Gpc = said.at*1e6, in.sent.privacyControl
	b.TcSha256, b.TcfPurposes = said.tcSHA256, said.tcfPurposes
}

// confirmUntil is when a submission must be confirmed by mail, 0 where it counts at once. Nobody is
// asked about recorded input; who is driven again has the whole time from now on.
func (in *intake) confirmUntil(s *schemas.Submission) int64 {
	within := forms(in.c.cfg.Forms).of(s.Site, s.Form).ConfirmWithin
	switch {
	case within <= 0 || in.c.cfg.Clock != nil:
		return 0
	case in.again != nil:
		return time.Now().Add(within).UnixMicro()
	}
	return s.ReceivedAtUs + within.Microseconds()
}

// enrich adds to a beacon what is known of who sends it.
func (in *intake) enrich(claim *claim, site *Site) {
	b, who := claim.beacon, in.clientOf(claim)
	in.c.enricher.Add(b, site.Address, who)
	if claim.rule != "" && b.Agent.GetBotRule() == "" {
		b.Agent = proto.CloneOf(b.Agent) // shared
		b.Agent.Device, b.Agent.BotRule = enrich.DeviceBot, claim.rule
	}
	switch {
	case b.Consent == schemas.Consent_CONSENT_NONE:
		b.Ip = "" // counted only
	case site.namesDaily(b.Consent):
		if !in.unbound && !claim.submits() { // or the name of a day would stand beside that of a person
			b.VisitorId = in.ofOneDay(claim, site, who.Addr)
		}
		b.Ip, b.UserAgent = "", ""
	}
}

// clientOf is who sends, as the connection tells, if it is the visitor's.
func (in *intake) clientOf(claim *claim) *enrich.Client {
	e, header := in.c.enricher, in.r.Header
	if claim.server {
		header = nil
	}
	switch {
	case in.sent.anonymous: // not even looked at
		return e.Client(netip.Addr{}, header)
	case claim.server || claim.address != "":
		return e.Client(enrich.ParseAddress(claim.address), header)
	case in.client == nil:
		in.client = e.Client(in.peer, header)
	}
	return in.client
}

// visitor returns who sends: our cookie, else what the client claims, else somebody new.
func (in *intake) visitor(claimed string) string {
	switch {
	case in.known != "":
		return in.known
	case claimed != "" && !schemas.VisitorID(claimed).OfOneDay():
		in.claimed = claimed
		return claimed
	case in.fresh == "" && in.again != nil:
		in.fresh = in.again.visitor()
	case in.fresh == "":
		in.fresh = newVisitor()
	}
	return in.fresh
}

// eventID names a beacon that came without an id.
func (in *intake) eventID() string {
	if in.again != nil {
		return in.again.eventID(in.index)
	}
	return schemas.NewID()
}

// refuse counts a refused input and keeps it, with its bytes.
func (in *intake) refuse(raw []byte, site string, bad *Rejection) {
	in.rejected = append(in.rejected, rejectedBeacon{in.index, bad.Reason, bad.Detail, bad.Path})
	in.index++
	if isStrange(bad.Reason) && in.again == nil && !in.c.strangers.take(1, time.Now()) {
		in.parcel.refuse(bad.Reason, nil)
		return
	}
	in.parcel.refuse(bad.Reason, in.badBeacon(raw, site, bad))
}

// isStrange says whether anybody who knows nothing can bring about a reason.
func isStrange(reason string) bool {
	switch reason {
	case ReasonUnknownSite, ReasonOrigin, ReasonUnknownLink, ReasonTokenMalformed,
		ReasonTokenUnknownKey, ReasonTokenForged:
		return true
	}
	return false
}

// claimedSite is whose a refused beacon seems to be, so that its owner finds it.
func claimedSite(raw []byte) string {
	if !gjson.ValidBytes(raw) {
		return ""
	}
	site := gjson.GetBytes(raw, "site")
	if site.Type != gjson.String || len(site.Str) > maxSite || !cleanName(site.Str) {
		return ""
	}
	return site.Str
}

// end is the last that is done with an intake. It says that nothing more is on its way, where
// commit was not reached: a request that broke down must not hold back the time for ever.
func (in *intake) end() {
	if !in.committed {
		in.c.arrivals.leave(in.parcel.arrival)
		in.over = true
	}
	if in.over && cap(in.parcel.buf) <= parcelBytes {
		c := in.c
		in.parcel.reset()
		*in = intake{
			parcel: in.parcel, decoder: in.decoder, timer: in.timer, rejected: in.rejected[:0],
		}
		c.intakes.Put(in)
	}
}

// commit appends all that the request brought and returns nil once it is durable. The cookies are
// set then, and only then.
func (in *intake) commit() error { return in.commitWithin(in.c.limits.ProduceTimeout) }

// commitWithin is commit with another limit. What takes longer may become durable all the same.
func (in *intake) commitWithin(limit time.Duration) error {
	fault.Point(fault.Read)
	if len(in.parcel.msgs) == 0 && !in.overBudget {
		in.c.metrics.took(&in.parcel.tally)
		in.keep()
		return nil
	}
	in.committed = true
	if in.overBudget {
		return in.c.appender.shed(in.parcel, errBudget)
	}
	if err := in.c.appender.offer(in.parcel); err != nil {
		return err
	}
	if in.timer == nil {
		in.timer = time.NewTimer(limit)
	} else {
		in.timer.Reset(limit)
	}
	defer in.timer.Stop()
	// Not the request's context: a client that has sent all may have closed its side.
	err := in.c.appender.await(context.Background(), in.timer.C, in.parcel)
	if err != nil {
		return err
	}
	// Of what went to the spill, a request to the log may still be under way.
	in.over = in.parcel.path == pathKafka
	in.keep()
	return nil
}

// keep sets the cookies of who sent, or of who comes next.
func (in *intake) keep() {
	j, visitor := in.jar, in.known
	switch {
	case in.site == nil, in.unbound, isBlind(in.r):
		return
	case in.reset && in.site.stores(in.allowed):
		j, visitor = j.emptied(), newVisitor()
	case visitor == "":
		visitor = in.fresh
	}
	j.keep(in.w, in.site, in.allowed, visitor, time.Now())
}

// status is the answer to what was understood, once it is durable: of a batch some may be refused.
func (in *intake) status() int {
	otherwise := func(r rejectedBeacon) bool { return r.Reason != ReasonOrigin }
	if len(in.rejected) > 0 && len(in.rejected) == in.index &&
		!slices.ContainsFunc(in.rejected, otherwise) {
		return http.StatusForbidden
	}
	return http.StatusOK
}

// answer says what was taken and what was not.
func (in *intake) answer(status int) {
	body := append(make([]byte, 0, 64), `{"accepted":`...)
	body = strconv.AppendInt(body, in.parcel.tally.accepted, 10)
	if len(in.rejected) > 0 {
		list, err := json.Marshal(in.rejected)
		if err != nil {
			panic("encode an answer: " + err.Error())
		}
		body = append(append(body, `,"rejected":`...), list...)
	}
	in.w.Header()["Content-Type"] = jsonType
	in.w.WriteHeader(status)
	_, _ = in.w.Write(append(body, "}\n"...)) // a client that went away needs no answer
}

// errBudget is what a site sends beyond its budget.
var errBudget = errors.New("the site's budget is spent")

// retryLater says when to send again, not the same to all.
func retryLater(w http.ResponseWriter) (seconds string) {
	const least, spread = 1, 4
	seconds = strconv.Itoa(least + rand.IntN(spread))
	w.Header().Set("Retry-After", seconds)
	return seconds
}

// unavailable asks the client to send again, not all of them at the same time.
func unavailable(w http.ResponseWriter, status int, err error) {
	if errors.Is(err, errBudget) {
		status = http.StatusTooManyRequests
	}
	seconds := retryLater(w)
	if status == http.StatusTooManyRequests {
		w.Header().Set("X-RateLimit-Reset", seconds)
	}
	text := "nothing was taken: send it again later"
	if errors.Is(err, errFull) {
		text = "too much is waiting: send it again later"
	}
	http.Error(w, text, status)
}

// retryAfter is in how many seconds a client should come back, not all of them at the same time.
func retryAfter() string {
	const least, spread = 1, 4
	return strconv.Itoa(least + rand.IntN(spread))
}
