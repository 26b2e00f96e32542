package traffic

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"crumbtrail/schemas"
)

// wireTime is how times are written at the edge: UTC with milliseconds.
const wireTime = "2006-01-02T15:04:05.000Z"

// event is something that happened in a browser, before it is sent.
type event struct {
	at       time.Time
	kind     schemas.BeaconType
	id       string
	url      string
	referrer string
	title    string
	props    map[string]any
}

// beacon is an event as it stands in a batch.
type beacon struct {
	ID        string         `json:"id"`
	Site      string         `json:"site"`
	Visitor   string         `json:"visitor,omitempty"`
	Type      string         `json:"type"`
	CreatedAt string         `json:"created_at"`
	URL       string         `json:"url,omitempty"`
	Referrer  string         `json:"referrer,omitempty"`
	Title     string         `json:"title,omitempty"`
	Consent   string         `json:"consent"`
	Props     map[string]any `json:"props,omitempty"`
}

type batch struct {
	SentAt  string            `json:"sent_at"`
	Beacons []json.RawMessage `json:"beacons"`
}

// encode is json.Marshal of what cannot fail: strings, numbers and maps of them.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("traffic: encode: " + err.Error())
	}
	return b
}

// wire writes an event as the browser does.
func (b *browser) wire(site string, e event) json.RawMessage {
	out := beacon{
		ID: e.id, Site: site, Type: e.kind.Name(), CreatedAt: e.at.Add(b.skew).Format(wireTime),
		URL: e.url, Referrer: e.referrer, Title: e.title,
		Consent: b.says.Name(), Props: e.props,
	}
	if b.says != schemas.Consent_CONSENT_NONE {
		out.Visitor = b.visitor[site]
	}
	return encode(out)
}

// request makes a request of the browser to a site's collector.
func (b *browser) request(kind Kind, site string, at time.Time, body []byte) Request {
	r := Request{
		At: at, Kind: kind, Method: http.MethodPost, Site: site, Visitor: b.visitor[site],
		Path: "/v1/beacons", Header: b.header[site], Body: body, RemoteIP: b.remoteIP,
	}
	if kind == Beacons {
		return r
	}
	r.Header = r.Header.Clone()
	r.Header.Del("Content-Type")
	if b.says == schemas.Consent_CONSENT_NONE {
		r.Header.Set("Cookie", "ct_consent=refused")
	} else {
		r.Header.Set("Cookie", "ct_visitor="+r.Visitor)
	}
	return r
}

// form makes a request that posts a form of a page.
func (b *browser) form(
	site string, at time.Time, page, name string, fields map[string]string,
) Request {
	values := url.Values{"_form": {name}, "_url": {page}}
	for field, value := range fields {
		values.Set(field, value)
	}
	r := b.request(Form, site, at, []byte(values.Encode()))
	r.Path = "/v1/forms/" + site
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// pixel makes the request of a page's pixel.
func (b *browser) pixel(site string, at time.Time, page string) Request {
	r := b.request(Pixel, site, at, nil)
	r.Method, r.Path = http.MethodGet, "/v1/pixel.gif?site="+site
	r.Header.Del("Origin")
	r.Header.Set("Referer", page)
	return r
}

// batchBody writes a batch that leaves the browser when the collector's clock is at.
func (b *browser) batchBody(at time.Time, items []json.RawMessage) []byte {
	return encode(batch{SentAt: at.Add(b.skew).Format(wireTime), Beacons: items})
}

// nextMinute is when what happened at t is sent: with the minute's end.
func nextMinute(t time.Time) time.Time { return t.Truncate(time.Minute).Add(time.Minute) }

// maxBatch is how many beacons a browser sends at once.
const maxBatch = 20

// send sends what happened in the browser on a site, in order of time: a batch for each minute.
// Where held is not zero, the browser was offline and sends all at that time.
func (w *world) send(b *browser, site string, events []event, held time.Time) {
	for len(events) > 0 {
		at := nextMinute(events[0].at)
		n := 1
		for n < len(events) && n < maxBatch &&
			(!held.IsZero() || nextMinute(events[n].at).Equal(at)) {
			n++
		}
		if !held.IsZero() {
			at = nextMinute(held)
		}
		w.sendBatch(b, site, events[:n], at)
		events = events[n:]
	}
}

func (w *world) sendBatch(b *browser, site string, events []event, at time.Time) {
	items := make([]json.RawMessage, 0, len(events)+1)
	for _, e := range events {
		items = append(items, b.wire(site, e))
		w.count.accept(b, site, e, at)
	}
	if !b.flaky && w.chance(shareMalformedItem) {
		spot := w.rand.IntN(len(items) + 1)
		items = append(items[:spot], append([]json.RawMessage{w.malformed(b, site, at)},
			items[spot:]...)...)
		w.count.malformed(1)
	}
	body := b.batchBody(at, items)
	if !b.flaky && w.chance(shareCutBody) {
		// The connection broke half-way; the browser tries again at once.
		w.push(b, b.request(Beacons, site, at, body[:len(body)/2]))
		w.count.malformed(1)
	}
	w.push(b, b.request(Beacons, site, at, body))
	if b.flaky && b.is != schemas.Consent_CONSENT_NONE && w.chance(shareResent) {
		again := at.Add(time.Duration(1+w.rand.IntN(3)) * time.Minute)
		w.push(b, b.request(Beacons, site, again, b.batchBody(again, items)))
		w.count.duplicates(len(events))
	}
}

// push adds a request to what is sent.
func (w *world) push(b *browser, r Request) {
	w.sent = append(w.sent, sent{request: r, browser: b.number})
}

// Of batches: with an item that is not a beacon, cut on the way, sent twice by a flaky browser.
const (
	shareMalformedItem = 0.01
	shareCutBody       = 0.002
	shareResent        = 0.25
)

// malformed makes an item that cannot be read as a beacon.
func (w *world) malformed(b *browser, site string, at time.Time) json.RawMessage {
	fields := map[string]any{
		"id": w.eventID(), "site": site, "type": "page_view", "url": origin(site) + "/",
		"created_at": at.Add(b.skew).Format(wireTime), "consent": b.says.Name(),
	}
	switch w.rand.IntN(6) {
	case 0:
		delete(fields, "type")
	case 1:
		delete(fields, "site")
	case 2:
		fields["type"] = "pageview"
	case 3:
		fields["created_at"] = "yesterday afternoon"
	case 4:
		fields["id"] = strings.Repeat("long", 40)
	case 5:
		return json.RawMessage("42")
	}
	return encode(fields)
}
