package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// The collector's cookies, as they come and go.
const (
	setCookie     = "\r\nSet-Cookie: "
	visitorCookie = "ct_visitor="
	visitCookie   = "ct_visit="
)

// visitor is a browser, with what it sends in each header.
type visitor struct {
	header []byte
	// id and visit are the cookies, empty until the collector has set them.
	id, visit []byte
	// left is how many requests it makes before another visitor comes.
	left int
}

// newVisitor returns the visitor of a number. Seven of eight have been here before, on another
// visit.
func newVisitor(number uint64, host string, agents []string) *visitor {
	bits := mixed(number)
	v := &visitor{left: 4 + int(bits%13)}
	languages := []string{"en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr,en;q=0.5"}
	v.header = fmt.Appendf(nil, "POST /v1/beacons HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n"+
		"Accept: */*\r\nAccept-Language: %s\r\nReferer: %s/\r\nOrigin: %s\r\n"+
		"Content-Type: text/plain;charset=UTF-8\r\n", host, agents[bits>>8%uint64(len(agents))],
		languages[bits>>4%uint64(len(languages))], Origin, Origin)
	if bits>>16%8 != 0 {
		v.id, v.visit = madeUp(bits, 16), madeUp(bits, 64)
	}
	return v
}

// madeUp is a cookie's value of so many bytes.
func madeUp(bits uint64, size int) []byte {
	var raw []byte
	for len(raw) < size {
		bits = mixed(bits)
		raw = binary.BigEndian.AppendUint64(raw, bits)
	}
	return base64.RawURLEncoding.AppendEncode(nil, raw)
}

// append writes the header of a request with a body of so many bytes.
func (v *visitor) append(dst []byte, bodyBytes int) []byte {
	dst = append(dst, v.header...)
	if len(v.id) > 0 {
		dst = append(append(append(dst, "Cookie: "...), visitorCookie...), v.id...)
		dst = append(append(append(dst, "; "...), visitCookie...), v.visit...)
		dst = append(dst, "\r\n"...)
	}
	return fmt.Appendf(dst, "Content-Length: %d\r\n\r\n", bodyBytes)
}

// keep takes the cookies from the header of an answer.
func (v *visitor) keep(header []byte) {
	for {
		at := bytes.Index(header, []byte(setCookie))
		if at < 0 {
			return
		}
		header = header[at+len(setCookie):]
		end := bytes.IndexByte(header, ';')
		if end < 0 {
			return
		}
		if value, ok := bytes.CutPrefix(header[:end], []byte(visitorCookie)); ok {
			v.id = append(v.id[:0], value...)
		} else if value, ok := bytes.CutPrefix(header[:end], []byte(visitCookie)); ok {
			v.visit = append(v.visit[:0], value...)
		}
	}
}
