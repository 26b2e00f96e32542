package main

import (
	"fmt"
	"slices"
	"strings"

	"crumbtrail/internal/strictyaml"
	"crumbtrail/resolve"
	"crumbtrail/resolve/attribute"
)

// Strategy is a named rule for finding the contact of a submission, see resolve.Strategy.
type Strategy struct {
	Name string `yaml:"name,required"`
	// All must be the same, once normalised, and of Any one.
	All []Condition `yaml:"all,single"`
	Any []Condition `yaml:"any,single"`
	// Of each of Also one must agree, to the degree that it says.
	Also []Group `yaml:"also,single"`
	// Unless has what must not be there on both sides and differ.
	Unless []Condition `yaml:"unless,single"`
	OnMany OnMany      `yaml:"on_many"`
}

// defaultStrategy is the strategy of a form where nothing is said.
const defaultStrategy = "email"

// Condition is an attribute and how it is compared: last_name, last_name first 4, first_name close.
type Condition resolve.Condition

// UnmarshalText refuses what is no condition.
func (c *Condition) UnmarshalText(text []byte) error {
	parsed, err := resolve.ParseCondition(string(text))
	if err != nil {
		return err
	}
	*c = Condition(parsed)
	return strictyaml.OneOf(string(c.Attribute), attributeNames()...)
}

// Group is a list of conditions with or between them, of which one must hold.
type Group []resolve.Condition

// UnmarshalText refuses what is no condition.
func (g *Group) UnmarshalText(text []byte) error {
	for one := range strings.SplitSeq(string(text), " or ") {
		var c Condition
		if err := c.UnmarshalText([]byte(one)); err != nil {
			return err
		}
		*g = append(*g, resolve.Condition(c))
	}
	return nil
}

// OnMany says what becomes of a submission that several contacts agree with.
type OnMany resolve.OnMany

// UnmarshalText refuses what is no such word.
func (o *OnMany) UnmarshalText(text []byte) error {
	*o = OnMany(text)
	return strictyaml.OneOf(string(text), namesOf(resolve.OnManys())...)
}

// attributeNames lists the fields of a contact.
func attributeNames() []string { return namesOf(resolve.Attributes()) }

func namesOf[T ~string](list []T) (names []string) {
	for _, one := range list {
		names = append(names, string(one))
	}
	return names
}

// ResolveSettings say how submissions find their contacts, besides what strategies and forms say.
type ResolveSettings struct {
	// Strategy names the strategies of forms that name none, in their order.
	Strategy []string `yaml:"strategy,single"`
	// SharedBy is how many people may give an address or a number before it counts with the same name
	// only; 0 is any number.
	SharedBy int `yaml:"shared_by"`
	// Probabilistic has the model look for whom no strategy finds.
	Probabilistic bool `yaml:"probabilistic"`
	// Model is a file that `crumbtrail dedupe --train` wrote; empty is the shipped one. In the file it
	// is relative to the file.
	Model string `yaml:"model"`
	// Threshold is the probability from which two are one, Review that from which a person has to
	// say.
	Threshold float64 `yaml:"threshold"`
	Review    float64 `yaml:"review"`
	// KeepTags has ada+news@acme.example and ada@acme.example be two addresses.
	KeepTags bool `yaml:"keep_tags"`
	// MailDomains are domains, and whose mailboxes theirs are.
	MailDomains map[string]string `yaml:"mail_domains"`
	// Region is where phone numbers without a country code are from, such as GB, where a site does
	// not say it.
	Region string `yaml:"region"`
	Deny   Deny   `yaml:"deny"`
}

// Deny has what names nobody, besides the placeholders that are known.
type Deny struct {
	Email   []string `yaml:"email,single"`
	Phone   []string `yaml:"phone,single"`
	Name    []string `yaml:"name,single"`
	Company []string `yaml:"company,single"`
	Visitor []string `yaml:"visitor,single"`
}

// defaultResolve is what holds where nothing is said.
func defaultResolve() ResolveSettings {
	d := resolve.DefaultConfig()
	return ResolveSettings{
		Strategy: d.Default, SharedBy: d.SharedBy, Probabilistic: d.Probabilistic,
		Threshold: d.Threshold, Review: d.Review,
	}
}

// strategies checks the named strategies and returns the names that a form may use.
func (r *configRules) strategies() []string {
	known := []string{defaultStrategy}
	names := map[string]string{}
	for i, s := range r.cfg.Strategies {
		at := fmt.Sprintf("strategies[%d].", i)
		r.strategy(at, s)
		if !r.doc.Has(at + "name") {
			continue
		}
		r.name(at+"name", s.Name)
		r.unique(names, at+"name", s.Name, s.Name)
		if means := resolve.BuiltIn()[s.Name]; means != "" {
			r.report(at+"name", "choose another name", "%q is built in: %s", s.Name, means)
		} else if !slices.Contains(known, s.Name) {
			known = append(known, s.Name)
		}
	}
	return known
}

// strategy checks what a strategy compares.
func (r *configRules) strategy(at string, s Strategy) {
	for _, key := range []string{"all", "any"} {
		list := s.All
		if key == "any" {
			list = s.Any
		}
		if r.doc.Has(at+key) && len(list) == 0 {
			r.report(at+key, "name at least one attribute", "nothing to compare")
		}
		seen := map[Condition]string{}
		for j, c := range list {
			path := fmt.Sprintf("%s%s[%d]", at, key, j)
			if !r.doc.Has(path) {
				path = at + key // one by itself
			}
			if c.Degree != "" {
				r.report(path, "put it into also", "%s %s finds nobody: that takes what is the same",
					c.Attribute, c.Degree)
			}
			if first, twice := seen[c]; twice {
				r.report(path, "leave one out", "%q is there already, in line %d", c.Attribute,
					r.doc.Line(first))
			}
			seen[c] = path
		}
	}
	if !r.doc.Has(at+"all") && !r.doc.Has(at+"any") {
		r.report(strings.TrimSuffix(at, "."), "name attributes in all or any",
			"nothing has to be the same")
	}
}

// named checks a list of strategies.
func (r *configRules) named(path string, list, known []string) {
	if r.doc.Has(path) && len(list) == 0 {
		r.report(path, "name at least one, or leave the key out", "no strategy")
	}
	for j, name := range list {
		at := fmt.Sprintf("%s[%d]", path, j)
		if !r.doc.Has(at) {
			at = path // one by itself
		}
		if err := strictyaml.OneOf(name, known...); err != nil {
			r.report(at, "", "no such strategy: %v", err)
		}
		if slices.Contains(list[:j], name) {
			r.report(at, "leave one out", "%q is there already", name)
		}
	}
}

// resolve checks how submissions find their contacts.
func (r *configRules) resolve(strategies []string) {
	s := r.cfg.Resolve
	r.named("resolve.strategy", s.Strategy, strategies)
	r.count("resolve.shared_by", s.SharedBy, 0, maxLimit)
	if s.Model != "" {
		r.file("resolve.model", s.Model)
	}
	r.probability("resolve.threshold", s.Threshold)
	r.probability("resolve.review", s.Review)
	if s.Review > s.Threshold {
		r.report(r.given("resolve.review", "resolve.threshold"), "lower review, or raise threshold",
			"review is %v, more than threshold, %v", s.Review, s.Threshold)
	}
	for from, to := range s.MailDomains {
		path := "resolve.mail_domains." + from
		for _, domain := range []string{from, to} {
			if _, ok := attribute.MailDomain(domain); !ok {
				r.report(path, "write acme.co.uk: acme.com", "%q is no domain", domain)
			}
		}
		if next, ok := s.MailDomains[to]; ok {
			r.report(path, "name "+next+" here, too", "%s is another domain's itself", to)
		}
	}
	r.region("resolve.region", s.Region)
	r.deny(s.Deny, s.Region)
}

func (r *configRules) probability(path string, p float64) {
	if !(p > 0 && p <= 1) {
		r.report(path, "set it above 0, to 1 at most", "%v is no probability", p)
	}
}

// region reports what is no country that has phone numbers; empty is none.
func (r *configRules) region(path, region string) {
	if region != "" && !attribute.IsRegion(region) {
		r.report(path, "use two letters, such as GB", "no country is called %q", region)
	}
}

// deny reports entries that would never hold.
func (r *configRules) deny(d Deny, region string) {
	for _, of := range []struct {
		key, hint string
		list      []string
		reads     func(entry string) bool
	}{
		{
			"email", "write ada@acme.com, @acme.com for a domain, or kiosk@ for a mailbox of every domain",
			d.Email, attribute.IsDeniedEmail,
		},
		{"phone", "write it with its country code", d.Phone, func(entry string) bool {
			return attribute.NormalisePhone(entry, region).Number != ""
		}},
		{"name", "", d.Name, func(entry string) bool {
			return attribute.NormaliseName(entry).Fault == ""
		}},
		{"company", "", d.Company, func(entry string) bool {
			return attribute.NormaliseCompany(entry).Fault == ""
		}},
		{"visitor", "", d.Visitor, func(entry string) bool { return entry != "" }},
	} {
		for i, entry := range of.list {
			path := fmt.Sprintf("resolve.deny.%s[%d]", of.key, i)
			if !r.doc.Has(path) {
				path = "resolve.deny." + of.key // one by itself
			}
			if !of.reads(entry) {
				r.report(path, of.hint, "%q would deny nothing", entry)
			}
		}
	}
}
