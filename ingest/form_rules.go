package ingest

import (
	"strconv"
	"strings"
	"time"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// Form says how the submissions of a form are read.
type Form struct {
	// Name is what the page, or the poster, calls the form.
	Name string
	// Site is a site's key; empty for all sites that have no form of this name of their own.
	Site string
	// Fields has the form's field by attribute: email, first_name, last_name, phone, company. An
	// attribute that is not in it goes by its own name.
	Fields map[string]string
	// Selector is the CSS selector by which the tracker knows the form on a page that says nothing
	// of it: the form's own, or that of an element around it. Empty where it does not look for it.
	Selector string
	// Traps are fields that people do not see, and leave empty.
	Traps []string
	// MinFill is how long people take at least to fill the form in; 0 is not looked at.
	MinFill time.Duration
	// Consents are fields that say yes or no to purposes.
	Consents []FormConsent
	// ConfirmWithin is how long a confirmation by mail may take, without which a submission has no
	// effect; 0 is none needed.
	ConfirmWithin time.Duration
	// Page is what the page says that asks for the confirmation.
	Page ConfirmPage
}

// FormConsent is a field of a form and the purposes that it grants.
type FormConsent struct {
	Field  string
	Grants []string
}

// Rules that take the sender of a form for a bot.
const (
	SpamTrap    = "trap"
	SpamTooFast = "too_fast"
)

const (
	// trapField is a trap in every form.
	trapField = "_trap"
	// startedField is when the form was shown, by the browser's clock.
	startedField = "_started"
	// defaultMinFill is what a form without a configuration asks for.
	defaultMinFill = time.Second
)

// forms are those of a configuration.
type forms []Form

// of returns the form of a name on a site: the site's own, else that of all sites, else one without
// a configuration.
func (f forms) of(site, name string) *Form {
	found := &Form{MinFill: defaultMinFill}
	for i := range f {
		switch {
		case f[i].Name != name:
		case f[i].Site == site:
			return &f[i]
		case f[i].Site == "":
			found = &f[i]
		}
	}
	return found
}

// fieldOf returns the field that holds an attribute: as the site's own form says, else as that of
// all sites does.
func (f forms) fieldOf(attribute, site, form string) string {
	field := attribute
	for _, m := range f {
		if m.Name != form || m.Site != "" && m.Site != site {
			continue
		}
		mapped, ok := m.Fields[attribute]
		switch {
		case !ok:
		case m.Site != "":
			return mapped
		default:
			field = mapped
		}
	}
	return field
}

// captured are the selectors and names of the forms that a site's tracker looks for, the site's own
// before those of all sites.
func (f forms) captured(site string) (list [][2]string) {
	for _, of := range []string{site, ""} {
		for _, m := range f {
			if m.Selector != "" && m.Site == of {
				list = append(list, [2]string{m.Selector, m.Name})
			}
		}
	}
	return list
}

// fieldOf returns a field of a form by its name, or else by a JSON pointer: /contact/email.
func fieldOf(fields gjson.Result, name string) (found gjson.Result) {
	// Not Get: in a path, characters of a field's name would have a meaning.
	fields.ForEach(func(key, v gjson.Result) bool {
		if key.Str == name {
			found = v
		}
		return true
	})
	rest, ok := strings.CutPrefix(name, "/")
	if found.Exists() || !ok {
		return found
	}
	found = fields
	for token := range strings.SplitSeq(rest, "/") {
		found = memberOf(found, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	return found
}

// memberOf returns a member of an object, or of an array by its index.
func memberOf(v gjson.Result, name string) (found gjson.Result) {
	index := 0
	array := v.IsArray()
	v.ForEach(func(key, member gjson.Result) bool {
		if array && strconv.Itoa(index) == name || !array && key.Str == name {
			found = member
		}
		index++
		return true
	})
	return found
}

// spamRule names the rule that takes who sent the fields for a bot, empty where none does. sentUs
// is when they were sent, by the browser's clock if it is known.
func (f *Form) spamRule(fields gjson.Result, sentUs int64) string {
	for _, trap := range append(f.Traps[:len(f.Traps):len(f.Traps)], trapField) {
		if isFilled(fieldOf(fields, trap)) {
			return SpamTrap
		}
	}
	if f.MinFill <= 0 {
		return ""
	}
	// Of a clock that is ahead nothing is known.
	started := lenientTime(fieldOf(fields, startedField))
	if started == 0 {
		if digits := fieldOf(fields, startedField).Str; digits != "" && gjson.Valid(digits) {
			started = lenientTime(gjson.Parse(digits))
		}
	}
	if took := sentUs - started; started > 0 && took >= 0 && took < f.MinFill.Microseconds() {
		return SpamTooFast
	}
	return ""
}

func isFilled(v gjson.Result) bool {
	switch v.Type {
	case gjson.JSON:
		filled := false
		v.ForEach(func(_, member gjson.Result) bool {
			filled = filled || isFilled(member)
			return !filled
		})
		return filled
	case gjson.String:
		return strings.TrimSpace(v.Str) != ""
	}
	return v.Exists() && v.Type != gjson.Null && v.Type != gjson.False
}

// consents are what the fields say of purposes. A box that is not ticked is not sent, and says
// nothing.
func (f *Form) consents(fields gjson.Result) (list []*schemas.PurposeConsent) {
	for _, c := range f.Consents {
		granted, said := saysYes(fieldOf(fields, c.Field))
		if !said {
			continue
		}
		for _, purpose := range c.Grants {
			list = append(list, &schemas.PurposeConsent{
				Purpose: purpose, Granted: granted, Field: c.Field,
			})
		}
	}
	return list
}

// saysYes reads a box or a choice; said is false where there is none. Of several values, as of a
// box with a hidden field beside it, one yes is enough.
func saysYes(v gjson.Result) (yes, said bool) {
	switch v.Type {
	case gjson.JSON:
		v.ForEach(func(_, member gjson.Result) bool {
			oneYes, oneSaid := saysYes(member)
			yes, said = yes || oneYes, said || oneSaid
			return true
		})
		return yes, said
	case gjson.True, gjson.False:
		return v.Bool(), true
	case gjson.Number:
		return v.Num != 0, true
	case gjson.String:
		switch strings.ToLower(strings.TrimSpace(v.Str)) {
		case "":
			return false, false
		case "0", "false", "no", "off", "n", "f", "refused", "denied", "unchecked":
			return false, true
		}
		return true, true // what a box is worth is its page's business
	}
	return false, false
}
