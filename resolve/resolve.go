// Package resolve reads submissions, writes contacts, identities and decisions, and guarantees that
// each submission is decided exactly once, that every decision says why, and that the same log
// gives the same contacts, whatever the batches or the restarts (V3).
//
// What submissions say of a person in one set of words is a record. Edges say of two records that
// they are one or two (edge.go): a strategy does, a rule over normalised attributes (find.go), the
// model of package match (likeness.go), or a person (review.go). The records that edges join are a
// contact, whose golden record is a fold over them (contact.go), so that contacts become one and
// come apart again without loss. A browser is linked to a record only by a submission with consent
// to it, never by being the same device: see identity.go. A signed link says itself whose it is,
// see link.go. What an attribute becomes before it is compared stands in the package attribute,
// what has to be confirmed first in confirm.go, and what survives a restart in state.go.
package resolve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"crumbtrail/resolve/attribute"
	"crumbtrail/resolve/match"
)

// Config says how a contact is found.
type Config struct {
	// Strategies are those that forms may name.
	Strategies []Strategy
	// Default names the strategies of a form that has none of its own, in their order.
	Default []string
	// Forms gives forms strategies of their own.
	Forms []FormStrategies
	// KeepTags compares e-mail addresses with what stands between + and @. Without it,
	// ada+news@acme.example is ada@acme.example.
	KeepTags bool
	// MailDomains are domains whose mailboxes are those of another.
	MailDomains map[string]string
	// Regions say by site where phone numbers without a country code are from, such as GB; the
	// empty site stands for all others.
	Regions map[string]string
	// Deny has what names nobody, besides what never does.
	Deny attribute.Deny
	// SharedBy is how many people may have given a value that a strategy compares: what more have
	// given, such as a switchboard's number, counts with the same name only; 0 is any number.
	SharedBy int
	// Probabilistic has the model look for whom no strategy finds.
	Probabilistic bool
	// Model is what it goes by.
	Model match.Model
	// Threshold is the probability from which two records are one person's, Review that from which a
	// person has to say.
	Threshold, Review float64
}

// FormStrategies are the strategies of one form. They are tried in their order: the first that
// finds exactly one contact says whose the submission is. If none does, the first that finds
// several says what becomes of it.
type FormStrategies struct {
	// Site is a site's key; empty for the form of this name on every site that has no own entry.
	Site string `json:"site,omitempty"`
	Form string `json:"form"`
	// Strategies are names of configured strategies.
	Strategies []string `json:"strategies"`
}

// The bounds that hold unless others are given. A wrong merge costs more here than in a file
// that somebody looks through.
const (
	DefaultSharedBy  = 10
	DefaultThreshold = 0.95
	DefaultReview    = 0.5
)

// DefaultConfig finds a contact by its e-mail address, else by the shipped model.
func DefaultConfig() Config {
	return Config{
		Strategies: []Strategy{ByEmail()}, Default: []string{ByEmail().Name},
		SharedBy: DefaultSharedBy, Probabilistic: true,
		Model: match.ContactModel(), Threshold: DefaultThreshold, Review: DefaultReview,
	}
}

// Validate reports every problem of the configuration at once, each with what to do.
func (c Config) Validate() error {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	names := map[string]bool{}
	for _, s := range c.Strategies {
		if s.Name != ByEmail().Name && BuiltIn()[s.Name] != "" {
			report("strategy %q is built in: rename it", s.Name)
		}
		if names[s.Name] {
			report("strategy %q is there twice: rename one", s.Name)
		}
		names[s.Name] = true
		problems = append(problems, s.validate()...)
	}
	known := func(of string, strategies []string) {
		if len(strategies) == 0 {
			report("%s has no strategy: begin with ByEmail", of)
		}
		for _, name := range strategies {
			if !names[name] {
				report("%s: no strategy is called %q: add it, or name another", of, name)
			}
		}
	}
	known("a form without its own", c.Default)
	forms := map[[2]string]bool{}
	for _, f := range c.Forms {
		known(fmt.Sprintf("form %q", f.Form), f.Strategies)
		if forms[[2]string{f.Site, f.Form}] {
			report("form %q of site %q is there twice: keep one", f.Form, f.Site)
		}
		forms[[2]string{f.Site, f.Form}] = true
	}
	for site, region := range c.Regions {
		if !attribute.IsRegion(region) {
			report("site %q: no region is called %q: use two letters, such as GB", site, region)
		}
	}
	if c.SharedBy < 0 {
		report("shared_by %d: it is a number of people, 0 for any", c.SharedBy)
	}
	if !(c.Threshold >= 0 && c.Threshold <= 1 && c.Review >= 0 && c.Review <= c.Threshold) {
		report("threshold %v, review %v: both are probabilities, and review is not above threshold",
			c.Threshold, c.Review)
	}
	if err := c.Model.Validate(); err != nil {
		report("model: %w", err)
	} else if _, err := newIndex(c); err != nil {
		report("model: %w", err)
	}
	return errors.Join(problems...)
}

// rulesVersion is raised whenever normalising or deciding changes.
const rulesVersion = 4

// encodedConfig is a Config with the rules of this package, as a checkpoint keeps it.
type encodedConfig struct {
	Version       int               `json:"version"`
	Strategies    []Strategy        `json:"strategies"`
	Default       []string          `json:"default"`
	Forms         []FormStrategies  `json:"forms,omitempty"`
	KeepTags      bool              `json:"keep_tags,omitempty"`
	MailDomains   map[string]string `json:"mail_domains,omitempty"`
	Regions       map[string]string `json:"regions,omitempty"`
	Deny          attribute.Deny    `json:"deny"`
	SharedBy      int               `json:"shared_by"`
	Probabilistic bool              `json:"probabilistic"`
	Model         match.Model       `json:"model"`
	Threshold     float64           `json:"threshold"`
	Review        float64           `json:"review"`
}

// Encode returns everything that decisions depend on, the rules of this package included: two
// configurations with the same bytes decide the same.
func (c Config) Encode() []byte {
	forms := slices.Clone(c.Forms)
	slices.SortFunc(forms, func(a, b FormStrategies) int {
		return slices.Compare([]string{a.Site, a.Form}, []string{b.Site, b.Form})
	})
	out, err := json.Marshal(encodedConfig{
		rulesVersion, c.Strategies, c.Default, forms, c.KeepTags, c.MailDomains, c.Regions, c.Deny,
		c.SharedBy, c.Probabilistic, c.Model, c.Threshold, c.Review,
	})
	if err != nil {
		panic("resolve: encode: " + err.Error())
	}
	return out
}

// normalising returns everything that normalised values depend on.
func (c Config) normalising() []byte {
	out, err := json.Marshal(struct {
		Version     int
		KeepTags    bool
		MailDomains map[string]string
		Regions     map[string]string
		Deny        attribute.Deny
	}{attribute.Version, c.KeepTags, c.MailDomains, c.Regions, c.Deny})
	if err != nil {
		panic("resolve: encode: " + err.Error())
	}
	return out
}

// DecodeConfig reads what Encode wrote. An error means that this binary cannot decide by it.
func DecodeConfig(encoded []byte) (Config, error) {
	var e encodedConfig
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Config{}, fmt.Errorf("rules of the resolver: %w", err)
	}
	if e.Version != rulesVersion {
		return Config{}, fmt.Errorf("rules of the resolver have version %d, this binary decides by %d: "+
			"stop the earlier release cleanly first", e.Version, rulesVersion)
	}
	c := Config{
		e.Strategies, e.Default, e.Forms, e.KeepTags, e.MailDomains, e.Regions, e.Deny,
		e.SharedBy, e.Probabilistic, e.Model, e.Threshold, e.Review,
	}
	return c, c.Validate()
}

// strategies answers which strategies a submission falls under.
type strategies struct {
	list     []Strategy
	defaults []int
	byForm   map[[2]string][]int // site, form
}

func newStrategies(c Config) strategies {
	places := func(names []string) (at []int) {
		for _, name := range names {
			at = append(at, slices.IndexFunc(c.Strategies, func(s Strategy) bool { return s.Name == name }))
		}
		return at
	}
	s := strategies{list: c.Strategies, defaults: places(c.Default), byForm: map[[2]string][]int{}}
	for _, f := range c.Forms {
		s.byForm[[2]string{f.Site, f.Form}] = places(f.Strategies)
	}
	return s
}

// of returns the indexes of the strategies of a form, in the order in which they are tried.
func (s strategies) of(site, form string) []int {
	for _, key := range [][2]string{{site, form}, {"", form}} {
		if at, ok := s.byForm[key]; ok {
			return at
		}
	}
	return s.defaults
}
