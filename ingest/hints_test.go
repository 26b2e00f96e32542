package ingest

import (
	"strings"
	"testing"
)

// What a browser says of itself beats the user agent that it shares with others.
func TestHints(t *testing.T) {
	const (
		windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/126.0.0.0 Safari/537.36"
		linux = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/126.0.0.0 Safari/537.36"
		chrome = `"Not/A)Brand";v="8", "Chromium";v="126", "Google Chrome";v="126"`

		ch, mobile, platform = "Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform"
	)
	e := newEdge(t, nil).run(t)
	for _, c := range []struct {
		name, userAgent string
		headers         []string
		want            string
	}{
		{"nothing", windows, nil, "desktop Chrome Windows "},
		{"the same", windows, []string{ch, chrome, platform, `"Windows"`}, "desktop Chrome Windows "},
		{
			"Brave", windows,
			[]string{ch, `"Brave";v="1", "Chromium";v="126", "Not;A=\"Brand";v="24"`},
			"desktop Brave Windows ",
		},
		{"a version", windows, []string{ch, `"Chromium";v="Brave"`}, "desktop Chrome Windows "},
		{"system", linux, []string{ch, chrome, platform, `"Chrome OS"`}, "desktop Chrome ChromeOS "},
		{
			"a tablet", linux,
			[]string{ch, chrome, mobile, "?0", platform, `"Android"`},
			"tablet Chrome Android ",
		},
		{
			"a phone", linux,
			[]string{ch, chrome, mobile, "?1", platform, `"Android"`},
			"mobile Chrome Android ",
		},
		{
			"no window", windows,
			[]string{ch, `"Chromium";v="126", "HeadlessChrome";v="126"`},
			"bot Chrome Windows headless_chrome",
		},
		{"broken", windows, []string{ch, `"Chromium`, platform, `"`}, "desktop Chrome Windows "},
		{"ahead", windows, []string{"Sec-Purpose", "prefetch;prerender"}, "bot Chrome Windows prefetch"},
		{"ahead, before", windows, []string{"Purpose", "prefetch"}, "bot Chrome Windows prefetch"},
		{"a preview", windows, []string{"X-Purpose", "preview"}, "bot Chrome Windows prefetch"},
		{"a bot ahead", "Googlebot/2.1", []string{"Sec-Purpose", "prefetch"}, "bot   googlebot"},
	} {
		const two = `[{"site":"acme","type":"ping"},{"site":"acme","type":"ping"}]`
		w := e.send("POST", "/v1/beacons", two,
			append(c.headers, "User-Agent", c.userAgent)...)
		log := e.tape.read(t).beacons
		for _, b := range log[len(log)-2:] {
			got := strings.Join([]string{b.Agent.Device, b.Agent.Browser, b.Agent.Os, b.Agent.BotRule}, " ")
			if w.Code != 200 || got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	}
	// A user agent that a beacon was passed on with is not the connection's.
	e.send("POST", "/v1/beacons", `{"site":"acme","type":"ping","user_agent":"`+linux+`"}`,
		"User-Agent", windows, ch, chrome, platform, `"Windows"`)
	log := e.tape.read(t).beacons
	if b := log[len(log)-1]; b.Agent.Os != "Linux" {
		t.Errorf("passed on: %v", b.Agent)
	}
}
