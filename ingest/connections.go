package ingest

import (
	"container/list"
	"math"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// connections bounds how many clients are connected at once. At the cap, the connection that has
// been idle longest is closed for the next client; where none is idle, the next client waits.
type connections struct {
	most int

	mu sync.Mutex
	// changed is signalled when a connection has ended or gone idle, or the listener is closed.
	changed sync.Cond
	open    int
	// idle has the connections without a request, the one that has been so longest first.
	idle list.List
	// cut counts connections that were closed for others.
	cut int64

	overload overload
}

func newConnections(most int) *connections {
	c := &connections{most: most}
	c.changed.L = &c.mu
	return c
}

// connection is one that counts until it is closed.
type connection struct {
	net.Conn
	of   *connections
	edge *Collector
	// begins says that what is read next begins a request, passed that the request was not turned
	// away when it began, fresh that net/http waits for its first one. They are of the goroutine that
	// serves the connection.
	begins, passed, fresh bool
	// idle is its place in the list, nil where it has a request; closed says that it counts no more.
	idle   *list.Element
	closed bool
}

// Close gives the place to the next client.
func (c *connection) Close() error {
	c.of.mu.Lock()
	if !c.closed {
		c.closed = true
		c.of.busy(c)
		c.of.open--
		c.of.changed.Signal()
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// boundedListener accepts as many connections as there may be.
type boundedListener struct {
	net.Listener
	of     *connections
	edge   *Collector
	done   chan struct{}
	closed bool // guarded by of.mu
}

// Accept waits for a client, and then for a place for it.
func (l *boundedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.of.enter(l) {
		_ = conn.Close() // nothing was read of it
		return nil, net.ErrClosed
	}
	return &connection{Conn: conn, of: l.of, edge: l.edge, begins: true, fresh: true}, nil
}

// Close ends an Accept that waits for a place, too.
func (l *boundedListener) Close() error {
	l.of.mu.Lock()
	if !l.closed {
		close(l.done)
	}
	l.closed = true
	l.of.changed.Broadcast()
	l.of.mu.Unlock()
	return l.Listener.Close()
}

// enter takes a place; it returns false once the listener is closed.
func (c *connections) enter(l *boundedListener) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.open >= c.most && !l.closed {
		oldest := c.idle.Front()
		if oldest == nil {
			c.changed.Wait()
			continue
		}
		conn := oldest.Value.(*connection)
		c.busy(conn)
		c.cut++
		c.mu.Unlock()
		_ = conn.Close() // it has no request: its client connects again
		c.mu.Lock()
	}
	if l.closed {
		return false
	}
	c.open++
	return true
}

// busy takes a connection off the idle ones.
func (c *connections) busy(conn *connection) {
	if conn.idle != nil {
		c.idle.Remove(conn.idle)
		conn.idle = nil
	}
}

// changes is the server's http.Server.ConnState.
func (c *connections) changes(conn net.Conn, state http.ConnState) {
	of, ok := conn.(*connection)
	if !ok {
		return // of a listener that is not bounded
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy(of)
	if state != http.StateIdle {
		return
	}
	of.begins, of.fresh = true, false
	if !of.closed {
		of.idle = c.idle.PushBack(of)
		if c.open >= c.most {
			c.changed.Signal()
		}
	}
}

// metrics are what there is to see of the connections.
func (c *connections) metrics() []prometheus.Collector {
	of := func(value func() float64) func() float64 {
		return func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return value()
		}
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crumbtrail_ingest_connections", Help: "Clients that are connected.",
		}, of(func() float64 { return float64(c.open) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "crumbtrail_ingest_connections_cut_total",
			Help: "Idle connections that were closed for the next client.",
		}, of(func() float64 { return float64(c.cut) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crumbtrail_ingest_overload_share",
			Help: "Share of the requests that are turned away for now, as more come in than can be done.",
		}, func() float64 { return float64(c.overload.share.Load()) / math.MaxUint32 }),
	}
}
