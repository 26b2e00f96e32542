package main

import "crumbtrail/internal/strictyaml"

// consent says what a site's cookies come to, and where it goes against what its visitors say.
func (k *checker) consent(s *Site) {
	site := s.collected()
	asked, sent, renewed := site.VisitorLifetime()
	renewal := "and renewed with each answer"
	if !renewed {
		renewal = "and not renewed"
	}
	if asked == sent {
		k.note("site %s: ct_visitor is sent for %s %s", s.Key, strictyaml.FormatDuration(sent), renewal)
	} else {
		k.note("site %s: ct_visitor asks for %s, is sent for %s, as browsers keep no more, %s", s.Key,
			strictyaml.FormatDuration(asked), strictyaml.FormatDuration(sent), renewal)
	}
	for _, p := range []struct {
		purpose string
		Enforcement
	}{
		{"analytics", s.Enforcement.Analytics},
		{"marketing", s.Enforcement.Marketing},
		{"profiling", s.Enforcement.Profiling},
	} {
		if p.Enforcement == EnforcementDisabled {
			k.note("site %s: enforcement.%s is disabled: a refusal does not stop it", s.Key, p.purpose)
		}
	}
	if s.Cookieless {
		k.note("site %s is cookieless: a visitor who is not identified is another one each day", s.Key)
		if len(k.o.brokers) > 0 && k.cfg.Salts == "" {
			k.note("site %s: to several collectors a cookieless visitor is several, "+
				"unless they share the directory salts", s.Key)
		}
	}
	if s.GPC == PrivacyIgnore {
		k.note("site %s: Global Privacy Control is ignored, which some laws forbid", s.Key)
	}
	if s.Embedded {
		k.note("site %s is embedded: over HTTPS its cookies are SameSite=None and Partitioned", s.Key)
	}
}
