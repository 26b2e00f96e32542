// Package simnet is a network in memory between Kafka clients and one kfake broker, for tests in a
// testing/synctest bubble. It reads the requests of the clients and the answers of the broker,
// gives each a delay and perhaps a fault that follow from a seed, writes them to the other side,
// and guarantees that the same seed gives the same messages at the same instants of fake time.
//
// No two messages arrive in one instant: synctest lets everything that a message sets off come to
// rest before the clock moves on, so the order does not depend on the scheduler. A request is named
// by its client, its API key, what it is about and how many of those there were before; delay and
// fault come from that name, not from the order in which goroutines ask. Connections cost no time,
// so that it does not matter whether kafka-go finds one idle or opens another.
//
// What stops a test in fake time, or makes it differ from the last one:
//   - A goroutine that waits for a sync.Mutex is not durably blocked. A lock that is held over a
//     sleep or a round trip stops the clock, and the test hangs until its timeout.
//   - A wait for what never comes spins for ever where any ticker goes on: bound it in fake time.
//   - All that runs must have ended with the bubble: clients closed, then the Network.
//   - Seed crypto/rand (testing/cryptotest) and math/rand (kfake draws producer ids from it).
//   - Iterating over a map on the way to a request changes its bytes, and perhaps its size.
//   - kfake draws the leader of a group that has lost its own: group.go hides that.
//   - kfake ends a transaction at once. A real broker may answer CONCURRENT_TRANSACTIONS for a
//     while and have the offsets from before: Settle does that.
//   - Where several cases of a select are ready in one instant, the runtime draws one. kafka-go
//     has such a place: a heartbeat that was due when its generation ended is sent or not. So
//     heartbeats take no time and are no part of the trace.
package simnet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Addr is the broker's address on the network.
const Addr = "127.0.0.1:9092"

// latency is the longest delay of a message that no fault holds up.
const latency = 2 * time.Millisecond

// Config says what a network does.
type Config struct {
	Seed uint64
	// Plan chooses the fault of a request; nil is none. It is called one request at a time.
	Plan func(Request) Fault
	// Log, if set, is given a line for each message, as it arrives.
	Log func(line string)
}

// Network connects clients, each by its name, with one broker.
type Network struct {
	cfg    Config
	pipes  kfake.VirtualNetwork
	broker *kfake.Cluster

	// mu is never held over I/O.
	mu       sync.Mutex
	clients  map[string]*client
	conns    map[*conn]bool
	asked    map[Request]int // by name, N being 0
	fired    map[Kind]int
	calm     bool
	instants map[int64]Request // whose message arrives when, in nanoseconds since the epoch
	messages int
	trace    uint64
	offsets  offsets
	members  map[generation][]kmsg.JoinGroupResponseMember
	syncing  map[generation][]held
	over     map[string]int32 // by group, the last generation that has ended
}

// client is one process, as the network sees it.
type client struct {
	dead    bool
	died    func()
	stalled time.Time // nothing passes before
}

// New starts a network with a broker.
func New(cfg Config) (*Network, error) {
	n := &Network{
		cfg: cfg, clients: map[string]*client{}, conns: map[*conn]bool{}, asked: map[Request]int{},
		fired: map[Kind]int{}, trace: offset64, offsets: newOffsets(), instants: map[int64]Request{},
		syncing: map[generation][]held{}, over: map[string]int32{},
		members: map[generation][]kmsg.JoinGroupResponseMember{},
	}
	_, port, err := net.SplitHostPort(Addr)
	if err != nil {
		return nil, err
	}
	n.broker, err = kfake.NewCluster(kfake.NumBrokers(1),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return n.pipes.Listen(network, net.JoinHostPort("127.0.0.1", port))
		}))
	if err != nil {
		return nil, fmt.Errorf("start a broker on the network in memory: %w", err)
	}
	return n, nil
}

// Close stops the broker and breaks every connection.
func (n *Network) Close() {
	n.mu.Lock()
	var all []*conn
	for c := range n.conns {
		all = append(all, c)
	}
	n.mu.Unlock()
	for _, c := range all {
		c.cut()
	}
	n.broker.Close()
}

// errKilled is what a killed client hears: what it goes on trying comes to nothing.
var errKilled = fmt.Errorf("the client has been killed: %w", syscall.ECONNREFUSED)

// Dial returns the dial function of a client.
func (n *Network) Dial(name string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		n.mu.Lock()
		dead := n.client(name).dead
		n.mu.Unlock()
		if dead {
			return nil, errKilled
		}
		far, err := n.pipes.DialContext(ctx, network, Addr)
		if err != nil {
			return nil, err
		}
		end, near := net.Pipe()
		c := &conn{
			net: n, client: name, near: outlet{conn: near}, far: outlet{conn: far},
			waiting: map[int32]*exchange{},
		}
		n.mu.Lock()
		n.conns[c] = true
		n.mu.Unlock()
		go c.requests()
		go c.answers()
		return end, nil
	}
}

// client returns what is known of a client. n.mu is held.
func (n *Network) client(name string) *client {
	c := n.clients[name]
	if c == nil {
		c = &client{died: func() {}}
		n.clients[name] = c
	}
	return c
}

// OnKill sets what is called when a client is killed, by a fault or by Kill.
func (n *Network) OnKill(name string, died func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.client(name).died = died
}

// Kill cuts a client off for good, as kill -9 does: nothing more of it gets out, and it says
// goodbye to nobody.
func (n *Network) Kill(name string) {
	n.mu.Lock()
	c := n.client(name)
	again := c.dead
	c.dead = true
	var own []*conn
	for x := range n.conns {
		if x.client == name {
			own = append(own, x)
		}
	}
	n.mu.Unlock()
	if !again {
		c.died()
	}
	for _, x := range own {
		x.hangUp()
	}
}

// Killed says whether a client has been killed.
func (n *Network) Killed(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.client(name).dead
}

// Stall holds up everything that a client sends and is sent, for as long as d, as a process that
// is stopped and goes on as if nothing had been.
func (n *Network) Stall(name string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.client(name).stalled = time.Now().Add(d)
}

// Calm ends all faults: no request gets one any more, and stalls are over.
func (n *Network) Calm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calm = true
}

// Fired returns how often each kind of fault has happened.
func (n *Network) Fired() map[Kind]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	fired := make(map[Kind]int, len(n.fired))
	for k, times := range n.fired {
		fired[k] = times
	}
	return fired
}

// Trace returns how many messages have arrived, and a checksum of them with their times, but for
// heartbeats.
func (n *Network) Trace() (messages int, sum uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.messages, n.trace
}

// note adds a message to the trace. n.mu is held.
func (n *Network) note(way byte, x *exchange, size int) {
	n.messages++
	delete(n.instants, time.Now().UnixNano())
	line := fmt.Appendf(nil, "%d %c %v %d %v", time.Now().UnixNano(), way, x.Request, size, x.fault)
	if x.Key != Heartbeat {
		n.trace = hashBytes(n.trace, line)
	}
	if n.cfg.Log != nil {
		n.cfg.Log(string(line))
	}
}
