package ingest

import (
	"encoding/base64"
	"io"
	"net/http"
)

// Libraries of RudderStack speak the tracking API, and a little more: they ask for a configuration
// at their start, send what is left at the end of a page to a path of its own, and say in a header
// who sends.

// getSourceConfig tells a library that its source is on, and that nobody but the collector is to
// hear of its events.
func (c *Collector) getSourceConfig(w http.ResponseWriter, r *http.Request) {
	c.allowOrigin(w, r)
	key, _ := writeKeys(r.Header)
	if key == "" {
		key = siteKey(r.URL.Query().Get("writeKey"))
	}
	if c.sites.find(key) == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"message":"unknown write key"}`+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"source":{"id":`+quote(key)+`,"name":`+quote(key)+`,"writeKey":`+
		quote(key)+`,"enabled":true,"workspaceId":"crumbtrail","connections":[],"destinations":[],`+
		`"config":{"statsCollection":{"errors":{"enabled":false},"metrics":{"enabled":false}}}},`+
		`"updatedAt":"2026-01-01T00:00:00.000Z"}`+"\n")
}

// anonymousID is the id in the header AnonymousId, in base64, empty where there is none.
func anonymousID(h http.Header) string {
	raw, err := base64.StdEncoding.DecodeString(h.Get("AnonymousId"))
	if err != nil || !cleanName(string(raw)) {
		return ""
	}
	return string(raw)
}
