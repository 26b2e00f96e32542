// Package sessionize reads beacons, writes visits, and guarantees that the same log gives the same
// visits, whatever the batches, the ticks between them or the restarts (V3), and that every beacon
// it reads is counted in exactly one visit, as a duplicate, as without consent, or as bad (V1, V6).
//
// A visit is all beacons of one visitor on one site in which no gap exceeds the site's gap. Time
// is in the log: see clock.go for what moves it, sessions.go for what opens, joins and closes a
// visit, cut.go for what splits one when it closes, and state.go for what survives a restart.
package sessionize

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

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
	return errors.Join(problems...)
}

func checkDuration(name string, d, least time.Duration) error {
	if d < least || d > maxDuration {
		return fmt.Errorf("%s is %v: set it to between %v and %v", name, d, least, maxDuration)
	}
	return nil
}

// Fingerprint names everything in the configuration that visits depend on: two configurations
// with the same fingerprint make the same visits of the same log.
func (c Config) Fingerprint() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%v %v %v", c.DedupeWindow, c.LateLinger, c.Default.fingerprint())
	for _, site := range slices.Sorted(maps.Keys(c.Sites)) {
		rules := c.Sites[site].fingerprint()
		if rules == c.Default.fingerprint() {
			continue // the same as not being there
		}
		fmt.Fprintf(&text, "\n%q %v", site, rules)
	}
	return fmt.Sprintf("%016x", xxhash.Sum64String(text.String()))
}

func (r Rules) fingerprint() string {
	return fmt.Sprintf("%v %v %v %d %t %t %s", r.Gap, r.Grace, r.MaxVisit, r.MaxBeacons,
		r.CutCampaign, r.CutMidnight, r.zone())
}

func (r Rules) zone() *time.Location {
	if r.TimeZone == nil {
		return time.UTC
	}
	return r.TimeZone
}
