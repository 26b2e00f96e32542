package load

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"crumbtrail/schemas"
)

// QuarterDays is how much recorded time the beacons of a quarter are spread over.
const QuarterDays = 90

const (
	// perVisit is how many beacons a visit has on average, and perVisitor how many there are to one
	// visitor who may come; four in ten of those do.
	perVisit   = 8
	perVisitor = 16
	// quarterZipf and quarterOffset are how unevenly visitors come: the most frequent one about
	// twice a day.
	quarterZipf   = 1.2
	quarterOffset = 2000
)

// Person is somebody who leaves an address in a form.
type Person struct{ Email, FirstName, LastName, Phone, Company string }

// Quarter is three months of a company's site: visits of page views, pings, clicks and forms, up to
// about fifty at the same time. Few visitors come often and many once; pages, browsers, referrers
// and campaigns are as uneven.
type Quarter struct {
	writer  *Writer
	rand    *rand.Rand
	zipf    *rand.Zipf
	pages   *rand.Zipf
	tables  quarterTables
	people  []Person
	known   []bool // by visitor: has left an address
	visits  visitHeap
	arrived int
	events  int
	clockUS int64
}

// NewQuarter makes a quarter with so many beacons, in which the people leave their addresses.
func NewQuarter(w *Writer, events int, people []Person) *Quarter {
	r := rand.New(rand.NewPCG(1, 0x71756172746572))
	visitors := max(events/perVisitor, 1)
	tables := newQuarterTables()
	return &Quarter{
		writer: w, rand: r, tables: tables, people: people, known: make([]bool, visitors),
		zipf:   rand.NewZipf(r, quarterZipf, quarterOffset, uint64(visitors-1)),
		pages:  rand.NewZipf(r, 1.3, 4, uint64(len(tables.pages)-1)),
		events: events, clockUS: Start().UnixMicro(),
	}
}

// visit is a visit that goes on.
type visit struct {
	visitor  uint64
	nextUS   int64
	left     int // how many beacons it still has
	page     int
	referrer string
	query    string
	channel  string
	campaign *schemas.Campaign
	// form is true where its visitor leaves an address before it ends.
	form bool
}

// visitHeap has the visit with the next beacon first.
type visitHeap []*visit

func (h visitHeap) Len() int           { return len(h) }
func (h visitHeap) Less(i, j int) bool { return h[i].nextUS < h[j].nextUS }
func (h visitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *visitHeap) Push(v any) { *h = append(*h, v.(*visit)) }

// Pop is for package heap.
func (h *visitHeap) Pop() any {
	last := len(*h) - 1
	v := (*h)[last]
	*h = (*h)[:last]
	return v
}

// Next writes one beacon, and at the end a flush; false where there was nothing left to write.
func (q *Quarter) Next() bool {
	switch n := q.writer.Beacons(); {
	case n > q.events:
		return false
	case n == q.events:
		q.writer.Flush(q.clockUS)
		q.events = -1
		return true
	}
	for len(q.visits) == 0 || q.visits[0].nextUS >= q.arrivalUS() {
		q.arrive()
	}
	v := q.visits[0]
	q.clockUS = v.nextUS
	q.beacon(v)
	if v.left--; v.left == 0 {
		heap.Pop(&q.visits)
		return true
	}
	v.nextUS += time.Second.Microseconds() + q.rand.Int64N(40*time.Second.Microseconds())
	heap.Fix(&q.visits, 0)
	return true
}

// arrivalUS is when the next visit begins.
func (q *Quarter) arrivalUS() int64 {
	spanUS := QuarterDays * (24 * time.Hour).Microseconds()
	return Start().UnixMicro() + int64(float64(spanUS)/float64(q.events)*perVisit*float64(q.arrived))
}

// arrive begins a visit.
func (q *Quarter) arrive() {
	v := &visit{
		visitor: q.zipf.Uint64(), nextUS: q.arrivalUS() + q.rand.Int64N(1_000_000),
		left: 1 + q.rand.IntN(2*perVisit-1), page: int(q.pages.Uint64()),
	}
	q.arrived++
	from := &q.tables.arrivals[q.rand.IntN(len(q.tables.arrivals))]
	v.referrer, v.query = from.referrer, from.query
	v.channel, v.campaign = from.channel, from.campaign
	// Three of five visitors leave an address, in one of their first visits.
	v.form = v.visitor%5 < 3 && !q.known[v.visitor] && q.writer.Submissions() < len(q.people) &&
		v.left > 2 && q.rand.IntN(2) == 0
	heap.Push(&q.visits, v)
}

// beacon writes the next beacon of a visit.
func (q *Quarter) beacon(v *visit) {
	b := &schemas.Beacon{
		EventId: q.eventID(v.nextUS), Type: schemas.BeaconType_BEACON_TYPE_PAGE_VIEW,
		Consent: schemas.Consent_CONSENT_IDENTIFIED, Channel: v.channel, Campaign: v.campaign,
		Referrer: v.referrer, Protocol: "native", ReceivedAtUs: v.nextUS,
		ConsentSource: schemas.ConsentSource_CONSENT_SOURCE_SITE, Props: []byte("{}"),
	}
	q.tables.who(v.visitor, b)
	q.happens(v, b)
	page := &q.tables.pages[v.page]
	b.Url, b.Title = page.url+v.query, page.title
	q.times(v.visitor, b)
	q.writer.append(v.visitor, b)
	if b.Type == schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT {
		q.submit(v, b)
	}
}

// happens chooses what the visitor does: the first beacon of a visit is a page view, and so is a
// third of the rest.
func (q *Quarter) happens(v *visit, b *schemas.Beacon) {
	switch dice := q.rand.IntN(100); {
	case v.form && v.left == 1:
		b.Type = schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT
	case v.referrer == internal && dice < 55:
		b.Type = schemas.BeaconType_BEACON_TYPE_PING
		b.EngagedMs = int32(min(15_000, 1+q.rand.IntN(30_000)))
	case v.referrer == internal && dice < 63:
		b.Type = schemas.BeaconType_BEACON_TYPE_LINK_CLICK
		b.Props = q.tables.links[q.rand.IntN(len(q.tables.links))]
	case v.referrer == internal && dice < 66:
		b.Type = schemas.BeaconType_BEACON_TYPE_CUSTOM
		b.Props = fmt.Appendf(nil, `{"name":"search","results":%d}`, q.rand.IntN(50))
	default:
		if v.referrer == internal {
			v.page = int(q.pages.Uint64())
			v.query = ""
		}
		// What led to the first page is told by that page alone.
		v.referrer, v.channel, v.campaign = internal, "internal", nil
	}
}

// internal is the referrer of all pages but the first of a visit.
const internal = quarterHost + "/"

// times sets the client's clock, whole milliseconds and off by a second, of one visitor in ten by
// an hour, and what the collector makes of it.
func (q *Quarter) times(visitor uint64, b *schemas.Beacon) {
	const milli = 1000
	waited := int64(q.rand.IntN(2000)) * milli
	if q.rand.IntN(4) > 0 { // a batch is not waited for
		waited = int64(q.rand.IntN(5)) * milli
	}
	network := int64(20+q.rand.IntN(150)) * milli
	off := int64(visitor*0x9e3779b97f4a7c15>>40)%2000 - 1000
	if visitor%10 == 0 {
		off *= 3600
	}
	b.SentAtUs = (b.ReceivedAtUs-network)/milli*milli + off*milli
	b.CreatedAtUs = b.SentAtUs - waited
	b.OccurredAtUs = b.ReceivedAtUs - waited
}

// submit writes what the next person left in the form of a beacon.
func (q *Quarter) submit(v *visit, b *schemas.Beacon) {
	if q.writer.Submissions() == len(q.people) || q.known[v.visitor] {
		return
	}
	p := &q.people[q.writer.Submissions()]
	q.known[v.visitor] = true
	q.writer.submit(&schemas.Submission{
		SubmissionId: b.EventId, Kind: schemas.SubmissionKind_SUBMISSION_KIND_FORM, Site: b.Site,
		VisitorId: b.VisitorId, Consent: b.Consent, ReceivedAtUs: b.ReceivedAtUs,
		OccurredAtUs: b.OccurredAtUs, Form: "contact", Url: b.Url, Protocol: b.Protocol,
		Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, Phone: p.Phone,
		Company: p.Company, Fields: []byte("{}"),
	})
}

// eventID is a UUIDv7, as the tracker and the collector make them.
func (q *Quarter) eventID(us int64) string {
	id := binary.BigEndian.AppendUint64(nil, uint64(us/1000)<<16|0x7000|q.rand.Uint64()&0x0fff)
	id = binary.BigEndian.AppendUint64(id, 1<<63|q.rand.Uint64()>>2)
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// quarterHost is where the site is.
const quarterHost = "https://www.acme.example"

// quarterTables are what beacons are made of.
type quarterTables struct {
	pages    []quarterPage
	arrivals []visit
	links    [][]byte
	agents   []quarterAgent
	places   [][2]string // country and language
}

type quarterPage struct{ url, title string }

type quarterAgent struct{ userAgent, device, browser, os string }

func newQuarterTables() quarterTables {
	t := quarterTables{places: [][2]string{
		{"US", "en-US"},
		{"US", "en-US"},
		{"US", "es-US"},
		{"DE", "de-DE"},
		{"DE", "en-GB"},
		{"GB", "en-GB"},
		{"FR", "fr-FR"},
		{"IN", "en-IN"},
		{"PL", "pl-PL"},
		{"JP", "ja-JP"},
		{"ES", "es-ES"},
		{"NL", "nl-NL"},
		{"BR", "pt-BR"},
		{"CH", "de-CH"},
		{"SE", "sv-SE"},
	}}
	for _, path := range []string{"/", "/pricing", "/product", "/demo", "/docs", "/customers"} {
		t.pages = append(t.pages, quarterPage{quarterHost + path, "Acme" + path})
	}
	for n := range 1500 {
		room := []string{"docs", "blog", "product", "academy"}[n%4]
		t.pages = append(t.pages, quarterPage{
			fmt.Sprintf("%s/%s/topic-%d/page-%d", quarterHost, room, n%37, n),
			fmt.Sprintf("Page %d on topic %d in %s", n, n%37, room),
		})
	}
	for n := range 200 {
		t.links = append(t.links, fmt.Appendf(nil, `{"href":"https://partner-%d.example/"}`, n))
	}
	t.addArrivals()
	t.addAgents()
	return t
}

// addArrivals adds what leads to the site: nothing, searches, other pages and campaigns.
func (t *quarterTables) addArrivals() {
	for range 120 {
		t.arrivals = append(t.arrivals, visit{channel: "direct"})
	}
	for n := range 90 {
		engine := []string{"www.google.com", "www.google.com", "www.bing.com", "duckduckgo.com"}[n%4]
		t.arrivals = append(t.arrivals, visit{
			referrer: "https://" + engine + "/", channel: "search",
		})
	}
	for n := range 150 {
		t.arrivals = append(t.arrivals, visit{
			referrer: fmt.Sprintf("https://site-%d.example/articles/%d", n%40, n), channel: "referral",
		})
	}
	for n := range 60 {
		c := &schemas.Campaign{
			Source: []string{"newsletter", "google", "linkedin", "partner"}[n%4],
			Medium: []string{"email", "cpc", "social", "referral"}[n%4],
			Name:   fmt.Sprintf("spring-%d", n),
		}
		t.arrivals = append(t.arrivals, visit{
			channel: "campaign", campaign: c,
			query: "?utm_source=" + c.Source + "&utm_medium=" + c.Medium + "&utm_campaign=" + c.Name,
		})
	}
}

func (t *quarterTables) addAgents() {
	for n := range 160 {
		version := strconv.Itoa(143 - n/4%20)
		switch n % 4 {
		case 0, 1:
			os := []string{"Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7"}[n%2]
			t.agents = append(t.agents, quarterAgent{
				"Mozilla/5.0 (" + os + ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" + version +
					".0.0.0 Safari/537.36",
				"desktop", "Chrome", []string{"Windows", "macOS"}[n%2],
			})
		case 2:
			ios := strconv.Itoa(n / 4 % 7)
			t.agents = append(t.agents, quarterAgent{
				"Mozilla/5.0 (iPhone; CPU iPhone OS 18_" + ios + " like Mac OS X) " +
					"AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18." + ios +
					" Mobile/15E148 Safari/604.1",
				"mobile", "Safari", "iOS",
			})
		default:
			t.agents = append(t.agents, quarterAgent{
				"Mozilla/5.0 (X11; Linux x86_64; rv:" + version + ".0) Gecko/20100101 Firefox/" +
					version + ".0",
				"desktop", "Firefox", "Linux",
			})
		}
	}
}

// who sets what a visitor's browser says of itself, always the same.
func (t *quarterTables) who(visitor uint64, b *schemas.Beacon) {
	drawn := (visitor + 1) * 0xd6e8feb86659fd93 >> 16
	draw := func(n int) int {
		at := int(drawn % uint64(n))
		drawn /= uint64(n)
		return at
	}
	// The lesser of two is the more frequent.
	a := &t.agents[min(draw(len(t.agents)), draw(len(t.agents)))]
	place := t.places[draw(len(t.places))]
	b.UserAgent = a.userAgent
	b.Ip = "203." + strconv.Itoa(draw(32)) + "." + strconv.Itoa(draw(256)) + ".0"
	b.Agent = &schemas.Agent{
		Device: a.device, Browser: a.browser, Os: a.os,
		Country: place[0], Language: place[1],
	}
}
