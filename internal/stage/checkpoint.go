package stage

import (
	"context"
	"fmt"

	"crumbtrail/internal/kafka"
)

// Checkpoint is the last one of a partition, as somebody sees it who does not own the partition.
type Checkpoint struct {
	// Offset is C: the state holds all input before it and nothing after it.
	Offset int64
	// changelog is where the checkpoint ends there.
	changelog int64
}

// LastCheckpoint says where the last checkpoint of a partition is. Of the configuration it needs
// name, input and changelog.
func LastCheckpoint(
	ctx context.Context, cluster Cluster, cfg Config, partition int32,
) (Checkpoint, error) {
	o := &owner{Runner: &Runner{cfg: cfg, cluster: cluster}, partition: partition}
	for {
		before, err := o.locate(ctx)
		if err != nil {
			return Checkpoint{}, err
		}
		ends, err := cluster.Ends(ctx, cfg.Changelog)
		if err != nil {
			return Checkpoint{}, err
		}
		after, err := o.locate(ctx)
		if err != nil {
			return Checkpoint{}, err
		}
		if before.Checkpoint == after.Checkpoint { // else one was written meanwhile
			return Checkpoint{Offset: after.Checkpoint, changelog: ends[partition]}, nil
		}
	}
}

// Show shows the keys of the state that a checkpoint was made of, each version of a key in order,
// and at last, as later, those that have changed since: compaction may have taken away what these
// had at the checkpoint. A value is nil where nothing is left of the key.
func (c Checkpoint) Show(
	ctx context.Context, cluster Cluster, cfg Config, partition int32,
	show func(key, value []byte, later bool) error,
) error {
	r := &Runner{cfg: cfg, cluster: cluster}
	starts, err := cluster.Starts(ctx, cfg.Changelog)
	if err != nil {
		return err
	}
	see := func(later bool) func(*kafka.Record) error {
		return func(rec *kafka.Record) error {
			if string(rec.Key) == rulesKey {
				return nil
			}
			if err := show(rec.Key, rec.Value, later); err != nil {
				return fmt.Errorf("state of key %q in %q: %w", rec.Key, cfg.Changelog, err)
			}
			return nil
		}
	}
	if err := r.scan(ctx, partition, starts[partition], c.changelog, see(false)); err != nil {
		return err
	}
	ends, err := cluster.Ends(ctx, cfg.Changelog)
	if err != nil {
		return err
	}
	return r.scan(ctx, partition, max(starts[partition], c.changelog), ends[partition], see(true))
}
