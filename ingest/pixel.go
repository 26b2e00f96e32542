package ingest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"crumbtrail/schemas"
)

const protocolPixel = "pixel"

// ReasonInvalidQuery is the reason of a pixel whose query cannot be read.
const ReasonInvalidQuery = "invalid_query"

// pixel is a transparent GIF of one pixel.
func pixel() []byte {
	return []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00" +
		"\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b")
}

// getPixel takes a beacon from a query, for pages without scripts. It answers the image even where
// the beacon is refused: the page is not to look broken.
func (c *Collector) getPixel(w http.ResponseWriter, r *http.Request) {
	in := c.intake(w, r, protocolPixel, len(r.URL.RawQuery))
	defer in.end()
	raw, bad := decodePixel(r.URL.RawQuery, r.Referer(), c.limits)
	if bad != nil {
		in.beside.Call = callQuery
		in.refuse([]byte(r.URL.RawQuery), "", bad)
	} else {
		in.alone(raw)
	}
	if err := in.commit(); err != nil {
		unavailable(w, http.StatusServiceUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", "image/gif")
	_, _ = w.Write(pixel()) // a client that went away needs no answer
}

// decodePixel makes a beacon's JSON of a query: its keys are the beacon's, props is JSON, the type
// is page_view and the URL the page's if it says nothing else.
func decodePixel(query, referer string, limits Limits) ([]byte, *Rejection) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, &Rejection{ReasonInvalidQuery, "want keys and values percent-encoded", ""}
	}
	setDefault := func(name, value string) {
		if value != "" && values.Get(name) == "" {
			values.Set(name, value)
		}
	}
	setDefault("type", schemas.BeaconType_BEACON_TYPE_PAGE_VIEW.Name())
	setDefault("url", plain(referer, maxURL))
	out := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name][0]
		if name == "props" {
			if bad := wellFormed([]byte(value), bounds{limits.Depth, limits.Keys, true}); bad != nil {
				bad.Path = "/props"
				return nil, bad
			}
		} else {
			value = quote(value)
		}
		out = appendMember(out, quote(name), value)
	}
	return append(out, '}'), nil
}
