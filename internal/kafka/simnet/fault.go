package simnet

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind is a kind of fault.
type Kind uint8

// The kinds of faults that can hit a request.
const (
	// None lets it pass.
	None Kind = iota
	// DropRequest breaks the connection before the broker sees the request.
	DropRequest
	// DropAnswer breaks the connection once the broker has acted.
	DropAnswer
	// HoldRequest and HoldAnswer make it slow by Fault.For.
	HoldRequest
	HoldAnswer
	// Repeat lets the broker see the request twice, at once.
	Repeat
	// Resend lets the broker see the request again after Fault.For, which is right only for requests
	// that a client repeats itself.
	Resend
	// Refuse makes the broker answer with Fault.Code, without acting unless a broker with that code
	// may have done so.
	Refuse
	// Settle, on an EndTxn, has the transaction completed only after Fault.For, as a broker may that
	// still writes its markers: until then the transactional id is busy and committed offsets are
	// those from before.
	Settle
	// SettleUnheard is Settle, and the answer is lost.
	SettleUnheard
	// Stall holds up all that the client sends and is sent for Fault.For, beginning with the request.
	Stall
	// KillBefore and KillAfter end the client before the broker sees the request, and once it has
	// acted.
	KillBefore
	KillAfter
	kinds
)

// Kinds lists every kind of fault.
func Kinds() []Kind {
	var all []Kind
	for k := None + 1; k < kinds; k++ {
		all = append(all, k)
	}
	return all
}

// String names the kind.
func (k Kind) String() string {
	return [kinds]string{
		"none", "drop request", "drop answer", "hold request", "hold answer", "repeat", "resend",
		"refuse", "settle", "settle unheard", "stall", "kill before", "kill after",
	}[k]
}

// Fault is what is to happen to a request.
type Fault struct {
	Kind Kind
	For  time.Duration
	// Code is the error that Refuse answers with.
	Code int16
}

// String writes the fault as the log of a network does.
func (f Fault) String() string {
	switch f.Kind {
	case None:
		return ""
	case Refuse:
		return fmt.Sprintf("%v %v", f.Kind, kerr.TypedErrorForCode(f.Code).Message)
	}
	return fmt.Sprintf("%v %v", f.Kind, f.For)
}

// Codes lists errors that a real broker may answer a request with where kfake would not, and that a
// client is to get over: coordinators move and load, leaders change, answers of replicas are late.
func Codes(key int16) []int16 {
	switch key {
	case Produce:
		return []int16{
			kerr.NotLeaderForPartition.Code, kerr.RequestTimedOut.Code,
			kerr.NotEnoughReplicasAfterAppend.Code,
		}
	case Fetch, ListOffsets:
		return []int16{kerr.NotLeaderForPartition.Code}
	case OffsetFetch, JoinGroup, Heartbeat, SyncGroup:
		return []int16{kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code}
	case TxnOffsetCommit:
		return []int16{
			kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code,
			kerr.CoordinatorNotAvailable.Code, kerr.RequestTimedOut.Code,
		}
	case InitProducerID, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn:
		return []int16{
			kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code,
			kerr.CoordinatorNotAvailable.Code, kerr.ConcurrentTransactions.Code,
		}
	}
	return nil
}

// refuse makes the broker answer the request that comes next with an error.
func (n *Network) refuse(x *exchange) *kfake.FaultHandle {
	f := kfake.Fault{
		Keys: []kmsg.Key{kmsg.Key(x.Key)}, Err: kerr.TypedErrorForCode(x.fault.Code),
	}
	switch x.Key {
	case InitProducerID, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit:
		f.TxnID = x.Subject
	}
	return n.broker.Fault(f)
}

// strike counts a fault as it happens. n.mu is held.
func (n *Network) strike(x *exchange) {
	switch x.fault.Kind {
	case None, Refuse, Settle, SettleUnheard: // these count once the broker has answered
	default:
		n.fired[x.fault.Kind]++
	}
}
