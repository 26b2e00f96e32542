// Package resolve reads submissions, writes contacts, identities and decisions, and guarantees that
// each submission is decided exactly once, that every decision says why, and that the same log
// gives the same contacts, whatever the batches or the restarts (V3).
//
// A submission finds its contact by a strategy: an exact rule over normalised attributes. What is
// there to find is the contact's golden record. A browser is linked to the contact only by a
// submission with consent to it, never by being the same device: see identity.go. A signed link
// says itself whose it is, see link.go. What an attribute becomes before it is compared stands in
// the package attribute, what a contact keeps of its submissions in contact.go, what has to be
// confirmed first in confirm.go, and what survives a restart in state.go.
package resolve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Config says how a contact is found.
type Config struct {
	// Strategies are those that forms may name. The first is that of a form without one.
	Strategies []Strategy
	// Forms gives forms a strategy of their own.
	Forms []FormStrategy
	// KeepTags compares e-mail addresses with what stands between + and @. Without it,
	// ada+news@acme.example is ada@acme.example.
	KeepTags bool
}

// FormStrategy is the strategy of one form.
type FormStrategy struct {
	// Site is a site's key; empty for the form of this name on every site that has no own entry.
	Site string `json:"site,omitempty"`
	Form string `json:"form"`
	// Strategy is the name of one of the configured strategies.
	Strategy string `json:"strategy"`
}

// DefaultConfig finds a contact by its e-mail address.
func DefaultConfig() Config {
	return Config{Strategies: []Strategy{ByEmail()}}
}

// Validate reports every problem of the configuration at once, each with what to do.
func (c Config) Validate() error {
	var problems []error
	if len(c.Strategies) == 0 {
		problems = append(problems, errors.New("no strategy: begin with ByEmail"))
	}
	names := map[string]bool{}
	for _, s := range c.Strategies {
		if s.Name == BySignedLink {
			problems = append(problems, fmt.Errorf("strategy %q is built in: rename it", s.Name))
		}
		if names[s.Name] {
			problems = append(problems, fmt.Errorf("strategy %q is there twice: rename one", s.Name))
		}
		names[s.Name] = true
		problems = append(problems, s.validate())
	}
	forms := map[[2]string]bool{}
	for _, f := range c.Forms {
		if !names[f.Strategy] {
			problems = append(problems, fmt.Errorf("form %q: no strategy is called %q: add it, or "+
				"name another", f.Form, f.Strategy))
		}
		if forms[[2]string{f.Site, f.Form}] {
			problems = append(problems,
				fmt.Errorf("form %q of site %q is there twice: keep one", f.Form, f.Site))
		}
		forms[[2]string{f.Site, f.Form}] = true
	}
	return errors.Join(problems...)
}

// rulesVersion is raised whenever normalising or deciding changes.
const rulesVersion = 2

// encodedConfig is a Config with the rules of this package, as a checkpoint keeps it.
type encodedConfig struct {
	Version    int            `json:"version"`
	KeepTags   bool           `json:"keep_tags,omitempty"`
	Strategies []Strategy     `json:"strategies"`
	Forms      []FormStrategy `json:"forms,omitempty"`
}

// Encode returns everything that decisions depend on, the rules of this package included: two
// configurations with the same bytes decide the same.
func (c Config) Encode() []byte {
	forms := slices.Clone(c.Forms)
	slices.SortFunc(forms, func(a, b FormStrategy) int {
		return slices.Compare([]string{a.Site, a.Form}, []string{b.Site, b.Form})
	})
	out, err := json.Marshal(encodedConfig{rulesVersion, c.KeepTags, c.Strategies, forms})
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
	c := Config{Strategies: e.Strategies, Forms: e.Forms, KeepTags: e.KeepTags}
	return c, c.Validate()
}

// strategies answers which strategy a submission falls under.
type strategies struct {
	list   []Strategy
	byForm map[[2]string]int // site, form
}

func newStrategies(c Config) strategies {
	s := strategies{list: c.Strategies, byForm: map[[2]string]int{}}
	for _, f := range c.Forms {
		at := slices.IndexFunc(c.Strategies, func(s Strategy) bool { return s.Name == f.Strategy })
		s.byForm[[2]string{f.Site, f.Form}] = at
	}
	return s
}

// of returns the index of the strategy of a form.
func (s strategies) of(site, form string) int {
	if at, ok := s.byForm[[2]string{site, form}]; ok {
		return at
	}
	return s.byForm[[2]string{"", form}] // or the first
}
