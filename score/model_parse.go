package score

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"crumbtrail/internal/strictyaml"
	"crumbtrail/schemas"
)

// maxRules keeps a model's statement within what a SQL parser takes.
const maxRules = 500

// minEvery keeps the fold of sales-ready within what can be computed.
const minEvery = 60 * second

// ParseModel reads a scoring model from a file's content, YAML or JSON. Its error is a
// strictyaml.Problems with everything that is wrong, each with its line.
func ParseModel(file string, content []byte) (*Model, error) {
	var f modelFile
	doc, problems := strictyaml.Decode(file, content, &f)
	c := &checker{doc: doc, problems: problems}
	m := c.model(&f)
	if len(c.problems) == 0 {
		m.file = content
		return m, nil
	}
	slices.SortStableFunc(c.problems, func(a, b strictyaml.Problem) int {
		return cmp.Compare(a.Line, b.Line)
	})
	return nil, c.problems
}

type modelFile struct {
	Model      string               `yaml:"model,required"`
	Version    int64                `yaml:"version,required"`
	Subject    Subject              `yaml:"subject,required"`
	TimeZone   string               `yaml:"timezone"`
	Score      scoreFile            `yaml:"score,required"`
	Groups     map[string]groupFile `yaml:"groups"`
	Rules      []ruleFile           `yaml:"rules,required"`
	Grades     []gradeFile          `yaml:"grades"`
	SalesReady *salesReadyFile      `yaml:"sales_ready"`
	Identity   Identity             `yaml:"identity"`
}

type scoreFile struct {
	Min Points `yaml:"min"`
	Max Points `yaml:"max,required"`
}

type groupFile struct {
	Min *Points `yaml:"min"`
	Max *Points `yaml:"max"`
}

type ruleFile struct {
	ID        string     `yaml:"id,required"`
	Group     string     `yaml:"group"`
	Points    Points     `yaml:"points,required"`
	Cap       *Points    `yaml:"cap"`
	On        []string   `yaml:"on,single"`
	Where     *string    `yaml:"where"`
	Window    Span       `yaml:"window"`
	Every     *int64     `yaml:"every"`
	AtLeast   *int64     `yaml:"at_least"`
	Once      bool       `yaml:"once"`
	CapPerDay *Points    `yaml:"cap_per_day"`
	Decay     *decayFile `yaml:"decay"`
	When      *string    `yaml:"when"`
	Inactive  Span       `yaml:"inactive"`
}

type decayFile struct {
	HalfLife Span    `yaml:"half_life"`
	Linear   Span    `yaml:"linear"`
	Step     Span    `yaml:"step"`
	Keep     *Points `yaml:"keep"`
}

type gradeFile struct {
	Name string `yaml:"name,required"`
	From Points `yaml:"from,required"`
}

type salesReadyFile struct {
	At         Points  `yaml:"at,required"`
	RearmBelow *Points `yaml:"rearm_below"`
	Every      Span    `yaml:"every"`
}

// UnmarshalText reads a subject's name.
func (s *Subject) UnmarshalText(b []byte) error {
	*s = Subject(b)
	return strictyaml.OneOf(string(b), string(Contact), string(Visitor), string(Account))
}

// UnmarshalText reads which identities count; current, the default, is the empty one.
func (i *Identity) UnmarshalText(b []byte) error {
	if *i = Identity(b); *i == "current" {
		*i = ""
	}
	return strictyaml.OneOf(string(b), "current", string(AsKnown))
}

// UnmarshalText reads a decimal number.
func (p *Points) UnmarshalText(b []byte) (err error) {
	*p, err = parsePoints(string(b))
	return err
}

// UnmarshalText reads a duration; it is longer than nothing.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := strictyaml.ParseDuration(string(b))
	switch {
	case err != nil:
		return err
	case d <= 0 || d%time.Microsecond != 0 || Span(d/time.Microsecond) > maxSpan:
		return fmt.Errorf("%s is not from 1us to 36525d", b)
	}
	*s = Span(d / time.Microsecond)
	return nil
}

// checker turns what a file says into a model and collects what is wrong with it.
type checker struct {
	doc      *strictyaml.Document
	problems strictyaml.Problems
}

func (c *checker) bad(path, hint, format string, args ...any) {
	c.problems = append(c.problems, c.doc.Problem(path, fmt.Sprintf(format, args...), hint))
}

// reads tells whether a key is there and could be read.
func (c *checker) reads(path string) bool {
	return c.doc.Has(path) && !slices.ContainsFunc(c.problems, func(p strictyaml.Problem) bool {
		return p.Path == path
	})
}

var (
	modelName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	// zoneName leaves out what some systems have beside the zones, such as localtime and right/UTC.
	zoneName = regexp.MustCompile(`^[A-Z]`)
	ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
)

func (c *checker) model(f *modelFile) *Model {
	m := &Model{
		Name: f.Model, Version: f.Version, Subject: f.Subject,
		TimeZone: cmp.Or(f.TimeZone, "UTC"), Score: Range{f.Score.Min, f.Score.Max},
		Identity: f.Identity,
	}
	if c.doc.Has("model") && !modelName.MatchString(f.Model) {
		c.bad("model", "lower-case letters, digits and -, at most 64, a letter first",
			"%q is no name for a model", f.Model)
	}
	if c.reads("version") && f.Version < 1 {
		c.bad("version", "", "%d is below 1", f.Version)
	}
	if _, err := time.LoadLocation(m.TimeZone); err != nil || m.TimeZone == "Local" ||
		!zoneName.MatchString(m.TimeZone) {
		c.bad("timezone", "write it as Europe/Paris", "%q is no time zone", m.TimeZone)
	}
	c.published("score.min", m.Score.Min)
	c.published("score.max", m.Score.Max)
	if c.doc.Has("score.max") && m.Score.Min > m.Score.Max {
		c.bad("score", "", "min %s is above max %s", m.Score.Min, m.Score.Max)
	}
	c.groups(m, f)
	ids := map[string]bool{}
	for i := range f.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		m.Rules = append(m.Rules, c.rule(path, m, &f.Rules[i]))
		if id := f.Rules[i].ID; id != "" && ids[id] {
			c.bad(path+".id", "", "two rules are called %q", id)
		}
		ids[f.Rules[i].ID] = true
	}
	switch {
	case c.doc.Has("rules") && len(f.Rules) == 0:
		c.bad("rules", "", "a model has at least one rule")
	case len(f.Rules) > maxRules:
		c.bad("rules", "", "%d rules are more than %d", len(f.Rules), maxRules)
	}
	c.grades(m, f)
	c.salesReady(m, f)
	return m
}

// published checks a number that is compared with published scores.
func (c *checker) published(path string, p Points) {
	if p%hundredth != 0 || p < -maxScore || p > maxScore {
		c.bad(path, "", "%s is not from %s to %s with two decimals at most", p, -maxScore, maxScore)
	}
}

// groups fills in the groups that rules are in. Where a file declares none, a group is only a name.
func (c *checker) groups(m *Model, f *modelFile) {
	used := map[string]bool{}
	for i := range f.Rules {
		name := f.Rules[i].Group
		if name != "" && len(f.Groups) > 0 {
			names := slices.Sorted(maps.Keys(f.Groups))
			if err := strictyaml.OneOf(name, names...); err != nil {
				c.bad(fmt.Sprintf("rules[%d].group", i), "declare it under groups",
					"no such group: %v", err)
			}
		}
		used[name] = true
	}
	for name := range f.Groups {
		used[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		g := Group{Name: name, Min: f.Groups[name].Min, Max: f.Groups[name].Max}
		path := "groups." + name
		if name != "" && !ruleName.MatchString(name) {
			c.bad(path, "letters, digits, _, . and -, at most 64", "%q is no name for a group", name)
		}
		if g.Min != nil && g.Max != nil && *g.Min > *g.Max {
			c.bad(path, "", "min %s is above max %s", *g.Min, *g.Max)
		}
		m.Groups = append(m.Groups, g)
	}
}

func (c *checker) grades(m *Model, f *modelFile) {
	for i, g := range f.Grades {
		path := fmt.Sprintf("grades[%d]", i)
		c.published(path+".from", g.From)
		for _, earlier := range m.Grades {
			if earlier.Name == g.Name {
				c.bad(path+".name", "", "two grades are called %q", g.Name)
			}
			if earlier.From == g.From {
				c.bad(path+".from", "", "grades %q and %q both begin at %s", earlier.Name, g.Name,
					g.From)
			}
		}
		m.Grades = append(m.Grades, Grade(g))
	}
	slices.SortStableFunc(m.Grades, func(a, b Grade) int { return cmp.Compare(a.From, b.From) })
}

func (c *checker) salesReady(m *Model, f *modelFile) {
	if f.SalesReady == nil {
		return
	}
	s := SalesReady{
		At: f.SalesReady.At, RearmBelow: f.SalesReady.At, Every: cmp.Or(f.SalesReady.Every, day),
	}
	if f.SalesReady.RearmBelow != nil {
		s.RearmBelow = *f.SalesReady.RearmBelow
	}
	c.published("sales_ready.at", s.At)
	c.published("sales_ready.rearm_below", s.RearmBelow)
	if s.RearmBelow > s.At {
		c.bad("sales_ready.rearm_below", "", "%s is above at, %s", s.RearmBelow, s.At)
	}
	if s.Every < minEvery {
		c.bad("sales_ready.every", "", "shorter than 1m")
	}
	m.SalesReady = &s
}

// The keys of a rule that belong to one kind of rule only.
var (
	behaviourKeys = []string{
		"where", "window", "every", "at_least", "once", "cap_per_day", "decay",
	}
	kindKeys = []string{"on", "when", "inactive"}
)

func (c *checker) rule(path string, m *Model, f *ruleFile) Rule {
	r := Rule{ID: f.ID, Group: f.Group, Points: f.Points, Cap: f.Cap, Inactive: f.Inactive}
	if f.ID != "" && !ruleName.MatchString(f.ID) || f.ID == roundLine {
		c.bad(path+".id", "letters, digits, _, . and -, at most 64", "%q is no name for a rule", f.ID)
	}
	if max(f.Points, -f.Points) > maxPoints {
		c.bad(path+".points", "", "%s is not from %s to %s", f.Points, -maxPoints, maxPoints)
	}
	c.absolute(path+".cap", f.Cap)
	var kinds []string
	for _, key := range kindKeys {
		if c.doc.Has(path + "." + key) {
			kinds = append(kinds, key)
		}
	}
	if len(kinds) != 1 {
		c.bad(path, "on is for behaviour, when for attributes, inactive for silence",
			"a rule has exactly one of on, when and inactive, this one %s",
			cmp.Or(strings.Join(kinds, " and "), "none"))
		return r
	}
	switch kinds[0] {
	case "on":
		c.behaviour(path, f, &r)
		return r
	case "when":
		r.When = c.condition(path+".when", f.When, contactColumns())
		if m.Subject == Visitor {
			c.bad(path+".when", "score contacts or accounts", "a visitor has no attributes")
		}
	}
	for _, key := range behaviourKeys {
		if c.doc.Has(path + "." + key) {
			c.bad(path+"."+key, "", "belongs to rules with on, this one has %s", kinds[0])
		}
	}
	return r
}

func (c *checker) behaviour(path string, f *ruleFile, r *Rule) {
	r.Where = c.condition(path+".where", f.Where, beaconColumns())
	r.On, r.Window, r.Once, r.CapPerDay = f.On, f.Window, f.Once, f.CapPerDay
	for i, name := range f.On {
		if err := strictyaml.OneOf(name, eventTypes()...); err != nil {
			c.bad(fmt.Sprintf("%s.on[%d]", path, i), "", "no such type of event: %v", err)
		}
	}
	if len(f.On) == 0 {
		c.bad(path+".on", "", "names no type of event")
	}
	r.On = slices.Compact(slices.Sorted(slices.Values(f.On)))
	if !c.doc.Has(path + ".window") {
		c.bad(path, "such as window: 30d", "key %q is missing", "window")
	}
	r.Every, r.AtLeast = c.count(path+".every", f.Every), c.count(path+".at_least", f.AtLeast)
	c.absolute(path+".cap_per_day", f.CapPerDay)
	if f.Decay != nil {
		r.Decay = c.decay(path+".decay", f.Decay)
	}
}

func eventTypes() []string {
	var names []string
	for n := range schemas.BeaconType_name {
		if name := schemas.BeaconType(n).Name(); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// count is a number of events, 1 where the file is silent.
func (c *checker) count(path string, n *int64) int64 {
	switch {
	case n == nil:
		return 1
	case *n < 1:
		c.bad(path, "", "%d is below 1", *n)
	}
	return *n
}

// absolute checks a cap.
func (c *checker) absolute(path string, p *Points) {
	if p != nil && *p < 0 {
		c.bad(path, "a cap is absolute: it bounds points of either sign", "%s is below 0", *p)
	}
}

func (c *checker) decay(path string, f *decayFile) *Decay {
	var d Decay
	kinds := 0
	for _, kind := range []struct {
		kind DecayKind
		span Span
	}{{HalfLife, f.HalfLife}, {Linear, f.Linear}, {Step, f.Step}} {
		if c.doc.Has(path + "." + string(kind.kind)) {
			d.Kind, d.Span = kind.kind, kind.span
			kinds++
		}
	}
	switch {
	case kinds != 1:
		c.bad(path, "", "a decay has exactly one of half_life, linear and step")
	case d.Kind == Step && f.Keep == nil:
		c.bad(path, "such as keep: 0.5", "key %q is missing", "keep")
	case d.Kind != Step && f.Keep != nil:
		c.bad(path+".keep", "", "belongs to step")
	case f.Keep != nil && (*f.Keep < 0 || *f.Keep > point):
		c.bad(path+".keep", "", "%s is not from 0 to 1", *f.Keep)
	case f.Keep != nil:
		d.Keep = *f.Keep
	}
	return &d
}

// condition parses a condition that may be absent.
func (c *checker) condition(path string, text *string, over columns) condition {
	if text == nil {
		return condition{}
	}
	parsed, err := parseCondition(*text, over)
	var bad *conditionError
	if errors.As(err, &bad) {
		c.bad(path, "", "%v", bad)
	}
	return parsed
}
