package simnet

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn carries one client's connection to the broker, message by message. net.mu guards what is
// below it.
type conn struct {
	net    *Network
	client string
	near   outlet // to the client
	far    outlet // to the broker

	waiting map[int32]*exchange // by correlation id, until the broker has answered
	lastOut time.Time           // when the last request reaches the broker
	lastIn  time.Time           // when the last answer reaches the client
	gone    bool                // the client has hung up
}

// outlet is one end of a connection. Who finds it busy leaves the message to who writes: a wait for
// the pipe's own lock would stop the clock.
type outlet struct {
	conn  net.Conn
	queue [][]byte
	busy  bool
}

// send writes a message after those before it. Errors are for who reads at the other end.
func (c *conn) send(o *outlet, raw []byte) {
	c.net.mu.Lock()
	o.queue = append(o.queue, raw)
	if o.busy {
		c.net.mu.Unlock()
		return
	}
	o.busy = true
	for len(o.queue) > 0 {
		raw := o.queue[0]
		o.queue = o.queue[1:]
		c.net.mu.Unlock()
		_, _ = o.conn.Write(raw)
		c.net.mu.Lock()
	}
	o.busy = false
	c.net.mu.Unlock()
}

// cut breaks the connection at both ends.
func (c *conn) cut() {
	c.net.mu.Lock()
	delete(c.net.conns, c)
	c.net.mu.Unlock()
	_ = c.near.conn.Close()
	_ = c.far.conn.Close()
}

// frame reads one message with its length.
func frame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(raw, size[:])
	_, err := io.ReadFull(r, raw[4:])
	return raw, err
}

// requests takes what the client sends until it hangs up. What it has sent by then still reaches
// the broker, as bytes do that a kernel has.
func (c *conn) requests() {
	for {
		raw, err := frame(c.near.conn)
		if err != nil {
			break
		}
		c.request(raw)
	}
	c.hangUp()
}

// hangUp closes the client's end. The broker's stays open until it has answered what it was asked.
func (c *conn) hangUp() {
	_ = c.near.conn.Close()
	c.net.mu.Lock()
	c.gone = true
	idle := len(c.waiting) == 0
	c.net.mu.Unlock()
	if idle {
		c.cut()
	}
}

// request names a request and puts it on its way.
func (c *conn) request(raw []byte) {
	x, err := parse(c.client, raw)
	if err != nil {
		panic(err) // a client of ours sends no such thing
	}
	n := c.net
	n.mu.Lock()
	c.waiting[asker(raw)] = x
	if x.Key == int16(kmsg.ApiVersions) {
		n.mu.Unlock()
		c.send(&c.far, raw)
		return
	}
	switch x.Key {
	case Heartbeat, FindCoordinator:
		x.N = int(time.Now().UnixMilli())
	default:
		n.asked[x.Request]++
		x.N = n.asked[x.Request]
	}
	if n.cfg.Plan != nil && !n.calm {
		x.fault = n.cfg.Plan(x.Request)
	}
	if x.Key == JoinGroup {
		raw = rejoin(x, raw)
	}
	delay := n.delay(x.Request, 'o')
	if x.fault.Kind == HoldRequest {
		delay += x.fault.For
	}
	at := latest(time.Now().Add(delay), c.lastOut.Add(1))
	c.lastOut = n.alone(at, x)
	time.AfterFunc(time.Until(c.lastOut), func() { c.arrive(x, raw) })
	n.mu.Unlock()
}

// held says that a message goes no further now: its client is dead, or stands still, and then
// again has it come later. n.mu is held.
func (c *conn) held(x *exchange, way byte, again func()) bool {
	n := c.net
	owner := n.client(c.client)
	if owner.dead {
		return true
	}
	left := n.stall(owner, x)
	if left > 0 {
		at := n.alone(time.Now().Add(left+n.delay(x.Request, way)), x)
		time.AfterFunc(time.Until(at), again)
	}
	return left > 0
}

// arrive is when a request reaches the broker.
func (c *conn) arrive(x *exchange, raw []byte) {
	n := c.net
	n.mu.Lock()
	if c.held(x, 'o', func() { c.arrive(x, raw) }) {
		n.mu.Unlock()
		return
	}
	n.note('>', x, len(raw))
	n.strike(x)
	n.mu.Unlock()
	switch x.fault.Kind {
	case DropRequest:
		c.cut()
		return
	case KillBefore:
		n.Kill(c.client)
		return
	case Refuse:
		x.refusal = n.refuse(x)
	case Repeat:
		x.swallow = 1
		c.send(&c.far, raw)
	case Resend:
		time.AfterFunc(x.fault.For, func() { n.resend(x, raw) })
	}
	switch x.Key {
	case SyncGroup:
		c.sync(x, raw)
		return
	case JoinGroup, LeaveGroup:
		n.disturb(x)
	}
	c.send(&c.far, raw)
}

// stall returns for how long nothing of the client passes. A request may be the one that begins
// it. n.mu is held.
func (n *Network) stall(owner *client, x *exchange) time.Duration {
	if x.fault.Kind == Stall {
		n.strike(x)
		owner.stalled = latest(owner.stalled, time.Now().Add(x.fault.For))
		x.fault = Fault{}
	}
	if n.calm {
		return 0
	}
	return time.Until(owner.stalled)
}

// answers takes what the broker sends until the connection breaks, or nobody waits any more.
func (c *conn) answers() {
	defer c.cut()
	for {
		raw, err := frame(c.far.conn)
		if err != nil {
			return
		}
		n := c.net
		n.mu.Lock()
		x := c.waiting[correlation(raw)]
		if x.swallow == 0 {
			delete(c.waiting, correlation(raw))
		}
		over := c.gone && len(c.waiting) == 0
		n.mu.Unlock()
		switch {
		case x.swallow > 0:
			x.swallow--
		case x.Key == int16(kmsg.ApiVersions):
			c.send(&c.near, raw)
		default:
			c.answer(x, n.answered(x, raw))
		}
		if over {
			return
		}
	}
}

// answer puts an answer on its way.
func (c *conn) answer(x *exchange, raw []byte) {
	n := c.net
	delay := n.delay(x.Request, 'i')
	if x.fault.Kind == HoldAnswer {
		delay += x.fault.For
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	at := latest(time.Now().Add(delay), c.lastIn.Add(1))
	c.lastIn = n.alone(at, x)
	time.AfterFunc(time.Until(c.lastIn), func() { c.deliver(x, raw) })
}

// deliver is when an answer reaches the client.
func (c *conn) deliver(x *exchange, raw []byte) {
	n := c.net
	n.mu.Lock()
	if c.held(x, 'i', func() { c.deliver(x, raw) }) {
		n.mu.Unlock()
		return
	}
	if x.Key == JoinGroup {
		raw = n.leads(x, raw)
	}
	n.note('<', x, len(raw))
	n.mu.Unlock()
	switch x.fault.Kind {
	case DropAnswer, SettleUnheard:
		c.cut()
	case KillAfter:
		n.Kill(c.client)
	default:
		c.send(&c.near, raw)
	}
}

// resend lets the broker see a request once more.
func (n *Network) resend(x *exchange, raw []byte) {
	n.mu.Lock()
	calm := n.calm
	if !calm {
		n.note('>', x, len(raw))
	}
	n.mu.Unlock()
	if calm {
		return
	}
	n.aside(raw)
}

// aside sends a request on a connection of its own, whose answer goes nowhere.
func (n *Network) aside(raw []byte) {
	far, err := n.pipes.DialContext(context.Background(), "tcp", Addr)
	if err != nil {
		return // the network has been closed
	}
	defer far.Close()
	if _, err := far.Write(raw); err == nil {
		_, _ = frame(far)
	}
}

// alone returns the first instant from at on in which no message of another name arrives. n.mu is
// held.
func (n *Network) alone(at time.Time, x *exchange) time.Time {
	if x.Key == Heartbeat {
		return at
	}
	for {
		other, taken := n.instants[at.UnixNano()]
		if !taken || other == x.Request {
			n.instants[at.UnixNano()] = x.Request
			return at
		}
		at = at.Add(1)
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
