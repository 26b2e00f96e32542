package stage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
)

// Fencing a running stage on a broker is as hard on it as a kill: its transaction is aborted and
// its memory is ahead of the log.
func TestFencedOnBroker(t *testing.T) {
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
	for name, policy := range map[string]string{"in": "delete", "out": "delete", "log": "compact"} {
		specs = append(specs, kafka.TopicSpec{
			Name: name, Partitions: partitions, Replication: 1,
			Configs: map[string]string{"cleanup.policy": policy},
		})
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(t.Context(), Config{
		Name: "count", Input: "in", Changelog: "log", Outputs: []string{"out"}, Rules: []byte("3"),
		Commit: 2 * time.Millisecond, Checkpoint: 20 * time.Millisecond,
	}, OnKafka(client), newCounter,
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	const rounds, each = 20, 50
	for i := range rounds {
		var msgs []kafka.Message
		for k := i * each; k < (i+1)*each; k++ {
			msgs = append(msgs, kafka.Message{
				Topic: "in", Partition: kafka.AnyPartition, Key: fmt.Appendf(nil, "k%d", k*7%13),
			})
		}
		if err := producer.Produce(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
		if i%7 == 6 {
			for p := range partitions {
				if _, err := client.NewTransactional(t.Context(), fmt.Sprintf("count-%d", p)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	ends, err := client.Ends(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	waiting, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := r.Wait(waiting, ends); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want(rounds*each, 3), readOut(t, client)); diff != "" {
		t.Error(diff)
	}
}

// readOut reads the outputs as a read_committed reader does, sorted.
func readOut(t *testing.T, client *kafka.Client) (values []string) {
	t.Helper()
	ends, err := client.Ends(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	for p, end := range ends {
		for at := int64(0); at < end; {
			f, err := client.Fetch(t.Context(), "out", int32(p), at, kafka.FetchWait)
			if err != nil {
				t.Fatal(err)
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
