package kafka

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// fetchBytes is the most that one fetch asks of a partition; a larger batch comes alone.
	fetchBytes = 1 << 20
	// reserveMost is the most records that room is made for before they have been unpacked.
	reserveMost = 1 << 16
	// FetchWait is how long a reader that has nothing else to do waits at the end of a partition.
	FetchWait = 500 * time.Millisecond
)

// Fetch reads committed records of a partition from offset on (read_committed). At the end of the
// partition it waits up to wait, whole milliseconds, for something new. ErrOffsetOutOfRange means
// that records have been lost to this reader; other errors may be Retryable.
func (c *Client) Fetch(
	ctx context.Context, topic string, partition int32, offset int64, wait time.Duration,
) (Fetched, error) {
	out, err := c.fetch(ctx, c.prefix+topic, partition, offset, wait)
	if err != nil {
		return Fetched{Next: offset}, fmt.Errorf("fetch %q partition %d from offset %d: %w",
			c.prefix+topic, partition, offset, err)
	}
	return out, nil
}

func (c *Client) fetch(
	ctx context.Context, topic string, partition int32, offset int64, wait time.Duration,
) (Fetched, error) {
	if err := ctx.Err(); err != nil {
		return Fetched{}, err
	}
	m, err := c.transport.RoundTrip(ctx, c.client.Addr, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait / time.Millisecond), MinBytes: 1,
		// The partition's bound is enough. Where this one cuts an answer short, the embedded broker
		// does not say which transactions in it were aborted.
		MaxBytes: math.MaxInt32, IsolationLevel: 1, SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{{
			Partition: partition, CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1,
			PartitionMaxBytes: fetchBytes,
		}}}},
	})
	if err != nil {
		return Fetched{}, err
	}
	res, ok := m.(*fetchResponse)
	if !ok || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return Fetched{}, fmt.Errorf("%w: unexpected answer to a fetch", errCorrupt)
	}
	p := &res.Topics[0].Partitions[0]
	switch code := kafkago.Error(cmp.Or(res.ErrorCode, p.ErrorCode)); code {
	case 0:
		return p.decode(offset, c.zstd)
	case kafkago.OffsetOutOfRange:
		return Fetched{}, ErrOffsetOutOfRange
	default:
		c.forget()
		return Fetched{}, code
	}
}

// decode unpacks the batches and leaves out control records and aborted ones: Kafka sends both,
// with the list of aborted transactions, and leaves the filtering to the reader.
func (p *fetchPartition) decode(offset int64, dec *zstd.Decoder) (Fetched, error) {
	out := Fetched{Next: offset, Stable: p.LastStableOffset}
	slices.SortFunc(p.AbortedTransactions, func(a, b fetchAborted) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	left, aborted := p.AbortedTransactions, map[int64]bool{}
	for data := p.Records.data; len(data) > 0; {
		b, rest, ok, err := nextBatch(data)
		if err != nil {
			return out, err
		}
		if !ok {
			break
		}
		before := len(data)
		data = rest
		if b.baseOffset > out.Next {
			out.Missing += b.baseOffset - out.Next
		}
		for len(left) > 0 && left[0].FirstOffset <= b.baseOffset {
			aborted[left[0].ProducerID] = true
			left = left[1:]
		}
		switch {
		case b.control():
			if b.endsAborted() {
				delete(aborted, b.producerID)
			}
		case b.transactional() && aborted[b.producerID]:
		default:
			unpacked, err := b.unpack(dec)
			if err != nil {
				return out, err
			}
			// A record takes at least seven bytes: a lying count reserves no more than that.
			room := min(int(b.count), len(unpacked)/7+1)
			if out.Records == nil {
				// The batches of an answer are much alike.
				alike := room * (1 + len(rest)/(before-len(rest)))
				out.Records = make([]Record, 0, max(room, min(alike, reserveMost)))
			}
			if out.Records, err = b.appendRecords(out.Records, unpacked, offset); err != nil {
				return out, err
			}
		}
		out.Next = max(out.Next, b.next())
	}
	return out, nil
}

// endsAborted says whether a control batch is an abort marker: its record's key is a version and
// a type, and type 0 is abort.
func (b *batch) endsAborted() bool {
	size, n := binary.Varint(b.records)
	if n <= 0 || size > int64(len(b.records)-n) {
		return false
	}
	r, err := b.record(b.records[n : n+int(size)])
	return err == nil && len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == 0
}

// fetchResponse takes the place of kafka-go's own in its table of messages, so that the record
// sets arrive as bytes: kafka-go's decoder clears a page of 64 KiB for each batch and allocates
// for each record. Nothing else in this process uses kafka-go's Fetch.
type fetchResponse struct {
	ThrottleTimeMs int32        `kafka:"min=v1,max=v11"`
	ErrorCode      int16        `kafka:"min=v7,max=v11"`
	SessionID      int32        `kafka:"min=v7,max=v11"`
	Topics         []fetchTopic `kafka:"min=v0,max=v11"`
}

// ApiKey names the request that this answers.
func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

type fetchTopic struct {
	Topic      string           `kafka:"min=v0,max=v11"`
	Partitions []fetchPartition `kafka:"min=v0,max=v11"`
}

type fetchPartition struct {
	Partition            int32          `kafka:"min=v0,max=v11"`
	ErrorCode            int16          `kafka:"min=v0,max=v11"`
	HighWatermark        int64          `kafka:"min=v0,max=v11"`
	LastStableOffset     int64          `kafka:"min=v4,max=v11"`
	LogStartOffset       int64          `kafka:"min=v5,max=v11"`
	AbortedTransactions  []fetchAborted `kafka:"min=v4,max=v11"`
	PreferredReadReplica int32          `kafka:"min=v11,max=v11"`
	Records              rawRecords     `kafka:"min=v0,max=v11"`
}

type fetchAborted struct {
	ProducerID  int64 `kafka:"min=v4,max=v11"`
	FirstOffset int64 `kafka:"min=v4,max=v11"`
}

// rawRecords is a record set as it came: a length and that many bytes, -1 for none.
type rawRecords struct{ data []byte }

// ReadFrom takes the record set off a response.
func (r *rawRecords) ReadFrom(src io.Reader) (int64, error) {
	var head [4]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return 0, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size <= 0 {
		r.data = nil
		return 4, nil
	}
	var buf bytes.Buffer
	buf.Grow(min(int(size), 2*fetchBytes))
	n, err := io.CopyN(&buf, src, int64(size))
	r.data = buf.Bytes()
	return n + 4, err
}

// WriteTo is asked for by kafka-go's table of messages; nothing here answers fetches.
func (r *rawRecords) WriteTo(io.Writer) (int64, error) {
	return 0, errors.New("rawRecords is read only")
}

// The table must be changed before the first request, and a package has no earlier moment.
var _ = registerRawFetch()

func registerRawFetch() struct{} {
	protocol.Register(&fetch.Request{}, &fetchResponse{})
	return struct{}{}
}
