package ingest

import (
	"cmp"
	"io"
	"net/http"
	"strings"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// Trackers of Snowplow speak to the collector as to their own. They send again whatever is answered
// with 300 or more, except 400, 401, 403, 410 and 422: what can never be taken is therefore
// answered 200 and kept in bad-beacons, what can be later is answered 503.

const protocolSnowplow = "snowplow"

// How an input of a tracker, or of a pixel, is packed where it is not one event's JSON.
const (
	callPayload  = "payload"
	callQuery    = "query"
	callHook     = "hook"
	callRedirect = "redirect"
)

// snowplowEvents is the most events in one request. Trackers cut theirs at 40,000 bytes.
const snowplowEvents = 2500

// snowplow is the intake of a request of a tracker.
type snowplow struct {
	*intake
	// network is the visitor's id in the query or, else, in a cookie that this collector set.
	network string
}

func (c *Collector) snowplow(w http.ResponseWriter, r *http.Request, sizeHint int) *snowplow {
	s := &snowplow{intake: c.intake(w, r, protocolSnowplow, sizeHint)}
	s.sent.anonymous = r.Header.Get(anonymousHeader) != "" || c.cfg.Snowplow.DoNotTrack.asks(r)
	if s.sent.anonymous {
		s.known = ""
		return s
	}
	s.network = cmp.Or(clientID(r.URL.Query().Get("nuid")), networkCookie(r))
	s.beside.VisitorId = s.network
	return s
}

// anonymousHeader asks that the visitor be neither known nor remembered.
const anonymousHeader = "SP-Anonymous"

// postSnowplow takes {"schema":…,"data":[{…},…]}, whatever path and media type it comes by.
func (c *Collector) postSnowplow(w http.ResponseWriter, r *http.Request) {
	body, bad, err := c.readBody(w, r, &buffer{})
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	in := c.snowplow(w, r, len(body))
	defer in.end()
	if bad == nil {
		bad = decodePayload(body, in.event)
	}
	if bad != nil {
		in.beside.Call = callPayload
		in.refuse(body, "", bad)
	}
	if in.settle() {
		trackerOK(w, in.status())
	}
}

// getSnowplow takes the one event of a query.
func (c *Collector) getSnowplow(w http.ResponseWriter, r *http.Request) {
	in := c.snowplow(w, r, len(r.URL.RawQuery))
	defer in.end()
	in.beside.Call = callQuery
	p, bad := queryParams(r.URL.RawQuery, c.limits)
	in.take([]byte(r.URL.RawQuery), p, bad)
	if in.settle() {
		trackerImage(w)
	}
}

// vendorPath is the rest of the paths: /<vendor>/<version>, which a tracker may be set to.
func (c *Collector) vendorPath(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("vendor") {
	case "v1", "t", "r", ".well-known":
		http.NotFound(w, r)
		return
	}
	switch to := c.cfg.Snowplow.Paths[r.URL.Path]; {
	case to == PathHook:
		c.snowplowHook(w, r)
	case to == PathRedirect && r.Method != http.MethodPost:
		c.getRedirect(w, r)
	case r.Method == http.MethodPost:
		c.postSnowplow(w, r)
	case r.URL.Query().Has("e"):
		c.getSnowplow(w, r)
	default:
		http.NotFound(w, r)
	}
}

// event takes one event of a payload.
func (s *snowplow) event(raw []byte) {
	defer s.survive(raw, s.place())
	p, bad := jsonParams(raw, s.c.limits)
	s.take(raw, p, bad)
}

// take takes the parameters of an event, or refuses it.
func (s *snowplow) take(raw []byte, p *params, bad *Rejection) {
	defer s.survive(raw, s.place())
	var claim *claim
	if bad == nil {
		claim, bad = decodeSnowplow(p, s.c.limits)
	}
	if bad != nil {
		s.refuse(raw, p.site(), bad)
		return
	}
	b := claim.beacon
	claim.visitor = cmp.Or(s.network, claim.visitor)
	if b.Url == "" && !claim.server {
		b.Url = plain(s.r.Referer(), maxURL)
	}
	b.ReferringVisitorId, b.ReferringVisitorAtUs = referring(b.Url)
	if site := s.c.sites.find(b.Site); site != nil &&
		b.Type == schemas.BeaconType_BEACON_TYPE_PING {
		b.EngagedMs = int32(min(site.Heartbeat.Milliseconds(), maxEngaged))
	}
	s.claim(raw, claim)
}

// settle makes durable what came, and sets the cookies. It is false where it has answered.
func (s *snowplow) settle() bool {
	if err := s.commit(); err != nil {
		unavailable(s.w, http.StatusServiceUnavailable, err)
		return false
	}
	s.remember()
	return true
}

// trackerOK answers a POST: some browsers take an answer without a body for a failure.
func trackerOK(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "ok") // a client that went away needs no answer
}

// trackerImage answers a GET.
func trackerImage(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	_, _ = w.Write(pixel()) // a client that went away needs no answer
}

// networkName is the cookie of Snowplow's collector. Here it keeps the id that a tracker made in
// the browser, where scripts' own cookies live a week: a visitor without ct_visitor stays the same.
const networkName = "sp"

func networkCookie(r *http.Request) string {
	cookie, err := r.Cookie(networkName)
	if err != nil || !isUUID(cookie.Value) {
		return ""
	}
	return clientID(cookie.Value)
}

// remember sets the cookie where consent allows, and deletes it where it does not. An address that
// somebody was led to may name any id, so that only what a page of the same site sends is kept.
func (s *snowplow) remember() {
	j := s.jar
	if s.site != nil {
		j = j.of(s.site)
	}
	switch {
	case s.sent.anonymous || s.site != nil && !s.site.stores(s.allowed):
		if _, err := s.r.Cookie(networkName); err == nil {
			j.expire(s.w, networkName)
		}
	case s.site != nil && s.known+s.fresh == "" && isUUID(s.claimed) && sentByPage(s.r.Header):
		_, life, _ := s.site.VisitorLifetime()
		j.put(s.w, networkName, s.claimed, life)
	}
}

// sentByPage says whether a script of a page of the same site sent a request.
func sentByPage(h http.Header) bool {
	switch h.Get("Sec-Fetch-Site") {
	case "same-origin", "same-site":
		return h.Get("Sec-Fetch-Mode") != "navigate"
	}
	return false
}

// trackerOrigin lets pages of an allowed origin read the answer, as allowOrigin does, and any other
// page where it sends no cookies: a tracker needs that to tell a refusal from a cut connection. One
// that sends cookies from elsewhere keeps its events until the site lists its origin.
func (c *Collector) trackerOrigin(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		c.allowOrigin(w, r)
		serve(w, r)
	}
}

// preflightSnowplow answers what browsers ask before a tracker's POST.
func preflightSnowplow(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Headers", "Content-Type, "+anonymousHeader)
	h.Set("Access-Control-Max-Age", "3600")
}

// getHealth is for whoever balances load: it says that the collector listens.
func getHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok")
}

// getSinkHealth says whether what comes in now can be made durable.
func (c *Collector) getSinkHealth(w http.ResponseWriter, r *http.Request) {
	if c.Ready() != nil {
		http.Error(w, "the log takes nothing", http.StatusServiceUnavailable)
		return
	}
	getHealth(w, r)
}

// decodePayload calls each with every event of a tracker's POST, which alias body.
func decodePayload(body []byte, each func(raw []byte)) *Rejection {
	// Events are held to the limits one by one, so that one of them does not sink the rest.
	if bad := wellFormed(body, bounds{depth: batchDepth, keys: len(body)}); bad != nil {
		return bad
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return &Rejection{ReasonWrongType, "want an object", ""}
	}
	var data gjson.Result
	root.ForEach(func(key, v gjson.Result) bool {
		if key.Str == "data" {
			data = v
		}
		return true
	})
	switch {
	case !data.Exists():
		return &Rejection{ReasonMissingField, "want the events", "/data"}
	case !data.IsArray():
		return &Rejection{ReasonWrongType, "want an array of events", "/data"}
	}
	return elements(body, data, snowplowEvents, each)
}

// clientID is an id that a client made, empty where it names nobody: what broken code makes of a
// missing id, and the id of all who are anonymous. Nor is an e-mail address an id.
func clientID(id string) string {
	switch strings.ToLower(id) {
	case "null", "undefined", "none", "nil", "nan", "0", "-1", "true", "false", "guest", "anonymous",
		"unknown", "[object object]", "00000000-0000-0000-0000-000000000000",
		"00000000-0000-4000-a000-000000000000":
		return ""
	}
	if !cleanName(id) || len(id) > maxVisitor || isTelling("", id) {
		return ""
	}
	return id
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F'):
			return false
		}
	}
	return true
}
