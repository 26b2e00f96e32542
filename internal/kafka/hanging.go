package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Reach is what a transactional id writes to.
type Reach struct {
	// Group commits the offset of this partition of Input.
	Group, Input string
	Partition    int32
	// Topics are those that records are put to, in any of their partitions.
	Topics []string
}

// settleWait is how long a broker may take to settle what InitProducerID took for settled.
const settleWait = 2 * time.Second

// Close ends what an earlier holder of the id has left open although InitProducerID took it for
// settled. A broker (Kafka 4.4.0, alone in its cluster) that is killed while it commits may come
// back and never write the transaction's markers: its records stay open, its offset stays pending,
// and the next commit of the same producer id would make the records visible beside those that took
// their place. Where the offset of the input partition stays pending, an empty transaction over
// every partition that has something open, whoever left it there, is committed: its markers close
// what is this id's, and nothing else, as the broker had decided and begun to write. Aborted, what
// other partitions show already would come again.
func (t *Transactional) Close(ctx context.Context, reach Reach) error {
	began := time.Now()
	for {
		_, _, err := t.client.committed(ctx, reach.Group, reach.Input, reach.Partition)
		if !errors.Is(err, kafkago.UnstableOffsetCommit) {
			return nil // whoever reads the offset next hears of other errors
		}
		if time.Since(began) >= settleWait {
			break
		}
		if !Pause(ctx, settleWait/20) {
			return ctx.Err()
		}
	}
	open, err := t.client.open(ctx, reach.Topics)
	if err == nil {
		err = t.commitOpen(ctx, reach.Group, open)
	}
	if err != nil {
		return fmt.Errorf("transaction %q, to close what was left open: %w",
			t.sender.transactional, fenced(err))
	}
	return nil
}

func (t *Transactional) commitOpen(ctx context.Context, group string, open []partitionBatch) error {
	if len(open) > 0 {
		if err := t.addPartitions(ctx, open); err != nil {
			return err
		}
	}
	if err := t.addGroup(ctx, group); err != nil {
		return err
	}
	return t.end(ctx)
}

// open lists the partitions that hold records of transactions that have not ended.
func (c *Client) open(ctx context.Context, topics []string) (open []partitionBatch, err error) {
	for _, topic := range topics {
		stable, err := c.Ends(ctx, topic)
		if err != nil {
			return nil, err
		}
		ends, err := c.offsets(ctx, topic, kafkago.ReadUncommitted, kafkago.LastOffsetOf)
		if err != nil {
			return nil, err
		}
		for p := range stable {
			if stable[p] < ends[p] {
				open = append(open, partitionBatch{topic: topic, partition: int32(p)})
			}
		}
	}
	return open, nil
}

// addGroup has a transaction include a group's offsets.
func (t *Transactional) addGroup(ctx context.Context, group string) error {
	return settle(ctx, func() error {
		res, err := t.client.client.AddOffsetsToTxn(ctx, &kafkago.AddOffsetsToTxnRequest{
			TransactionalID: t.sender.transactional, ProducerID: int(t.sender.id),
			ProducerEpoch: int(t.sender.epoch), GroupID: t.client.prefix + group,
		})
		if err != nil {
			return err
		}
		return fenced(res.Error)
	})
}

// end commits a transaction. Its answer is never asked for twice.
func (t *Transactional) end(ctx context.Context) error {
	res, err := t.client.client.EndTxn(ctx, &kafkago.EndTxnRequest{
		TransactionalID: t.sender.transactional, ProducerID: int(t.sender.id),
		ProducerEpoch: int(t.sender.epoch), Committed: true,
	})
	if err != nil {
		return err
	}
	return res.Error
}
