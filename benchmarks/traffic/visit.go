package traffic

import (
	"encoding/json"
	"slices"
	"time"

	"crumbtrail/schemas"
)

// shareMachines is how much of the visitors is left for crawlers.
const shareMachines = 0.08

// peopleCome makes everybody who comes, with their browsers and all they do.
func (w *world) peopleCome() {
	target := int(float64(w.cfg.Visitors) * (1 - shareMachines))
	for number := 1; w.browsers < max(target, 1); number++ {
		p := w.newPerson(number)
		kinds := agents()
		first := kinds[w.weighted(len(kinds), func(i int) int { return kinds[i].weight })]
		devices := []*browser{w.newBrowser(first)}
		if w.chance(shareTwoDevices) {
			second := kinds[w.rand.IntN(len(kinds))]
			devices = append(devices, w.newBrowser(second))
			p.keen = true
			// Who has two devices and a question asks it on both.
			if w.chance(shareSecondLead) {
				p.lead = true
			}
		}
		for _, b := range devices {
			w.lifeOf(p, b)
		}
	}
}

// lifeOf sends all that a person does with one browser.
func (w *world) lifeOf(p *person, b *browser) {
	starts := w.starts(p)
	site := CompanySite
	if p.attends {
		site = EventSite
	}
	var free time.Time
	for i, start := range starts {
		if start.Before(free) {
			continue
		}
		if i > 0 && w.chance(0.15) {
			site = otherSite(site)
		}
		v := visit{world: w, person: p, browser: b, site: site, now: start}
		v.submits = p.lead && (i == len(starts)-1 || w.chance(0.2))
		// Offline, the browser keeps what happens until later in the day.
		v.held = b.offline && w.chance(0.5)
		v.walk()
		v.leave()
		free = v.now.Add(40 * time.Minute)
	}
}

func otherSite(site string) string {
	if site == CompanySite {
		return EventSite
	}
	return CompanySite
}

// starts chooses when a person comes, in order. Weekends are quiet.
func (w *world) starts(p *person) []time.Time {
	n := 1
	more := 0.22
	if p.keen {
		more = 0.62
	}
	for n < 12 && w.chance(more) {
		n++
	}
	starts := make([]time.Time, n)
	for i := range starts {
		day := w.rand.IntN(w.cfg.Days)
		date := w.cfg.Start.AddDate(0, 0, day)
		if wd := date.Weekday(); (wd == time.Saturday || wd == time.Sunday) && w.chance(0.6) {
			date = w.cfg.Start.AddDate(0, 0, w.rand.IntN(w.cfg.Days))
		}
		hour := w.weighted(24, func(h int) int { return p.rhythm[h] })
		starts[i] = date.Add(time.Duration(hour)*time.Hour + w.between(0, time.Hour)).
			Truncate(time.Millisecond)
	}
	slices.SortFunc(starts, time.Time.Compare)
	return starts
}

// visit is somebody on a site.
type visit struct {
	*world
	person  *person
	browser *browser
	site    string
	submits bool
	held    bool
	now     time.Time
	events  []event
	forms   []Request
}

// walk reads some pages, and sends a form at the end where the visit is for that.
func (v *visit) walk() {
	pages := companyPages()
	if v.site == EventSite {
		pages = eventPages()
	}
	ways := arrivals()
	way := ways[v.weighted(len(ways), func(i int) int { return ways[i].weight })]
	referrer, query := way.referrer, way.query
	url := ""
	for n := 1; ; n++ {
		at := pages[v.weighted(len(pages), func(i int) int { return pages[i].weight })]
		last := n >= 15 || v.chance(0.42)
		if last && v.submits {
			at = v.formPage(pages)
		}
		url = origin(v.site) + at.path
		if query != "" {
			url += "?" + query
		}
		v.read(at, url, referrer)
		if last {
			break
		}
		referrer, query = url, ""
	}
	if v.submits {
		v.fillIn(url)
	}
}

// formPage is the page with the form that the person came for.
func (v *visit) formPage(pages []page) page {
	want := "/contact"
	if v.site == EventSite {
		want = "/register"
	}
	i := slices.IndexFunc(pages, func(p page) bool { return p.path == want })
	return pages[i]
}

const (
	pingEvery  = 15 * time.Second
	clickShare = 0.22
	eventShare = 0.1
)

// read is one page: its view, pings while it is looked at, and now and then a click.
func (v *visit) read(at page, url, referrer string) {
	v.add(event{
		kind: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW, url: url, referrer: referrer,
		title: at.title,
	})
	// Most pages are left soon, some are read for minutes.
	dwell := time.Duration(v.rand.ExpFloat64() * float64(35*time.Second))
	dwell = min(max(dwell, 2*time.Second), 6*time.Minute).Truncate(time.Millisecond)
	for spent := time.Duration(0); spent < dwell; {
		step := min(pingEvery, dwell-spent)
		v.now = v.now.Add(step)
		spent += step
		if step < 5*time.Second && spent > step {
			break
		}
		engaged := time.Duration(float64(step) * (0.5 + v.rand.Float64()/2))
		v.add(event{
			kind: schemas.BeaconType_BEACON_TYPE_PING, url: url,
			props: map[string]any{"engaged_ms": engaged.Milliseconds()},
		})
	}
	if at.link != "" && v.chance(clickShare) {
		v.wait(300*time.Millisecond, 2*time.Second)
		v.add(event{
			kind: schemas.BeaconType_BEACON_TYPE_LINK_CLICK, url: url,
			props: map[string]any{"href": at.link},
		})
	}
	if v.chance(eventShare) {
		v.wait(300*time.Millisecond, 2*time.Second)
		v.add(event{
			kind: schemas.BeaconType_BEACON_TYPE_CUSTOM, url: url,
			props: pick(v.world, customEvents()),
		})
	}
	v.wait(500*time.Millisecond, 4*time.Second)
}

func customEvents() []map[string]any {
	return []map[string]any{
		{"name": "video_play", "video": "two-minute-tour", "seconds": 37},
		{"name": "pricing_toggle", "period": "yearly"},
		{"name": "copy_code", "lines": 6},
		{"name": "search", "query": "exactly “once”"},
	}
}

// add notes that something happened now.
func (v *visit) add(e event) {
	e.at, e.id = v.now, v.eventID()
	v.events = append(v.events, e)
}

// wait lets some time pass.
func (v *visit) wait(low, high time.Duration) {
	v.now = v.now.Add(v.between(low, high).Truncate(time.Millisecond))
}

// fillIn sends a form: with the tracker on the page, or as a plain post of the form.
func (v *visit) fillIn(url string) {
	v.wait(20*time.Second, 100*time.Second)
	form, fields := v.filled()
	// Without the tracker the site's own assumption holds, so nobody can ask for less.
	asksForLess := v.browser.says == schemas.Consent_CONSENT_STATISTICAL
	plain := v.browser.scriptless || !v.held && !asksForLess && v.chance(0.25)
	e := event{kind: schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT, url: url}
	if !plain {
		props := map[string]any{"form": form, "fields": fields}
		e.props = props
	}
	v.add(e)
	v.count.submit(v.browser, v.site, v.person, fields["email"])
	if plain {
		// The post has no clock of its own, so it happens when it comes in.
		last := len(v.events) - 1
		v.events = v.events[:last]
		at := nextMinute(v.now)
		v.forms = append(v.forms, v.browser.form(v.site, at, url, form, fields))
		e.at = at
		v.count.accept(v.browser, v.site, e, at)
	}
}

// filled is what the person types.
func (v *visit) filled() (form string, fields map[string]string) {
	p := v.person
	fields = map[string]string{"email": v.spelled(p.email)}
	form = "contact"
	switch {
	case v.site == EventSite:
		form = "registration"
		fields["session"] = pick(v.world, []string{"streams-for-marketers", "lakes-in-practice"})
	case v.chance(0.35):
		return "newsletter", fields
	default:
		fields["message"] = pick(v.world, messages())
	}
	fields["first_name"], fields["last_name"] = p.first, p.last
	if v.chance(0.1) {
		fields["first_name"] = p.first[:1] + "."
	}
	if v.chance(0.7) {
		fields["company"] = p.employer.name
	}
	if v.chance(0.5) {
		fields["phone"] = p.phone
	}
	return form, fields
}

// leave sends what the visit left behind.
func (v *visit) leave() {
	v.count.visit(v.browser, v.held)
	var held time.Time
	if v.held {
		held = v.now.Add(v.between(2*time.Hour, 20*time.Hour))
	}
	if v.browser.scriptless {
		v.sendPixels()
	} else {
		v.send(v.browser, v.site, v.events, held)
	}
	for _, r := range v.forms {
		v.push(v.browser, r)
	}
}

// sendPixels sends what the collector hears of a browser without scripts: page views, as they are.
func (v *visit) sendPixels() {
	for _, e := range v.events {
		if e.kind != schemas.BeaconType_BEACON_TYPE_PAGE_VIEW {
			continue
		}
		at := nextMinute(e.at)
		v.push(v.browser, v.browser.pixel(v.site, at, e.url))
		e.at = at
		v.count.accept(v.browser, v.site, e, at)
	}
}

// crawlersCome sends what search engines' robots do: a page at a time, without cookies, so that
// each page is a new visitor.
func (w *world) crawlersCome() {
	left := w.cfg.Visitors - w.browsers
	for _, userAgent := range crawlers() {
		for range left / len(crawlers()) {
			b := w.newBrowser(agent{userAgent: userAgent})
			b.makeMachine()
			b.bot = true
			b.remoteIP = "203.0.113.254"
			b.setHeaders("")
			at := w.cfg.Start.Add(w.between(0, w.end.Sub(w.cfg.Start))).Truncate(time.Millisecond)
			seen := pick(w, companyPages())
			w.count.visit(b, false)
			w.send(b, CompanySite, []event{{
				at: at, kind: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW, id: w.eventID(),
				url: origin(CompanySite) + seen.path, title: seen.title,
			}}, time.Time{})
		}
	}
}

// scannersCome sends what somebody does who looks for holes: bodies that are no batch, and batches
// that are one but carry an attack in a field.
func (w *world) scannersCome() {
	b := w.newBrowser(agent{userAgent: scannerAgent})
	b.makeMachine()
	b.setHeaders("")
	for _, h := range b.header {
		h.Del("Origin")
	}
	from := w.cfg.Start.Add(26 * time.Hour)
	if !from.Before(w.end) {
		from = w.cfg.Start.Add(time.Hour)
	}
	for i, garbage := range garbage() {
		at := nextMinute(from.Add(time.Duration(i) * 7 * time.Second))
		w.push(b, b.request(Beacons, CompanySite, at, []byte(garbage)))
		w.count.malformed(1)
	}
	w.count.visit(b, false)
	for i, attack := range attacks() {
		e := event{
			at: from.Add(time.Duration(i) * 11 * time.Second), id: w.eventID(),
			kind: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW, url: attack, title: attack,
			referrer: attack,
		}
		item := b.wire(CompanySite, e)
		at := nextMinute(e.at)
		w.push(b, b.request(Beacons, CompanySite, at, b.batchBody(at, []json.RawMessage{item})))
		w.count.accept(b, CompanySite, e, at)
	}
}
