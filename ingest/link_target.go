package ingest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"crumbtrail/schemas"
)

// CheckTarget returns why a redirect may not lead to an address. Browsers repair what they are
// given: a backslash is a slash to them, control characters are nothing, and what stands before an
// @ is no host. So only what every reader takes the same way is a target.
func CheckTarget(target string) error {
	for _, c := range []byte(target) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}", c) >= 0 {
			return errors.New("write it in ASCII and percent-encoded, a host in its xn-- form")
		}
	}
	u, err := url.Parse(target)
	switch {
	case len(target) > maxURL:
		return fmt.Errorf("%d bytes are more than %d", len(target), maxURL)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || !cleanHost(u):
		return errors.New("write https://host/path")
	case u.User != nil:
		return errors.New("leave the user and password out")
	}
	return nil
}

// cleanHost says whether the host of an address is a name or an address, and its port a number.
func cleanHost(u *url.URL) bool {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		return host != "" && !strings.Contains(host, "%")
	}
	for _, c := range []byte(host) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return strings.Trim(host, ".") != "" && !strings.HasSuffix(u.Host, ":")
}

// parameter is one of a query, decoded.
type parameter struct{ name, value string }

// withParameters adds those parameters to an address that it does not have, and leaves the rest of
// it as it is. What would make it too long is left out.
func withParameters(target string, more []parameter) string {
	if len(more) == 0 {
		return target
	}
	before, fragment, hasFragment := strings.Cut(target, "#")
	_, query, hasQuery := strings.Cut(before, "?")
	has := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		has[name] = true
	}
	for _, p := range more {
		pair := url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value)
		if has[p.name] || p.name == "" || len(target)+len(pair) >= maxURL {
			continue
		}
		switch {
		case !hasQuery:
			before += "?"
		case query != "" && !strings.HasSuffix(query, "&"):
			before += "&"
		}
		before, query, hasQuery = before+pair, pair, true
		target = before // for its length
	}
	if hasFragment {
		return before + "#" + fragment
	}
	return before
}

// campaignParameters are what a campaign looks like on a landing page's address.
func campaignParameters(c *schemas.Campaign) (list []parameter) {
	for _, p := range []parameter{
		{"utm_source", c.GetSource()},
		{"utm_medium", c.GetMedium()},
		{"utm_campaign", c.GetName()},
		{"utm_term", c.GetTerm()},
		{"utm_content", c.GetContent()},
	} {
		if p.value != "" {
			list = append(list, p)
		}
	}
	return list
}

// passed are the parameters that whoever handed out a link has added to it, less its token.
func passed(query string, limits Limits) (list []parameter) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err == nil && name != tokenParameter && len(list) < limits.Keys {
			list = append(list, parameter{name, value})
		}
	}
	return list
}
