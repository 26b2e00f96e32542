package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
)

// takeOver makes this process the owner of a partition and brings the machine to the state at the
// committed offset P: the changelog is the state at C, and the records in [C, P) are applied again
// with their output thrown away, since it was committed with P. The transactional id is ours
// before anything is read, so P cannot move any more.
func (g *generation) takeOver(ctx context.Context, partition int32) (*owner, error) {
	began := time.Now()
	id := fmt.Sprintf("%s-%d", g.cfg.Name, partition)
	tx, err := g.cluster.Transactional(ctx, id, g.reach(partition))
	if err != nil {
		return nil, err
	}
	o := &owner{Runner: g.Runner, partition: partition, assignment: g.Assignment, tx: tx}
	pos, err := o.locate(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := o.restore(ctx, pos)
	if err != nil {
		return nil, err
	}
	if err := o.replay(ctx); err != nil {
		return nil, err
	}
	// Partitions write their checkpoints one after the other, not all at once.
	phase := g.cfg.Checkpoint * time.Duration(partition) / time.Duration(len(g.owners))
	o.committedAt, o.checkpointAt = time.Now(), time.Now().Add(-phase)
	if err := o.weigh(); err != nil {
		return nil, err
	}
	if err := o.showLag(ctx); err != nil {
		return nil, err
	}
	o.progress.settle(partition, o.read)
	took := time.Since(began)
	g.metrics.restore.Observe(took.Seconds())
	g.log.Debug("partition taken over", "partition", partition, "offset", o.committed,
		"checkpoint", o.checkpoint, "keys", keys, "seconds", took.Seconds())
	return o, nil
}

// showLag tells how far the partition is behind, which nobody else does before the next record.
func (o *owner) showLag(ctx context.Context) error {
	ends, err := o.cluster.Ends(ctx, o.cfg.Input)
	if err != nil {
		return err
	}
	o.metrics.lag.WithLabelValues(partitionLabel(o.partition)).Set(float64(ends[o.partition] - o.read))
	return nil
}

// reach is what the partition's transactions write to.
func (g *generation) reach(partition int32) kafka.Reach {
	return kafka.Reach{
		Group: g.cfg.Name, Input: g.cfg.Input, Partition: partition,
		Topics: append(slices.Clone(g.cfg.Outputs), g.cfg.Changelog),
	}
}

// locate finds P and C.
func (o *owner) locate(ctx context.Context) (position, error) {
	committed, metadata, err := o.cluster.Committed(ctx, o.cfg.Name, o.cfg.Input, o.partition)
	if err != nil {
		return position{}, err
	}
	if committed < 0 {
		starts, err := o.cluster.Starts(ctx, o.cfg.Input)
		if err != nil {
			return position{}, err
		}
		o.committed = starts[o.partition]
		return position{
			Version: formatVersion, Checkpoint: o.committed, Rules: fingerprint(o.cfg.Rules),
		}, nil
	}
	var pos position
	if err := json.Unmarshal([]byte(metadata), &pos); err != nil {
		return pos, fmt.Errorf("metadata %q committed at offset %d: %w", metadata, committed, err)
	}
	if pos.Version != formatVersion {
		return pos, fmt.Errorf("the state has format %d, this binary reads format %d: run the release "+
			"that wrote it", pos.Version, formatVersion)
	}
	o.committed = committed
	return pos, nil
}

// restore makes the machine of the state at C: that of a standby, if this process was one and the
// rules are still the same.
func (o *owner) restore(ctx context.Context, pos position) (keys int, err error) {
	c, err := o.followed(ctx, pos)
	if err == nil && c == nil {
		c, err = o.load(ctx, o.partition, func(stored []byte) ([]byte, error) {
			return o.rulesAt(pos, stored)
		})
	}
	if err != nil {
		return 0, err
	}
	o.replicas[o.partition] = nil
	o.machine, o.rules, o.stored = c.machine, c.rules, bytes.Equal(c.rules, c.stored)
	o.read, o.checkpoint = pos.Checkpoint, pos.Checkpoint
	return c.keys, nil
}

// followed returns what this process has as a standby, with the rest of the changelog, or nil where
// it has nothing, or under other rules. Nobody else writes to the changelog any more.
func (o *owner) followed(ctx context.Context, pos position) (*replica, error) {
	c := o.replicas[o.partition]
	if c == nil {
		return nil, nil
	}
	if c.stale() {
		o.dropReplica(o.partition)
		return nil, nil
	}
	if err := o.extend(ctx, o.partition, c); err != nil {
		if ctx.Err() == nil && !kafka.Retryable(err) {
			o.dropReplica(o.partition)
		}
		return nil, err
	}
	rules, err := o.rulesAt(pos, c.stored)
	if err != nil || !bytes.Equal(rules, c.rules) {
		o.dropReplica(o.partition)
		return nil, err
	}
	return c, nil
}

// rulesAt returns the rules that what comes after a checkpoint is applied under: those that it was
// applied under first.
func (o *owner) rulesAt(pos position, stored []byte) ([]byte, error) {
	switch {
	case pos.Checkpoint == o.committed || pos.Rules == fingerprint(o.cfg.Rules):
		return o.cfg.Rules, nil
	case fingerprint(stored) != pos.Rules:
		return nil, fmt.Errorf("%q has not the rules that offsets %d to %d of %q were applied under",
			o.cfg.Changelog, pos.Checkpoint, o.committed, o.cfg.Input)
	}
	return stored, nil
}

// replay applies [C, P) again, and under new rules goes on from a checkpoint at P.
func (o *owner) replay(ctx context.Context) error {
	for o.read < o.committed {
		if err := o.replayBatch(ctx); err != nil {
			return err
		}
	}
	if bytes.Equal(o.rules, o.cfg.Rules) {
		return nil
	}
	o.log.Info("rules change", "partition", o.partition, "offset", o.committed)
	if err := o.commit(ctx, true); err != nil {
		return err
	}
	o.forget(o.partition)
	_, err := o.restore(ctx, position{Checkpoint: o.committed})
	return err
}

// replayBatch leaves records after P, which the same fetch may bring, for the next fetch.
func (o *owner) replayBatch(ctx context.Context) error {
	batch, err := o.cluster.Fetch(ctx, o.cfg.Input, o.partition, o.read, kafka.FetchWait)
	if err != nil {
		return err
	}
	end, err := o.cfg.gaps().Check(batch, o.cfg.Input, o.partition, o.read)
	if end {
		return err
	} else if err != nil {
		o.log.Warn("fetch", "partition", o.partition, "err", err)
	}
	records := batch.Records
	for len(records) > 0 && records[len(records)-1].Offset >= o.committed {
		records = records[:len(records)-1]
	}
	o.machine.Apply(records, &o.out)
	fault.Point(fault.Replay)
	o.out.Reset()
	o.read = min(batch.Next, o.committed)
	return nil
}

// stillOurs says whether nobody has committed since this owner did, so that its state is good. If
// somebody has the transactional id all the same, the next commit is fenced.
func (o *owner) stillOurs(ctx context.Context) (bool, error) {
	committed, _, err := o.cluster.Committed(ctx, o.cfg.Name, o.cfg.Input, o.partition)
	if err != nil {
		return false, err
	}
	return committed == o.committed || committed < 0 && o.read == o.committed, nil
}
