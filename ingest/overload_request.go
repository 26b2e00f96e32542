package ingest

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// While too much comes in, even net/http's part of a request that is turned away is too dear: it is
// about half of what one costs that is taken. So a request that is there as a whole when it begins
// is answered before net/http has seen it.

const postBeaconsPattern = "POST /v1/beacons"

// turnedAway is a request that could be read without net/http.
type turnedAway struct{ origin string }

// wholeRequest reads what may be a request for postBeacons, of which nothing is missing and behind
// which nothing comes. Whatever is unusual in it is left to net/http.
func wholeRequest(raw []byte) (t turnedAway, ok bool) {
	rest, ok := bytes.CutPrefix(raw, []byte(postBeaconsPattern+" HTTP/1.1\r\n"))
	if !ok {
		return t, false
	}
	size := -1
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if !ok {
			return t, false
		}
		if rest = after; len(line) == 0 {
			return t, size == len(rest)
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || bytes.ContainsAny(name, " \t\n") || bytes.ContainsAny(value, "\r\n") {
			return t, false
		}
		value = bytes.Trim(value, " \t")
		switch {
		case is(name, "Content-Length"):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || size >= 0 {
				return t, false
			}
			size = int(n)
		case is(name, "Origin"):
			t.origin = string(value)
		case is(name, "Connection") && !is(value, "keep-alive"),
			is(name, "Transfer-Encoding"), is(name, "Expect"), is(name, "Upgrade"):
			return t, false
		}
	}
}

func is(text []byte, name string) bool {
	return len(text) == len(name) && strings.EqualFold(string(text), name)
}

// answer is what net/http would send for unavailable.
func (t turnedAway) answer(c *Collector) []byte {
	const text = "too much is waiting: send it again later\n"
	out := make([]byte, 0, 512)
	out = append(out, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: "...)
	out = append(out, retryAfter()...)
	out = append(out, "\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: cross-origin\r\n"+
		"Cache-Control: no-store\r\nVary: Origin\r\n"...)
	out = append(append(out, "Access-Control-Expose-Headers: "...), retryNames[0]...)
	out = append(out, "\r\n"...)
	switch {
	case t.origin == "" || !c.sites.allow(t.origin):
	case t.origin == originNull:
		out = append(out, "Access-Control-Allow-Origin: *\r\n"...)
	default:
		out = append(append(out, "Access-Control-Allow-Origin: "...), t.origin...)
		out = append(out, "\r\nAccess-Control-Allow-Credentials: true\r\n"...)
	}
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, int64(len(text)), 10)
	return append(append(out, "\r\n\r\n"...), text...)
}

// Read reads for net/http, and answers by itself what begins while too much comes in.
func (c *connection) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if !c.begins || n == 0 {
			return n, err
		}
		c.begins, c.passed = false, false
		if c.of.overload.share.Load() == 0 {
			return n, err
		}
		request, whole := wholeRequest(p[:n])
		if !whole {
			return n, err
		}
		if !c.of.overload.sheds() {
			c.passed = true
			return n, err
		}
		if err := c.turnAway(request); err != nil {
			return 0, err
		}
		c.begins = true
	}
}

// turnAway answers a request and lets the connection wait for the next one.
func (c *connection) turnAway(request turnedAway) error {
	began := time.Now()
	// The deadlines are those of net/http for a request that has not begun, or that has ended. For
	// the first one of a connection it reckons from when it began to wait, and goes on with that.
	deadline := c.SetDeadline
	if c.fresh {
		deadline = c.SetWriteDeadline
	}
	if err := deadline(began.Add(c.edge.limits.IdleTimeout)); err != nil {
		return err
	}
	c.edge.metrics.shed(&tally{accepted: 1})
	if _, err := c.Write(request.answer(c.edge)); err != nil {
		return err
	}
	c.edge.turnedAway.took(http.StatusServiceUnavailable, time.Since(began))
	return nil
}

// passedBy says whether a request has been let through already when it began.
func passedBy(r *http.Request) bool {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	return ok && c.passed
}

// connectionKey is where a request's context has its connection.
type connectionKey struct{}
