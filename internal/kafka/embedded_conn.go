package kafka

import (
	"encoding/binary"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// owedConn is a client's connection that does not end before its join of a group has been answered.
// The broker answers a join, or the sync that follows, when the other members have come, and starts
// to watch over the member as it answers. Where it sees before that the connection is gone, it does
// not watch: a client that is killed while it joins would be a member for ever, and hold partitions
// that nobody works on.
type owedConn struct {
	net.Conn
	// One goroutine reads: frame is how many bytes of a request are still to come, and header what
	// has come of its length and key.
	frame  uint32
	header []byte

	mu sync.Mutex
	// owed is open while a join or sync has no answer; else it is nil.
	owed   chan struct{}
	closed bool
}

// requestHeader is the length of a request and its key; the length does not count itself.
const requestHeader = 4 + 2

// Read reads, and keeps an end to itself while an answer is owed.
func (c *owedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.follow(b[:n])
	if err != nil {
		if owed := c.owing(); owed != nil {
			<-owed
		}
	}
	return n, err
}

// follow finds out which requests pass by.
func (c *owedConn) follow(b []byte) {
	for len(b) > 0 {
		if missing := requestHeader - len(c.header); missing > 0 {
			part := b[:min(missing, len(b))]
			c.header, b = append(c.header, part...), b[len(part):]
			if len(part) < missing {
				return
			}
			c.frame = max(binary.BigEndian.Uint32(c.header), 2) - 2
		}
		passed := min(uint64(c.frame), uint64(len(b)))
		c.frame, b = c.frame-uint32(passed), b[passed:]
		if c.frame == 0 {
			key := kmsg.Key(binary.BigEndian.Uint16(c.header[4:]))
			c.header = c.header[:0]
			if key == kmsg.JoinGroup || key == kmsg.SyncGroup {
				c.owe()
			}
		}
	}
}

func (c *owedConn) owe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed == nil && !c.closed {
		c.owed = make(chan struct{})
	}
}

func (c *owedConn) owing() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owed
}

// settle says that nothing is owed any more. The caller holds the lock.
func (c *owedConn) settle() {
	if c.owed != nil {
		close(c.owed)
		c.owed = nil
	}
}

// Write answers: the broker takes a connection's requests one by one.
func (c *owedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.mu.Lock()
	c.settle()
	c.mu.Unlock()
	return n, err
}

// Close ends the connection whatever is owed.
func (c *owedConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.settle()
	c.mu.Unlock()
	return c.Conn.Close()
}
