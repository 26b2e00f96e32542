package ingest

import (
	"encoding/json"
	"net/http"
	"time"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// visitState is what a page may know of its visitor: neither id.
type visitState struct {
	Consent string `json:"consent"`
	// Visit is null where none is going on.
	Visit *openVisit `json:"visit"`
}

type openVisit struct {
	Began time.Time `json:"began"`
	// EndsIn is in how many seconds the visit is over if nothing comes, whatever the client's clock.
	EndsIn int64 `json:"ends_in"`
}

// postVisit takes {"site":…} and says which visit is going on. To ask does not make it longer.
func (c *Collector) postVisit(w http.ResponseWriter, r *http.Request) {
	_, site := c.siteOf(w, r)
	if site == nil {
		return
	}
	j, now := c.jar(r), time.Now()
	said := j.said(now)
	allowed := site.judge(&said, signalsOf(r.Header)).consent
	state := visitState{Consent: allowed.Name()}
	raw, goesOn := j.openVisit(site, now)
	if goesOn && allowed > schemas.Consent_CONSENT_NONE {
		left := site.Gap - now.Sub(visitSeen(raw))
		state.Visit = &openVisit{visitBegan(raw).UTC(), int64(left / time.Second)}
	}
	text, err := json.Marshal(state)
	if err != nil {
		panic("encode the state of a visit: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // a client that went away needs no answer
}

// postReset takes {"site":…,"sent_at":…,"beacons":[…]} of somebody who signs out: the beacons, if
// there are any, are still theirs, and the cookies of the answer are those of somebody new.
func (c *Collector) postReset(w http.ResponseWriter, r *http.Request) {
	body, site := c.siteOf(w, r)
	if site == nil {
		return
	}
	in := c.intake(w, r, protocolNative, len(body))
	defer in.end()
	in.site, in.allowed, in.reset = site, site.judge(&in.said, in.sent).consent, true
	var bad *Rejection
	if gjson.GetBytes(body, "beacons").Exists() {
		bad = decodeBatch(body, c.limits, in.beacon)
	}
	in.finish(body, bad)
}

// siteOf reads a body that names its site; it answers and returns nil where it cannot be heard.
func (c *Collector) siteOf(w http.ResponseWriter, r *http.Request) ([]byte, *Site) {
	body, bad, err := c.readBody(w, r, &buffer{})
	if err == nil && bad == nil {
		bad = wellFormed(body, bounds{depth: batchDepth, keys: len(body)})
	}
	if err != nil || bad != nil {
		http.Error(w, "want a JSON object", http.StatusBadRequest)
		return nil, nil
	}
	key := claimedSite(body)
	site := c.sites.find(key)
	switch {
	case key == "" || site == nil:
		http.Error(w, `want {"site":…}, the key of a site`, http.StatusBadRequest)
		return nil, nil
	case !site.allows(r.Header.Get("Origin")):
		http.Error(w, "the origin is not on the site's list", http.StatusForbidden)
		return nil, nil
	}
	return body, site
}
