package sessionize

import (
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"
)

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	cfg := Config{
		Default: Rules{Gap: -1, Grace: -1, MaxVisit: 400 * 24 * time.Hour},
		Sites: map[schemas.Site]Rules{
			"b": DefaultRules(), "a": {Gap: time.Minute, MaxVisit: time.Hour},
		},
		DedupeWindow: -time.Second, LateLinger: -time.Second,
	}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("no problem found")
	}
	for _, want := range []string{
		"dedupe_window is -1s", "late_linger is -1s", "default rules: gap is -1ns",
		"default rules: grace is", "default rules: max_visit is 9600h",
		"default rules: max_beacons is 0", `site "a": max_beacons is 0`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 7 {
		t.Errorf("%d problems:\n%v", n, err)
	}
}

func TestFingerprint(t *testing.T) {
	seen := map[string]string{DefaultConfig().Fingerprint(): "the default"}
	for name, change := range map[string]func(*Config){
		"gap":         func(c *Config) { c.Default.Gap++ },
		"grace":       func(c *Config) { c.Default.Grace++ },
		"max_visit":   func(c *Config) { c.Default.MaxVisit++ },
		"max_beacons": func(c *Config) { c.Default.MaxBeacons++ },
		"campaign":    func(c *Config) { c.Default.CutCampaign = true },
		"midnight":    func(c *Config) { c.Default.CutMidnight = true },
		"time_zone":   func(c *Config) { c.Default.TimeZone = time.FixedZone("x", 3600) },
		"site": func(c *Config) {
			rules := DefaultRules()
			rules.Gap = time.Hour
			c.Sites = map[schemas.Site]Rules{"a": rules}
		},
		"window": func(c *Config) { c.DedupeWindow++ },
		"linger": func(c *Config) { c.LateLinger++ },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if other, ok := seen[cfg.Fingerprint()]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[cfg.Fingerprint()] = name
	}
	utc := DefaultConfig()
	utc.Default.TimeZone = time.UTC
	if utc.Fingerprint() != DefaultConfig().Fingerprint() {
		t.Error("no time zone is UTC")
	}
	named := DefaultConfig()
	named.Sites = map[schemas.Site]Rules{"a": DefaultRules()}
	if named.Fingerprint() != DefaultConfig().Fingerprint() {
		t.Error("a site with the default's rules changes visits")
	}
}
