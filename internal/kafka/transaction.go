package kafka

import (
	"context"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"crumbtrail/internal/fault"
)

// transactionTimeout bounds how long a transaction may take, and an abandoned one that nobody takes
// over hold readers up. A checkpoint of a hundred thousand keys on a loaded machine takes 10 s.
const transactionTimeout = 30 * time.Second

// Transactional writes outputs and input offsets in one Kafka transaction. One transactional id
// belongs to one input partition: making a Transactional fences whoever had it before. It is not
// for concurrent use, and after any error it is to be thrown away: only a new one knows what
// became of the transaction.
type Transactional struct {
	client *Client
	sender sender
}

// NewTransactional takes over a transactional id: it fences the previous holder and settles its
// open transaction, so that committed offsets read afterwards are the last ones.
func (c *Client) NewTransactional(ctx context.Context, id string) (*Transactional, error) {
	t := &Transactional{client: c, sender: newSender(c, c.prefix+id)}
	if err := t.sender.initialise(ctx, transactionTimeout); err != nil {
		return nil, err
	}
	return t, nil
}

// Commit is one transaction: messages, and how far the input has been read for them.
type Commit struct {
	Messages []Message
	// Group, Topic, Partition and Offset say what has been read; Metadata goes with the offset,
	// at most 4,096 bytes. Without a group it is messages alone.
	Group     string
	Topic     string
	Partition int32
	Offset    int64
	Metadata  string
	// Generation and Member are the group membership on which the partition is held; -1 and ""
	// where partitions are assigned by hand.
	Generation int
	Member     string
}

// Commit writes everything or nothing. After an error the outcome may be unknown: throw the
// Transactional away, make a new one, read the committed offset back. EndTxn is never repeated.
func (t *Transactional) Commit(ctx context.Context, c Commit) error {
	if err := t.commit(ctx, c); err != nil {
		return fmt.Errorf("transaction %q up to offset %d of %q partition %d: %w",
			t.sender.transactional, c.Offset, t.client.prefix+c.Topic, c.Partition, fenced(err))
	}
	return nil
}

func (t *Transactional) commit(ctx context.Context, c Commit) error {
	fault.Point(fault.Begin)
	if len(c.Messages) > 0 {
		batches, err := t.client.route(ctx, c.Messages)
		if err != nil {
			return err
		}
		if err := t.addPartitions(ctx, batches); err != nil {
			return err
		}
		fault.Point(fault.Added)
		if _, err := t.sender.send(ctx, batches); err != nil {
			return err
		}
	}
	if c.Group != "" {
		if err := t.addOffset(ctx, c); err != nil {
			return err
		}
	}
	fault.Point(fault.End)
	if err := t.end(ctx); err != nil {
		return err
	}
	fault.Point(fault.Ended)
	return nil
}

func (t *Transactional) addPartitions(ctx context.Context, batches []partitionBatch) error {
	topics := map[string][]kafkago.AddPartitionToTxn{}
	seen := map[string]map[int32]bool{}
	for _, b := range batches {
		if seen[b.topic] == nil {
			seen[b.topic] = map[int32]bool{}
		}
		if seen[b.topic][b.partition] {
			continue
		}
		seen[b.topic][b.partition] = true
		name := t.client.prefix + b.topic
		topics[name] = append(topics[name], kafkago.AddPartitionToTxn{Partition: int(b.partition)})
	}
	return settle(ctx, func() error {
		res, err := t.client.client.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{
			TransactionalID: t.sender.transactional, ProducerID: int(t.sender.id),
			ProducerEpoch: int(t.sender.epoch), Topics: topics,
		})
		if err != nil {
			return err
		}
		for _, partitions := range res.Topics {
			for _, p := range partitions {
				if p.Error != nil {
					return fenced(p.Error) // as a rule the same for all of them
				}
			}
		}
		return nil
	})
}

func (t *Transactional) addOffset(ctx context.Context, c Commit) error {
	group, topic := t.client.prefix+c.Group, t.client.prefix+c.Topic
	if err := t.addGroup(ctx, c.Group); err != nil {
		return err
	}
	fault.Point(fault.Offsets)
	return settle(ctx, func() error {
		res, err := t.client.client.TxnOffsetCommit(ctx, &kafkago.TxnOffsetCommitRequest{
			TransactionalID: t.sender.transactional, GroupID: group,
			ProducerID: int(t.sender.id), ProducerEpoch: int(t.sender.epoch),
			GenerationID: c.Generation, MemberID: c.Member,
			Topics: map[string][]kafkago.TxnOffsetCommit{topic: {{
				Partition: int(c.Partition), Offset: c.Offset, Metadata: c.Metadata,
			}}},
		})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return fenced(p.Error)
			}
		}
		return nil
	})
}
