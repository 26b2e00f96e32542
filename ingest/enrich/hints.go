package enrich

import (
	"net/http"
	"strings"

	"crumbtrail/schemas"
)

// hints are what a browser says of itself besides its user agent, which many share or freeze: User-
// Agent Client Hints, of those that are sent without being asked for, and why it asks. The zero
// value says nothing.
type hints struct {
	browser, os string
	mobile      bool
	// rule is the bot rule that holds, whatever the user agent is.
	rule string
}

// ruleHeadless is the rule of a browser that shows nothing to anybody.
const ruleHeadless = "headless_chrome"

// RulePrefetch is the rule of a browser that looks ahead, see IsPrefetch.
const RulePrefetch = "prefetch"

func hintsOf(h http.Header) (out hints) {
	if brands := h["Sec-Ch-Ua"]; len(brands) > 0 {
		out.browser, out.rule = brandOf(brands[0])
		out.mobile = h.Get("Sec-Ch-Ua-Mobile") == "?1"
		out.os = platformOf(strings.Trim(h.Get("Sec-Ch-Ua-Platform"), `"`))
	}
	if out.rule == "" && IsPrefetch(h) {
		out.rule = RulePrefetch
	}
	return out
}

// brandOf reads a list as "Chromium";v="126", "Not/A)Brand";v="8", "Microsoft Edge";v="126": the
// browser that it names, and whether that has no window. Brands that are made up are part of it.
func brandOf(list string) (browser, rule string) {
	for rest := list; ; {
		_, after, ok := strings.Cut(rest, `"`)
		if !ok {
			return browser, rule
		}
		value, next, _ := strings.Cut(after, `"`)
		version := strings.HasSuffix(rest[:len(rest)-len(after)], `="`)
		rest = next
		if version {
			continue
		}
		switch value {
		case "HeadlessChrome":
			rule = ruleHeadless
		case "Google Chrome":
			browser = "Chrome"
		case "Microsoft Edge":
			browser = "Edge"
		case "Opera", "Opera GX":
			browser = "Opera"
		case "YaBrowser", "Yandex":
			browser = "Yandex Browser"
		case "Samsung Internet":
			browser = "Samsung Browser"
		case "Brave", "DuckDuckGo", "Huawei Browser", "Vivaldi":
			browser = value
		}
	}
}

// platformOf names a platform as an agent's os does, empty where the hint says nothing.
func platformOf(hint string) string {
	switch hint {
	case "Android", "Linux", "Windows", "iOS":
		return hint
	case "macOS":
		return "MacOS"
	case "Chrome OS", "Chromium OS":
		return "ChromeOS"
	}
	return ""
}

// on makes the agent that its user agent and the hints tell; the known one is shared and is left as
// it is.
func (h hints) on(known *schemas.Agent) *schemas.Agent {
	a := &schemas.Agent{
		Device: known.Device, Browser: known.Browser, Os: known.Os, BotRule: known.BotRule,
	}
	if h.browser != "" {
		a.Browser = h.browser
	}
	if h.os != "" {
		a.Os = h.os
	}
	switch {
	case a.Device != "desktop":
	case h.mobile:
		a.Device = "mobile"
	case h.os == "Android": // one that asks for pages of a desktop
		a.Device = "tablet"
	}
	if a.BotRule == "" && h.rule != "" {
		a.Device, a.BotRule = DeviceBot, h.rule
	}
	return a
}

// IsPrefetch says whether a browser looks ahead: Sec-Purpose is the standard's, the others are
// older.
func IsPrefetch(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		word, _, _ := strings.Cut(strings.ToLower(h.Get(name)), ";")
		if word = strings.TrimSpace(word); word == "prefetch" || word == "preview" {
			return true
		}
	}
	return false
}
