package ingest

import "net/http"

// preflightSeconds is how long browsers may remember that they may send.
const preflightSeconds = "7200"

// allowOrigin lets pages of an allowed origin read the answer. The answer says nothing that is
// worth reading; that it can be read tells a tracker whether to send again. A page from disk gets
// no credentials: "null" is the origin of every sandbox.
func (c *Collector) allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if h["Vary"] == nil {
		h["Vary"] = varyOrigin
	} else {
		h.Add("Vary", "Origin")
	}
	h["Access-Control-Expose-Headers"] = retryNames
	switch origin := r.Header.Get("Origin"); {
	case origin == "" || !c.sites.allow(origin):
	case origin == originNull:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h["Access-Control-Allow-Origin"] = r.Header["Origin"][:1:1]
		h["Access-Control-Allow-Credentials"] = allowed
	}
}

// preflight answers what browsers ask before they send anything but text/plain.
func (c *Collector) preflight(w http.ResponseWriter, r *http.Request) {
	c.allowOrigin(w, r)
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		// Whatever a page of the site wants to send: each version of a library has headers of its own.
		if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
			h.Set("Access-Control-Allow-Headers", headers)
		}
		h.Set("Access-Control-Max-Age", preflightSeconds)
	}
	w.WriteHeader(http.StatusNoContent)
}
