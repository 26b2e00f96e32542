package stage

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
)

// replica is a partition's state as its changelog has it up to an offset.
type replica struct {
	machine Machine
	// rules are those that the machine was made with, stored those that the changelog has.
	rules, stored []byte
	// next is the offset in the changelog that it goes on from.
	next int64
	// keys counts what was restored, whole is false where more has come since a whole checkpoint.
	keys  int
	whole bool
	// currentAt is when it last had all that the changelog had.
	currentAt time.Time
}

const (
	// weighEvery is after how many keys of a checkpoint the state is held against its limit.
	weighEvery = 4096
	// staleAfter is how far a replica may be behind. Compaction takes tombstones away in the end, and
	// who has not seen one by then would hold its key for ever.
	staleAfter = time.Hour
)

func (c *replica) stale() bool { return time.Since(c.currentAt) > staleAfter }

// load makes a replica of all that the changelog has. It reads the changelog twice: first to find
// out which record of a key is the last one, then to load those alone, so that memory holds the
// state and not what it was made of. choose says which rules the machine is made with.
func (r *Runner) load(
	ctx context.Context, partition int32, choose func(stored []byte) ([]byte, error),
) (*replica, error) {
	starts, err := r.cluster.Starts(ctx, r.cfg.Changelog)
	if err != nil {
		return nil, err
	}
	ends, err := r.cluster.Ends(ctx, r.cfg.Changelog)
	if err != nil {
		return nil, err
	}
	from, to := starts[partition], ends[partition]
	c := &replica{next: max(from, to), currentAt: time.Now()}
	last := map[string]int64{}
	err = r.scan(ctx, partition, from, to, func(rec *Record) error {
		switch {
		case string(rec.Key) == rulesKey:
			c.stored = bytes.Clone(rec.Value)
		case rec.Value == nil:
			delete(last, string(rec.Key))
		default:
			last[string(rec.Key)] = rec.Offset
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.rules, err = choose(c.stored); err != nil {
		return nil, err
	}
	if c.machine, err = r.machine(partition, c.rules); err != nil {
		return nil, fmt.Errorf("rules of the checkpoint: %w", err)
	}
	err = r.scan(ctx, partition, from, to, func(rec *Record) error {
		if at, ok := last[string(rec.Key)]; !ok || at != rec.Offset {
			return nil
		}
		return r.restoreKey(partition, c, rec)
	})
	if err != nil {
		return nil, err
	}
	return c, r.complete(partition, c)
}

// scan shows the records of a partition's changelog between two offsets.
func (r *Runner) scan(
	ctx context.Context, partition int32, from, to int64, show func(*Record) error,
) error {
	for from < to {
		batch, err := r.cluster.Fetch(ctx, r.cfg.Changelog, partition, from, kafka.FetchWait)
		if err != nil {
			return err
		}
		for i := range batch.Records {
			if batch.Records[i].Offset >= to {
				break
			}
			if err := show(&batch.Records[i]); err != nil {
				return err
			}
		}
		from = batch.Next
	}
	return nil
}

// extend brings a replica to the end of the changelog.
func (r *Runner) extend(ctx context.Context, partition int32, c *replica) error {
	ends, err := r.cluster.Ends(ctx, r.cfg.Changelog)
	if err != nil {
		return err
	}
	for c.next < ends[partition] {
		batch, err := r.cluster.Fetch(ctx, r.cfg.Changelog, partition, c.next, kafka.FetchWait)
		if err != nil {
			return err
		}
		if err := r.take(partition, c, batch); err != nil {
			return err
		}
	}
	return nil
}

// take restores what a fetch has brought of the changelog. Below the last stable offset there is no
// half of a transaction, so that a replica that has come up to it holds a whole checkpoint.
func (r *Runner) take(partition int32, c *replica, batch kafka.Fetched) error {
	for i := range batch.Records {
		rec := &batch.Records[i]
		if string(rec.Key) == rulesKey {
			c.stored = bytes.Clone(rec.Value)
			continue
		}
		if err := r.restoreKey(partition, c, rec); err != nil {
			return err
		}
	}
	c.next = batch.Next
	if c.next < batch.Stable {
		return nil
	}
	c.currentAt = time.Now()
	return r.complete(partition, c)
}

// restoreKey hands the machine one key of a checkpoint.
func (r *Runner) restoreKey(partition int32, c *replica, rec *Record) error {
	if c.keys++; c.keys%weighEvery == 0 {
		if err := r.weighReplica(partition, c); err != nil {
			return err
		}
	}
	c.whole = false
	if err := c.machine.Restore(rec.Key, rec.Value); err != nil {
		return fmt.Errorf("state of key %q in %q: %w", rec.Key, r.cfg.Changelog, err)
	}
	fault.Point(fault.Restore)
	return nil
}

// complete tells the machine that what it was given is a whole checkpoint.
func (r *Runner) complete(partition int32, c *replica) error {
	if c.whole {
		return nil
	}
	c.whole = true
	if f, ok := c.machine.(Follower); ok {
		if err := f.Restored(); err != nil {
			return fmt.Errorf("state in %q: %w", r.cfg.Changelog, err)
		}
	}
	return r.weighReplica(partition, c)
}

// weighReplica holds the state against the limit.
func (r *Runner) weighReplica(partition int32, c *replica) error {
	total := r.state.set(partition, c.machine.Size())
	r.metrics.state.Set(float64(total))
	return r.state.over(total)
}

// dropReplica forgets the state of a partition that was followed.
func (r *Runner) dropReplica(partition int32) {
	r.replicas[partition] = nil
	r.forget(partition)
}
