package ingest

import "net/http"

// preflightSeconds is how long browsers may remember that they may send.
const preflightSeconds = "7200"

// allowOrigin lets pages of an allowed origin read the answer. The answer says nothing that is
// worth reading; that it can be read tells a tracker whether to send again. A page from disk gets
// no credentials: "null" is the origin of every sandbox.
func (c *Collector) allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-RateLimit-Reset")
	switch origin := r.Header.Get("Origin"); {
	case origin == "" || !c.sites.allow(origin):
	case origin == originNull:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// preflight answers what browsers ask before they send anything but text/plain.
func (c *Collector) preflight(w http.ResponseWriter, r *http.Request) {
	c.allowOrigin(w, r)
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers",
			"Content-Type, Content-Encoding, Authorization, X-Retry-Count")
		h.Set("Access-Control-Max-Age", preflightSeconds)
	}
	w.WriteHeader(http.StatusNoContent)
}
