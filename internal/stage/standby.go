package stage

import (
	"context"
	"errors"

	"crumbtrail/internal/kafka"
)

// standBy keeps the state of a partition that another member works on, until ctx ends, so that only
// the end of the changelog is still to be read if the partition comes to this process.
func (g *generation) standBy(ctx context.Context, partition int32) {
	defer g.leave(partition)
	pause := restartFirst
	for {
		err := g.follow(ctx, partition, func() { pause = restartFirst })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errStale), kafka.Retryable(err):
			g.log.Warn("follow the state of a partition again", "partition", partition, "err", err)
		default:
			g.dropReplica(partition)
			g.log.Error("no standby; who takes the partition over will read its state back",
				"partition", partition, "err", err)
			return
		}
		kafka.Pause(ctx, pause)
		pause = min(2*pause, restartMost)
	}
}

// errStale means that a replica is too far behind to go on from.
var errStale = errors.New("the state was not followed for too long and is read back anew")

// follow reads the changelog of a partition to its end, and then as it grows.
func (g *generation) follow(ctx context.Context, partition int32, current func()) (err error) {
	c := g.replicas[partition]
	if c == nil {
		g.stand(partition, false)
		c, err = g.load(ctx, partition, func([]byte) ([]byte, error) { return g.cfg.Rules, nil })
		if err != nil {
			return err
		}
		g.replicas[partition] = c
	}
	for {
		if c.stale() {
			g.dropReplica(partition)
			return errStale
		}
		batch, err := g.cluster.Fetch(ctx, g.cfg.Changelog, partition, c.next, kafka.FetchWait)
		if err != nil {
			return err
		}
		if err := g.take(partition, c, batch); err != nil {
			return err
		}
		g.metrics.standbyLag.WithLabelValues(partitionLabel(partition)).
			Set(float64(batch.Stable - c.next))
		if c.whole && c.next >= batch.Stable {
			current()
			if g.stand(partition, true) {
				g.log.Info("standing by", "partition", partition, "keys", c.keys)
			}
		}
	}
}

// stand says whether a partition's state is here, and returns whether that is new.
func (r *Runner) stand(partition int32, current bool) (changed bool) {
	changed, n := r.health.stand(partition, current)
	r.metrics.standby.Set(float64(n))
	return changed
}

// leave says that this process does not stand by for a partition any more.
func (r *Runner) leave(partition int32) {
	r.metrics.standby.Set(float64(r.health.leave(partition)))
	r.metrics.standbyLag.DeleteLabelValues(partitionLabel(partition))
}
