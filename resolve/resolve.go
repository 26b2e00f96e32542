// Package resolve reads submissions, writes contacts, identities and decisions, and guarantees that
// each submission is decided exactly once, that every decision says why, and that the same log
// gives the same contacts, whatever the batches or the restarts (V3).
//
// A submission finds its contact by a strategy: an exact rule over normalised attributes. What is
// there to find is the contact's golden record. A browser is linked to the contact only by a
// submission with consent to it, never by being the same device: see identity.go. What an
// attribute becomes before it is compared stands in email.go and text.go, what a contact keeps of
// its submissions in contact.go, and what survives a restart in state.go.
package resolve

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
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
	Site string
	Form string
	// Strategy is the name of one of the configured strategies.
	Strategy string
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

// Fingerprint names everything in the configuration that decisions depend on, the rules of this
// package included: two with the same fingerprint decide the same.
func (c Config) Fingerprint() string {
	const rules = 1 // raised whenever normalising or deciding changes
	forms := slices.Clone(c.Forms)
	slices.SortFunc(forms, func(a, b FormStrategy) int {
		return slices.Compare([]string{a.Site, a.Form}, []string{b.Site, b.Form})
	})
	text := fmt.Sprintf("%d %t %+v %q", rules, c.KeepTags, c.Strategies, forms)
	return fmt.Sprintf("%016x", xxhash.Sum64String(text))
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
