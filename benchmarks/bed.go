package benchmarks

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crumbtrail/benchmarks/load"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// bed is what a run of a stage lies in: a scratch directory, a broker, topics and a client.
type bed struct {
	cfg      Config
	scratch  string
	children []*process
	brokers  string
	broker   *process // nil where a cluster was named
	client   *kafka.Client
	producer *kafka.Producer
	// partitions is how many the topic of beacons has, for which writer makes messages.
	partitions int
	writer     *load.Writer
	// prefix stands before the topics on the broker.
	prefix string
	// loads were put on collectors, with beacons of so many numbers.
	loads   []firedLoad
	beacons uint64
}

// gap is that of a site which the configuration does not name.
const gap = 30 * time.Minute

// group is the consumer group of the stage that is measured.
const group = "sessionize"

// makeBed makes everything but the process under test, which gets the settings, YAML, in its
// configuration.
func makeBed(ctx context.Context, cfg Config, settings string) (b *bed, err error) {
	b = &bed{cfg: cfg, brokers: strings.Join(cfg.Brokers, ",")}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.scratch, err = os.MkdirTemp("", "crumbtrail-bench-"); err != nil {
		return b, fmt.Errorf("scratch directory: %w", err)
	}
	b.prefix = "bench-" + strings.ToLower(rand.Text()[:8]) + "."
	settings += fmt.Sprintf("topics: {prefix: %q}\n", b.prefix)
	if err := os.WriteFile(b.config(), []byte(settings), 0o644); err != nil {
		return b, fmt.Errorf("configuration of the bench: %w", err)
	}
	if b.brokers == "" {
		b.broker, err = b.launch(ctx, "broker", "--data", filepath.Join(b.scratch, "data"),
			"--listen", "127.0.0.1:0")
		if err != nil {
			return b, err
		}
		if b.brokers, err = b.broker.address(ctx, b.broker.listens); err != nil {
			return b, err
		}
	}
	b.client, err = kafka.Dial(kafka.Config{
		Brokers: strings.Split(b.brokers, ","), ClientID: "crumbtrail-bench", Prefix: b.prefix,
	})
	if err != nil {
		return b, err
	}
	if err := b.client.EnsureTopics(ctx, cfg.Topics); err != nil {
		return b, err
	}
	if b.producer, err = b.client.NewProducer(ctx); err != nil {
		return b, err
	}
	b.partitions, err = b.client.Partitions(ctx, string(schemas.Beacons))
	b.writer = load.NewWriter(b.partitions)
	return b, err
}

// launch starts the program with the configuration of the run. It ends with the bed at the latest.
func (b *bed) launch(ctx context.Context, name string, args ...string) (*process, error) {
	p, err := launch(ctx, b.cfg.Exe, name, append(args, "--config", b.config())...)
	if err == nil {
		b.children = append(b.children, p)
	}
	return p, err
}

func (b *bed) config() string { return filepath.Join(b.scratch, "crumbtrail.yaml") }

// deleteTimeout bounds how long it may take to delete the topics of a run.
const deleteTimeout = 10 * time.Second

// close takes everything away again.
func (b *bed) close() {
	if b.client != nil && b.broker == nil {
		ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
		defer cancel()
		if err := b.client.DeleteTopics(ctx, b.cfg.Topics); err != nil {
			fmt.Fprintf(b.cfg.Progress, "the topics of this run stay on the cluster: %v\n", err)
		}
	}
	if b.client != nil {
		b.client.Close()
	}
	for _, child := range b.children {
		child.kill()
	}
	if b.scratch != "" {
		_ = os.RemoveAll(b.scratch) // what stays is in the system's folder for it
	}
}

// drainPoll is how often the committed offsets are looked at: the broker has other things to do.
const drainPoll = 50 * time.Millisecond

// chunk is how many messages go in one request.
const chunk = 16_000

// preload appends what next writes until it returns false.
func (b *bed) preload(ctx context.Context, total int, next func() bool) error {
	bar := progress.New(b.cfg.Progress, progress.Options{What: "load", Total: int64(total)})
	for more := true; more; {
		for more && b.writer.Waiting() < chunk {
			more = next()
		}
		if err := b.producer.Produce(ctx, b.writer.Take()); err != nil {
			return err
		}
		bar.Set(int64(b.writer.Beacons()))
	}
	bar.Done("%d beacons in the log", b.writer.Beacons())
	return nil
}

// output is what came out on the topic of visits.
type output struct {
	// visits are all; whole are those that do not go on with one that was cut for its length.
	visits, whole       int
	beacons, duplicates int64
}

// check reads what came out and holds it against the count that the load makes by itself.
func (b *bed) check(ctx context.Context) (output, error) {
	out, err := b.output(ctx)
	if err != nil {
		return out, err
	}
	want := b.writer.Visits(gap)
	if out.whole != want || out.beacons != int64(b.writer.Beacons()) || out.duplicates > 0 {
		return out, fmt.Errorf("the output is wrong: %d visits of %d beacons with %d duplicates, "+
			"want %d of %d with none", out.whole, out.beacons, out.duplicates, want, b.writer.Beacons())
	}
	return out, nil
}

func (b *bed) output(ctx context.Context) (out output, err error) {
	bar := progress.New(b.cfg.Progress, progress.Options{What: "check"})
	err = b.scan(ctx, string(schemas.Visits), func(r *kafka.Record) error {
		var v schemas.Visit
		if err := v.UnmarshalVT(r.Value); err != nil {
			return fmt.Errorf("visit at offset %d: %w", r.Offset, err)
		}
		out.visits++
		if v.StartReason != "max_visit" && v.StartReason != "max_beacons" {
			out.whole++
		}
		out.beacons += v.Beacons
		out.duplicates += v.Duplicates
		return nil
	})
	bar.Done("%d visits", out.visits)
	return out, err
}

// scan shows every record that is on a topic.
func (b *bed) scan(ctx context.Context, topic string, show func(*kafka.Record) error) error {
	return b.client.ScanAll(ctx, topic, func(records []kafka.Record) error {
		var all []error
		for i := range records {
			all = append(all, show(&records[i]))
		}
		return errors.Join(all...)
	})
}

// brokerUse is the embedded broker's CPU so far.
func (b *bed) brokerUse() time.Duration {
	if b.broker == nil {
		return 0
	}
	return b.broker.using().core()
}
