package ingest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"crumbtrail/schemas"
)

// Server returns a server for the public listener, with the limits of the edge. The caller serves
// with it, through Listener, and shuts it down, before it ends Run.
func (c *Collector) Server() *http.Server {
	l := c.limits
	return &http.Server{
		Handler:           c.Handler(),
		MaxHeaderBytes:    l.HeaderBytes,
		ReadHeaderTimeout: l.HeaderTimeout,
		ReadTimeout:       l.BodyTimeout,
		WriteTimeout:      l.WriteTimeout,
		IdleTimeout:       l.IdleTimeout,
		ConnState:         c.connections.changes,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, conn)
		},
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn),
	}
}

// Listener bounds how many connections the server has at once, and turns requests away while more
// come in than can be done.
func (c *Collector) Listener(l net.Listener) net.Listener {
	bounded := &boundedListener{
		Listener: l, of: c.connections, edge: c, done: make(chan struct{}),
	}
	go c.connections.overload.watch(c.limits.ProcessorWait, bounded.done)
	return bounded
}

// route is one pattern of the public listener.
type route struct {
	pattern string
	serve   http.HandlerFunc
}

func (c *Collector) routes() []route {
	return []route{
		{postBeaconsPattern, c.limited(c.postBeacons)},
		{"GET /v1/pixel.gif", c.limited(c.getPixel)},
		{"POST /v1/forms/{site}", c.limited(c.postForm)},
		{"POST /v1/consent", c.limited(c.postConsent)},
		{"POST /v1/visit", c.limited(c.postVisit)},
		{"POST /v1/reset", c.limited(c.postReset)},
		{"OPTIONS /v1/{call}", c.preflight},
		{"OPTIONS /v1/forms/{site}", c.preflight},
		{"GET /t/{script}", c.getScript},
		{"GET /confirm", c.limited(c.getConfirm)},
		{"POST /confirm", c.limited(c.postConfirm)},
		{"GET /robots.txt", getRobots},
		{"GET /.well-known/gpc.json", c.getPrivacyControl},

		// Segment's libraries.
		{"POST /v1/{call}", c.limited(c.postSegment)},
		{"GET /v1/{call}", onlyPost},
		{"GET /v1/projects/{key}/settings", c.getSettings},
		{"GET /v1/projects/{key}/integrations", c.getIntegrations},

		// RudderStack's.
		{"GET /sourceConfig", c.getSourceConfig},
		{"GET /sourceConfig/{$}", c.getSourceConfig},
		{"POST /beacon/v1/{call}", c.limited(c.postSegment)},
		{"OPTIONS /sourceConfig", c.preflight},
		{"OPTIONS /sourceConfig/{$}", c.preflight},
		{"OPTIONS /beacon/v1/{call}", c.preflight},

		// Links and pixels that are handed out.
		{"GET /r/{name}", c.getLink},
		{"GET /l/{token}", c.getSignedLink},
		{"GET /o/{file}", c.getOpen},

		// Snowplow's trackers.
		{"POST " + PathPayload, c.tracked(c.postSnowplow)},
		{"GET /i", c.tracked(c.getSnowplow)},
		{"GET /ice.png", c.tracked(c.getSnowplow)},
		{"GET " + PathRedirect, c.limited(c.getRedirect)},
		{"POST " + PathHook, c.trackerOrigin(c.limited(c.snowplowHook))},
		{"GET " + PathHook, c.trackerOrigin(c.limited(c.snowplowHook))},
		{"POST /{vendor}/{version}", c.tracked(c.vendorPath)},
		{"GET /{vendor}/{version}", c.tracked(c.vendorPath)},
		{"OPTIONS /i", c.trackerOrigin(preflightSnowplow)},
		{"OPTIONS /ice.png", c.trackerOrigin(preflightSnowplow)},
		{"OPTIONS /{vendor}/{version}", c.trackerOrigin(preflightSnowplow)},
		{"GET /health", getHealth},
		{"GET /sink-health", c.getSinkHealth},
	}
}

// Handler serves the public listener.
func (c *Collector) Handler() http.Handler {
	mux := http.NewServeMux()
	answers := map[string]*answers{"": c.metrics.answers("none")}
	for _, at := range c.routes() {
		mux.HandleFunc(at.pattern, at.serve)
		answers[at.pattern] = c.metrics.answers(at.pattern)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		h := w.Header()
		h["X-Content-Type-Options"] = nosniff
		h["Cross-Origin-Resource-Policy"] = crossOrigin
		h["Cache-Control"] = noStore
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		mux.ServeHTTP(seen, r)
		answers[r.Pattern].took(seen.status, time.Since(began))
	})
}

// Values of headers that each answer has. Nobody changes them.
var (
	nosniff     = []string{"nosniff"}
	crossOrigin = []string{"cross-origin"}
	noStore     = []string{"no-store"}
	jsonType    = []string{"application/json"}
	varyOrigin  = []string{"Origin"}
	retryNames  = []string{"Retry-After, X-RateLimit-Reset"}
	allowed     = []string{"true"}
)

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader is called at most once.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limited bounds how often an address is heard. What is turned away was not read and counts as one.
func (c *Collector) limited(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.allowOrigin(w, r)
		if !passedBy(r) && c.connections.overload.sheds() {
			c.metrics.shed(&tally{accepted: 1})
			unavailable(w, http.StatusServiceUnavailable, errFull)
			return
		}
		c.connections.overload.enter()
		defer c.connections.overload.leave()
		if !c.addresses.take(c.peer(r), time.Now()) {
			c.metrics.shed(&tally{accepted: 1})
			unavailable(w, http.StatusTooManyRequests, nil)
			return
		}
		serve(w, r)
	}
}

// postBeacons takes {"sent_at":…,"beacons":[…]}, an array of beacons, or one beacon. text/plain is
// what browsers send without asking first.
func (c *Collector) postBeacons(w http.ResponseWriter, r *http.Request) {
	buffer := c.body()
	defer c.release(buffer)
	body, bad, err := c.readBody(w, r, buffer)
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	in := c.intake(w, r, protocolNative, len(body))
	defer in.end()
	if bad == nil {
		switch mediaType(r.Header) {
		case "", "application/json", "text/plain":
			bad = decodeBatch(body, c.limits, in.beacon)
		default:
			bad = &Rejection{ReasonMediaType, "want application/json or text/plain", ""}
		}
	}
	in.finish(body, bad)
}

// finish makes durable what a request brought and answers it; bad is why it was refused as a whole.
func (in *intake) finish(body []byte, bad *Rejection) {
	if bad != nil {
		in.refuse(body, "", bad)
	}
	err := in.commit()
	switch {
	case err != nil:
		unavailable(in.w, http.StatusServiceUnavailable, err)
	case bad != nil:
		in.answer(statusOf(bad.Reason))
	default:
		in.answer(in.status())
	}
}

// postConsent takes what a visitor has said about consent and lets it count at once.
func (c *Collector) postConsent(w http.ResponseWriter, r *http.Request) {
	body, bad, err := c.readBody(w, r, &buffer{})
	if err != nil || bad != nil {
		http.Error(w, "want a small JSON object", http.StatusBadRequest)
		return
	}
	now := time.Now()
	key, said, ok := decodeStatement(body, c.limits, now.Unix())
	site := c.sites.find(key)
	switch {
	case !ok:
		http.Error(w, wantStatement, http.StatusBadRequest)
		return
	case site == nil:
		http.Error(w, "no site has this key", http.StatusBadRequest)
		return
	case !site.allows(r.Header.Get("Origin")), isBlind(r):
		http.Error(w, "the origin is not on the site's list", http.StatusForbidden)
		return
	}
	j := c.jar(r).of(site)
	j.choose(w, &said)
	allowed := c.welcome(w, j, site, &said)
	if _, err := r.Cookie(networkName); err == nil && !site.stores(allowed) {
		j.expire(w, networkName)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"consent":"` + allowed.Name() + "\"}\n"))
}

// welcome says who the visitor is before the first beacon, where consent allows it; it returns how
// far that goes.
func (c *Collector) welcome(
	w http.ResponseWriter, j jar, site *Site, said *statement,
) schemas.Consent {
	allowed := site.judge(said, signalsOf(j.request.Header)).consent
	visitor := j.visitor()
	if visitor == "" && site.stores(allowed) {
		visitor = newVisitor()
	}
	j.keep(w, site, allowed, visitor, time.Now())
	return allowed
}

// getScript serves the tracker of a site. Where it may, it already says who the visitor is, so
// that the first beacons of a page, and a form that leads away at once, all come from the same.
func (c *Collector) getScript(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutSuffix(r.PathValue("script"), ".js")
	site := c.sites.find(key)
	if !ok || site == nil {
		http.NotFound(w, r)
		return
	}
	crossSite := r.Header.Get("Sec-Fetch-Site") == "cross-site"
	c.allowOrigin(w, r) // a page that names the script's hash asks for it as for data
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	// Not for shared caches: the answer sets cookies.
	h.Set("Cache-Control", "private, max-age=300")
	h.Add("Vary", "Sec-Fetch-Site")
	if !crossSite {
		j, now := c.jar(r).of(site), time.Now()
		said := j.said(now)
		if said.objects() && said.at != 0 && now.Sub(time.Unix(said.at, 0)) > refusalRenewed {
			j.choose(w, &said)
		}
		c.welcome(w, j, site, &said)
	}
	c.scripts.of(key, site, crossSite).send(w, r)
}

func getRobots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
}

// getPrivacyControl says whether the signal of Global Privacy Control is obeyed on all sites.
func (c *Collector) getPrivacyControl(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	obeyed := strconv.FormatBool(c.sites.privacyControl)
	_, _ = w.Write([]byte(`{"gpc":` + obeyed + `,"lastUpdate":"2026-01-01"}` + "\n"))
}
