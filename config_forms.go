package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"crumbtrail/internal/strictyaml"
)

// Form says how to read the submissions of one form.
type Form struct {
	// Name is what the page calls the form, or the name of its configuration.
	Name string `yaml:"name,required"`
	// Site is a site's key; empty for all sites.
	Site string `yaml:"site"`
	// Fields maps an attribute to the name of the form's own field.
	Fields map[string]string `yaml:"fields"`
	// Selector is the CSS selector by which the tracker finds the form on a page that is not changed
	// for it: that of the form, or of an element around it.
	Selector string `yaml:"selector"`
	// Strategy names strategies, which are tried in their order; none stands for those of resolve.
	Strategy []string `yaml:"strategy,single"`
	// Trap has fields that people do not see: who fills one in is a bot.
	Trap []string `yaml:"trap,single"`
	// MinFill is how long people take at least, where the page says when it showed the form.
	MinFill time.Duration `yaml:"min_fill"`
	// Consent has fields that say yes or no to purposes.
	Consent []FormConsent `yaml:"consent,single"`
	// DoubleOptIn has a submission count only once a link in a mail has confirmed it; nil is at once.
	DoubleOptIn *DoubleOptIn `yaml:"double_opt_in"`
}

// SetDefaults makes a form of which only the name is missing.
func (f *Form) SetDefaults() { f.MinFill = time.Second }

// FormConsent is a field, and the purposes that it says yes or no to.
type FormConsent struct {
	Field  string   `yaml:"field,required"`
	Grants []string `yaml:"grants,required,single"`
}

// DoubleOptIn says how a submission is confirmed. A text that is empty is the default's.
type DoubleOptIn struct {
	// Expires is how long the link holds.
	Expires time.Duration `yaml:"expires"`
	// Subject, From and Text are the mail's; the text stands before the link.
	Subject string      `yaml:"subject"`
	From    string      `yaml:"from"`
	Text    string      `yaml:"text"`
	Page    ConfirmPage `yaml:"page"`
}

// SetDefaults makes a double opt-in of which nothing is said.
func (d *DoubleOptIn) SetDefaults() { d.Expires = 7 * day }

// ConfirmPage is what the page says that the link leads to.
type ConfirmPage struct {
	// Lang is the language of the texts, as in HTML; English by default.
	Lang     string `yaml:"lang"`
	Title    string `yaml:"title"`
	Text     string `yaml:"text"`
	Button   string `yaml:"button"`
	Done     string `yaml:"done"`
	DoneText string `yaml:"done_text"`
}

// langPattern is what a language may look like, or nothing.
var langPattern = regexp.MustCompile(`^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$`)

// maxText bounds a text of the configuration that people read, in bytes.
const maxText = 2000

func (r *configRules) forms(strategies []string) {
	sites := r.siteKeys()
	names := map[string]string{}
	for i, f := range r.cfg.Forms {
		at := fmt.Sprintf("forms[%d].", i)
		r.unique(names, at+"name", f.Site+"\x00"+f.Name, f.Name)
		if r.doc.Has(at+"name") && f.Name == "" {
			r.report(at+"name", "", "a name cannot be empty")
		}
		if r.doc.Has(at + "site") {
			if err := strictyaml.OneOf(f.Site, sites...); err != nil {
				r.report(at+"site", "", "no such site: %v", err)
			}
		}
		r.named(at+"strategy", f.Strategy, strategies)
		if r.doc.Has(at+"selector") && !isSelector(f.Selector) {
			r.report(at+"selector", "write it as for document.querySelector, such as '#signup form'",
				"%q is no CSS selector", f.Selector)
		}
		for attribute, field := range f.Fields {
			path := at + "fields." + attribute
			if err := strictyaml.OneOf(attribute, attributeNames()...); err != nil {
				r.report(path, "on the left stands the attribute, on the right the form's field",
					"no such attribute: %v", err)
			}
			if field == "" {
				r.report(path, "", "name the form's field")
			}
		}
		r.between(at+"min_fill", f.MinFill, 0, time.Hour)
		r.formConsents(at, f.Consent)
		if slices.Contains(f.Trap, "") {
			r.report(at+"trap", "", "name the form's field")
		}
		if f.DoubleOptIn != nil {
			r.doubleOptIn(at+"double_opt_in", f.DoubleOptIn)
		}
	}
}

func (r *configRules) formConsents(at string, list []FormConsent) {
	for i, c := range list {
		path := fmt.Sprintf("%sconsent[%d].", at, i)
		if !r.doc.Has(path + "field") {
			path = at + "consent." // one by itself
		}
		if r.doc.Has(path+"field") && c.Field == "" {
			r.report(path+"field", "", "name the form's field")
		}
		if r.doc.Has(path+"grants") && len(c.Grants) == 0 {
			r.report(path+"grants", "", "name at least one purpose")
		}
		for _, purpose := range c.Grants {
			r.name(path+"grants", purpose)
		}
	}
}

func (r *configRules) doubleOptIn(path string, d *DoubleOptIn) {
	if r.cfg.Mail == nil {
		r.report(path, "add mail: {smtp: host:587, from: news@acme.example, "+
			"url: https://collector.acme.example}", "there is no mail server to send the link by")
	}
	// Submissions are kept for 30 days.
	r.between(path+".expires", d.Expires, time.Second, 30*day)
	r.line(path+".subject", d.Subject)
	r.address(path+".from", d.From)
	if !langPattern.MatchString(d.Page.Lang) {
		r.report(path+".page.lang", "write de, or pt-BR", "%q is no language", d.Page.Lang)
	}
	for key, text := range map[string]string{
		".text": d.Text, ".page.title": d.Page.Title, ".page.text": d.Page.Text,
		".page.button": d.Page.Button, ".page.done": d.Page.Done, ".page.done_text": d.Page.DoneText,
	} {
		if len(text) > maxText {
			r.report(path+key, "", "%d bytes are more than %d", len(text), maxText)
		}
	}
}

// isSelector is false for text that no browser takes for a CSS selector: it is empty, ends a rule,
// or leaves a bracket or a quotation open.
func isSelector(text string) bool {
	var open []rune
	var quote rune
	for _, c := range text {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '(':
			open = append(open, ')')
		case c == '[':
			open = append(open, ']')
		case c == ')' || c == ']':
			if len(open) == 0 || open[len(open)-1] != c {
				return false
			}
			open = open[:len(open)-1]
		case strings.ContainsRune("{};<", c):
			return false
		}
	}
	return strings.TrimSpace(text) != "" && quote == 0 && len(open) == 0
}
