package ingest

import (
	"net/http"
	"strings"

	"crumbtrail/ingest/enrich"
)

// Links and pixels in mails are followed by machines before people do. What shows in a request is a
// bot rule, beside those that go by the user agent: such a click is kept and marked, belongs to no
// browser, and says of nobody who they are.
const (
	ruleHead         = "head_request"
	ruleNoAgent      = "no_user_agent"
	ruleNotNavigated = "not_navigated"
	ruleAppleMail    = "apple_mail_privacy"
)

// machineRule names what shows that nobody followed a link; empty for people.
func machineRule(r *http.Request) string {
	h := r.Header
	mode := h.Get("Sec-Fetch-Mode") // of browsers over HTTPS
	switch {
	case r.Method == http.MethodHead:
		return ruleHead
	case enrich.IsPrefetch(h):
		return enrich.RulePrefetch
	case h.Get("User-Agent") == "":
		return ruleNoAgent
	case mode != "" && mode != "navigate":
		return ruleNotNavigated
	}
	return ""
}

// openRule names what shows that nobody has opened a mail; empty for people. Apple's mail programs
// have every picture loaded as a mail comes in, by machines that say no more than this.
func openRule(r *http.Request) string {
	switch {
	case r.Method == http.MethodHead:
		return ruleHead
	case r.UserAgent() == "":
		return ruleNoAgent
	case r.UserAgent() == "Mozilla/5.0":
		return ruleAppleMail
	}
	return ""
}

// imageProxy names the mail provider whose machine loads a picture as somebody opens the mail, so
// that neither the device nor the address is the reader's; empty for others.
func imageProxy(userAgent string) string {
	switch {
	case strings.Contains(userAgent, "GoogleImageProxy"):
		return "gmail"
	case strings.Contains(userAgent, "YahooMailProxy"):
		return "yahoo"
	case userAgent == "Mozilla/5.0":
		return "apple"
	}
	return ""
}
