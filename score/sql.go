package score

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"crumbtrail/schemas"
)

// The rows of an explanation that are no contributions. What a rule's or a group's cap took away
// carries its name.
const (
	clipRule  = "clip:rule:"
	clipGroup = "clip:group:"
	clipScore = "clip:score"
	roundLine = "round"
)

//go:embed queries/score.sql.tmpl
var scoreTemplate string

// SQL compiles the model to one statement over files.beacons and the views identities, aliases and
// contact_versions; it finds out itself whose an event is, of the few that rules ask for, which
// the view beacons would do for each. A few scans of the beacons in the widest window, of few
// columns, serve all rules: for the events that meet any, for who was silent, for ids that are
// there twice. What else may be read is the past of those whose readiness depends on it.
//
// The rows are the lines of every subject's explanation, ordered by subject: subject, score in
// hundredths, grade, sales-ready, rule, event id, points in millionths; the last three are NULL
// in the only row of a subject that has none. The statement is a function of the arguments alone.
func SQL(m *Model, asOf time.Time, part Part) (string, error) {
	t, err := template.New("score").Funcs(template.FuncMap{"join": strings.Join}).
		Parse(scoreTemplate)
	if err != nil {
		return "", fmt.Errorf("parse the template of a score: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, newStatement(m, asOf, part)); err != nil {
		return "", fmt.Errorf("compile model %s: %w", m.Name, err)
	}
	return b.String(), nil
}

// Part is a share of the subjects: number Index of Of, counted from 0. Their scores are the same
// in whatever shares they are computed.
type Part struct {
	Index, Of int
	// NoneOlder is true where the lake has no events older than those that rules look at.
	NoneOlder bool
}

// split returns the part in four.
func (p Part) split() (parts [4]Part) {
	for i := range parts {
		parts[i] = Part{p.Index + i*p.Of, len(parts) * p.Of, p.NoneOlder}
	}
	return parts
}

// countSQL counts the beacons that a run reads, at most, and those that are older. It asks the
// files themselves: the view would find out whose each of them is.
func countSQL(m *Model, asOf time.Time) string {
	s := newStatement(m, asOf, Part{Of: 1})
	return fmt.Sprintf("SELECT count(*) FILTER (occurred_at > %[1]s), "+
		"count(*) FILTER (occurred_at <= %[1]s) FROM files.beacons WHERE %[2]s", s.Since, s.Counted)
}

// statement is what the template takes: SQL text, all of it made or quoted here.
type statement struct {
	Model   string
	Version int64
	// At is the instant; Until is the same as SQL, and Since that before which no rule looks. Edge is
	// where the widest window begins.
	At, Edge     int64
	Until, Since string
	// Rules and Bounds are the rows of constants of the rules and groups.
	Rules, Bounds []string
	// Name is the name of a contact's subject.
	Name             string
	Visitor, Account bool
	// Known is true where a rule asks how it is known whose an event is.
	Known bool
	// Meets lists the rules that a contact's attributes meet, matches those that an event does, and
	// recent those in whose window at the instant it is. Any is true where that is any.
	Meets, Any      string
	matches, recent string
	// Share is a condition on names, empty where all are scored.
	Share string
	// Versions is the table of contacts as they were.
	Versions string
	// Counted says which events are facts. Place is where in its topic one is, Day the day of one,
	// Reach how far back from an instant they are read.
	Counted, Place, Day string
	Reach               int64
	Low, High           int64
	// Periods is how many periods of silence count, at most.
	Periods int64
	// Grade is the grade of a score and Ready whether it is ready for sales, as from ReadyAt on.
	// With Fold, a score that is Between leaves that as it was, looked at each Every microseconds.
	Grade, Ready, Between string
	Fold                  bool
	ReadyAt, Every        int64
	// Counting, CapsPerDay, Attributes and Inactive say what some rule of the model needs, Older
	// whether there may be events that no rule looks at.
	Counting, CapsPerDay, Attributes, Inactive, Older bool

	ClipRule, ClipGroup, ClipScore, Round string
}

func newStatement(m *Model, asOf time.Time, part Part) statement {
	at := asOf.UnixMicro()
	s := statement{
		Model: m.Name, Version: m.Version, At: at,
		Low: int64(m.Score.Min), High: int64(m.Score.Max),
		Grade: gradeSQL(m.Grades), Ready: "FALSE",
		Day:      "CAST(make_timestamp(ts) AS DATE)",
		Place:    "(CAST(topic_partition AS BIGINT) << 48 | topic_offset)",
		Versions: versionsSQL, Periods: maxPeriods,
		ClipRule: clipRule, ClipGroup: clipGroup, ClipScore: clipScore, Round: roundLine,
	}
	if m.TimeZone != "UTC" {
		s.Day = fmt.Sprintf("CAST(timezone(%s, make_timestamptz(ts)) AS DATE)",
			quoteText(m.TimeZone))
	}
	if r := m.SalesReady; r != nil {
		s.ReadyAt = r.At.hundredths()
		s.Ready = fmt.Sprintf("hundredths >= %d", s.ReadyAt)
		s.Fold, s.Every = m.looksBack(), int64(r.Every)
		s.Between = fmt.Sprintf("hundredths BETWEEN %d AND %d", r.RearmBelow.hundredths(),
			s.ReadyAt-1)
		if s.Fold {
			s.Ready += " OR " + s.Between + " AND coalesce(was_ready, FALSE)"
		}
	}
	groups := map[string]int{}
	for i, g := range m.Groups {
		groups[g.Name] = i
		s.Bounds = append(s.Bounds, fmt.Sprintf("(%d, %s, %s, %s)", i, quoteText(g.Name),
			bigint(g.Min), bigint(g.Max)))
	}
	for i := range m.Rules {
		r := &m.Rules[i]
		s.Rules = append(s.Rules, ruleSQL(i, groups[r.Group], r))
		s.Counting = s.Counting || r.AtLeast > 1 || r.Every > 1 || r.Once
		s.CapsPerDay = s.CapsPerDay || r.CapPerDay != nil
		s.Attributes = s.Attributes || r.isAttribute()
		s.Inactive = s.Inactive || r.isInactive()
	}
	s.facts(m, at, part)
	return s
}

// chain is one way through the template from events to scores.
type chain struct {
	statement
	// Kind ends the names of the way's tables. Past is true for the scores of the instants before
	// the statement's own.
	Kind string
	Past bool
}

// Now is the way to the scores at the statement's instant.
func (s statement) Now() chain { return chain{s, "now", false} }

// Past is the way to earlier scores.
func (s statement) Past() chain { return chain{s, "past", true} }

// Matches lists the rules that an event meets.
func (c chain) Matches() string {
	if c.Past {
		return c.matches
	}
	return c.recent
}

// margin is how much further back than the widest window events are read, so that an event that
// was sent again is found to be the older one. It is the oldest that the edge lets an event be.
const margin = 7 * day

// versionsSQL are the versions of contacts that are scored. Who has been merged into another
// contact is that one, as their events are; who has been and no longer is was who they are now all
// the time.
const versionsSQL = `(
    SELECT * REPLACE (
      lead(updated_at) OVER (PARTITION BY contact_id ORDER BY version) AS valid_to)
    FROM contact_versions WHERE contact_id = current_contact_id AND merged_into IS NULL)`

// accountSQL is the name of a contact's company as an account.
const accountSQL = "lower(trim(company))"

// facts sets where subjects and their events come from.
func (s *statement) facts(m *Model, at int64, part Part) {
	var whens, wheres, recent, either []string
	var widest Span
	for i := range m.Rules {
		switch r := &m.Rules[i]; {
		case r.isAttribute():
			whens = append(whens, numberSQL(i, r.When.SQL()))
		case r.isBehaviour():
			within := fmt.Sprintf(" AND occurred_at > %s", instantSQL(at-int64(r.Window)))
			wheres = append(wheres, numberSQL(i, meetsSQL(r)))
			recent = append(recent, numberSQL(i, meetsSQL(r)+within))
			either = append(either, meetsSQL(r)+within)
			s.Known = s.Known || r.Where.usesAny("contact_id", "was_anonymous", "identified_by")
			widest = max(widest, r.Window)
		}
	}
	s.matches, s.recent, s.Meets = listSQL(wheres), listSQL(recent), listSQL(whens)
	s.Any = cmp.Or(strings.Join(either, "\n      OR "), "FALSE")
	switch m.Subject {
	case Contact:
		s.Name = "contact_id"
	case Account:
		s.Name, s.Account = accountSQL, true
	case Visitor:
		s.Name, s.Visitor = "visitor_id", true
	}
	s.Until, s.Older = instantSQL(at), !part.NoneOlder
	if part.Of > 1 {
		s.Share = fmt.Sprintf(" AND hash(%s) %% %d = %d", s.Name, part.Of, part.Index)
	}
	// Only who agreed to be scored is: every other mode of consent counts visits at most.
	s.Counted = fmt.Sprintf("consent = %s AND occurred_at <= %s",
		quoteText(schemas.Consent_CONSENT_IDENTIFIED.Name()), s.Until)
	s.Reach = int64(widest + margin)
	s.Since, s.Edge = instantSQL(at-s.Reach), at-int64(widest)
}

// ruleSQL is a rule's row of constants.
func ruleSQL(rid, gid int, r *Rule) string {
	decay, span, keep := "NULL::VARCHAR", "NULL::BIGINT", "NULL::DOUBLE"
	if d := r.Decay; d != nil {
		decay, span = quoteText(string(d.Kind)), fmt.Sprintf("%d::BIGINT", d.Span)
		keep = fmt.Sprintf("%d::DOUBLE / 1e6", d.Keep)
	}
	inactive := "NULL::BIGINT"
	if r.isInactive() {
		inactive = fmt.Sprintf("%d::BIGINT", r.Inactive)
	}
	return fmt.Sprintf("(%d, %s, %d, %d::BIGINT, %d::BIGINT, %d, %d, %t, %s, %s, %s, %s, %s, %s)",
		rid, quoteText(r.ID), gid, r.Points, r.Window, max(r.Every, 1), max(r.AtLeast, 1), r.Once,
		bigint(r.CapPerDay), bigint(r.Cap), decay, span, keep, inactive)
}

// meetsSQL is true of an event that meets the rule.
func meetsSQL(r *Rule) string {
	types := make([]string, len(r.On))
	for i, t := range r.On {
		types[i] = quoteText(t)
	}
	return fmt.Sprintf("type IN (%s) AND %s", strings.Join(types, ", "), r.Where.SQL())
}

// numberSQL is the rule's number where a condition is met, else NULL.
func numberSQL(rid int, condition string) string {
	return fmt.Sprintf("CASE WHEN %s THEN %d END", condition, rid)
}

// listSQL is the list of those of the values that are not NULL.
func listSQL(values []string) string {
	if len(values) == 0 {
		return "CAST([] AS INTEGER[])"
	}
	return "list_filter([\n             " + strings.Join(values, ",\n             ") +
		"\n           ], lambda x: x IS NOT NULL)"
}

// gradeSQL is the name of the last grade that begins at or below the score, empty below all.
func gradeSQL(grades []Grade) string {
	if len(grades) == 0 {
		return "''"
	}
	var b strings.Builder
	b.WriteString("CASE")
	for _, g := range slices.Backward(grades) {
		fmt.Fprintf(&b, " WHEN hundredths >= %d THEN %s", g.From.hundredths(), quoteText(g.Name))
	}
	return b.String() + " ELSE '' END"
}

// instantSQL is an instant, given in microseconds, as a literal that no session's time zone moves.
func instantSQL(us int64) string {
	return "make_timestamptz(" + strconv.FormatInt(us, 10) + ")"
}

func bigint(p *Points) string {
	if p == nil {
		return "NULL::BIGINT"
	}
	return fmt.Sprintf("%d::BIGINT", *p)
}
