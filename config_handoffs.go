package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"crumbtrail/handoff"
	"crumbtrail/internal/strictyaml"
)

// Handoffs says who is told that a lead is ready for sales.
type Handoffs struct {
	Webhooks []Webhook `yaml:"webhooks"`
}

// Webhook is an address that hand-offs are posted to.
type Webhook struct {
	Name string `yaml:"name,required"`
	URL  string `yaml:"url,required"`
	// Secret signs what is sent: whsec_ and 24 to 64 bytes in base64.
	Secret Secret `yaml:"secret"`
	// SecretFile holds the secret, less a newline at its end; in the file relative to it.
	SecretFile string `yaml:"secret_file"`
	// Models are the models whose hand-offs it gets; none: all.
	Models []string `yaml:"models,single"`
	// Contact are the attributes of a contact that it is told: personal data.
	Contact []ContactAttribute `yaml:"contact,single"`
	// Timeout is how long it may take for an answer, MaxAge for how long a hand-off is offered.
	Timeout time.Duration `yaml:"timeout"`
	MaxAge  time.Duration `yaml:"max_age"`
	// Private allows addresses that are not of the public internet, and http.
	Private bool `yaml:"private"`
}

// SetDefaults makes a webhook of which only the required keys are missing.
func (w *Webhook) SetDefaults() { w.Timeout, w.MaxAge = 10*time.Second, 3*day }

// ContactAttribute is one of what a contact has.
type ContactAttribute string

// UnmarshalText refuses what no contact has.
func (a *ContactAttribute) UnmarshalText(text []byte) error {
	*a = ContactAttribute(text)
	return strictyaml.OneOf(string(text), "email", "first_name", "last_name", "phone", "company")
}

func (w *Webhook) attributes() (names []string) {
	for _, a := range w.Contact {
		names = append(names, string(a))
	}
	return names
}

// handoffAttributes are those that any webhook is told.
func (c *Config) handoffAttributes() (names []string) {
	for i := range c.Handoffs.Webhooks {
		names = append(names, c.Handoffs.Webhooks[i].attributes()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// longestHandoff is for how long a hand-off can be offered: the topic keeps it twice as long.
const longestHandoff = 14 * day

func (r *configRules) handoffs() {
	names := map[string]string{}
	for i := range r.cfg.Handoffs.Webhooks {
		at, w := fmt.Sprintf("handoffs.webhooks[%d].", i), &r.cfg.Handoffs.Webhooks[i]
		if r.doc.Has(at + "name") {
			r.name(at+"name", w.Name)
		}
		r.unique(names, at+"name", w.Name, w.Name)
		if r.doc.Has(at + "url") {
			r.webhookURL(at+"url", w)
		}
		r.between(at+"timeout", w.Timeout, time.Second, time.Minute)
		r.between(at+"max_age", w.MaxAge, time.Minute, longestHandoff)
		switch {
		case (w.Secret == "") == (w.SecretFile == ""):
			r.report(at[:len(at)-1], "", "give secret or secret_file, one of them")
		case w.SecretFile != "":
			r.file(at+"secret_file", w.SecretFile)
		default:
			if _, err := handoff.ParseSecret(string(w.Secret)); err != nil {
				r.report(at+"secret", "make one with `echo whsec_$(openssl rand -base64 32)`", "%v", err)
			}
		}
	}
}

func (r *configRules) webhookURL(at string, w *Webhook) {
	u, err := url.Parse(w.URL)
	if err != nil || !isWeb(u) || u.User != nil || u.Fragment != "" {
		r.report(at, "write https://host/path", "%q is no address of a webhook", w.URL)
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	private := u.Hostname() == "localhost" || err == nil && !handoff.IsPublic(addr)
	switch {
	case w.Private:
	case private:
		r.report(at, "add private: true if that is meant", "%s is a private address", u.Hostname())
	case u.Scheme != "https":
		r.report(at, "write https://, or add private: true inside your own network",
			"%q would send who is ready for sales in the clear", w.URL)
	}
}

// webhookModels reports the models of webhooks that there are not.
func (c *Config) webhookModels(doc *strictyaml.Document, models []string) (problems Problems) {
	for i, w := range c.Handoffs.Webhooks {
		for j, name := range w.Models {
			if err := strictyaml.OneOf(name, models...); err != nil {
				problems = append(problems, doc.Problem(
					fmt.Sprintf("handoffs.webhooks[%d].models[%d]", i, j),
					fmt.Sprintf("no such model: %v", err), ""))
			}
		}
	}
	return problems
}
