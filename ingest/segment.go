package ingest

import (
	"cmp"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// Libraries of Segment speak to the collector as to its tracking API, the site's key being their
// write key. What cannot be read as a whole is answered 400, which they give up on. All else is
// answered 200, also where an event is of no use: that is kept in bad-beacons.

const protocolSegment = "segment"

// The limits of the tracking API.
const (
	segmentCallBytes  = 32 << 10
	segmentBatchBytes = 500 << 10
	segmentEvents     = 2500
	// segmentContextBytes is ours: what a batch says of all its events is in each of their beacons.
	segmentContextBytes = 4 << 10
)

// Calls of the tracking API: what a single one says has happened, and those that are none.
const (
	callBatch   = "batch"
	callMetrics = "metrics"
)

// segmentCall is the call behind a path, empty where there is none. The browser's library sends the
// first letter alone.
func segmentCall(path string) string {
	switch path {
	case "t", "track":
		return "track"
	case "i", "identify":
		return "identify"
	case "p", "page":
		return "page"
	case "s", "screen":
		return "screen"
	case "g", "group":
		return "group"
	case "a", "alias":
		return "alias"
	case "b", "batch", "import":
		return callBatch
	case "m":
		return callMetrics
	}
	return ""
}

// segment is the intake of a request of a library.
type segment struct {
	*intake
	limits Limits
	// basic is the write key in the header, which beats one in the body, which beats bearer.
	basic, bearer string
	// anonymous is who sends, where an event does not say it.
	anonymous string
	// strangers counts the events of unknown write keys.
	strangers int
	// batch is what surrounds the events of a batch; the zero value surrounds nothing.
	batch segmentBatch
}

// segmentBatch is what a batch says of all its events; they may say otherwise.
type segmentBatch struct {
	writeKey string
	sentAt   int64
	context  gjson.Result
	// bad is what is wrong with the context, and so with every event.
	bad *Rejection
}

// postSegment takes a call, whatever its media type: browsers send text/plain without asking first.
func (c *Collector) postSegment(w http.ResponseWriter, r *http.Request) {
	call := segmentCall(r.PathValue("call"))
	switch call {
	case "":
		http.NotFound(w, r)
		return
	case callMetrics:
		segmentTaken(w) // what a library says of itself
		return
	}
	body, bad, err := c.readBody(w, r, &buffer{})
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	in := &segment{intake: c.intake(w, r, protocolSegment, len(body)), limits: c.limits}
	defer in.end()
	in.limits.BeaconBytes = min(c.limits.BeaconBytes, segmentCallBytes)
	in.basic, in.bearer = writeKeys(r.Header)
	in.bearer = cmp.Or(in.bearer, siteKey(r.URL.Query().Get("writeKey")))
	in.anonymous = anonymousID(r.Header)
	in.beside.Call = call
	if bad == nil && call == callBatch {
		bad = in.decodeBatch(body)
	} else if bad == nil {
		bad = in.single(call, body)
	}
	if bad != nil {
		in.refuse(body, siteKey(in.basic), bad)
	}
	switch err := in.commit(); {
	case err != nil:
		unavailable(w, http.StatusServiceUnavailable, err)
	case bad != nil:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"success":false,"message":`+quote(bad.Reason+": "+bad.Detail)+"}\n")
	case c.cfg.StrictKeys && in.strangers > 0 && in.strangers == in.index:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"success":false,"message":"unknown write key"}`+"\n")
	default:
		segmentTaken(w)
	}
}

func segmentTaken(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"success":true}`) // a client that went away needs no answer
}

// single takes the one event of a call; it returns why the call is refused as a whole.
func (s *segment) single(call string, body []byte) *Rejection {
	if len(body) > segmentCallBytes {
		return tooLarge(segmentCallBytes)
	}
	if bad := wellFormed(body, bounds{depth: batchDepth, keys: len(body)}); bad != nil {
		return bad
	}
	s.event(call, body)
	return nil
}

// decodeBatch takes {"batch":[{"type":…},…],"context":{…},"sentAt":…,"writeKey":…}; it returns why
// it is refused as a whole.
func (s *segment) decodeBatch(body []byte) *Rejection {
	if len(body) > segmentBatchBytes {
		return tooLarge(segmentBatchBytes)
	}
	list, batch, bad := segmentMembers(body)
	if bad != nil {
		return bad
	}
	if batch.bad = checkContext(batch.context.Raw, s.limits); batch.bad != nil {
		batch.context = gjson.Result{}
	}
	s.batch = batch
	return elements(body, list, segmentEvents, func(raw []byte) {
		s.beside.Call, s.beside.SentAtUs, s.beside.Batch = "", batch.sentAt, batch.context.Raw
		s.event("", raw)
	})
}

// segmentMembers parts a batch into its events and what surrounds them.
func segmentMembers(body []byte) (list gjson.Result, batch segmentBatch, bad *Rejection) {
	// Events are held to the limits one by one, so that one of them does not sink the rest.
	if bad := wellFormed(body, bounds{depth: batchDepth, keys: len(body)}); bad != nil {
		return list, batch, bad
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return list, batch, &Rejection{ReasonWrongType, "want an object", ""}
	}
	root.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "batch":
			list = v
		case "context":
			batch.context = v
		case "sentAt":
			batch.sentAt = lenientTime(v)
		case "writeKey":
			batch.writeKey = v.String()
		}
		return true
	})
	switch {
	case !list.Exists():
		return list, batch, &Rejection{ReasonMissingField, "want the events", "/batch"}
	case !list.IsArray():
		return list, batch, &Rejection{ReasonWrongType, "want an array", "/batch"}
	}
	return list, batch, nil
}

// checkContext looks whether a batch's context can be part of its events.
func checkContext(context string, limits Limits) *Rejection {
	if context == "" {
		return nil
	}
	var bad *Rejection
	switch raw := []byte(context); {
	case len(raw) > segmentContextBytes:
		bad = tooLarge(segmentContextBytes)
	default:
		if bad = wellFormed(raw, bounds{limits.Depth, limits.Keys, true}); bad == nil {
			bad = cleanText(raw)
		}
	}
	if bad != nil {
		bad.Path = "/context"
	}
	return bad
}

// event takes one event; call is empty where it says itself what it is.
func (s *segment) event(call string, raw []byte) {
	defer s.survive(raw, s.place())
	m, bad := parseSegment(call, raw, s.batch, s.anonymous, s.limits)
	site := siteKey(cmp.Or(s.basic, m.text("writeKey"), s.batch.writeKey, s.bearer))
	if s.c.sites.find(site) == nil {
		s.strangers++
	}
	if bad == nil && site == "" {
		bad = &Rejection{ReasonMissingField, "want a write key", "/writeKey"}
	}
	if bad != nil {
		s.refuse(raw, site, bad)
		return
	}
	claim := m.claim(site)
	if s.origin != "" {
		claim.server = false
	}
	s.claim(raw, claim)
}

// siteKey is a write key that can be a site's, else empty.
func siteKey(key string) string {
	if !cleanName(key) || utf8.RuneCountInString(key) > maxSite {
		return ""
	}
	return key
}

// writeKeys reads the write key from the user of Basic authentication, whose colon may be missing,
// or from a Bearer token.
func writeKeys(h http.Header) (basic, bearer string) {
	scheme, value, _ := strings.Cut(h.Get("Authorization"), " ")
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "basic":
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
		if err == nil {
			basic, _, _ = strings.Cut(string(raw), ":")
		}
		return siteKey(basic), ""
	case "bearer":
		return "", siteKey(value)
	}
	return "", ""
}

// getSettings tells the browser's library at its start where to send to: here.
func (c *Collector) getSettings(w http.ResponseWriter, r *http.Request) {
	if here, ok := c.segmentHere(w, r); ok {
		_, _ = io.WriteString(w, `{"integrations":`+here+`,"plan":{"track":{"__default":`+
			`{"enabled":true,"integrations":{}}}},"edgeFunction":{},"analyticsNextEnabled":true,`+
			`"middlewareSettings":{},"enabledMiddleware":{},"metrics":{"sampleRate":0},`+
			`"legacyVideoPluginsEnabled":false,"remotePlugins":[]}`+"\n")
	}
}

// getIntegrations is getSettings for older libraries.
func (c *Collector) getIntegrations(w http.ResponseWriter, r *http.Request) {
	if here, ok := c.segmentHere(w, r); ok {
		_, _ = io.WriteString(w, here+"\n")
	}
}

// segmentHere names the one destination that there is.
func (c *Collector) segmentHere(w http.ResponseWriter, r *http.Request) (here string, ok bool) {
	c.allowOrigin(w, r)
	key := r.PathValue("key")
	if c.sites.find(key) == nil {
		http.NotFound(w, r)
		return "", false
	}
	// Whoever asks can but mislead themselves: the answer is for them alone, and nobody keeps it.
	host := cmp.Or(r.Header.Get("X-Forwarded-Host"), r.Host) +
		strings.TrimSuffix(r.Header.Get("X-Forwarded-Prefix"), "/")
	protocol := "http"
	if c.overTLS(r) || strings.HasPrefix(cmp.Or(r.Header.Get("Origin"), r.Referer()), "https://") {
		protocol = "https" // a page that came by it can send by nothing else
	}
	w.Header().Set("Content-Type", "application/json")
	return `{"Segment.io":{"apiKey":` + quote(key) + `,"apiHost":` + quote(host+"/v1") +
		`,"protocol":"` + protocol + `","retryQueue":true,"type":"server","bundlingStatus":"bundled",` +
		`"unbundledIntegrations":[],"addBundledMetadata":false,"maybeBundledConfigIds":{},` +
		`"versionSettings":{"version":"4.4.7","componentTypes":["browser"]}}}`, true
}

// onlyPost answers a GET of a path that takes POST alone.
func onlyPost(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", http.MethodPost)
	http.Error(w, "want POST", http.StatusMethodNotAllowed)
}

// consentOf is what a message says of consent: none where every category is refused.
func consentOf(categories gjson.Result) schemas.Consent {
	any, granted := false, false
	categories.ForEach(func(_, v gjson.Result) bool {
		any, granted = true, granted || v.Bool()
		return true
	})
	if any && !granted {
		return schemas.Consent_CONSENT_NONE
	}
	return schemas.Consent_CONSENT_UNSPECIFIED
}
