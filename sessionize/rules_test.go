package sessionize

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
			"c": withZone(time.FixedZone("Nowhere/Land", 3600)), "d": withZone(time.Local),
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
		`site "c": time_zone: unknown time zone Nowhere/Land`, `site "d": time_zone: "Local"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 9 {
		t.Errorf("%d problems:\n%v", n, err)
	}
}

func withZone(zone *time.Location) Rules {
	r := DefaultRules()
	r.TimeZone = zone
	return r
}

func TestEncode(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.DedupeWindow = 90*time.Minute + time.Nanosecond
	cfg.Sites = map[schemas.Site]Rules{
		"z\"é": withZone(paris), "same": withZone(time.UTC), "a": {
			Gap: time.Microsecond, MaxVisit: maxDuration, MaxBeacons: 7, CutCampaign: true,
			CutMidnight: true,
		},
	}
	const rules = `"grace":"1m0s","max_visit":"24h0m0s","max_beacons":10000,` +
		`"cut_campaign":false,"cut_midnight":false,`
	const want = `{"default":{"gap":"30m0s",` + rules + `"time_zone":"UTC"},"sites":{` +
		`"a":{"gap":"1µs","grace":"0s","max_visit":"8784h0m0s","max_beacons":7,` +
		`"cut_campaign":true,"cut_midnight":true,"time_zone":"UTC"},` +
		`"z\"é":{"gap":"30m0s",` + rules + `"time_zone":"Europe/Paris"}},` +
		`"dedupe_window":"1h30m0.000000001s","late_linger":"1m0s"}`
	if diff := cmp.Diff(want, string(cfg.Encode())); diff != "" {
		t.Errorf("encoded (-want +got):\n%s", diff)
	}
	for _, cfg := range []Config{cfg, DefaultConfig()} {
		decoded, err := DecodeConfig(cfg.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(cfg.Encode()), string(decoded.Encode())); diff != "" {
			t.Errorf("encoded again (-once +twice):\n%s", diff)
		}
	}
}

func TestDecodeConfigRefuses(t *testing.T) {
	encoded := string(DefaultConfig().Encode())
	for _, test := range []struct{ name, old, new, want string }{
		{"nothing", encoded, "", "EOF"},
		{"a new rule", `"gap"`, `"bots":true,"gap"`, `unknown field "bots"`},
		{"a new setting", `"dedupe_window"`, `"x":1,"dedupe_window"`, `unknown field "x"`},
		{"a missing rule", `,"cut_midnight":false`, "", "not in the one form"},
		{"a missing duration", `"gap":"30m0s",`, "", "invalid duration"},
		{"a duration of no unit", `"30m0s"`, `"30"`, "missing unit"},
		{"an unknown zone", `"UTC"`, `"Nowhere/Land"`, "unknown time zone"},
		{"this machine's zone", `"UTC"`, `"Local"`, "names no zone"},
		{"a rule that cannot be", `"30m0s"`, `"0s"`, "gap is 0s"},
		{"spaces", ":", ": ", "not in the one form"},
		{"a second document", encoded, encoded + "{}", "not in the one form"},
	} {
		_, err := DecodeConfig([]byte(strings.Replace(encoded, test.old, test.new, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
}

// The bytes change with everything that visits depend on, and with nothing else.
func TestEncodeTellsRulesApart(t *testing.T) {
	seen := map[string]string{string(DefaultConfig().Encode()): "the default"}
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
		if other, ok := seen[string(cfg.Encode())]; ok {
			t.Errorf("%s has the bytes of %s", name, other)
		}
		seen[string(cfg.Encode())] = name
	}
	utc := DefaultConfig()
	utc.Default.TimeZone = time.UTC
	if string(utc.Encode()) != string(DefaultConfig().Encode()) {
		t.Error("no time zone is UTC")
	}
	named := DefaultConfig()
	named.Sites = map[schemas.Site]Rules{"a": DefaultRules()}
	if string(named.Encode()) != string(DefaultConfig().Encode()) {
		t.Error("a site with the default's rules changes visits")
	}
}
