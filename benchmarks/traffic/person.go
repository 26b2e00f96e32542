package traffic

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"crumbtrail/schemas"
)

// person is somebody with habits, and one or two browsers.
type person struct {
	number                    int
	first, last, email, phone string
	employer                  employer
	// rhythm is the weight of each hour of the day, UTC.
	rhythm [24]int
	// lead is true of who sends forms sooner or later.
	lead bool
	// keen is true of who comes back often.
	keen bool
	// attends is true of who is after the event rather than the product.
	attends bool
}

// browser is one browser of a person, or of a machine. It has a visitor id on each site, as its
// cookies there are apart.
type browser struct {
	number   int
	visitor  map[string]string
	agent    string
	mobile   bool
	header   map[string]http.Header
	remoteIP string
	bot      bool
	// says is what the page's consent banner was told, and is what the edge must make of it.
	says, is schemas.Consent
	gpc      bool
	// skew is how far its clock is ahead of the truth.
	skew time.Duration
	// offline browsers keep what they have for hours, flaky ones send some batches twice.
	offline, flaky bool
	// scriptless browsers run no script: the collector learns of them by pixels and forms.
	scriptless bool
}

// rhythm is the hours of somebody: of half of all in working time, of others in the evening, and
// of the rest on the other side of the world.
func (w *world) rhythm() [24]int {
	switch n := w.rand.IntN(10); {
	case n < 5:
		return [24]int{0, 0, 0, 0, 0, 1, 3, 8, 14, 16, 15, 12, 9, 13, 15, 14, 11, 7, 4, 2, 2, 1, 1}
	case n < 8:
		return [24]int{2, 1, 0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 5, 4, 3, 3, 4, 6, 9, 13, 16, 15, 10, 5}
	}
	return [24]int{15, 14, 13, 10, 8, 6, 3, 2, 1, 0, 0, 0, 0, 0, 1, 2, 4, 7, 10, 12, 13, 14, 15, 15}
}

// The shares of people and browsers with some trait.
const (
	shareLead       = 0.09
	shareKeen       = 0.25
	shareAttends    = 0.25
	shareTwoDevices = 0.07
	shareSecondLead = 0.45 // of those with two devices
	shareNone       = 0.06
	shareGPC        = 0.05
	shareStatistic  = 0.06
	shareSkewed     = 0.08
	shareOffline    = 0.02
	shareFlaky      = 0.03
	shareScriptless = 0.015
)

// newPerson makes somebody.
func (w *world) newPerson(number int) *person {
	p := &person{
		number:   number,
		first:    pick(w, firstNames()),
		last:     pick(w, lastNames()),
		employer: pick(w, employers()),
		rhythm:   w.rhythm(),
		lead:     w.chance(shareLead),
		keen:     w.chance(shareKeen),
		attends:  w.chance(shareAttends),
	}
	p.email = w.address(p)
	p.phone = fmt.Sprintf("%s %04d", p.employer.dialling, w.rand.IntN(10_000))
	return p
}

// address makes the person's e-mail address, which no other person has.
func (w *world) address(p *person) string {
	first, last := asciiLower(p.first), asciiLower(p.last)
	local := first + "." + last
	switch w.rand.IntN(4) {
	case 0:
		local = first[:1] + last
	case 1:
		local = first
	}
	domain := p.employer.domain
	if w.chance(0.3) {
		domain = pick(w, freeMailers())
	}
	address := local + "@" + domain
	if w.count.taken[address] {
		address = fmt.Sprintf("%s%d@%s", local, p.number, domain)
	}
	w.count.taken[address] = true
	return address
}

// asciiLower makes a name fit for an address: é becomes e, spaces and apostrophes go.
func asciiLower(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		if i := strings.IndexRune(unaccented, r); i >= 0 {
			return rune(unaccented[i+len(string(r))])
		}
		return -1
	}, strings.ToLower(name))
}

// unaccented has each accented letter of the name tables before its plain one.
const unaccented = "ëeöoéełlüuíiáaıiùu"

// newBrowser makes a browser of a person.
func (w *world) newBrowser(kind agent) *browser {
	w.browsers++
	b := &browser{
		number: w.browsers,
		visitor: map[string]string{
			CompanySite: w.visitorID(),
			EventSite:   w.visitorID(),
		},
		agent:    kind.userAgent,
		mobile:   kind.mobile,
		remoteIP: documentationIP(w.browsers),
		says:     schemas.Consent_CONSENT_IDENTIFIED,
		is:       schemas.Consent_CONSENT_IDENTIFIED,
		offline:  w.chance(shareOffline),
		flaky:    w.chance(shareFlaky),
	}
	switch n := w.rand.Float64(); {
	case n < shareNone:
		b.says, b.is = schemas.Consent_CONSENT_NONE, schemas.Consent_CONSENT_NONE
	case n < shareNone+shareStatistic:
		b.says, b.is = schemas.Consent_CONSENT_STATISTICAL, schemas.Consent_CONSENT_STATISTICAL
	case n < shareNone+shareStatistic+shareGPC:
		b.gpc, b.is = true, schemas.Consent_CONSENT_STATISTICAL
	}
	// What runs no script can ask for nothing but what the site assumes.
	b.scriptless = b.says == schemas.Consent_CONSENT_IDENTIFIED && w.chance(shareScriptless)
	b.offline = b.offline && !b.scriptless
	b.flaky = b.flaky && !b.offline
	if w.chance(shareSkewed) {
		b.skew = w.between(-30*time.Hour, 30*time.Hour)
		if w.chance(0.1) {
			b.skew -= 3000 * 24 * time.Hour
		}
	}
	b.setHeaders(pick(w, languages()))
	return b
}

// makeMachine takes the traits of people from a browser.
func (b *browser) makeMachine() {
	b.gpc, b.skew, b.offline, b.flaky, b.scriptless = false, 0, false, false, false
	b.says, b.is = schemas.Consent_CONSENT_IDENTIFIED, schemas.Consent_CONSENT_IDENTIFIED
}

// setHeaders makes the headers that the browser sends to each site's collector.
func (b *browser) setHeaders(language string) {
	b.header = map[string]http.Header{}
	for _, site := range []string{CompanySite, EventSite} {
		h := http.Header{}
		h.Set("Content-Type", "text/plain;charset=UTF-8")
		h.Set("User-Agent", b.agent)
		if language != "" {
			h.Set("Accept-Language", language)
		}
		h.Set("Origin", origin(site))
		h.Set("Referer", origin(site)+"/")
		if b.gpc {
			h.Set("Sec-Gpc", "1")
		}
		b.header[site] = h
	}
}

// origin is where a site's pages are.
func origin(site string) string { return "https://" + site + ".example" }

// documentationIP spreads browsers over the ranges that RFC 5737 keeps for examples; many share
// one, as behind an office's router.
func documentationIP(n int) string {
	nets := [...]string{"192.0.2", "198.51.100", "203.0.113"}
	return fmt.Sprintf("%s.%d", nets[n%len(nets)], 1+n/len(nets)%254)
}

// spelled returns the e-mail as typed this time. The resolver must see through all of it but a slip
// of the finger.
func (w *world) spelled(email string) string {
	local, domain, _ := strings.Cut(email, "@")
	switch n := w.rand.IntN(100); {
	case n < 12:
		return strings.ToUpper(local[:1]) + local[1:] + "@" + domain
	case n < 18:
		return strings.ToUpper(email)
	case n < 28:
		return email + " "
	case n < 30:
		return "  " + email
	case n < 34:
		return local + "+acme@" + domain
	case n < 38:
		return local + "@" + slip(w, domain)
	}
	return email
}

// slip swaps two neighbouring letters of a domain.
func slip(w *world, domain string) string {
	b := []byte(domain)
	i := w.rand.IntN(3)
	b[i], b[i+1] = b[i+1], b[i]
	return string(b)
}
