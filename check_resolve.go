package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"crumbtrail/resolve"
)

// strategies reads the model, and says in words whom the configured strategies find.
func (k *checker) strategies() {
	cfg, err := k.cfg.resolveConfig()
	var inside Problems
	switch {
	case errors.As(err, &inside):
		k.problems = append(k.problems, inside...)
		return
	case err != nil:
		k.problems = append(k.problems, k.doc.Problem("resolve.model", err.Error(), ""))
		return
	}
	for _, a := range cfg.Untrained() {
		k.note("resolve.model says nothing of %s: the shipped weights hold; train it on a file whose "+
			"columns are called as the attributes are", a)
	}
	if len(k.cfg.Strategies) == 0 {
		return
	}
	for _, s := range cfg.Strategies {
		k.note("strategy %s finds whoever has %s", s.Name, s.Summary())
		for _, d := range s.Degrees(cfg.Model) {
			k.note("strategy %s: %s", s.Name, d)
		}
	}
	k.note("a form without a strategy of its own has %s%s", strings.Join(cfg.Default, ", then "),
		behind(cfg))
	for _, f := range cfg.Forms {
		name := f.Form
		if f.Site != "" {
			name += " of site " + f.Site
		}
		if !slices.Equal(f.Strategies, cfg.Default) {
			k.note("form %s has %s%s", name, strings.Join(f.Strategies, ", then "), behind(cfg))
		}
	}
}

// behind says what comes where no strategy finds anybody.
func behind(cfg resolve.Config) string {
	if !cfg.Probabilistic {
		return ""
	}
	return fmt.Sprintf(", then the model: from %s %% on it is the same person, from %s %% on "+
		"somebody has to say", percent(cfg.Threshold), percent(cfg.Review))
}

// percent writes a share without zeros at its end.
func percent(p float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", p*100), "0"), ".")
}
