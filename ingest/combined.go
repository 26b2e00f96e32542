package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"crumbtrail/schemas"
)

const protocolCombined = "combined"

// request is one line of an access log in the combined format. Its texts alias the line.
type request struct {
	address, method, path, referrer, userAgent []byte
	// at is in microseconds since the epoch.
	at     int64
	status int
	// bytes is -1 where the server wrote a dash.
	bytes int64
}

// combined reads one line of an access log. There is no cookie in it: a visitor is an address with
// a user agent.
func (p *lineParser) combined(text []byte, number int64) Entry {
	var r request
	if broken := r.parse(text); broken != "" {
		return p.refuse(text, number, &Rejection{Reason: ReasonNotCombined, Detail: broken})
	}
	site := p.cfg.Site
	if site == "" {
		site = DefaultKey
	}
	b := &schemas.Beacon{
		EventId:      p.eventID(site, number, text),
		Site:         site,
		Type:         schemas.BeaconType_BEACON_TYPE_REQUEST,
		Consent:      p.consent(site),
		ReceivedAtUs: r.at,
		CreatedAtUs:  r.at,
		Url:          plainText(r.path),
		Referrer:     plainText(undashed(r.referrer)),
		UserAgent:    plainText(undashed(r.userAgent)),
		Ip:           string(r.address),
		Props:        r.props(),
		Protocol:     protocolCombined,
	}
	if b.Consent != schemas.Consent_CONSENT_NONE {
		b.VisitorId = p.visitor(&r)
	}
	if string(r.method) == "GET" && r.status/100 == 2 && isPage(b.Url) {
		b.Type = schemas.BeaconType_BEACON_TYPE_PAGE_VIEW
	}
	p.finish(b)
	return Entry{Line: number, Beacon: b}
}

// visitor is the first 64 bits of SHA-256 over address, zero byte and user agent, in hexadecimal.
func (p *lineParser) visitor(r *request) string {
	p.name = append(append(p.name[:0], r.address...), 0)
	p.name = append(p.name, r.userAgent...)
	sum := sha256.Sum256(p.name)
	var id [16]byte
	hex.Encode(id[:], sum[:8])
	return string(id[:])
}

func (r *request) props() []byte {
	out := append(make([]byte, 0, 64), `{"method":"`...)
	out = append(append(out, r.method...), `","status":`...)
	out = strconv.AppendInt(out, int64(r.status), 10)
	if r.bytes >= 0 {
		out = append(out, `,"bytes":`...)
		out = strconv.AppendInt(out, r.bytes, 10)
	}
	return append(out, '}')
}

// parse reads exactly ADDR IDENT USER [TIME] "METHOD PATH PROTO" STATUS BYTES "REFERRER" "AGENT".
// It returns where the line leaves the format, empty if it does not.
func (r *request) parse(text []byte) (broken string) {
	s := scanner{rest: text, length: len(text)}
	r.address = s.until(' ', "an address")
	s.until(' ', "an identity")
	s.until(' ', "a user")
	s.literal('[', "[")
	at, ok := logTime(s.until(']', "a time"))
	s.check(ok, "a time like 02/Jan/2006:15:04:05 -0700")
	r.at = at
	s.literal(' ', "a space")
	s.literal('"', "a request in quotes")
	r.method = s.until(' ', "a method")
	s.check(isToken(r.method), "a method")
	r.path = s.until(' ', "a path")
	protocol := s.until('"', "a protocol")
	s.check(bytes.IndexByte(protocol, ' ') < 0, "a protocol")
	s.literal(' ', "a space")
	status := s.until(' ', "a status")
	n := digits(string(status))
	s.check(len(status) == 3 && n >= 0, "a status of three digits")
	r.status = int(n)
	r.bytes = -1
	if size := s.until(' ', "a number of bytes"); string(size) != "-" {
		r.bytes = digits(string(size))
		s.check(r.bytes >= 0 && len(size) <= 18, "a number of bytes")
	}
	r.referrer = s.quoted("a referrer in quotes")
	s.literal(' ', "a space")
	r.userAgent = s.quoted("a user agent in quotes")
	s.check(len(s.rest) == 0, "nothing after the user agent")
	return s.broken
}

// scanner cuts a line into its parts and remembers the first thing that was not there; from then
// on it returns nothing.
type scanner struct {
	rest   []byte
	length int
	broken string
}

func (s *scanner) check(ok bool, want string) {
	if !ok && s.broken == "" {
		s.broken = fmt.Sprintf("byte %d: want %s", s.length-len(s.rest)+1, want)
		s.rest = nil
	}
}

// until returns what stands before the next end, of which there must be something without a quote
// in it, and skips both.
func (s *scanner) until(end byte, want string) []byte {
	n := bytes.IndexByte(s.rest, end)
	if s.check(n > 0 && bytes.IndexByte(s.rest[:n], '"') < 0, want); s.broken != "" {
		return nil
	}
	part := s.rest[:n]
	s.rest = s.rest[n+1:]
	return part
}

func (s *scanner) literal(c byte, want string) {
	if s.check(len(s.rest) > 0 && s.rest[0] == c, want); s.broken == "" {
		s.rest = s.rest[1:]
	}
}

// quoted returns what stands between two quotes, which may be nothing.
func (s *scanner) quoted(want string) []byte {
	s.literal('"', want)
	n := bytes.IndexByte(s.rest, '"')
	if s.check(n >= 0, want); s.broken != "" {
		return nil
	}
	part := s.rest[:n]
	s.rest = s.rest[n+1:]
	return part
}

// logTime reads 02/Jan/2006:15:04:05 -0700 as microseconds since the epoch.
func logTime(text []byte) (us int64, ok bool) {
	if len(text) != 26 || text[2] != '/' || text[6] != '/' || text[11] != ':' {
		return 0, false
	}
	month := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", string(text[3:6]))
	if month < 0 || month%3 != 0 || text[20] != ' ' {
		return 0, false
	}
	// As RFC 3339, which parseTime reads.
	iso := make([]byte, 0, 25)
	iso = append(append(iso, text[7:11]...), '-', '0'+byte(month/3+1)/10, '0'+byte(month/3+1)%10)
	iso = append(append(append(iso, '-'), text[0:2]...), 'T')
	iso = append(append(iso, text[12:20]...), text[21:24]...)
	iso = append(append(iso, ':'), text[24:26]...)
	return parseTime(string(iso))
}

// isPage says whether a path names a page, as far as its looks go: it has no extension, or one
// that servers give to HTML. /data.csv and /tabledap/x.nc are no pages, nor are images and styles.
func isPage(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	name := path[strings.LastIndexByte(path, '/')+1:]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return true
	}
	switch strings.ToLower(name[dot+1:]) {
	case "html", "htm", "xhtml", "shtml", "php", "phtml", "asp", "aspx", "jsp", "jspx", "jsf",
		"do", "cfm", "cgi", "pl":
		return true
	}
	return false
}

// isToken is true of what can be a method.
func isToken(text []byte) bool {
	for _, c := range text {
		if (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return len(text) > 0
}

// undashed is nothing for the dash that stands for it.
func undashed(text []byte) []byte {
	if string(text) == "-" {
		return nil
	}
	return text
}

// plainText is text as protobuf wants it, in UTF-8: a log may hold whatever a client sent.
func plainText(text []byte) string { return strings.ToValidUTF8(string(text), "\uFFFD") }
