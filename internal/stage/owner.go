package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"crumbtrail/internal/kafka"
)

// owner holds one input partition for as long as its transactional id is its own.
type owner struct {
	*Runner
	partition int32
	tx        *kafka.Transactional
	machine   Machine
	out       Output

	read         int64 // applied up to here
	committed    int64 // P: committed up to here
	checkpoint   int64 // C: the changelog holds the state at this offset
	committedAt  time.Time
	checkpointAt time.Time
}

// formatVersion is the version of the metadata and of the changelog's layout.
const formatVersion = 1

// position is the metadata that is committed with an input offset.
type position struct {
	Version    int    `json:"v"`
	Checkpoint int64  `json:"c"`
	Rules      string `json:"r"`
}

// recover brings the machine to the state at the committed offset P: the changelog is the state
// at C, and the records in [C, P) are applied again with their output thrown away, since it was
// committed with P. The transactional id is already ours, so P cannot move any more.
func (o *owner) recover(ctx context.Context) error {
	began := time.Now()
	committed, metadata, err := o.client.Committed(ctx, o.cfg.Name, o.cfg.Input, o.partition)
	if err != nil {
		return err
	}
	var pos position
	if committed < 0 {
		starts, err := o.client.Starts(ctx, o.cfg.Input)
		if err != nil {
			return err
		}
		committed = starts[o.partition]
		pos = position{Version: formatVersion, Checkpoint: committed, Rules: o.cfg.Rules}
	} else if err := json.Unmarshal([]byte(metadata), &pos); err != nil {
		return fmt.Errorf("metadata %q committed at offset %d: %w", metadata, committed, err)
	}
	if pos.Version != formatVersion {
		return fmt.Errorf("state of partition %d has format %d, this binary reads format %d: run "+
			"the release that wrote it", o.partition, pos.Version, formatVersion)
	}
	if pos.Rules != o.cfg.Rules && pos.Checkpoint < committed {
		return fmt.Errorf("the rules of partition %d have changed since it was killed at offset "+
			"%d: start once with the earlier configuration and stop cleanly, then change it",
			o.partition, committed)
	}
	keys, err := o.restore(ctx)
	if err != nil {
		return err
	}
	o.read, o.committed, o.checkpoint = pos.Checkpoint, committed, pos.Checkpoint
	for o.read < committed {
		if err := o.replay(ctx); err != nil {
			return err
		}
	}
	o.committedAt, o.checkpointAt = time.Now(), time.Now()
	o.observe()
	o.progress.settle(o.partition, o.read)
	o.log.Debug("partition taken over", "partition", o.partition, "offset", committed,
		"checkpoint", pos.Checkpoint, "keys", keys, "seconds", time.Since(began).Seconds())
	return nil
}

// restore loads the changelog, the last value of each key.
func (o *owner) restore(ctx context.Context) (keys int, err error) {
	starts, err := o.client.Starts(ctx, o.cfg.Changelog)
	if err != nil {
		return 0, err
	}
	ends, err := o.client.Ends(ctx, o.cfg.Changelog)
	if err != nil {
		return 0, err
	}
	state := map[string][]byte{}
	for at := starts[o.partition]; at < ends[o.partition]; {
		fetched, err := o.client.Fetch(ctx, o.cfg.Changelog, o.partition, at, kafka.FetchWait)
		if err != nil {
			return 0, err
		}
		for _, rec := range fetched.Records {
			if rec.Value == nil {
				delete(state, string(rec.Key))
				continue
			}
			state[string(rec.Key)] = rec.Value
		}
		at = fetched.Next
	}
	for key, value := range state {
		if err := o.machine.Restore([]byte(key), value); err != nil {
			return 0, fmt.Errorf("state of key %q in %q partition %d: %w",
				key, o.cfg.Changelog, o.partition, err)
		}
	}
	return len(state), nil
}

// replay applies records again that were applied before the last commit. Those after it, which
// the same fetch may bring, are left for the next one.
func (o *owner) replay(ctx context.Context) error {
	fetched, err := o.client.Fetch(ctx, o.cfg.Input, o.partition, o.read, kafka.FetchWait)
	if err != nil {
		return err
	}
	records := fetched.Records
	for len(records) > 0 && records[len(records)-1].Offset >= o.committed {
		records = records[:len(records)-1]
	}
	o.machine.Apply(records, &o.out)
	o.out.Reset()
	o.read = min(fetched.Next, o.committed)
	return nil
}

// apply hands new records to the machine.
func (o *owner) apply(fetched kafka.Fetched) {
	if len(fetched.Records) > 0 {
		o.machine.Apply(fetched.Records, &o.out)
		o.observe()
	}
	o.read = fetched.Next
	o.metrics.in.Add(float64(len(fetched.Records)))
	o.metrics.lag.WithLabelValues(partitionLabel(o.partition)).Set(float64(fetched.Stable - o.read))
	if len(o.out.messages) == 0 {
		o.progress.settle(o.partition, o.read)
	}
}

func (o *owner) observe() {
	if o.cfg.Observe != nil {
		o.cfg.Observe(o.partition, o.machine)
	}
}

// commitIfDue commits about once a second where there is output, and with the checkpoint where
// there is none.
func (o *owner) commitIfDue(ctx context.Context) error {
	checkpoint := o.read > o.checkpoint && time.Since(o.checkpointAt) >= o.cfg.Checkpoint
	output := len(o.out.messages) > 0 &&
		(o.out.bytes >= outputBytes || time.Since(o.committedAt) >= o.cfg.Commit)
	if !checkpoint && !output {
		return nil
	}
	return o.commit(ctx, checkpoint)
}

// commit writes outputs, the input offset and, with a checkpoint, the changed state in one
// transaction.
func (o *owner) commit(ctx context.Context, checkpoint bool) error {
	if o.read == o.checkpoint && o.read == o.committed {
		return nil
	}
	messages, outputs := o.out.messages, len(o.out.messages)
	at := o.checkpoint
	if checkpoint {
		at = o.read
		o.machine.Checkpoint(func(key, value []byte) {
			messages = append(messages, kafka.Message{
				Topic: o.cfg.Changelog, Partition: o.partition, Timestamp: o.out.Timestamp,
				Key: key, Value: value,
			})
		})
	}
	metadata, err := json.Marshal(position{Version: formatVersion, Checkpoint: at, Rules: o.cfg.Rules})
	if err != nil {
		return err
	}
	began := time.Now()
	err = o.tx.Commit(ctx, kafka.Commit{
		Messages: messages, Group: o.cfg.Name, Topic: o.cfg.Input, Partition: o.partition,
		Offset: o.read, Metadata: string(metadata), Generation: -1,
	})
	if err != nil {
		o.metrics.transactions.WithLabelValues("failed").Inc()
		return err
	}
	o.metrics.transactions.WithLabelValues("committed").Inc()
	o.metrics.seconds.Observe(time.Since(began).Seconds())
	o.metrics.out.Add(float64(outputs))
	o.out.Reset()
	o.committed, o.committedAt = o.read, time.Now()
	if checkpoint {
		o.checkpoint, o.checkpointAt = o.read, o.committedAt
	}
	o.progress.settle(o.partition, o.read)
	return nil
}
