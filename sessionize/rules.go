package sessionize

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"crumbtrail/schemas"
)

// Rules say what a visit is on one site.
type Rules struct {
	// Gap is the longest silence within a visit; a beacon exactly at it still joins.
	Gap time.Duration
	// Grace is how far the site's watermark stays behind the partition's clock, for beacons that
	// come out of order.
	Grace time.Duration
	// MaxVisit cuts a visit that lasts longer, when it closes.
	MaxVisit time.Duration
	// MaxBeacons closes a visit on the arrival of one more.
	MaxBeacons int
	// CutCampaign cuts a visit where a campaign begins that is not the one before.
	CutCampaign bool
	// CutMidnight cuts a visit at midnight in TimeZone.
	CutMidnight bool
	// TimeZone is the site's; nil is UTC.
	TimeZone *time.Location
}

// Config is what a sessionizer runs under.
type Config struct {
	// Default holds for every site without rules of its own.
	Default Rules
	Sites   map[schemas.Site]Rules
	// DedupeWindow is how long the event ids of a closed visit are remembered.
	DedupeWindow time.Duration
	// LateLinger is how long a late visit waits for its companions, by the partition's clock.
	LateLinger time.Duration
}

// DefaultRules are those of a site that says nothing.
func DefaultRules() Rules {
	return Rules{
		Gap: 30 * time.Minute, Grace: time.Minute, MaxVisit: 24 * time.Hour, MaxBeacons: 10_000,
	}
}

// DefaultConfig has the default rules for every site.
func DefaultConfig() Config {
	return Config{Default: DefaultRules(), DedupeWindow: time.Hour, LateLinger: time.Minute}
}

// maxDuration bounds every configured duration, so that sums of times cannot overflow.
const maxDuration = 366 * 24 * time.Hour

// Validate reports every problem of the configuration at once, each with what to do.
func (c Config) Validate() error {
	problems := []error{
		checkDuration("dedupe_window", c.DedupeWindow, 0),
		checkDuration("late_linger", c.LateLinger, 0),
		c.Default.validate("default rules"),
	}
	for _, site := range slices.Sorted(maps.Keys(c.Sites)) {
		problems = append(problems, c.Sites[site].validate(fmt.Sprintf("site %q", site)))
	}
	return errors.Join(problems...)
}

func (r Rules) validate(of string) error {
	problems := []error{
		checkDuration(of+": gap", r.Gap, time.Microsecond),
		checkDuration(of+": grace", r.Grace, 0),
		checkDuration(of+": max_visit", r.MaxVisit, time.Microsecond),
	}
	if r.MaxBeacons < 1 {
		problems = append(problems,
			fmt.Errorf("%s: max_beacons is %d: set it to 1 or more", of, r.MaxBeacons))
	}
	if _, err := loadZone(r.zone().String()); err != nil {
		problems = append(problems, fmt.Errorf("%s: time_zone: %w", of, err))
	}
	return errors.Join(problems...)
}

func checkDuration(name string, d, least time.Duration) error {
	if d < least || d > maxDuration {
		return fmt.Errorf("%s is %v: set it to between %v and %v", name, d, least, maxDuration)
	}
	return nil
}

func (r Rules) zone() *time.Location {
	if r.TimeZone == nil {
		return time.UTC
	}
	return r.TimeZone
}

// loadZone finds a time zone by its name. Local is another one on the next machine.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" || name == "" {
		return nil, fmt.Errorf("%q names no zone: use a name like Europe/Paris", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: use a name like Europe/Paris", err)
	}
	return zone, nil
}

// storedConfig is a Config as it is stored: JSON, with every field in this order.
type storedConfig struct {
	Default      storedRules                  `json:"default"`
	Sites        map[schemas.Site]storedRules `json:"sites,omitempty"`
	DedupeWindow string                       `json:"dedupe_window"`
	LateLinger   string                       `json:"late_linger"`
}

type storedRules struct {
	Gap         string `json:"gap"`
	Grace       string `json:"grace"`
	MaxVisit    string `json:"max_visit"`
	MaxBeacons  int    `json:"max_beacons"`
	CutCampaign bool   `json:"cut_campaign"`
	CutMidnight bool   `json:"cut_midnight"`
	TimeZone    string `json:"time_zone"`
}

// Encode writes everything in the configuration that visits depend on, in one form only: two
// configurations with the same bytes make the same visits of the same log.
func (c Config) Encode() []byte {
	stored := storedConfig{
		Default: c.Default.stored(), Sites: map[schemas.Site]storedRules{},
		DedupeWindow: c.DedupeWindow.String(), LateLinger: c.LateLinger.String(),
	}
	for site, r := range c.Sites {
		if rules := r.stored(); rules != stored.Default {
			stored.Sites[site] = rules
		}
	}
	encoded, err := json.Marshal(stored)
	mustWrite(err)
	return encoded
}

func (r Rules) stored() storedRules {
	return storedRules{
		Gap: r.Gap.String(), Grace: r.Grace.String(), MaxVisit: r.MaxVisit.String(),
		MaxBeacons: r.MaxBeacons, CutCampaign: r.CutCampaign, CutMidnight: r.CutMidnight,
		TimeZone: r.zone().String(),
	}
}

// DecodeConfig reads what Encode wrote. It refuses what this binary could not run in full: an
// unknown or missing field, and every problem that Validate finds.
func DecodeConfig(encoded []byte) (Config, error) {
	c, err := decodeConfig(encoded)
	if err != nil {
		return Config{}, fmt.Errorf("stored rules that this binary cannot run: %w", err)
	}
	return c, nil
}

func decodeConfig(encoded []byte) (c Config, err error) {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	var stored storedConfig
	if err := decoder.Decode(&stored); err != nil {
		return c, err
	}
	var problems [4]error
	c.Default, problems[0] = stored.Default.rules()
	c.DedupeWindow, problems[1] = time.ParseDuration(stored.DedupeWindow)
	c.LateLinger, problems[2] = time.ParseDuration(stored.LateLinger)
	c.Sites = make(map[schemas.Site]Rules, len(stored.Sites))
	for _, site := range slices.Sorted(maps.Keys(stored.Sites)) {
		rules, err := stored.Sites[site].rules()
		if err != nil {
			problems[3] = errors.Join(problems[3], fmt.Errorf("site %q: %w", site, err))
		}
		c.Sites[site] = rules
	}
	if err := errors.Join(problems[:]...); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	if !bytes.Equal(c.Encode(), encoded) {
		return c, errors.New("they are not in the one form that it writes")
	}
	return c, nil
}

func (r storedRules) rules() (Rules, error) {
	out := Rules{MaxBeacons: r.MaxBeacons, CutCampaign: r.CutCampaign, CutMidnight: r.CutMidnight}
	var problems [4]error
	out.Gap, problems[0] = time.ParseDuration(r.Gap)
	out.Grace, problems[1] = time.ParseDuration(r.Grace)
	out.MaxVisit, problems[2] = time.ParseDuration(r.MaxVisit)
	out.TimeZone, problems[3] = loadZone(r.TimeZone)
	return out, errors.Join(problems[:]...)
}
