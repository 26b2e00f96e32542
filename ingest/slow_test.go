package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen soon.
const patience = time.Minute

// served is an edge on a socket.
func served(t *testing.T, change func(*Config)) (e *edge, address string) {
	t.Helper()
	e = newEdge(t, func(cfg *Config) {
		if change != nil {
			change(cfg)
		}
		if cfg.Limits == (Limits{}) {
			cfg.Limits = DefaultLimits()
		}
		// The clients of a test are in the same process, and may have it to themselves.
		cfg.Limits.ProcessorWait = time.Hour
	}).run(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.serve(t, e.Listener(listener))
	return e, listener.Addr().String()
}

// serve serves from a listener until the test ends.
func (e *edge) serve(t *testing.T, listener net.Listener) {
	t.Helper()
	server, done := e.Server(), make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-every.C:
		case <-late:
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

const goodBeacon = `{"site":"acme","type":"ping"}`

// rawRequest is a whole one as it goes over the wire.
func rawRequest(body string) string {
	return fmt.Sprintf("POST /v1/beacons HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body)
}

func dial(address string) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), conn.SetDeadline(time.Now().Add(patience))
}

// abuse is what a client does with a connection that it means no good with.
type abuse struct {
	name string
	do   func(conn *net.TCPConn) error
}

// drip sends text, and then a byte at a time until it is cut off.
func drip(text, drop string) func(*net.TCPConn) error {
	return func(conn *net.TCPConn) error {
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		cut := make(chan error, 1)
		go func() {
			answer, err := io.ReadAll(conn)
			if strings.Contains(string(answer), " 200 ") {
				err = fmt.Errorf("answered %q", answer)
			}
			cut <- err
		}()
		every := time.NewTicker(50 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case err := <-cut:
				var reset *net.OpError
				if errors.As(err, &reset) && !reset.Timeout() {
					err = nil
				}
				return err
			case <-every.C:
				_, _ = io.WriteString(conn, drop) // the reader learns of the end
			}
		}
	}
}

// idle sends a good request and stays.
func idle(conn *net.TCPConn) error {
	if _, err := io.WriteString(conn, rawRequest(goodBeacon)); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn) // until the server has had enough
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		err = fmt.Errorf("answered %q", answer)
	}
	return err
}

// reset sends a part of a request and tears the connection down.
func reset(part string) func(*net.TCPConn) error {
	return func(conn *net.TCPConn) error {
		if _, err := io.WriteString(conn, part); err != nil {
			return err
		}
		return conn.SetLinger(0)
	}
}

func abuses() []abuse {
	whole := rawRequest(goodBeacon)
	head, body, _ := strings.Cut(whole, "\r\n\r\n")
	return []abuse{
		{"slow header", drip("POST /v1/beacons HTTP/1.1\r\nHost: a\r\nX-A: ", "a")},
		{"endless headers", drip("POST /v1/beacons HTTP/1.1\r\nHost: a\r\n", "A: b\r\n")},
		{"silence", drip("", "")},
		{"slow body", drip("POST /v1/beacons HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", " ")},
		{"slow chunks", drip("POST /v1/forms/acme HTTP/1.1\r\nHost: a\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n")},
		{"idle", idle},
		{"reset at once", reset("")},
		{"reset in the header", reset(head[:len(head)/2])},
		{"reset before the body", reset(head + "\r\n\r\n")},
		{"reset in the body", reset(head + "\r\n\r\n" + body[:5])},
		{"reset before the answer", reset(whole)},
	}
}

// Clients that are slow, silent or gone are cut off, while others are answered, and nothing of
// them stays. CRUMBTRAIL_E2E=1 makes ten times as many.
func TestSlowClientsAreCut(t *testing.T) {
	each := 500 / len(abuses())
	if os.Getenv("CRUMBTRAIL_E2E") == "1" {
		each *= 10
	}
	e, address := served(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.HeaderTimeout = 500 * time.Millisecond
		cfg.Limits.BodyTimeout = time.Second
		cfg.Limits.IdleTimeout = 500 * time.Millisecond
	})
	stop := goodTraffic(t, address)
	descriptors, routines := openFiles(t), runtime.NumGoroutine()

	var wg sync.WaitGroup
	for range each {
		for _, a := range abuses() {
			wg.Go(func() {
				conn, err := dial(address)
				if err == nil {
					err = a.do(conn)
					_ = conn.Close()
				}
				if err != nil {
					t.Errorf("%s: %v", a.name, err)
				}
			})
		}
	}
	wg.Wait()
	eventually(t, "the connections are gone", func() bool {
		return openConnections(e) <= 2
	})
	eventually(t, "files and goroutines are as before", func() bool {
		return openFiles(t) <= descriptors+2 && runtime.NumGoroutine() <= routines+4
	})
	good := stop()
	if good == 0 {
		t.Error("no good request while the others were there")
	}
	if c := e.Counts(); c.Accepted < int64(good+each) { // theirs, and those that went idle
		t.Errorf("counts %+v, of %d good requests", c, good)
	}
}

// goodTraffic sends beacons until it is stopped, each of which must be taken, and says how many.
func goodTraffic(t *testing.T, address string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan int, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{MaxIdleConns: 1}}
		defer client.CloseIdleConnections()
		n := 0
		for ; ctx.Err() == nil; n++ {
			// Now on a connection of its own, now on one that is there.
			client.Transport.(*http.Transport).DisableKeepAlives = n%2 == 0
			request, err := http.NewRequest(http.MethodPost, "http://"+address+"/v1/beacons",
				strings.NewReader(goodBeacon))
			if err != nil {
				t.Errorf("good request: %v", err)
				break
			}
			// An idle connection may be closed as the request sets out: go by another then, as browsers do.
			request.Header.Set("Idempotency-Key", "good")
			answer, err := client.Do(request)
			if err != nil {
				t.Errorf("good request: %v", err)
				break
			}
			if answer.StatusCode != http.StatusOK {
				t.Errorf("good request: %s", answer.Status)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		sent <- n
	}()
	return func() int {
		cancel()
		return <-sent
	}
}

func openConnections(e *edge) int {
	e.connections.mu.Lock()
	defer e.connections.mu.Unlock()
	return e.connections.open
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// send makes a good request on a connection and reads the answer's first line.
func send(conn *net.TCPConn) (string, error) {
	if _, err := io.WriteString(conn, rawRequest(goodBeacon)); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.Status, err
}

// At the cap an idle connection makes room, the one first that has been so longest.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	const most, clients = 4, 10
	e, address := served(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.Connections = most
	})
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conn, err := dial(address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
		if status, err := send(conn); err != nil || status != "200 OK" {
			t.Fatalf("client %d: %q, %v", i, status, err)
		}
		eventually(t, "the connection is idle", func() bool {
			e.connections.mu.Lock()
			defer e.connections.mu.Unlock()
			return e.connections.idle.Len() == min(i+1, most) && e.connections.open <= most
		})
	}
	for i, conn := range conns {
		status, err := send(conn)
		if kept := i >= clients-most; kept != (err == nil && status == "200 OK") {
			t.Errorf("client %d of %d: %q, %v", i, clients, status, err)
		}
	}
	e.connections.mu.Lock()
	defer e.connections.mu.Unlock()
	if e.connections.cut != clients-most {
		t.Errorf("%d connections cut", e.connections.cut)
	}
}

// Where every connection has a request, the next client waits until one is done.
func TestBusyConnectionsAreLeft(t *testing.T) {
	const most = 3
	e, address := served(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.Connections = most
	})
	gate := make(chan struct{})
	e.tape.mu.Lock()
	e.tape.gate = gate
	e.tape.mu.Unlock()
	answers := make(chan error, most+1)
	for range most + 1 {
		go func() {
			conn, err := dial(address)
			if err == nil {
				defer conn.Close()
				_, err = send(conn)
			}
			answers <- err
		}()
	}
	eventually(t, "all places are taken", func() bool { return openConnections(e) == most })
	close(gate)
	for range most + 1 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// A listener that is closed waits for no place.
func TestClosedListenerEnds(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newConnections(1)
	l := &boundedListener{Listener: inner, of: c, done: make(chan struct{})}
	var conns [2]*net.TCPConn
	for i := range conns {
		if conns[i], err = dial(inner.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	_ = l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	_ = first.Close()
	_ = first.Close()
	if c.open != 0 {
		t.Errorf("%d open", c.open)
	}
}
