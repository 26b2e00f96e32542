// Package tracker is the script that a page carries. It reads the configuration of a site and
// writes the script for it; it guarantees that nothing in the configuration can end the script's
// own text.
package tracker

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:generate go run ./build

//go:embed tracker.js
var built []byte

// builtWithSignals also listens to what banners say of consent.
//
//go:embed tracker-signals.js
var builtWithSignals []byte

// placeholder is the name in the built script that stands for the configuration.
const placeholder = "CRUMBTRAIL_CONFIG"

// Config is what a script knows of its site.
type Config struct {
	// Site is the site's key.
	Site string `json:"site"`
	// Consent is required, implied or not_asked.
	Consent string `json:"consent"`
	// CrossSite is true where browsers keep no cookie of the collector, since the page is of
	// another site: the script then claims an id of its own, if consent allows it.
	CrossSite bool `json:"cross"`
	// Signals are the means of consent that count on the site, of tcf, gpp, gcm and dnt.
	Signals []string `json:"signals,omitempty"`
	// Cookieless is true where nothing is stored of visitors who are not identified.
	Cookieless bool `json:"cookieless,omitempty"`
	// IgnoreGPC is true where Global Privacy Control takes nothing back.
	IgnoreGPC bool `json:"ignore_gpc,omitempty"`
	// Forms are those to capture: the CSS selector of each, or of what stands around it, and its
	// name. The first that fits counts.
	Forms [][2]string `json:"forms,omitempty"`
}

// Script returns the script of a site.
func Script(cfg Config) []byte {
	value, err := json.Marshal(cfg) // escapes <, > and &, too
	if err != nil {
		panic(fmt.Sprintf("encode the configuration of site %q: %v", cfg.Site, err))
	}
	text := built
	if len(cfg.Signals) > 0 {
		text = builtWithSignals
	}
	return bytes.Replace(text, []byte(placeholder), value, 1)
}
