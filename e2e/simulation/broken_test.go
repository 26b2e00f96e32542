package simulation

import (
	"context"
	"errors"
	"sync"
	"testing"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// TestBroken breaks a rule of the stage shell, one at a time: the same check must see it.
func TestBroken(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken func(of stage.Cluster, life string) stage.Cluster
		seeds  uint64
	}{
		{"outputs and offset apart", func(of stage.Cluster, _ string) stage.Cluster {
			return apart{of}
		}, 10},
		{"no fencing", func(of stage.Cluster, life string) stage.Cluster {
			return unfenced{of, life}
		}, 40},
		{"blind retry", func(of stage.Cluster, _ string) stage.Cluster { return blind{of} }, 10},
		{"read before take-over", func(of stage.Cluster, _ string) stage.Cluster {
			return &hasty{Cluster: of, known: map[int32]position{}}
		}, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := setting(t, "CRUMBTRAIL_SEED", 1)
			asked := setting(t, "CRUMBTRAIL_SEEDS", 0)
			seeds := max(asked, c.seeds)
			caught := 0
			for seed := first; seed < first+seeds; seed++ {
				r := run(t, scenario{seed: seed, broken: c.broken})
				if len(r.problems) == 0 {
					continue
				}
				if caught++; caught == 1 {
					t.Logf("seed %d: %s", seed, r.problems[0])
				}
				if asked == 0 {
					return // one will do
				}
			}
			if caught == 0 {
				t.Errorf("%d seeds from %d on, and nothing was seen", seeds, first)
			}
			t.Logf("%d of %d seeds caught it", caught, seeds)
		})
	}
}

// transactional is a stage.Transactional with another Commit.
type transactional func(ctx context.Context, c kafka.Commit) error

func (commit transactional) Commit(ctx context.Context, c kafka.Commit) error {
	return commit(ctx, c)
}

// apart commits outputs first, and then the offset with the changed state.
type apart struct{ stage.Cluster }

func (a apart) Transactional(
	ctx context.Context, id string, reach kafka.Reach,
) (stage.Transactional, error) {
	tx, err := a.Cluster.Transactional(ctx, id, reach)
	if err != nil {
		return nil, err
	}
	return transactional(func(ctx context.Context, c kafka.Commit) error {
		outputs, rest := c, c
		outputs.Messages, rest.Messages = nil, nil
		for _, m := range c.Messages {
			switch schemas.Topic(m.Topic) {
			case schemas.SessionizeChangelog, schemas.ResolveChangelog:
				rest.Messages = append(rest.Messages, m)
			default:
				outputs.Messages = append(outputs.Messages, m)
			}
		}
		offset, metadata, err := a.Committed(ctx, c.Group, c.Topic, c.Partition)
		if err != nil {
			return err
		}
		if offset >= 0 && len(outputs.Messages) > 0 {
			outputs.Offset, outputs.Metadata = offset, metadata
			if err := tx.Commit(ctx, outputs); err != nil {
				return err
			}
			return tx.Commit(ctx, rest)
		}
		return tx.Commit(ctx, c)
	}), nil
}

// unfenced gives each life transactional ids of its own, so that nobody fences the one before.
type unfenced struct {
	stage.Cluster
	life string
}

func (u unfenced) Transactional(
	ctx context.Context, id string, reach kafka.Reach,
) (stage.Transactional, error) {
	return u.Cluster.Transactional(ctx, id+"-"+u.life, reach)
}

// blind commits again after a lost answer, without reading what became of the first time.
type blind struct{ stage.Cluster }

func (b blind) Transactional(
	ctx context.Context, id string, reach kafka.Reach,
) (stage.Transactional, error) {
	tx, err := b.Cluster.Transactional(ctx, id, reach)
	if err != nil {
		return nil, err
	}
	return transactional(func(ctx context.Context, c kafka.Commit) error {
		err := tx.Commit(ctx, c)
		if err == nil || errors.Is(err, kafka.ErrFenced) {
			return err
		}
		again, failed := b.Cluster.Transactional(ctx, id, reach)
		if failed != nil {
			return err
		}
		tx = again
		return tx.Commit(ctx, c)
	}), nil
}

// position is a committed offset with its metadata.
type position struct {
	offset   int64
	metadata string
}

// hasty asks for the committed offset before it takes a partition's transactional id over.
type hasty struct {
	stage.Cluster
	mu    sync.Mutex // never held over I/O
	known map[int32]position
}

func (h *hasty) Transactional(
	ctx context.Context, id string, reach kafka.Reach,
) (stage.Transactional, error) {
	offset, metadata, err := h.Cluster.Committed(ctx, reach.Group, reach.Input, reach.Partition)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.known[reach.Partition] = position{offset, metadata}
	h.mu.Unlock()
	return h.Cluster.Transactional(ctx, id, reach)
}

func (h *hasty) Committed(
	_ context.Context, _, _ string, partition int32,
) (offset int64, metadata string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.known[partition]
	return at.offset, at.metadata, nil
}
