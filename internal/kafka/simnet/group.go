package simnet

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kfake draws a group's leader by chance, where the one before has gone, and may tell several
// members that they lead. So that nothing can be seen of it, every member is told that it leads,
// and of all members in one order, so that all compute the same shares; what they have computed
// reaches the broker in one instant, when it is there from all; who joins always begins a new
// generation; and no two members' sessions begin in one instant.

// syncWait is how long members wait for one that does not send its shares, before they are told to
// join again. It is less than a session.
const syncWait = 3 * time.Second

// generation is one generation of a group.
type generation struct {
	group  string
	number int32
}

// held is a request that waits to go on.
type held struct {
	*conn
	x   *exchange
	raw []byte
}

// rejoin returns a request to join that is like no other: kfake lets a member that joins again
// with the same words go on in its generation, unless it leads. A protocol that nobody prefers
// tells them apart.
func rejoin(x *exchange, raw []byte) []byte {
	body := x.body.(*kmsg.JoinGroupRequest)
	nonce := kmsg.NewJoinGroupRequestProtocol()
	nonce.Name, nonce.Metadata = "nonce", fmt.Appendf(nil, "%v", x.Request)
	body.Protocols = append(body.Protocols, nonce)
	head := 14 + int(max(0, int16(binary.BigEndian.Uint16(raw[12:])))) // up to the client id
	out := slices.Clone(raw[:head])
	if body.IsFlexible() {
		out = append(out, 0)
	}
	return sized(body.AppendTo(out))
}

// joins notes that a member is in a generation, with what it has to say. n.mu is held.
func (n *Network) joins(
	x *exchange, req *kmsg.JoinGroupRequest, res *kmsg.JoinGroupResponse,
) {
	n.undisturbed(x, res.ErrorCode)
	if res.ErrorCode != 0 {
		return
	}
	n.beat(x, res.Generation, res.MemberID)
	at, m := generation{req.Group, res.Generation}, kmsg.NewJoinGroupResponseMember()
	m.MemberID, m.ProtocolMetadata = res.MemberID, req.Protocols[0].Metadata
	n.members[at] = append(n.members[at], m)
	slices.SortFunc(n.members[at], func(a, b kmsg.JoinGroupResponseMember) int {
		return cmp.Compare(a.MemberID, b.MemberID)
	})
}

// beat sends a heartbeat for a member that the group has just answered.
func (n *Network) beat(x *exchange, number int32, member string) {
	body := kmsg.NewHeartbeatRequest()
	body.Version, body.Group, body.Generation, body.MemberID = 3, x.Subject, number, member
	raw := []byte{0, 0, 0, 0, 0, byte(Heartbeat), 0, byte(body.Version), 0, 0, 0, 0, 0xff, 0xff}
	raw = sized(body.AppendTo(raw))
	time.AfterFunc(n.delay(x.Request, 'h'), func() { n.aside(raw) })
}

// leads returns the answer to a member that has joined. All of its generation have been answered
// by then. n.mu is held.
func (n *Network) leads(x *exchange, raw []byte) []byte {
	res := x.body.ResponseKind().(*kmsg.JoinGroupResponse)
	decode(raw, res)
	if res.ErrorCode != 0 {
		return raw
	}
	res.LeaderID = res.MemberID
	res.Members = n.members[generation{x.Subject, res.Generation}]
	return encode(raw, res)
}

// sync holds a member's shares until all of its generation are there.
func (c *conn) sync(x *exchange, raw []byte) {
	n := c.net
	at := generation{x.Subject, x.body.(*kmsg.SyncGroupRequest).Generation}
	n.mu.Lock()
	over := at.number <= n.over[at.group]
	n.syncing[at] = append(n.syncing[at], held{c, x, raw})
	count, all := len(n.syncing[at]), len(n.members[at])
	n.mu.Unlock()
	switch {
	case over || count >= all:
		n.release(at)
	case count == 1:
		time.AfterFunc(syncWait, func() {
			for _, h := range n.take(at) {
				h.turnAway()
			}
		})
	}
}

// release lets the shares of a generation go on to the broker.
func (n *Network) release(at generation) {
	for _, h := range n.take(at) {
		h.send(&h.far, h.raw)
	}
}

// disturb ends the generations that there have been, as somebody is about to join the group or to
// leave it: who waits for shares hears so from the broker.
func (n *Network) disturb(x *exchange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	group := x.Subject
	x.over = n.over[group]
	for at := range n.members {
		if at.group == group {
			n.over[group] = max(n.over[group], at.number)
		}
	}
	for at := range n.syncing {
		if at.group == group {
			time.AfterFunc(latency, func() {
				if n.isOver(at) {
					n.release(at)
				}
			})
		}
	}
}

func (n *Network) isOver(at generation) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return at.number <= n.over[at.group]
}

// undisturbed takes back what disturb has said, where the broker has refused the request. n.mu is
// held.
func (n *Network) undisturbed(x *exchange, code int16) {
	if code != 0 {
		n.over[x.Subject] = x.over
	}
}

func (n *Network) take(at generation) []held {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.syncing[at]
	delete(n.syncing, at)
	return all
}

// turnAway tells a member to join again, without the broker.
func (h held) turnAway() {
	res := h.x.body.ResponseKind().(*kmsg.SyncGroupResponse)
	res.ErrorCode = kerr.RebalanceInProgress.Code
	raw := slices.Concat(h.raw[:4], h.raw[8:12]) // room for the length, the correlation id
	h.net.mu.Lock()
	delete(h.waiting, asker(h.raw))
	h.net.mu.Unlock()
	h.answer(h.x, encode(raw, res))
}
