package enrich

import (
	_ "embed"
	"net/url"
	"strings"

	"crumbtrail/schemas"
)

// The channels: what led a visitor to a page.
const (
	channelDirect   = "direct"
	channelInternal = "internal"
	channelSearch   = "search"
	channelSocial   = "social"
	channelEmail    = "email"
	channelReferral = "referral"
	channelPaid     = "paid"
	channelCampaign = "campaign"
)

//go:embed referrers.txt
var referrerList string

// referrers tells the class of a referring host.
type referrers struct {
	// classes is by registered name, as google or t.co, see referrers.txt.
	classes map[string]string
}

func newReferrers(list string) *referrers {
	r := &referrers{classes: make(map[string]string)}
	class := ""
	for line := range strings.Lines(list) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case strings.HasSuffix(line, ":"):
			class = strings.TrimSuffix(line, ":")
		default:
			for host := range strings.FieldsSeq(line) {
				r.classes[host] = class
			}
		}
	}
	return r
}

// class returns search, social, email, or referral for a host that the list does not know. A host
// is looked up with each of its parents, longest first, whole and with its top-level domain cut
// off.
func (r *referrers) class(host string) string {
	top := topLevel(host)
	for name := host; len(name) > top; {
		if class, ok := r.classes[name]; ok {
			return class
		}
		if class, ok := r.classes[name[:len(name)-top]]; ok {
			return class
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return channelReferral
}

// topLevel is how many bytes of host are its top-level domain: com, de, or two short labels, as
// co.uk and com.au.
func topLevel(host string) int {
	last := strings.LastIndexByte(host, '.') + 1
	if last > 0 && len(host)-last == 2 {
		second := strings.LastIndexByte(host[:last-1], '.') + 1
		if label := host[second : last-1]; second > 0 && (label == "co" || label == "com") {
			return len(host) - second
		}
	}
	return len(host) - last
}

// channel classifies what led to a page: the campaign on its URL, then its referrer. The host of
// the page is empty where it is not known.
func (r *referrers) channel(c *schemas.Campaign, paidClick bool, host, referrer string) string {
	switch {
	case paidClick:
		return channelPaid
	case c == nil:
	case isPaid(c.Medium):
		return channelPaid
	case strings.EqualFold(c.Medium, "email") || strings.EqualFold(c.Medium, "e-mail"):
		return channelEmail
	default:
		return channelCampaign
	}
	if referrer == "" {
		return channelDirect
	}
	from := HostOf(referrer)
	switch {
	case from == "" && strings.HasPrefix(referrer, "/"):
		return channelInternal
	case from == "":
		// android-app://com.google.android.gm/ has a host; what has none leads nowhere.
		return channelDirect
	case bareHost(from) == bareHost(host):
		return channelInternal
	}
	return r.class(bareHost(from))
}

// bareHost is a host without www, which rarely tells two sites apart.
func bareHost(host string) string { return strings.TrimPrefix(host, "www.") }

// HostOf returns the host of an absolute URL, lower case and without port, else nothing. It is
// cheaper than url.Parse and never refuses: what browsers send is not always a URL.
func HostOf(raw string) string {
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		rest = rest[:colon]
	}
	return strings.ToLower(strings.TrimSuffix(rest, "."))
}

// campaign reads the utm_* parameters of a page's URL, nil where there is none, and whether the
// click that led there was bought, as an advertiser's own click id says.
func campaign(rawURL string) (c *schemas.Campaign, paidClick bool) {
	_, query, ok := strings.Cut(rawURL, "?")
	if !ok {
		return nil, false
	}
	query, _, _ = strings.Cut(query, "#")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "gclid", "gbraid", "wbraid", "dclid", "msclkid":
			paidClick = paidClick || value != ""
			continue
		case "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content":
		default:
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil || value == "" {
			continue
		}
		if c == nil {
			c = &schemas.Campaign{}
		}
		setCampaign(c, name, strings.ToValidUTF8(value, "\uFFFD"))
	}
	return c, paidClick
}

func setCampaign(c *schemas.Campaign, name, value string) {
	switch name {
	case "utm_source":
		c.Source = value
	case "utm_medium":
		c.Medium = value
	case "utm_campaign":
		c.Name = value
	case "utm_term":
		c.Term = value
	case "utm_content":
		c.Content = value
	}
}

// isPaid is true of the media that name bought clicks.
func isPaid(medium string) bool {
	switch strings.ToLower(medium) {
	case "cpc", "ppc", "cpm", "cpv", "cpa", "paid", "paidsearch", "paid_search", "paid-search",
		"paidsocial", "paid_social", "paid-social", "display", "retargeting":
		return true
	}
	return false
}
