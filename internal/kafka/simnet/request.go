package simnet

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// API keys of the requests that faults are aimed at.
const (
	Produce            = int16(kmsg.Produce)
	Fetch              = int16(kmsg.Fetch)
	ListOffsets        = int16(kmsg.ListOffsets)
	Metadata           = int16(kmsg.Metadata)
	OffsetFetch        = int16(kmsg.OffsetFetch)
	FindCoordinator    = int16(kmsg.FindCoordinator)
	JoinGroup          = int16(kmsg.JoinGroup)
	Heartbeat          = int16(kmsg.Heartbeat)
	LeaveGroup         = int16(kmsg.LeaveGroup)
	SyncGroup          = int16(kmsg.SyncGroup)
	InitProducerID     = int16(kmsg.InitProducerID)
	AddPartitionsToTxn = int16(kmsg.AddPartitionsToTxn)
	AddOffsetsToTxn    = int16(kmsg.AddOffsetsToTxn)
	EndTxn             = int16(kmsg.EndTxn)
	TxnOffsetCommit    = int16(kmsg.TxnOffsetCommit)
)

// Request names a request. Nothing in it depends on the order of goroutines.
type Request struct {
	Client string
	Key    int16
	// Subject is the transactional id, the group or the partition that it is about, if any.
	Subject string
	// N counts the requests of this client, key and subject, from 1. Of those that goroutines may
	// send in one instant, and of heartbeats, it is when that was, in milliseconds since the epoch.
	N int
}

// String writes the request as the log of a network does.
func (r Request) String() string {
	return fmt.Sprintf("%s %s %s#%d", r.Client, kmsg.NameForKey(r.Key), r.Subject, r.N)
}

// exchange is a request and what is to become of its answer.
type exchange struct {
	Request
	body  kmsg.Request
	fault Fault
	// swallow is how many answers the client is not to see.
	swallow int
	// over is the last generation that had ended before it, of requests to join or to leave.
	over int32
	// refusal is what makes the broker refuse it.
	refusal *kfake.FaultHandle
}

// parse takes a request apart.
func parse(client string, raw []byte) (*exchange, error) {
	r := kbin.Reader{Src: raw[4:]}
	x := &exchange{Request: Request{Client: client, Key: r.Int16()}}
	version := r.Int16()
	r.Int32() // correlation id
	r.NullableString()
	x.body = kmsg.RequestForKey(x.Key)
	if x.body == nil {
		return nil, fmt.Errorf("request with unknown API key %d", x.Key)
	}
	x.body.SetVersion(version)
	if x.body.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if err := x.body.ReadFrom(r.Src); err != nil {
		return nil, fmt.Errorf("%s of %s: %w", kmsg.NameForKey(x.Key), client, err)
	}
	x.Subject = subject(x.body)
	return x, nil
}

// subject tells apart what goroutines of one client may ask at the same time.
func subject(r kmsg.Request) string {
	switch r := r.(type) {
	case *kmsg.ProduceRequest:
		return orEmpty(r.TransactionID)
	case *kmsg.InitProducerIDRequest:
		return orEmpty(r.TransactionalID)
	case *kmsg.AddPartitionsToTxnRequest:
		return r.TransactionalID
	case *kmsg.AddOffsetsToTxnRequest:
		return r.TransactionalID
	case *kmsg.TxnOffsetCommitRequest:
		return r.TransactionalID
	case *kmsg.EndTxnRequest:
		return r.TransactionalID
	case *kmsg.FindCoordinatorRequest:
		return r.CoordinatorKey
	case *kmsg.JoinGroupRequest:
		return r.Group
	case *kmsg.SyncGroupRequest:
		return r.Group
	case *kmsg.HeartbeatRequest:
		return r.Group
	case *kmsg.LeaveGroupRequest:
		return r.Group
	case *kmsg.OffsetFetchRequest:
		if len(r.Topics) > 0 && len(r.Topics[0].Partitions) > 0 {
			return fmt.Sprintf("%s/%d", r.Group, r.Topics[0].Partitions[0])
		}
		return r.Group
	case *kmsg.FetchRequest:
		if len(r.Topics) > 0 && len(r.Topics[0].Partitions) > 0 {
			return fmt.Sprintf("%s/%d", r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition)
		}
	case *kmsg.ListOffsetsRequest:
		if len(r.Topics) > 0 && len(r.Topics[0].Partitions) > 0 {
			p := &r.Topics[0].Partitions[0]
			return fmt.Sprintf("%s/%d@%d", r.Topics[0].Topic, p.Partition, p.Timestamp)
		}
	}
	return ""
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// asker returns the correlation id of a request, which stands behind length, API key and version.
func asker(request []byte) int32 { return int32(binary.BigEndian.Uint32(request[8:])) }

// correlation returns the id of the request that is answered.
func correlation(answer []byte) int32 { return int32(binary.BigEndian.Uint32(answer[4:])) }

// delay returns how long a message takes.
func (n *Network) delay(r Request, way byte) time.Duration {
	if r.Key == Heartbeat && way != 'h' {
		return 0
	}
	return 1 + time.Duration(Draw(n.cfg.Seed, r, way)%uint64(latency))
}

// Draw returns a number that follows from a seed, a request and what it is drawn for.
func Draw(seed uint64, r Request, what byte) uint64 {
	h := hashBytes(offset64, []byte(r.Client))
	h = hashBytes(h, []byte{what, byte(r.Key)})
	h = hashBytes(h, []byte(r.Subject))
	h ^= mix(seed + 0x9e3779b97f4a7c15*uint64(r.N+1))
	return mix(h)
}

// hashBytes is FNV-1a, 64 bits.
func hashBytes(h uint64, data []byte) uint64 {
	const prime64 = 1_099_511_628_211
	for _, b := range data {
		h = (h ^ uint64(b)) * prime64
	}
	return h
}

const offset64 = 14_695_981_039_346_656_037

// mix spreads each bit of x over all of them, as splitmix64 does.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
