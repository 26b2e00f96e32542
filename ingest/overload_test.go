package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSteer(t *testing.T) {
	share := 0.0
	for range 8 {
		share = steer(share, 2)
	}
	if share < 0.7 || share > 0.9 {
		t.Errorf("after a long wait, %v are turned away", share)
	}
	if got := steer(share, 1); got != share {
		t.Errorf("a wait that is as long as it may be changes %v to %v", share, got)
	}
	for range 100 {
		share = steer(share, 1000)
	}
	if share != shareMost {
		t.Errorf("%v are turned away, want %v: who is taken shows that there is room again", share,
			shareMost)
	}
	for range 60 {
		share = steer(share, 0)
	}
	if share != 0 {
		t.Errorf("%v are still turned away", share)
	}
}

// Only while requests are turned away anyway does it matter how many are inside.
func TestInside(t *testing.T) {
	var o overload
	o.most.Store(2)
	for range 3 {
		o.enter()
	}
	if o.sheds() {
		t.Error("turned away, although nothing waits for a processor")
	}
	o.share.Store(1)
	if !o.sheds() {
		t.Error("a third one is let in beside two")
	}
	o.leave()
	o.leave()
	if o.sheds() {
		t.Error("turned away, although there is room inside")
	}
	mean := 0.0
	for range 200 {
		mean = smooth(mean, 100)
	}
	if mean < 99 || mean > 100 {
		t.Errorf("the mean of 100 is %v", mean)
	}
}

func TestSchedulerWaits(t *testing.T) {
	var waits schedulerWaits
	waits.next()
	done := make(chan struct{})
	for range 1000 {
		go func() { done <- struct{}{} }()
	}
	for range 1000 {
		<-done
	}
	wait, seen := waits.next()
	if seen < 20 || wait < 0 || wait > time.Minute {
		t.Errorf("%d waits, most of them at most %s", seen, wait)
	}
}

func TestWholeRequest(t *testing.T) {
	const begin = "POST /v1/beacons HTTP/1.1\r\nHost: a\r\n"
	for _, c := range []struct {
		raw    string
		ok     bool
		origin string
	}{
		{begin + "Content-Length: 2\r\n\r\n{}", true, ""},
		{begin + "content-length:2 \r\nORIGIN: https://a.example\r\n\r\n{}", true, "https://a.example"},
		{begin + "Connection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", true, ""},
		{begin + "Connection: close\r\nContent-Length: 2\r\n\r\n{}", false, ""},
		{begin + "Content-Length: 2\r\n\r\n{", false, ""},
		{begin + "Content-Length: 2\r\n\r\n{}POST", false, ""},
		{begin + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false, ""},
		{begin + "Content-Length : 2\r\n\r\n{}", false, ""},
		{begin + "Content-Length: +2\r\n\r\n{}", false, ""},
		{begin + "A: b\r\n Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false, ""},
		{begin + "A: b\nContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}", false, ""},
		{begin + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", false, ""},
		{begin + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", false, ""},
		{begin + "Content-Length: 2\r\n", false, ""},
		{begin + "\r\n", false, ""},
		{"GET /v1/pixel.gif HTTP/1.1\r\nContent-Length: 0\r\n\r\n", false, ""},
		{"OST /v1/beacons HTTP/1.1\r\nContent-Length: 0\r\n\r\n", false, ""},
	} {
		if got, ok := wholeRequest([]byte(c.raw)); ok != c.ok || ok && got.origin != c.origin {
			t.Errorf("%q: %+v, %v", c.raw, got, ok)
		}
	}
}

// unwatched is a bounded listener whose share of requests to be turned away is the test's to set.
func (e *edge) unwatched(l net.Listener) net.Listener {
	return &boundedListener{
		Listener: l, of: e.connections, edge: e.Collector, done: make(chan struct{}),
	}
}

// What is turned away before net/http and in it gets the same answer, on a connection that goes on.
func TestTurnedAway(t *testing.T) {
	e := newEdge(t, nil).run(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.serve(t, e.unwatched(listener))
	address := listener.Addr().String()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	from := bufio.NewReader(conn)
	ask := func(unusual bool, origin string) *http.Response {
		t.Helper()
		raw := fmt.Sprintf("POST /v1/beacons HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"+
			"Origin: %s\r\nContent-Length: %d\r\n\r\n%s", origin, len(goodBeacon), goodBeacon)
		if unusual {
			raw = strings.Replace(raw, "Content-Type", "Upgrade: nothing\r\nContent-Type", 1)
		}
		if _, err := conn.Write([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := from.Discard(int(r.ContentLength)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	share := &e.connections.overload.share
	all := 0
	for _, origin := range []string{"https://acme.example", "null", "https://evil.example"} {
		if r := ask(false, "https://acme.example"); r.StatusCode != http.StatusOK {
			t.Fatalf("%d before", r.StatusCode)
		}
		share.Store(math.MaxUint32)
		early, late := ask(false, origin), ask(true, origin)
		for _, r := range []*http.Response{early, ask(false, origin), late} {
			all++
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
		}
		for _, name := range []string{
			"Content-Type", "Vary", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
			"Access-Control-Expose-Headers", "X-Content-Type-Options", "Cache-Control",
			"Cross-Origin-Resource-Policy",
		} {
			if a, b := early.Header.Get(name), late.Header.Get(name); a != b {
				t.Errorf("from %s %s is %q before net/http, %q in it", origin, name, a, b)
			}
		}
		share.Store(0)
		conn.Close()
		if conn, err = net.Dial("tcp", address); err != nil {
			t.Fatal(err)
		}
		from.Reset(conn)
	}
	if c := e.Counts(); c.Shed != int64(all) || c.Accepted != 3 {
		t.Errorf("%d turned away, counts %+v", all, c)
	}
}

// oneConn is a listener with one client.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// A client that was turned away as soon as it came has as long as any other to send its next
// request: it is cut while it sends nothing, and not in the middle.
func TestTurnedAwayAtFirst(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t, nil).run(t)
			client, conn := net.Pipe()
			l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
			l.conn <- conn
			e.serve(t, e.unwatched(l))
			from := bufio.NewReader(client)
			ask := func(props string) (status int, err error) {
				body := `{"site":"acme","type":"ping","props":{"a":"` + props + `"}}`
				wrote := make(chan error, 1)
				go func() {
					_, err := io.WriteString(client, rawRequest(body))
					wrote <- err
				}()
				r, err := http.ReadResponse(from, nil)
				if err != nil {
					return 0, <-wrote
				}
				_, err = from.Discard(int(r.ContentLength))
				return r.StatusCode, errors.Join(err, <-wrote)
			}
			share := &e.connections.overload.share
			share.Store(math.MaxUint32)
			if status, err := ask(""); status != http.StatusServiceUnavailable || err != nil {
				t.Fatalf("%d, %v", status, err)
			}
			share.Store(0)
			time.Sleep(pause)
			status, err := ask(strings.Repeat("x", 20_000)) // more than is read at once
			want := http.StatusOK
			if pause > e.limits.HeaderTimeout {
				want = 0
			}
			if status != want || (err == nil) != (status == http.StatusOK) {
				t.Errorf("after %s: %d, %v; want %d", pause, status, err, want)
			}
			client.Close()
		})
	}
}
