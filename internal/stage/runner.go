package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"crumbtrail/internal/kafka"
)

// Config says which stage runs and how often it commits.
type Config struct {
	// Name is the consumer group, and with a partition's number its transactional id.
	Name string
	// Input is the topic that is read; each partition has a machine of its own.
	Input string
	// Changelog is the compacted topic of checkpoints, with as many partitions as Input.
	Changelog string
	// Rules is a fingerprint of the rules that machines run under. What lies between a checkpoint
	// and the committed offset must be replayed under the rules that it was first applied under.
	Rules string
	// Commit is how often outputs and the input offset are committed (1 s).
	Commit time.Duration
	// Checkpoint is how often the changed state is written to the changelog (30 s).
	Checkpoint time.Duration
	// Observe, if set, is shown a partition's machine after its state was read back and after each
	// batch, by the goroutine that owns it: to read its figures, not to keep it.
	Observe func(partition int32, m Machine)
}

const (
	defaultCommit     = time.Second
	defaultCheckpoint = 30 * time.Second
	// outputBytes of outputs are committed at once, so that a replay's memory is bounded.
	outputBytes = 8 << 20
	// stopTimeout bounds the last commit after a stop was asked for.
	stopTimeout = 10 * time.Second
)

// Runner runs one stage over all partitions of its input.
type Runner struct {
	cfg      Config
	client   *kafka.Client
	machine  func(partition int32) Machine
	log      *slog.Logger
	metrics  *metrics
	progress *progress
	count    int
}

// New prepares a stage. machine makes the empty state machine of a partition; it is called again
// whenever a partition's state has to be read back.
func New(
	ctx context.Context, cfg Config, client *kafka.Client, machine func(partition int32) Machine,
	log *slog.Logger, reg prometheus.Registerer,
) (*Runner, error) {
	if cfg.Commit <= 0 {
		cfg.Commit = defaultCommit
	}
	if cfg.Checkpoint <= 0 {
		cfg.Checkpoint = defaultCheckpoint
	}
	n, err := client.Partitions(ctx, cfg.Input)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", cfg.Name, err)
	}
	return &Runner{
		cfg: cfg, client: client, machine: machine, log: log.With("stage", cfg.Name),
		metrics: newMetrics(cfg.Name, reg), progress: newProgress(n), count: n,
	}, nil
}

// Run reads until ctx ends, then commits what has been applied, with a checkpoint, and returns
// nil. Any other end is an error that needs somebody's help.
func (r *Runner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for p := range r.count {
		group.Go(func() error { return r.keepRunning(ctx, int32(p)) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("stage %s: %w", r.cfg.Name, err)
	}
	return nil
}

// Wait returns once every input record before ends, by partition, has been applied and what came
// of it has been committed.
func (r *Runner) Wait(ctx context.Context, ends []int64) error {
	return r.progress.wait(ctx, ends)
}

const (
	restartFirst = 100 * time.Millisecond
	restartMost  = 10 * time.Second
)

// keepRunning starts the partition again after each failure that can pass by itself. Memory is
// ahead of the log after one, so every start reads the state back.
func (r *Runner) keepRunning(ctx context.Context, partition int32) error {
	pause := restartFirst
	for {
		began := time.Now()
		err := r.life(ctx, partition)
		if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		if !kafka.Retryable(err) {
			return fmt.Errorf("partition %d: %w", partition, err)
		}
		r.metrics.restarts.Inc()
		r.log.Warn("start again from the last commit", "partition", partition, "err", err)
		if time.Since(began) > time.Minute {
			pause = restartFirst
		}
		if !kafka.Pause(ctx, pause) {
			return nil
		}
		pause = min(2*pause, restartMost)
	}
}

// life runs a partition from taking it over to the first error or to the end of ctx.
func (r *Runner) life(ctx context.Context, partition int32) error {
	tx, err := r.client.NewTransactional(ctx, fmt.Sprintf("%s-%d", r.cfg.Name, partition))
	if err != nil {
		return err
	}
	o := &owner{Runner: r, partition: partition, tx: tx, machine: r.machine(partition)}
	if err := o.recover(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		fetched, err := r.client.Fetch(ctx, r.cfg.Input, partition, o.read, kafka.FetchWait)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		o.apply(fetched)
		if err := o.commitIfDue(ctx); err != nil {
			return err
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return o.commit(stopping, true)
}
