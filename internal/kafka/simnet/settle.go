package simnet

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// place is where an offset is committed.
type place struct {
	group, topic string
	partition    int32
}

// committed is a committed offset.
type committed struct {
	offset   int64
	metadata string
}

// offsets follows what transactions commit, so that a committed offset can be shown late.
type offsets struct {
	staged map[string]map[place]committed // by transactional id
	now    map[place]committed
	before map[place]committed
	// late has who is shown the offset from before.
	late map[place]bool
}

func newOffsets() offsets {
	return offsets{
		staged: map[string]map[place]committed{}, now: map[place]committed{},
		before: map[place]committed{}, late: map[place]bool{},
	}
}

// stage takes in what the broker has not refused.
func (o *offsets) stage(r *kmsg.TxnOffsetCommitRequest, res *kmsg.TxnOffsetCommitResponse) {
	if o.staged[r.TransactionalID] == nil {
		o.staged[r.TransactionalID] = map[place]committed{}
	}
	for i, t := range r.Topics {
		for j, p := range t.Partitions {
			code := res.Topics[i].Partitions[j].ErrorCode
			if code != 0 && code != kerr.RequestTimedOut.Code {
				continue
			}
			at := place{r.Group, t.Topic, p.Partition}
			o.staged[r.TransactionalID][at] = committed{p.Offset, orEmpty(p.Metadata)}
		}
	}
}

// end moves what a transaction has staged, and returns where it has.
func (o *offsets) end(id string, commit bool) (moved []place) {
	if commit {
		for at, c := range o.staged[id] {
			before, ok := o.now[at]
			if !ok {
				before = committed{offset: -1}
			}
			o.before[at], o.now[at] = before, c
			moved = append(moved, at)
		}
	}
	delete(o.staged, id)
	return moved
}

// answered takes note of what the broker has done, and returns the answer that the client gets.
func (n *Network) answered(x *exchange, raw []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if x.refusal != nil {
		if x.refusal.Hits() > 0 {
			n.fired[Refuse]++
		}
		x.refusal.Remove()
	}
	switch body := x.body.(type) {
	case *kmsg.JoinGroupRequest:
		res := body.ResponseKind().(*kmsg.JoinGroupResponse)
		decode(raw, res)
		n.joins(x, body, res)
	case *kmsg.LeaveGroupRequest:
		res := body.ResponseKind().(*kmsg.LeaveGroupResponse)
		decode(raw, res)
		n.undisturbed(x, res.ErrorCode)
	case *kmsg.SyncGroupRequest:
		n.beat(x, body.Generation, body.MemberID)
	case *kmsg.InitProducerIDRequest:
		n.offsets.end(x.Subject, false) // what was open has been aborted
	case *kmsg.TxnOffsetCommitRequest:
		res := body.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		decode(raw, res)
		n.offsets.stage(body, res)
	case *kmsg.EndTxnRequest:
		res := body.ResponseKind().(*kmsg.EndTxnResponse)
		if decode(raw, res); res.ErrorCode == 0 {
			n.settle(x, n.offsets.end(x.Subject, body.Commit))
		}
	case *kmsg.OffsetFetchRequest:
		return n.showLate(body, raw)
	}
	return raw
}

// settle makes a transaction that has just ended look as if its markers were still being written.
// n.mu is held.
func (n *Network) settle(x *exchange, moved []place) {
	if x.fault.Kind != Settle && x.fault.Kind != SettleUnheard || len(moved) == 0 {
		return
	}
	n.fired[x.fault.Kind]++
	busy := n.broker.Fault(kfake.Fault{
		Keys:  []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn},
		TxnID: x.Subject, Err: kerr.ConcurrentTransactions, Count: -1,
	})
	for _, at := range moved {
		n.offsets.late[at] = true
	}
	time.AfterFunc(x.fault.For, func() {
		busy.Remove()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, at := range moved {
			delete(n.offsets.late, at)
		}
	})
}

// showLate puts offsets from before into an answer to OffsetFetch. n.mu is held.
func (n *Network) showLate(r *kmsg.OffsetFetchRequest, raw []byte) []byte {
	if len(n.offsets.late) == 0 {
		return raw
	}
	res := r.ResponseKind().(*kmsg.OffsetFetchResponse)
	decode(raw, res)
	changed := false
	for i := range res.Topics {
		for j := range res.Topics[i].Partitions {
			p := &res.Topics[i].Partitions[j]
			at := place{r.Group, res.Topics[i].Topic, p.Partition}
			if n.offsets.late[at] {
				before := n.offsets.before[at]
				p.Offset, p.Metadata, changed = before.offset, &before.metadata, true
			}
		}
	}
	if !changed {
		return raw
	}
	return encode(raw, res)
}

// answerHeader is length and correlation id; a flexible answer has a byte of tags behind them.
const answerHeader = 8

func decode(raw []byte, res kmsg.Response) {
	body := raw[answerHeader:]
	if res.IsFlexible() {
		body = body[1:]
	}
	if err := res.ReadFrom(body); err != nil {
		panic(fmt.Sprintf("answer of the broker: %v", err))
	}
}

func encode(raw []byte, res kmsg.Response) []byte {
	out := append([]byte(nil), raw[:answerHeader]...)
	if res.IsFlexible() {
		out = append(out, 0)
	}
	return sized(res.AppendTo(out))
}

// sized sets the length that a message begins with.
func sized(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw, uint32(len(raw)-4))
	return raw
}
