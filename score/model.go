package score

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Model is a scoring model: what a subject's behaviour and attributes are worth. ParseModel makes
// one; its fields are in canonical form, with every default filled in.
type Model struct {
	Name    string  `json:"model"`
	Version int64   `json:"version"`
	Subject Subject `json:"subject"`
	// TimeZone says where a day begins for CapPerDay; an IANA name.
	TimeZone string `json:"timezone"`
	// Score bounds the score; both in whole hundredths of a point.
	Score Range `json:"score"`
	// Groups holds every group that a rule is in; the rules without one share one without a name.
	Groups []Group `json:"groups"`
	Rules  []Rule  `json:"rules"`
	// Grades is ordered by From; each reaches up to the next. A score below all has none.
	Grades     []Grade     `json:"grades,omitempty"`
	SalesReady *SalesReady `json:"sales_ready,omitempty"`
	// Identity says by what it is known whose an event is.
	Identity Identity `json:"identity,omitempty"`

	file []byte
}

// File returns the file that the model was read from.
func (m *Model) File() []byte { return m.file }

// Identity is what counts of what is known of persons. Empty is all that is known today, applied to
// all history.
type Identity string

// AsKnown is what was known at the instant of the score: visitors are whose they were then, and
// contacts that became one later are still two.
const AsKnown Identity = "as_known"

// Subject is what a model scores.
type Subject string

// The subjects. An account is the contacts whose company has one name, trimmed and in lower case.
const (
	Contact Subject = "contact"
	Visitor Subject = "visitor"
	Account Subject = "account"
)

// Range is an interval of points, both ends in it.
type Range struct {
	Min Points `json:"min"`
	Max Points `json:"max"`
}

// Group bounds the sum of its rules; nil is no bound.
type Group struct {
	Name string  `json:"name"`
	Min  *Points `json:"min,omitempty"`
	Max  *Points `json:"max,omitempty"`
}

// Rule is worth Points: for each event that meets it (On and Window are set), once if the
// subject's attributes do (When is set), or for each whole period without an event (Inactive is).
type Rule struct {
	ID     string `json:"id"`
	Group  string `json:"group"`
	Points Points `json:"points"`
	// Cap bounds the absolute points of the rule, after decay; nil is no bound.
	Cap *Points `json:"cap,omitempty"`

	On     []string  `json:"on,omitempty"`
	Where  condition `json:"where,omitzero"`
	Window Span      `json:"window,omitempty"`
	// AtLeast is how many events there must be for any to score; Once keeps the last of them;
	// of what is left every Every-th scores.
	AtLeast int64 `json:"at_least,omitempty"`
	Once    bool  `json:"once,omitempty"`
	Every   int64 `json:"every,omitempty"`
	// CapPerDay bounds the absolute points of a calendar day, before decay; nil is no bound.
	CapPerDay *Points `json:"cap_per_day,omitempty"`
	Decay     *Decay  `json:"decay,omitempty"`

	When condition `json:"when,omitzero"`

	Inactive Span `json:"inactive,omitempty"`
}

func (r *Rule) isBehaviour() bool { return len(r.On) > 0 }
func (r *Rule) isAttribute() bool { return r.When.root != nil }
func (r *Rule) isInactive() bool  { return r.Inactive > 0 }

// Decay is what an event's points lose with its age.
type Decay struct {
	Kind DecayKind `json:"kind"`
	// Span is the half-life, the age at which nothing is left, or the length of a step.
	Span Span `json:"span"`
	// Keep is the part that is left after each step, from 0 to 1 (as Points).
	Keep Points `json:"keep,omitempty"`
}

// DecayKind is the shape of a Decay.
type DecayKind string

// The kinds of decay.
const (
	HalfLife DecayKind = "half_life"
	Linear   DecayKind = "linear"
	Step     DecayKind = "step"
)

// Grade is a named range of scores: from From to the next grade's.
type Grade struct {
	Name string `json:"name"`
	From Points `json:"from"`
}

// SalesReady says when a subject is ready for sales: once its score has reached At, until it falls
// below RearmBelow, looked at every Every since the subject's creation.
type SalesReady struct {
	At         Points `json:"at"`
	RearmBelow Points `json:"rearm_below"`
	Every      Span   `json:"every"`
}

// looksBack tells whether readiness depends on earlier scores.
func (m *Model) looksBack() bool {
	return m.SalesReady != nil && m.SalesReady.RearmBelow < m.SalesReady.At
}

// Canonical returns the model as JSON: the same for any two files that say the same.
func (m *Model) Canonical() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("score: model %s has no canonical form: %v", m.Name, err))
	}
	return b
}

// SHA256 returns the SHA-256 of the canonical form, in hex.
func (m *Model) SHA256() string {
	sum := sha256.Sum256(m.Canonical())
	return hex.EncodeToString(sum[:])
}

// MarshalJSON writes the condition as it prints.
func (c condition) MarshalJSON() ([]byte, error) { return json.Marshal(c.SQL()) }

// IsZero tells whether there is no condition.
func (c condition) IsZero() bool { return c.root == nil }

// Points are millionths of a point, the unit in which points are added.
type Points int64

const (
	point Points = 1_000_000
	// hundredth is the unit of a published score.
	hundredth = point / 100
	// maxPoints bounds what a model may say, so that sums stay within DECIMAL(18,6).
	maxPoints = 1_000_000 * point
	// maxPeriods bounds how many periods of silence count, for the same reason.
	maxPeriods = 999_999
	// maxScore bounds a score to DECIMAL(9,2).
	maxScore = 10_000_000*point - hundredth
)

func (p Points) hundredths() int64 { return int64(p / hundredth) }

// String returns the points as a decimal number.
func (p Points) String() string {
	whole, fraction := int64(p/point), int64(p%point)
	sign := ""
	if p < 0 {
		sign, whole, fraction = "-", -whole, -fraction
	}
	s := fmt.Sprintf("%s%d.%06d", sign, whole, fraction)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// parsePoints reads a decimal number with at most nine digits before the point and six after.
func parsePoints(s string) (Points, error) {
	unsigned := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	whole, fraction, _ := strings.Cut(unsigned, ".")
	n, err := strconv.ParseUint("0"+whole+(fraction + "000000")[:max(6, len(fraction))], 10, 62)
	if err != nil || whole+fraction == "" || len(whole) > 9 || len(fraction) > 6 {
		return 0, fmt.Errorf("%q is no number with at most 9 digits and 6 decimals", s)
	}
	if strings.HasPrefix(s, "-") {
		return -Points(n), nil
	}
	return Points(n), nil
}

// Span is a length of time in microseconds. A day has 86,400 seconds.
type Span int64

const (
	second = Span(time.Second / time.Microsecond)
	day    = 86_400 * second
	// maxSpan is a hundred years: it bounds what is subtracted from an instant.
	maxSpan = 36_525 * day
)
