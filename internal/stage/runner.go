package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
)

// Config says which stage runs and how often it commits.
type Config struct {
	// Name is the consumer group, and with a partition's number its transactional id.
	Name string
	// Input is the topic that is read; each partition has a machine of its own.
	Input string
	// Changelog is the compacted topic of checkpoints, with as many partitions as Input. Keys that
	// begin with a zero byte are the shell's own.
	Changelog string
	// Outputs are the topics that machines put something to.
	Outputs []string
	// Rules are what machines run under, in a form that the machines' maker reads. What lies between
	// a checkpoint and the committed offset is replayed under the rules that it was first applied
	// under, so they are part of the checkpoint.
	Rules []byte
	// Commit is how often outputs and the input offset are committed (1 s).
	Commit time.Duration
	// Checkpoint is how often the changed state is written to the changelog (30 s).
	Checkpoint time.Duration
	// Session is the session timeout of the group's members (6 s). Who is fenced waits for half of
	// it, which is long enough for a heartbeat to end the generation where it was another member that
	// took over: that one must not be fenced in its turn.
	Session time.Duration
	// MaxState bounds in bytes the state of all partitions that this process holds; a partition that
	// goes beyond is halted. 0 is no bound.
	MaxState int64
	// SkipMissing goes on behind input that is lost, which else halts a partition.
	SkipMissing bool
	// Observe, if set, is shown a partition's machine after its state was read back and after each
	// batch, and nil once this process holds the partition no more. The goroutine that owns the
	// machine calls it: to read its figures, not to keep it.
	Observe func(partition int32, m Machine)
}

const (
	defaultCommit     = time.Second
	defaultCheckpoint = 30 * time.Second
	defaultSession    = 6 * time.Second
	// outputBytes of outputs are committed at once, so that a replay's memory is bounded.
	outputBytes = 8 << 20
	// commitTimeout bounds one commit. A commit that has begun is not cut short by a stop.
	commitTimeout = 30 * time.Second
	// checkpointsAtOnce bounds how many partitions hold what they write to the changelog in memory
	// at the same time: at a stop all of them would.
	checkpointsAtOnce = 2
)

func (c Config) gaps() kafka.Gaps {
	if c.SkipMissing {
		return kafka.GapsSkipped
	}
	return kafka.GapsRefused
}

// MachineMaker makes the empty machine of a partition. It is called again whenever the partition's
// state has to be read back, then perhaps with earlier rules. An error means that this binary
// cannot run them.
type MachineMaker func(partition int32, rules []byte) (Machine, error)

// Runner runs one stage over those partitions of its input that the group gives to this process.
type Runner struct {
	cfg      Config
	cluster  Cluster
	machine  MachineMaker
	log      *slog.Logger
	metrics  *metrics
	progress *progress
	state    *budget
	// checkpoints has a place for each partition that may write a checkpoint now.
	checkpoints chan struct{}
	health      health
	// owners keeps by partition who ended in good order with the last generation, for the next one.
	owners []*owner
	// follows is true where machines are Followers; replicas keeps by partition what was followed.
	follows  bool
	replicas []*replica
}

// New prepares a stage.
func New(
	ctx context.Context, cfg Config, cluster Cluster, machine MachineMaker,
	log *slog.Logger, reg prometheus.Registerer,
) (*Runner, error) {
	if cfg.Commit <= 0 {
		cfg.Commit = defaultCommit
	}
	if cfg.Checkpoint <= 0 {
		cfg.Checkpoint = defaultCheckpoint
	}
	if cfg.Session <= 0 {
		cfg.Session = defaultSession
	}
	n, err := cluster.Partitions(ctx, cfg.Input)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", cfg.Name, err)
	}
	first, err := machine(0, cfg.Rules)
	if err != nil {
		return nil, fmt.Errorf("stage %s: rules: %w", cfg.Name, err)
	}
	_, follows := first.(Follower)
	if err := checkKept(ctx, cfg, cluster, follows); err != nil {
		return nil, fmt.Errorf("stage %s: %w", cfg.Name, err)
	}
	m := newMetrics(cfg.Name, reg)
	m.stateLimit.Set(float64(cfg.MaxState))
	return &Runner{
		cfg: cfg, cluster: cluster, machine: machine, log: log.With("stage", cfg.Name),
		metrics: m, progress: newProgress(n), state: newBudget(n, cfg.MaxState),
		checkpoints: make(chan struct{}, checkpointsAtOnce),
		health:      health{partitions: map[int32]error{}, standby: map[int32]bool{}},
		owners:      make([]*owner, n), follows: follows, replicas: make([]*replica, n),
	}, nil
}

// Run reads until ctx ends, then commits what has been applied, with a checkpoint, and leaves the
// group. It returns what halted a partition, if anything did.
func (r *Runner) Run(ctx context.Context) error {
	err := r.cluster.Share(ctx, r.cfg.Name, r.cfg.Input, r.hold, func(err error) {
		r.health.left()
		r.log.Warn("join the group again", "err", err)
	})
	if err == nil {
		err = r.health.halted()
	}
	if err != nil {
		return fmt.Errorf("stage %s: %w", r.cfg.Name, err)
	}
	return nil
}

// Wait returns once every input record before ends, by partition, has been applied and what came
// of it has been committed, where this process is the only member of its group.
func (r *Runner) Wait(ctx context.Context, ends []int64) error {
	return r.progress.wait(ctx, ends)
}

// Ready returns nil if this process is a member of its group and works on every partition that it
// holds.
func (r *Runner) Ready() error {
	if err := r.health.ready(); err != nil {
		return fmt.Errorf("stage %s: %w", r.cfg.Name, err)
	}
	return nil
}

// Standby says what this process does while other members of its group work on all partitions: it
// follows their state, where machines are Followers. It is empty where this one works, too.
func (r *Runner) Standby() string { return r.health.idle() }

// hold works on the partitions of one generation until ctx ends with it.
func (r *Runner) hold(ctx context.Context, a kafka.Assignment) {
	r.release(a.Partitions)
	r.health.joined(a.Partitions)
	r.metrics.rebalances.Inc()
	r.log.Info("partitions assigned", "generation", a.Generation, "partitions", a.Partitions)
	g := &generation{Runner: r, Assignment: a}
	var all sync.WaitGroup
	for _, p := range a.Partitions {
		all.Go(func() { g.keepRunning(ctx, p) })
	}
	for i := range r.replicas {
		if p := int32(i); r.follows && !slices.Contains(a.Partitions, p) {
			all.Go(func() { g.standBy(ctx, p) })
		}
	}
	all.Wait()
	<-ctx.Done() // a standby holds nothing and is a member all the same
	r.health.left()
}

// release forgets the partitions that this process does not hold any more.
func (r *Runner) release(held []int32) {
	for i := range r.owners {
		p := int32(i)
		if slices.Contains(held, p) {
			continue
		}
		r.owners[i] = nil
		r.metrics.forget(p)
		r.health.forget(p)
		r.forget(p)
	}
}

// forget drops a partition's state, before it is read back or when it has gone elsewhere, but for
// what was followed of it.
func (r *Runner) forget(partition int32) {
	var followed int64
	if c := r.replicas[partition]; c != nil {
		followed = c.machine.Size()
	}
	r.metrics.state.Set(float64(r.state.set(partition, followed)))
	if r.cfg.Observe != nil {
		r.cfg.Observe(partition, nil)
	}
}

// generation is the time between two rebalances of the group.
type generation struct {
	*Runner
	kafka.Assignment

	mu       sync.Mutex
	fencedAt time.Time
}

const (
	restartFirst = 100 * time.Millisecond
	restartMost  = 10 * time.Second
)

// keepRunning starts the partition again after each failure that can pass by itself. Memory is
// ahead of the log after one, so every start reads the state back.
func (g *generation) keepRunning(ctx context.Context, partition int32) {
	pause := restartFirst
	for {
		began := time.Now()
		err := g.life(ctx, partition)
		if time.Since(began) > time.Minute {
			pause = restartFirst
		}
		rest := pause
		switch {
		case err == nil:
			return
		case errors.Is(err, kafka.ErrFenced):
			g.fenced(partition, err)
			rest = g.cfg.Session / 2
		case ctx.Err() != nil:
			if !errors.Is(err, ctx.Err()) {
				g.log.Warn("partition not handed over; it will be replayed from its last commit",
					"partition", partition, "err", err)
			}
		case kafka.Retryable(err):
			g.metrics.restarts.Inc()
			g.log.Warn("start again from the last commit", "partition", partition, "err", err)
			pause = min(2*pause, restartMost)
		default:
			g.halt(ctx, partition, err)
			return
		}
		g.forget(partition)
		g.health.set(partition, errRestoring)
		if !kafka.Pause(ctx, rest) {
			return
		}
	}
}

// fenced counts and logs that another instance has taken over: once, though it is likely to have
// taken all partitions.
func (g *generation) fenced(partition int32, err error) {
	g.mu.Lock()
	first := time.Since(g.fencedAt) > g.cfg.Session
	g.fencedAt = time.Now()
	g.mu.Unlock()
	if first {
		g.metrics.fenced.Inc()
		g.log.Warn("fenced: nothing is written, the state will be read back", "partition", partition,
			"generation", g.Generation, "err", err)
	}
}

// halt leaves a partition alone that nobody can repair from here, while the others go on.
func (g *generation) halt(ctx context.Context, partition int32, err error) {
	g.log.Error("partition halted until somebody helps", "partition", partition, "err", err)
	err = fmt.Errorf("partition %d halted: %w", partition, err)
	g.forget(partition)
	g.health.set(partition, err)
	g.metrics.halted.Inc()
	g.progress.fail(partition, err)
	<-ctx.Done()
	g.metrics.halted.Dec()
}

// life runs a partition from taking it over to the first error or to the end of ctx.
func (g *generation) life(ctx context.Context, partition int32) error {
	o := g.owners[partition]
	g.owners[partition] = nil
	if o != nil {
		same, err := o.stillOurs(ctx)
		if err != nil {
			return err
		}
		if !same {
			o = nil
			g.forget(partition)
		}
	}
	if o == nil {
		g.health.set(partition, errRestoring)
		var err error
		if o, err = g.takeOver(ctx, partition); err != nil {
			return err
		}
	}
	g.health.set(partition, nil)
	o.assignment = g.Assignment
	if err := o.run(ctx); err != nil {
		return err
	}
	g.owners[partition] = o
	return nil
}
