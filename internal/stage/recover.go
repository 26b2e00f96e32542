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

// restore makes the machine of the state at C. It reads the changelog twice: first to find out
// which record of a key is the last one, then to load those alone, so that memory holds the state
// and not what it was made of.
func (o *owner) restore(ctx context.Context, pos position) (keys int, err error) {
	last := map[string]int64{}
	var stored []byte
	err = o.scan(ctx, func(r *Record) error {
		switch {
		case string(r.Key) == rulesKey:
			stored = r.Value
		case r.Value == nil:
			delete(last, string(r.Key))
		default:
			last[string(r.Key)] = r.Offset
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	o.rules = o.cfg.Rules
	if pos.Checkpoint < o.committed && pos.Rules != fingerprint(o.cfg.Rules) {
		if fingerprint(stored) != pos.Rules {
			return 0, fmt.Errorf("%q has not the rules that offsets %d to %d of %q were applied under",
				o.cfg.Changelog, pos.Checkpoint, o.committed, o.cfg.Input)
		}
		o.rules = stored
	}
	o.stored = bytes.Equal(o.rules, stored)
	o.machine, err = o.Runner.machine(o.partition, o.rules)
	if err != nil {
		return 0, fmt.Errorf("rules of the checkpoint at offset %d: %w", pos.Checkpoint, err)
	}
	err = o.scan(ctx, func(r *Record) error {
		if at, ok := last[string(r.Key)]; !ok || at != r.Offset {
			return nil
		}
		if keys++; keys%weighEvery == 0 {
			if err := o.state.over(o.state.set(o.partition, o.machine.Size())); err != nil {
				return err
			}
		}
		if err := o.machine.Restore(r.Key, r.Value); err != nil {
			return fmt.Errorf("state of key %q in %q: %w", r.Key, o.cfg.Changelog, err)
		}
		fault.Point(fault.Restore)
		return nil
	})
	o.read, o.checkpoint = pos.Checkpoint, pos.Checkpoint
	return keys, err
}

// weighEvery is after how many keys of a checkpoint the state is held against its limit.
const weighEvery = 4096

// scan shows every record of the partition's changelog.
func (o *owner) scan(ctx context.Context, show func(*Record) error) error {
	starts, err := o.cluster.Starts(ctx, o.cfg.Changelog)
	if err != nil {
		return err
	}
	ends, err := o.cluster.Ends(ctx, o.cfg.Changelog)
	if err != nil {
		return err
	}
	for at := starts[o.partition]; at < ends[o.partition]; {
		batch, err := o.cluster.Fetch(ctx, o.cfg.Changelog, o.partition, at, kafka.FetchWait)
		if err != nil {
			return err
		}
		for i := range batch.Records {
			if err := show(&batch.Records[i]); err != nil {
				return err
			}
		}
		at = batch.Next
	}
	return nil
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
