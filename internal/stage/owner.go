package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
)

// owner holds one input partition for as long as its transactional id is its own.
type owner struct {
	*Runner
	partition  int32
	assignment kafka.Assignment
	tx         Transactional
	machine    Machine
	out        Output

	read       int64 // applied up to here
	committed  int64 // P: committed up to here
	checkpoint int64 // C: the changelog holds the state at this offset
	// rules are those that the machine runs under; stored is true where the changelog has them.
	rules  []byte
	stored bool

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

// fingerprint tells rules apart.
func fingerprint(rules []byte) string {
	sum := sha256.Sum256(rules)
	return hex.EncodeToString(sum[:8])
}

// rulesKey is the changelog key of the rules that a partition's checkpoint was made under.
const rulesKey = "\x00rules"

// run applies what comes in and commits it until ctx ends, then hands over. A goroutine fetches
// ahead.
func (o *owner) run(ctx context.Context) error {
	following, stop := context.WithCancel(ctx)
	batches, failed := make(chan kafka.Fetched), make(chan error, 1)
	go func() {
		defer close(batches)
		failed <- kafka.Follow(following, o.cluster, o.cfg.Input, o.partition, o.read,
			o.cfg.gaps(), batches,
			func(err error) { o.log.Warn("fetch", "partition", o.partition, "err", err) })
	}()
	defer func() {
		stop()
		for range batches { // until the goroutine has ended
		}
	}()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case batch, ok := <-batches:
			if ctx.Err() != nil {
				return o.handOver(ctx)
			}
			if !ok {
				return <-failed
			}
			if err := o.apply(batch); err != nil {
				return err
			}
		case <-due.C:
		case <-ctx.Done():
			return o.handOver(ctx)
		}
		if err := o.commitIfDue(ctx); err != nil {
			return err
		}
		due.Reset(o.untilDue())
	}
}

// handOver commits the rest with a checkpoint, so that the next owner has nothing to replay.
func (o *owner) handOver(ctx context.Context) error {
	fault.Point(fault.HandOver)
	return o.commit(ctx, true)
}

// apply hands new records to the machine.
func (o *owner) apply(batch kafka.Fetched) error {
	if len(batch.Records) > 0 {
		o.machine.Apply(batch.Records, &o.out)
	}
	o.read = batch.Next
	o.metrics.in.Add(float64(len(batch.Records)))
	o.metrics.lag.WithLabelValues(partitionLabel(o.partition)).Set(float64(batch.Stable - o.read))
	if len(o.out.messages) == 0 {
		o.progress.settle(o.partition, o.read)
	}
	return o.weigh()
}

// weigh shows the machine and holds its state against the limit.
func (o *owner) weigh() error {
	if o.cfg.Observe != nil {
		o.cfg.Observe(o.partition, o.machine)
	}
	total := o.state.set(o.partition, o.machine.Size())
	o.metrics.state.Set(float64(total))
	return o.state.over(total)
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

// untilDue is how long commitIfDue has nothing to do, if nothing comes in. It is never nothing:
// what waits already is applied first.
func (o *owner) untilDue() time.Duration {
	wait := o.cfg.Checkpoint
	if o.read > o.checkpoint {
		wait -= time.Since(o.checkpointAt)
	}
	if len(o.out.messages) > 0 {
		wait = min(wait, o.cfg.Commit-time.Since(o.committedAt))
	}
	return max(1, wait)
}

// commit writes outputs, the input offset and, with a checkpoint, the changed state in one
// transaction. It is not cut short where ctx ends.
func (o *owner) commit(ctx context.Context, checkpoint bool) error {
	if o.read == o.checkpoint && o.read == o.committed {
		return nil
	}
	messages, outputs := o.out.messages, len(o.out.messages)
	put := func(key, value []byte) {
		messages = append(messages, kafka.Message{
			Topic: o.cfg.Changelog, Partition: o.partition, Timestamp: o.out.Timestamp,
			Key: key, Value: value,
		})
	}
	if !o.stored {
		put([]byte(rulesKey), o.rules)
	}
	at := o.checkpoint
	if checkpoint {
		o.checkpoints <- struct{}{}
		defer func() { <-o.checkpoints }()
		at = o.read
		o.machine.Checkpoint(func(key, value []byte) {
			fault.Point(fault.Checkpoint)
			put(key, value)
		})
	}
	metadata, err := json.Marshal(position{
		Version: formatVersion, Checkpoint: at, Rules: fingerprint(o.rules),
	})
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	err = o.tx.Commit(ctx, kafka.Commit{
		Messages: messages, Group: o.cfg.Name, Topic: o.cfg.Input, Partition: o.partition,
		Offset: o.read, Metadata: string(metadata),
		Generation: o.assignment.Generation, Member: o.assignment.Member,
	})
	o.metrics.ended(err)
	if err != nil {
		return err
	}
	o.metrics.seconds.Observe(time.Since(began).Seconds())
	o.metrics.out.Add(float64(outputs))
	o.out.Reset()
	o.committed, o.committedAt, o.stored = o.read, time.Now(), true
	if checkpoint {
		o.checkpoint, o.checkpointAt = o.read, o.committedAt
	}
	o.progress.settle(o.partition, o.read)
	return nil
}
