package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"crumbtrail/internal/fault"
)

const (
	// batchBytes bounds one record batch before compression; brokers take 1 MiB by default.
	batchBytes = 900 << 10
	// produceBytes bounds one produce request, over all its partitions.
	produceBytes = 16 << 20
	acksAll      = -1
)

// Producer appends to topics idempotently: a batch that is sent again after a lost answer is
// stored once. It is not for concurrent use.
type Producer struct {
	client *Client
	sender sender
	// dirty means that an outcome is unknown: the sequence numbers can't be trusted any more.
	dirty bool
}

// NewProducer makes a producer. Its identity comes from the cluster on the first Produce.
func (c *Client) NewProducer(context.Context) (*Producer, error) {
	return &Producer{client: c, sender: newSender(c, ""), dirty: true}, nil
}

// Produce appends the messages and returns nil once all of them are durable on every in-sync
// replica. The order within a partition is that of msgs. It retries what can be retried until ctx
// ends; after an error any part of msgs may or may not be in the log, and the caller sends again
// or says no to its own caller.
func (p *Producer) Produce(ctx context.Context, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
	routed, err := p.client.route(ctx, msgs)
	if err != nil {
		return err
	}
	for {
		if p.dirty {
			if err := p.sender.initialise(ctx, 0); err != nil {
				return err
			}
			p.dirty = false
		}
		routed, err = p.sender.send(ctx, routed)
		if err == nil {
			return nil
		}
		p.dirty = true
		if !Retryable(err) || ctx.Err() != nil || !Pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("produce: %w", err)
		}
	}
}

// MaxRecordBytes is the most that key and value of one record may take.
const MaxRecordBytes = batchBytes - 1024

// partitionBatch is the messages of one batch for one partition.
type partitionBatch struct {
	topic     string
	partition int32
	msgs      []Message
}

// route groups messages by topic and partition, in order, cut into batches.
func (c *Client) route(ctx context.Context, msgs []Message) ([]partitionBatch, error) {
	type place struct {
		topic     string
		partition int32
	}
	open := map[place]int{}
	size := map[place]int{}
	var out []partitionBatch
	for i := range msgs {
		m := &msgs[i]
		n := len(m.Key) + len(m.Value) + 32
		if n > MaxRecordBytes {
			return nil, fmt.Errorf("record of %d bytes for topic %q: the limit is %d",
				n, m.Topic, MaxRecordBytes)
		}
		at := place{m.Topic, m.Partition}
		if m.Partition == AnyPartition {
			layout, err := c.layoutOf(ctx, m.Topic)
			if err != nil {
				return nil, err
			}
			at.partition = PartitionOf(m.Key, len(layout.leaders))
		}
		k, ok := open[at]
		if !ok || size[at]+n > batchBytes {
			k = len(out)
			open[at], size[at] = k, 0
			out = append(out, partitionBatch{topic: at.topic, partition: at.partition})
		}
		size[at] += n
		out[k].msgs = append(out[k].msgs, *m)
	}
	return out, nil
}

// sender stamps batches with a producer's identity and sends them to the leaders.
type sender struct {
	client        *Client
	transactional string // transactional id, with the prefix; "" for a plain idempotent producer
	encoder       *batchEncoder
	buf           []byte
	id            int64
	epoch         int16
	sequences     map[string][]int32
}

func newSender(c *Client, transactionalID string) sender {
	return sender{client: c, transactional: transactionalID, encoder: newBatchEncoder()}
}

// initialise asks for an identity. With a transactional id that fences every earlier holder and
// settles its open transaction first.
func (s *sender) initialise(ctx context.Context, timeout time.Duration) error {
	err := retry(ctx, func() error {
		res, err := s.client.client.InitProducerID(ctx, &kafkago.InitProducerIDRequest{
			TransactionalID: s.transactional, TransactionTimeoutMs: int(timeout / time.Millisecond),
			ProducerID: -1, ProducerEpoch: -1,
		})
		if err != nil {
			return err
		}
		if res.Error != nil {
			return res.Error
		}
		s.id, s.epoch = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)
		s.sequences = map[string][]int32{}
		return nil
	})
	if err != nil {
		return fmt.Errorf("initialise producer %q: %w", s.transactional, err)
	}
	return nil
}

func (s *sender) sequence(topic string, partition int32) *int32 {
	seq := s.sequences[topic]
	for int(partition) >= len(seq) {
		seq = append(seq, 0)
	}
	s.sequences[topic] = seq
	return &seq[partition]
}

// send appends the batches and returns those that are not known to be durable. A lost answer is
// asked for again with the same sequence, which the broker recognises.
func (s *sender) send(ctx context.Context, batches []partitionBatch) ([]partitionBatch, error) {
	for len(batches) > 0 {
		round, rest, err := s.round(ctx, batches)
		if err != nil {
			return batches, err
		}
		if err := s.deliver(ctx, round); err != nil {
			return batches, err
		}
		for _, b := range round {
			*s.sequence(b.topic, b.partition) += int32(len(b.msgs))
		}
		batches = rest
	}
	return nil, nil
}

// round takes what can go in one request: one batch a partition, one leader, bounded in bytes.
func (s *sender) round(
	ctx context.Context, batches []partitionBatch,
) (now, rest []partitionBatch, err error) {
	leader, bytes := int32(-1), 0
	taken := map[string]map[int32]bool{}
	for _, b := range batches {
		layout, err := s.client.layoutOf(ctx, b.topic)
		if err != nil {
			return nil, nil, err
		}
		if int(b.partition) >= len(layout.leaders) {
			return nil, nil, fmt.Errorf("topic %q has no partition %d", b.topic, b.partition)
		}
		if leader < 0 {
			leader = layout.leaders[b.partition]
		}
		if taken[b.topic] == nil {
			taken[b.topic] = map[int32]bool{}
		}
		if layout.leaders[b.partition] != leader || taken[b.topic][b.partition] ||
			bytes > produceBytes {
			// Also bars later batches of the partition, so that their order stays.
			taken[b.topic][b.partition] = true
			rest = append(rest, b)
			continue
		}
		taken[b.topic][b.partition] = true
		for i := range b.msgs {
			bytes += len(b.msgs[i].Key) + len(b.msgs[i].Value)
		}
		now = append(now, b)
	}
	return now, rest, nil
}

// deliver sends one round until it is acknowledged whole.
func (s *sender) deliver(ctx context.Context, round []partitionBatch) error {
	type place struct {
		batch *partitionBatch
		raw   []byte
	}
	s.buf = s.buf[:0]
	ends := make([]int, len(round))
	for i, b := range round {
		// A length goes before the record set, which RawRecordSet leaves to the caller.
		at := len(s.buf)
		s.buf = s.encoder.encode(append(s.buf, 0, 0, 0, 0), b.msgs, producerStamp{
			id: s.id, epoch: s.epoch, sequence: *s.sequence(b.topic, b.partition),
			transactional: s.transactional != "",
		})
		binary.BigEndian.PutUint32(s.buf[at:], uint32(len(s.buf)-at-4))
		ends[i] = len(s.buf)
	}
	waiting := make([]place, len(round))
	for i, start := range append([]int{0}, ends[:len(ends)-1]...) {
		waiting[i] = place{&round[i], s.buf[start:ends[i]]}
	}
	again := retry
	if s.transactional != "" {
		again = settle
	}
	return again(ctx, func() error {
		req := &rawproduce.Request{
			TransactionalID: s.transactional, Acks: acksAll,
			Timeout: int32(requestTimeout / time.Millisecond),
		}
		for _, w := range waiting {
			req.Topics = appendProduce(req.Topics, s.client.prefix+w.batch.topic, w.batch.partition, w.raw)
		}
		if s.transactional != "" {
			fault.Point(fault.Produce)
		}
		m, err := s.client.transport.RoundTrip(ctx, s.client.client.Addr, req)
		if err != nil {
			s.client.forget()
			return err
		}
		acked, err := produced(m)
		waiting = slices.DeleteFunc(waiting, func(w place) bool {
			return acked[s.client.prefix+w.batch.topic][w.batch.partition]
		})
		if err != nil {
			s.client.forget()
		}
		return err
	})
}

func appendProduce(
	topics []rawproduce.RequestTopic, topic string, partition int32, raw []byte,
) []rawproduce.RequestTopic {
	i := slices.IndexFunc(topics, func(t rawproduce.RequestTopic) bool { return t.Topic == topic })
	if i < 0 {
		i = len(topics)
		topics = append(topics, rawproduce.RequestTopic{Topic: topic})
	}
	topics[i].Partitions = append(topics[i].Partitions, rawproduce.RequestPartition{
		Partition: partition,
		RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(raw)},
	})
	return topics
}

// produced reads a produce answer: which partitions have their batch, and what went wrong with
// the others.
func produced(m protocol.Message) (map[string]map[int32]bool, error) {
	res, ok := m.(*produce.Response)
	if !ok {
		return nil, fmt.Errorf("%w: unexpected answer to a produce", errCorrupt)
	}
	acked := map[string]map[int32]bool{}
	var errs []error
	for _, t := range res.Topics {
		acked[t.Topic] = map[int32]bool{}
		for _, p := range t.Partitions {
			switch code := kafkago.Error(p.ErrorCode); code {
			case 0, kafkago.DuplicateSequenceNumber:
				acked[t.Topic][p.Partition] = true
			case kafkago.Unknown:
				errs = append(errs, fmt.Errorf("%q partition %d: %w: %w",
					t.Topic, p.Partition, errUnstored, code))
			default:
				errs = append(errs, fmt.Errorf("%q partition %d: %w", t.Topic, p.Partition, fenced(code)))
			}
		}
	}
	return acked, errors.Join(errs...)
}
