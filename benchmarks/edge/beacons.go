package edge

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Site is whose beacons they are, Origin the pages that they come from.
const (
	Site   = "acme"
	Origin = "https://acme.example"
)

// wireTime is how times are written: UTC with milliseconds.
const wireTime = "2006-01-02T15:04:05.000Z"

// zeroID and zeroTime hold the place of what differs in each beacon.
const (
	zeroID   = "00000000-0000-4000-8000-000000000000"
	zeroTime = "0000-00-00T00:00:00.000Z"
)

// template is a beacon, with where its id and time are.
type template struct {
	text        []byte
	id, created int
}

// bodies writes the bodies of requests as the tracker does: what a visitor did on the pages of a
// site, which the collector knows by its cookie.
type bodies struct{ templates []template }

// pages is how many pages the site has, and templates as many beacons of each.
const (
	pages   = 97
	perPage = 5
)

func newBodies() *bodies {
	b := &bodies{}
	for page := range pages {
		for kind := range perPage {
			b.templates = append(b.templates, newTemplate(page, kind))
		}
	}
	return b
}

// newTemplate makes one of every five beacons a ping and one a click; the others are page views.
func newTemplate(page, kind int) template {
	path := "/c/" + strconv.Itoa(page%9) + "/article-" + strconv.Itoa(page*37) + "-how-to-measure-it"
	beacon := map[string]any{
		"url":   Origin + path + "?utm_source=newsletter&utm_medium=email&utm_campaign=week-" + strconv.Itoa(page%52),
		"title": "How to measure it, part " + strconv.Itoa(page) + " of the long guide",
	}
	kindName := "page_view"
	switch kind {
	case 0:
		kindName = "ping"
		beacon["props"] = map[string]any{"engaged_ms": 9000 + page*10}
	case 1:
		kindName = "link_click"
		beacon["props"] = map[string]any{
			"href": Origin + "/download/guide-" + strconv.Itoa(page) + ".pdf", "text": "The guide as PDF",
		}
	case 2:
		beacon["referrer"] = "https://www.google.com/"
	default:
		beacon["referrer"] = Origin + "/c/" + strconv.Itoa(page%9) + "/"
	}
	rest, err := json.Marshal(beacon)
	if err != nil {
		panic("edge: encode a beacon: " + err.Error())
	}
	text := `{"id":"` + zeroID + `","site":"` + Site + `","type":"` + kindName + `","created_at":"` +
		zeroTime + `",` + strings.ReplaceAll(string(rest[1:]), `\u0026`, "&")
	return template{[]byte(text), strings.Index(text, zeroID), strings.Index(text, zeroTime)}
}

// append writes the beacons from number first on, which happened in the seconds before now.
func (b *bodies) append(dst []byte, first uint64, count int, now time.Time) []byte {
	dst = append(dst, `{"sent_at":"`...)
	dst = now.AppendFormat(dst, wireTime)
	dst = append(dst, `","beacons":[`...)
	var room [2 * len(wireTime)]byte
	for n := first; n < first+uint64(count); n++ {
		if n > first {
			dst = append(dst, ',')
		}
		t := &b.templates[mixed(n)%uint64(len(b.templates))]
		at := len(dst)
		dst = append(dst, t.text...)
		putID(dst[at+t.id:], n)
		created := now.Add(-time.Duration(100+n%4000) * time.Millisecond)
		// Not in its place: AppendFormat uses room behind what it returns.
		copy(dst[at+t.created:], created.AppendFormat(room[:0], wireTime))
	}
	return append(dst, "]}"...)
}

// mixed spreads the bits of a number, as splitmix64 does (Steele, Lea and Flood 2014).
func mixed(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// spread is odd, so that multiplying by it modulo 2^48 can be undone.
const (
	spread    = 0xa0761d6478bd
	low48bits = 1<<48 - 1
)

// putID writes the id of a beacon, as random to look at as the tracker's, from which NumberOf tells
// its number.
func putID(dst []byte, number uint64) {
	const digits = "0123456789abcdef"
	bits, own := mixed(number), number*spread&low48bits
	for i := range zeroID {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			dst[i] = '-'
		case i == 14 || i == 19:
			dst[i] = zeroID[i]
		case i > 23:
			dst[i] = digits[own&15]
			own >>= 4
		default:
			dst[i] = digits[bits&15]
			bits >>= 4
		}
	}
}

// NumberOf returns the number of the beacon that has this id; ok is false where none has it.
func NumberOf(id string) (number uint64, ok bool) {
	if len(id) != len(zeroID) {
		return 0, false
	}
	var own uint64
	for i := len(id) - 1; i > 23; i-- {
		digit, err := strconv.ParseUint(id[i:i+1], 16, 64)
		if err != nil {
			return 0, false
		}
		own = own<<4 | digit
	}
	inverse := uint64(spread) // right in its last 3 bits, and in twice as many after each step
	for range 5 {
		inverse *= 2 - spread*inverse
	}
	number = own * inverse & low48bits
	var want [len(zeroID)]byte
	putID(want[:], number)
	return number, string(want[:]) == id
}

// userAgents returns what the visitors' browsers call themselves.
func userAgents() []string {
	var all []string
	for version := range 9 {
		v := strconv.Itoa(133 + version)
		for _, system := range []string{
			"Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
		} {
			all = append(all, "Mozilla/5.0 ("+system+") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"+
				v+".0.0.0 Safari/537.36")
		}
		all = append(all,
			"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"+v+
				".0.0.0 Mobile Safari/537.36",
			"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:"+v+".0) Gecko/20100101 Firefox/"+v+".0",
			"Mozilla/5.0 (iPhone; CPU iPhone OS 18_"+strconv.Itoa(version)+" like Mac OS X) "+
				"AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18."+strconv.Itoa(version)+
				" Mobile/15E148 Safari/604.1")
	}
	return all
}
