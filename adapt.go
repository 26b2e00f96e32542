package main

import (
	"fmt"

	"crumbtrail/handoff"
	"crumbtrail/ingest"
	"crumbtrail/ingest/enrich"
	"crumbtrail/mail"
	"crumbtrail/resolve"
	"crumbtrail/resolve/attribute"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

// sessionizeConfig is what a visit is, site by site.
func (c *Config) sessionizeConfig() sessionize.Config {
	out := sessionize.DefaultConfig()
	out.Sites = map[schemas.Site]sessionize.Rules{}
	for _, s := range c.Sites {
		rules := sessionize.Rules{
			Gap: s.Gap, Grace: s.Grace, MaxVisit: s.MaxVisit, MaxBeacons: s.MaxBeacons,
			TimeZone: s.Location(),
		}
		for _, cut := range s.Cuts {
			rules.CutCampaign = rules.CutCampaign || cut == CutCampaign
			rules.CutMidnight = rules.CutMidnight || cut == CutMidnight
		}
		out.Sites[schemas.Site(s.Key)] = rules
	}
	return out
}

// resolveConfig is how a contact is found, form by form. It reads the model.
func (c *Config) resolveConfig() (resolve.Config, error) {
	s := c.Resolve
	out := resolve.DefaultConfig()
	if s.Model != "" {
		var err error
		if out.Model, err = loadMatchModel(s.Model); err != nil {
			return resolve.Config{}, err
		}
	}
	out.Default, out.KeepTags, out.MailDomains = s.Strategy, s.KeepTags, s.MailDomains
	out.SharedBy, out.Probabilistic = s.SharedBy, s.Probabilistic
	out.Threshold, out.Review = s.Threshold, s.Review
	for _, strategy := range c.Strategies {
		out.Strategies = append(out.Strategies, strategy.resolved())
	}
	for _, f := range c.Forms {
		own := resolve.FormStrategies{Site: f.Site, Form: f.Name, Strategies: f.Strategy}
		if len(f.Strategy) == 0 {
			own.Strategies = s.Strategy
		}
		out.Forms = append(out.Forms, own)
	}
	out.Regions = map[string]string{}
	if s.Region != "" {
		out.Regions[""] = s.Region
	}
	for _, site := range c.Sites {
		if site.Region != "" {
			out.Regions[site.Key] = site.Region
		}
	}
	out.Deny = attribute.Deny{
		Emails: s.Deny.Email, Names: s.Deny.Name, Companies: s.Deny.Company, Visitors: s.Deny.Visitor,
	}
	for _, number := range s.Deny.Phone {
		out.Deny.Phones = append(out.Deny.Phones, attribute.NormalisePhone(number, s.Region).Number)
	}
	return out, out.Validate()
}

// resolved is the strategy as the resolver knows it.
func (s *Strategy) resolved() resolve.Strategy {
	conditions := func(list []Condition) (out []resolve.Condition) {
		for _, c := range list {
			out = append(out, resolve.Condition(c))
		}
		return out
	}
	out := resolve.Strategy{
		Name: s.Name, All: conditions(s.All), Any: conditions(s.Any), Unless: conditions(s.Unless),
		OnMany: resolve.OnMany(s.OnMany),
	}
	for _, group := range s.Also {
		out.Also = append(out.Also, group)
	}
	return out
}

// collectorConfig is the edge, without what only this run knows.
func (c *Config) collectorConfig() ingest.Config {
	out := ingest.Config{Limits: c.Limits, Sites: c.collectedSites(), Forms: c.edgeForms()}
	for _, n := range c.TrustedProxies {
		out.TrustedProxies = append(out.TrustedProxies, n.Prefix)
	}
	out.Snowplow, out.StrictKeys = c.Snowplow.collected(), c.Segment.Strict
	for _, l := range c.Links {
		out.Links = append(out.Links, ingest.Link(l))
	}
	return out
}

// collectedSites are the sites as the edge knows them.
func (c *Config) collectedSites() (list []ingest.Site) {
	for _, s := range c.Sites {
		list = append(list, s.collected())
	}
	return list
}

// edgeForms are the forms as the edge reads them.
func (c *Config) edgeForms() []ingest.Form {
	var out []ingest.Form
	for _, f := range c.Forms {
		form := ingest.Form{
			Name: f.Name, Site: f.Site, Fields: f.Fields, Selector: f.Selector, Traps: f.Trap,
			MinFill: f.MinFill,
		}
		for _, consent := range f.Consent {
			form.Consents = append(form.Consents, ingest.FormConsent(consent))
		}
		if d := f.DoubleOptIn; d != nil {
			form.ConfirmWithin, form.Page = d.Expires, ingest.ConfirmPage(d.Page)
		}
		out = append(out, form)
	}
	return out
}

// mailConfig is how mails go out, without the keys of their links.
func (c *Config) mailConfig() (mail.Config, error) {
	password, err := secretOf(string(c.Mail.Password), c.Mail.PasswordFile)
	if err != nil {
		return mail.Config{}, fmt.Errorf("mail.password_file: %w", err)
	}
	out := mail.Config{
		Server: c.Mail.SMTP, TLS: mail.TLS(c.Mail.TLS), From: c.Mail.From, URL: c.Mail.URL,
		Username: c.Mail.Username, Password: password, PerSecond: c.Mail.PerSecond,
		Session: c.Kafka.SessionTimeout,
	}
	for _, f := range c.Forms {
		if d := f.DoubleOptIn; d != nil {
			out.Forms = append(out.Forms, mail.Form{
				Name: f.Name, Site: f.Site, Subject: d.Subject, From: d.From, Text: d.Text,
			})
		}
	}
	return out, nil
}

// handoffConfig is how hand-offs go out.
func (c *Config) handoffConfig() (handoff.Config, error) {
	out := handoff.Config{Session: c.Kafka.SessionTimeout}
	for i := range c.Handoffs.Webhooks {
		w := &c.Handoffs.Webhooks[i]
		text, err := secretOf(string(w.Secret), w.SecretFile)
		var secret []byte
		if err == nil {
			secret, err = handoff.ParseSecret(text)
		}
		if err != nil {
			return out, fmt.Errorf("webhook %q: secret: %w", w.Name, err)
		}
		out.Webhooks = append(out.Webhooks, handoff.Webhook{
			Name: w.Name, URL: w.URL, Secret: secret, Models: w.Models, Contact: w.attributes(),
			Private: w.Private, Timeout: w.Timeout, MaxAge: w.MaxAge,
		})
	}
	return out, nil
}

// collected is what the collector knows of a site.
func (s *Site) collected() ingest.Site {
	policy := ingest.ConsentPolicy(s.Consent)
	if s.Consent == ConsentExempt {
		policy = ingest.ConsentNotAsked
	}
	out := ingest.Site{
		Key: s.Key, Origins: s.Origins, AnyLoopback: s.AnyLoopback,
		Consent: policy, PrivacyControl: ingest.PrivacyControl(s.GPC),
		Enforcement: ingest.Purposes{
			Analytics: ingest.Enforcement(s.Enforcement.Analytics),
			Marketing: ingest.Enforcement(s.Enforcement.Marketing),
			Profiling: ingest.Enforcement(s.Enforcement.Profiling),
		},
		Gap: s.Gap, CookieLifetime: s.CookieLifetime, FixedLifetime: !s.CookieRenew,
		Embedded: s.Embedded, Cookieless: s.Cookieless, SaltHour: s.SaltHour, TimeZone: s.Location(),
		Redirects: s.Redirects, Heartbeat: s.Heartbeat, BytesPerSecond: s.BytesPerSecond,
		Address: enrich.AddressPolicy(s.Address), StripQuery: s.StripQuery,
	}
	for _, signal := range s.Signals {
		out.Signals = append(out.Signals, ingest.Signal(signal))
	}
	return out
}

// consents returns the consent, by site, of a recorded beacon that says nothing of it. A site that
// the configuration does not have has the default's rules.
func (c *Config) consents() func(key string) schemas.Consent {
	other := defaultSite()
	unnamed, bySite := other.collected().Recorded(), map[string]schemas.Consent{}
	for _, s := range c.Sites {
		bySite[s.Key] = s.collected().Recorded()
	}
	return func(key string) schemas.Consent {
		if consent, ok := bySite[key]; ok {
			return consent
		}
		return unnamed
	}
}
