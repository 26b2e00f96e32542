package ingest

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Snowplow is how the collector speaks to Snowplow's trackers, beyond what always holds.
type Snowplow struct {
	// DoNotTrack is the cookie of those who are not to be tracked; the zero value is none.
	DoNotTrack DoNotTrack
	// Paths are further paths, as /vendor/version, and what each stands for: one of PathPayload,
	// PathRedirect and PathHook. Any other takes payloads and pixels.
	Paths map[string]string
}

// The paths of Snowplow's own collector that others can stand for.
const (
	PathPayload  = "/com.snowplowanalytics.snowplow/tp2"
	PathRedirect = "/r/tp2"
	PathHook     = "/com.snowplowanalytics.iglu/v1"
)

// DoNotTrack names a cookie: with a value that matches, trackers are answered and nothing is kept.
type DoNotTrack struct {
	Cookie string
	Value  *regexp.Regexp
}

func (d DoNotTrack) asks(r *http.Request) bool {
	if d.Cookie == "" {
		return false
	}
	cookie, err := r.Cookie(d.Cookie)
	return err == nil && d.Value.MatchString(cookie.Value)
}

func (s Snowplow) validate() error {
	if (s.DoNotTrack.Cookie == "") != (s.DoNotTrack.Value == nil) {
		return fmt.Errorf("do-not-track cookie %q: want a name and a value", s.DoNotTrack.Cookie)
	}
	for path, to := range s.Paths {
		if to != PathPayload && to != PathRedirect && to != PathHook {
			return fmt.Errorf("path %s: %s is none of %s, %s, %s",
				path, to, PathPayload, PathRedirect, PathHook)
		}
	}
	return nil
}

// tracked serves what a tracker sends, unless its visitor's cookie asks that nothing be kept: that
// is answered as if it were. A redirect leads on: somebody waits for it.
func (c *Collector) tracked(serve http.HandlerFunc) http.HandlerFunc {
	return c.trackerOrigin(c.limited(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !c.cfg.Snowplow.DoNotTrack.asks(r), c.cfg.Snowplow.Paths[r.URL.Path] == PathRedirect:
			serve(w, r)
		case r.Method == http.MethodPost:
			trackerOK(w, http.StatusOK)
		default:
			trackerImage(w)
		}
	}))
}

// crossDomain is the parameter by which a tracker tells the site that a link leads to who somebody
// is: the id in the browser, and when it was said in milliseconds, parted by a dot.
const crossDomain = "_sp"

// referring reads who somebody was on the site that led to a page, and when that was said,
// microseconds since the epoch; both are zero where the page's address does not say.
func referring(page string) (visitor string, us int64) {
	_, query, _ := strings.Cut(page, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name != crossDomain {
			continue
		}
		value, err := url.QueryUnescape(value)
		id, rest, _ := strings.Cut(value, ".")
		when, _, _ := strings.Cut(rest, ".")
		if id = clientID(id); err != nil || id == "" {
			return "", 0
		}
		const most = 1 << 50 // beyond the year 37000
		if ms, err := strconv.ParseInt(when, 10, 64); err == nil && ms > 0 && ms < most {
			us = ms * 1000
		}
		return id, us
	}
	return "", 0
}
