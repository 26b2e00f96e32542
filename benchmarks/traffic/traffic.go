// Package traffic makes believable traffic: it reads nothing but its seed, writes the HTTP requests
// of a company site and an event site over some days, or bulk NDJSON for a replay, and guarantees
// that the same configuration gives the same bytes, with a count of what must come out of them.
package traffic

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// The sites that the traffic goes to.
const (
	CompanySite = "acme"
	EventSite   = "summit"
)

// Config says how much traffic to make. The zero value of a field asks for its default.
type Config struct {
	// Seed chooses the traffic: the same seed gives the same bytes.
	Seed uint64
	// Start is the first instant, by default 2026-01-05T00:00:00Z.
	Start time.Time
	// Days is how long the traffic goes on, by default 4.
	Days int
	// Visitors is about how many browsers come, by default 1,500.
	Visitors int
}

const (
	defaultDays     = 4
	defaultVisitors = 1500
	maxDays         = 400
	maxVisitors     = 1_000_000
)

// withDefaults fills what was left out, or says what cannot be.
func (c Config) withDefaults() (Config, error) {
	if c.Start.IsZero() {
		c.Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	if c.Days == 0 {
		c.Days = defaultDays
	}
	if c.Visitors == 0 {
		c.Visitors = defaultVisitors
	}
	c.Start = c.Start.UTC().Truncate(time.Minute)
	if c.Days < 1 || c.Days > maxDays {
		return c, fmt.Errorf("traffic over %d days: give 1 to %d", c.Days, maxDays)
	}
	if c.Visitors < 1 || c.Visitors > maxVisitors {
		return c, fmt.Errorf("traffic of %d visitors: give 1 to %d", c.Visitors, maxVisitors)
	}
	if c.Start.Year() < 1971 || c.Start.Year() > 2200 {
		return c, errors.New("traffic must start between the years 1971 and 2200")
	}
	return c, nil
}

// Kind says which door of the edge a request goes to.
type Kind string

// The kinds of request.
const (
	// Beacons is a batch, or garbage, for POST /v1/beacons.
	Beacons Kind = "beacons"
	// Form is a submission for POST /v1/forms/{site}, posted by the page without the tracker.
	Form Kind = "form"
	// Pixel is a page view for GET /v1/pixel.gif, of a page without scripts.
	Pixel Kind = "pixel"
)

// Request is one HTTP request as it comes to the edge.
type Request struct {
	// At is the collector's clock as it comes in, always a whole minute: many requests share one.
	// Those of one visitor in one minute are in order and must be sent in order.
	At time.Time
	// Kind is the door; Method and Path follow from it.
	Kind   Kind
	Method string
	// Site is the site it is meant for.
	Site string
	// Visitor names the browser on the site, and is never empty. Batches claim it in their beacons,
	// forms and pixels send it as the cookie ct_visitor, and neither does so without consent.
	Visitor string
	// Path is the URL's path and query.
	Path string
	// Header holds what a browser sends: Content-Type, User-Agent, Accept-Language, Referer, Origin,
	// Cookie, and Sec-GPC where the browser says so. It is shared between requests and must not be
	// changed.
	Header http.Header
	// Body is what is posted.
	Body []byte
	// RemoteIP is the address that the browser comes from, from the ranges kept for documentation.
	RemoteIP string
}

// Expected counts what must come out, as the generator knows it.
type Expected struct {
	Requests int
	// Received counts beacons as the edge must see them: items of batches, forms, and each body
	// that cannot be read as one. Received = Malformed + Accepted.
	Received  int
	Malformed int
	// Accepted counts beacons that end in the log, duplicates among them.
	Accepted   int
	Duplicates int
	// Counted, Statistical and Identified split Accepted, less Duplicates, by consent.
	Counted     int
	Statistical int
	Identified  int
	// PageViews are accepted distinct beacons of that type.
	PageViews int
	// Bots are accepted distinct beacons of clients that say in their user agent that they are bots.
	Bots int
	// Late are accepted distinct beacons, of those with a visitor, that came hours after they
	// happened, when no visit was open that would take them.
	Late int
	// Visits counts the visits of all others with a visitor, for a gap of 30 minutes.
	Visits int
	// Visitors counts distinct (site, visitor) pairs of beacons that carry a visitor.
	Visitors int
	// Submissions counts forms sent, and Linkable those of them whose browser may be linked.
	Submissions int
	Linkable    int
	// Emails counts distinct addresses of Submissions: trimmed, in lower case, without a tag after
	// a plus, and for Gmail without dots. People counts who is behind them: a slip of the finger
	// makes somebody two addresses.
	Emails int
	People int
	// JoinedEmails and JoinedPeople counts those whose Linkable came with two or more visitor ids.
	JoinedEmails int
	JoinedPeople int
}

// Traffic is what came of a configuration.
type Traffic struct {
	requests []Request
	expected Expected
}

// New makes the traffic. An error names the value that cannot be.
func New(cfg Config) (*Traffic, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := newWorld(cfg)
	w.peopleCome()
	w.crawlersCome()
	w.scannersCome()
	slices.SortStableFunc(w.sent, func(a, b sent) int {
		if c := a.request.At.Compare(b.request.At); c != 0 {
			return c
		}
		return a.browser - b.browser
	})
	t := &Traffic{requests: make([]Request, len(w.sent)), expected: w.count.expected()}
	for i := range w.sent {
		t.requests[i] = w.sent[i].request
	}
	t.expected.Requests = len(t.requests)
	return t, nil
}

// Requests yields the requests in the order in which they come in.
func (t *Traffic) Requests() iter.Seq[Request] { return slices.Values(t.requests) }

// Minutes yields each minute with requests and its requests. Those of different visitors in one
// minute may be sent at once.
func (t *Traffic) Minutes() iter.Seq2[time.Time, []Request] {
	return func(yield func(time.Time, []Request) bool) {
		for rest := t.requests; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].At.Equal(rest[0].At) {
				n++
			}
			if !yield(rest[0].At, rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// Expected returns what must come out of the requests.
func (t *Traffic) Expected() Expected { return t.expected }

// sent is a request and the number of the browser that sends it, which keeps order.
type sent struct {
	request Request
	browser int
}

// world is the state of the generator.
type world struct {
	cfg      Config
	end      time.Time
	rand     *rand.Rand
	sent     []sent
	count    *count
	browsers int
	ids      uint64
}

func newWorld(cfg Config) *world {
	return &world{
		cfg:   cfg,
		end:   cfg.Start.AddDate(0, 0, cfg.Days),
		rand:  rand.New(rand.NewPCG(cfg.Seed, 0x637275_6d62)),
		count: newCount(),
	}
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

// between returns a duration in [low, high).
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rand.Int64N(int64(high-low)))
}

// pick returns one of a table's entries, each as likely as the next.
func pick[T any](w *world, table []T) T { return table[w.rand.IntN(len(table))] }

// eventID returns an id that no other beacon of this traffic has.
func (w *world) eventID() string {
	w.ids++
	return fmt.Sprintf("e%08x-%06d", w.rand.Uint32(), w.ids)
}

// visitorID returns an id as the collector makes them for its cookie: 128 bits in base64.
func (w *world) visitorID() string {
	id := binary.BigEndian.AppendUint64(nil, w.rand.Uint64())
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(id, w.rand.Uint64()))
}
