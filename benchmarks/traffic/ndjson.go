package traffic

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Bulk NDJSON is laid out for speed: a line is pieces of text and numbers appended by hand, and
// what varies is drawn with few random numbers.

const (
	// bulkRate is how many beacons come in a second of the traffic's own time, where no number of
	// days is given: a million are then under three hours, in which visits begin and end.
	bulkRate = 100
	// bulkJitter is how far before it came in a beacon may have happened, milliseconds.
	bulkJitter = 20_000
	// bulkZipf is how unevenly visitors come: the exponent of their frequencies.
	bulkZipf = 1.08
	// bulkPerVisitor is about how many beacons there are for each possible visitor.
	bulkPerVisitor  = 4
	minBulkVisitors = 100
	bulkBuffer      = 1 << 18
)

// NDJSON writes exactly events beacons as a replay reads them, a JSON object on each line, in
// order of received_at. Visitors come with Zipf-like frequencies, beacons happened up to 20 s
// before they came in, and none is a duplicate or malformed. Of cfg it uses Seed and Start,
// Days as the time over which they are spread, by default a second for each 100 beacons, and
// Visitors as the number of possible visitors, by default a quarter of events.
func NDJSON(w io.Writer, cfg Config, events int) error {
	if events < 0 {
		return fmt.Errorf("write %d beacons: give a number from 0", events)
	}
	visitors, days := cfg.Visitors, cfg.Days
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if visitors == 0 {
		visitors = max(events/bulkPerVisitor, minBulkVisitors)
	}
	span := int64(events) * 1000 / bulkRate
	if days > 0 {
		span = int64(days) * (24 * time.Hour).Milliseconds()
	}
	b := newBulk(cfg, uint64(visitors))
	out := bufio.NewWriterSize(w, bulkBuffer)
	for n := range events {
		if _, err := out.Write(b.line(n, span*int64(n)/int64(events))); err != nil {
			return fmt.Errorf("write beacon %d: %w", n+1, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write %d beacons: %w", events, err)
	}
	return nil
}

// bulk makes one line after the other in the same buffer.
type bulk struct {
	pcg   *rand.PCG
	zipf  *rand.Zipf
	seed  uint64
	start int64
	buf   []byte
	// clock writes times; the two are apart as they move on apart.
	received, created clock
	// The text of what varies, encoded.
	pages, agents, referrers, ips []string
}

func newBulk(cfg Config, visitors uint64) *bulk {
	b := &bulk{
		pcg: rand.NewPCG(cfg.Seed, 0x6e646a_736f6e), seed: cfg.Seed, start: cfg.Start.UnixMilli(),
	}
	b.zipf = rand.NewZipf(rand.New(b.pcg), bulkZipf, 8, visitors-1)
	for _, p := range companyPages() {
		url := encode(origin(CompanySite) + p.path)
		b.pages = append(b.pages, `,"url":`+string(url)+`,"title":`+string(encode(p.title)))
	}
	for _, a := range agents() {
		b.agents = append(b.agents, `,"user_agent":`+string(encode(a.userAgent)))
	}
	for _, a := range arrivals() {
		b.referrers = append(b.referrers, `,"referrer":`+string(encode(a.referrer)))
	}
	for i := range 256 {
		b.ips = append(b.ips, `,"ip":"`+documentationIP(i)+`","consent":"identified"`)
	}
	return b
}

// line returns the n-th beacon's line, received after milliseconds from the start. It is valid
// until the next call.
func (b *bulk) line(n int, after int64) []byte {
	r := b.pcg.Uint64()
	visitor := b.zipf.Uint64()
	received := b.start + after
	delay := int64(r&0xffff) * bulkJitter / 0x10000
	traits := visitor * 0x9e3779b97f4a7c15 // a browser keeps its user agent and its address
	out := append(b.buf[:0], `{"id":"`...)
	out = strconv.AppendUint(out, b.seed, 36)
	out = append(out, '-')
	out = strconv.AppendInt(out, int64(n), 10)
	out = append(out, `","site":"acme","visitor":"v`...)
	out = strconv.AppendUint(out, visitor, 10)
	out = append(out, `","type":"`...)
	kind := r >> 16 & 0xff
	switch {
	case kind < 115:
		out = append(out, "page_view"...)
	case kind < 230:
		out = append(out, "ping"...)
	case kind < 248:
		out = append(out, "link_click"...)
	default:
		out = append(out, "custom"...)
	}
	out = append(out, `","created_at":"`...)
	out = b.created.append(out, received-delay)
	out = append(out, `","sent_at":"`...)
	out = b.received.append(out, received)
	out = append(out, `","received_at":"`...)
	out = b.received.append(out, received)
	out = append(out, '"')
	out = append(out, b.pages[(r>>24&0xff)*uint64(len(b.pages))>>8]...)
	if kind < 115 {
		out = append(out, b.referrers[(r>>32&0xff)*uint64(len(b.referrers))>>8]...)
	}
	out = append(out, b.agents[(traits>>32&0xff)*uint64(len(b.agents))>>8]...)
	out = append(out, b.ips[traits>>56]...)
	switch {
	case kind < 115:
		out = append(out, `,"props":{}}`...)
	case kind < 230:
		out = append(out, `,"props":{"engaged_ms":`...)
		out = strconv.AppendUint(out, 1000+r>>40&0x3fff, 10)
		out = append(out, "}}"...)
	case kind < 248:
		out = append(out, `,"props":{"href":"https://status.acme.example/"}}`...)
	default:
		out = append(out, `,"props":{"name":"video_play","seconds":37}}`...)
	}
	b.buf = append(out, '\n')
	return b.buf
}

// clock writes times in RFC 3339 with milliseconds, and formats the minute only as it changes.
type clock struct {
	minute int64
	text   []byte
}

const minuteMS = 60_000

func (c *clock) append(out []byte, ms int64) []byte {
	minute := ms / minuteMS
	if c.text == nil || minute != c.minute {
		c.minute = minute
		c.text = time.UnixMilli(minute*minuteMS).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:")
	}
	rest := ms - minute*minuteMS
	s, milli := rest/1000, rest%1000
	out = append(out, c.text...)
	return append(out, byte('0'+s/10), byte('0'+s%10), '.', byte('0'+milli/100),
		byte('0'+milli/10%10), byte('0'+milli%10), 'Z')
}
