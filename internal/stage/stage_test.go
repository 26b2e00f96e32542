package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"crumbtrail/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a machine that puts out "key n" at each third record of a key.
type counter struct {
	counts  map[string]uint64
	changed map[string]bool
}

func newCounter(int32) Machine {
	return &counter{counts: map[string]uint64{}, changed: map[string]bool{}}
}

func (c *counter) Apply(batch []Record, out *Output) {
	for _, r := range batch {
		key := string(r.Key)
		c.counts[key]++
		c.changed[key] = true
		if n := c.counts[key]; n%3 == 0 {
			out.Put("out", r.Key, fmt.Appendf(nil, "%s %d", key, n))
		}
	}
}

func (c *counter) Checkpoint(put func(key, value []byte)) {
	for key := range c.changed {
		put([]byte(key), binary.AppendUvarint(nil, c.counts[key]))
	}
	clear(c.changed)
}

func (c *counter) Restore(key, value []byte) error {
	n, size := binary.Uvarint(value)
	if size <= 0 {
		return errors.New("not a count")
	}
	c.counts[string(key)] = n
	return nil
}

type world struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
}

const partitions = 2

func newWorld(t *testing.T) *world {
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{
		Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kafka.Dial(kafka.Config{Brokers: []string{broker.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); broker.Close() })
	var specs []kafka.TopicSpec
	for _, name := range []string{"in", "out", "log"} {
		specs = append(specs, kafka.TopicSpec{Name: name, Partitions: partitions, Replication: 1})
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, client: client, producer: producer}
}

func (w *world) produce(from, to int) {
	w.t.Helper()
	var msgs []kafka.Message
	for i := from; i < to; i++ {
		msgs = append(msgs, kafka.Message{
			Topic: "in", Partition: kafka.AnyPartition, Key: fmt.Appendf(nil, "k%d", i*7%13),
		})
	}
	if err := w.producer.Produce(w.t.Context(), msgs); err != nil {
		w.t.Fatal(err)
	}
}

// start runs a stage until stop is called, which returns Run's error.
func (w *world) start(rules string) (r *Runner, stop func() error) {
	w.t.Helper()
	r, err := New(w.t.Context(), Config{
		Name: "count", Input: "in", Changelog: "log", Rules: rules,
		Commit: 2 * time.Millisecond, Checkpoint: 20 * time.Millisecond,
	}, w.client, newCounter, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() error { cancel(); return <-done }
}

func (w *world) read(topic string) (values []string) {
	w.t.Helper()
	ends, err := w.client.Ends(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	for p, end := range ends {
		for at := int64(0); at < end; {
			f, err := w.client.Fetch(w.t.Context(), topic, int32(p), at, kafka.FetchWait)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, r := range f.Records {
				values = append(values, string(r.Value))
			}
			at = f.Next
		}
	}
	slices.Sort(values)
	return values
}

func (w *world) wait(r *Runner) {
	w.t.Helper()
	ends, err := w.client.Ends(w.t.Context(), "in")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := r.Wait(ctx, ends); err != nil {
		w.t.Fatal(err)
	}
}

// want is what a machine that never dies puts out for n records.
func want(n int) (values []string) {
	counts := map[string]int{}
	for i := range n {
		key := fmt.Sprintf("k%d", i*7%13)
		counts[key]++
		if counts[key]%3 == 0 {
			values = append(values, fmt.Sprintf("%s %d", key, counts[key]))
		}
	}
	slices.Sort(values)
	return values
}

// Fencing a running stage is as hard on it as a kill: its transaction is aborted and its memory
// is ahead of the log.
func TestFencedStageRecoversExactlyOnce(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start("")
	const rounds, each = 40, 25
	for i := range rounds {
		w.produce(i*each, (i+1)*each)
		if i%4 == 3 {
			id := fmt.Sprintf("count-%d", i/4%partitions)
			if _, err := w.client.NewTransactional(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 9 { // a clean stop between, too
			w.wait(r)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			r, stop = w.start("")
		}
	}
	w.wait(r)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want(rounds*each), w.read("out")); diff != "" {
		t.Error(diff)
	}
}

func TestCleanStopNeedsNoReplay(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start("old rules")
	w.produce(0, 100)
	w.wait(r)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	before := len(w.read("log"))
	r, stop = w.start("new rules") // would refuse if there were anything to replay
	w.wait(r)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if after := len(w.read("log")); after != before {
		t.Errorf("a stop and start without traffic wrote %d checkpoint records", after-before)
	}
}
