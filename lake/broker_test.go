package lake_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/kafka"
	"crumbtrail/lake"
	"crumbtrail/schemas"
)

// TestFromBroker copies from the embedded broker while it is written to, with a stop in between.
func TestFromBroker(t *testing.T) {
	dir := t.TempDir()
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{
		Dir: filepath.Join(dir, "kafka"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	client, err := kafka.Dial(kafka.Config{Brokers: []string{broker.Addr()}, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var specs []kafka.TopicSpec
	for _, topic := range lake.Topics() {
		specs = append(specs, kafka.TopicSpec{Name: topic, Partitions: 2, Replication: 1})
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir}
	const rounds, batch = 3, 500
	for round := range rounds {
		stop := runFrom(t, client, w)
		produce(t, client, round, batch)
		ends := map[string][]int64{}
		for _, topic := range lake.Topics() {
			if ends[topic], err = client.Ends(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.lake.Drain(t.Context(), ends); err != nil {
			t.Fatal(err)
		}
		stop()
	}
	got := w.query(`SELECT count(*) AS beacons, count(DISTINCT (topic_partition, topic_offset)) AS
		places, count(DISTINCT event_id) AS events, count(DISTINCT visitor_id) AS visitors
		FROM beacons`, "csv")
	want := fmt.Sprintf("beacons,places,events,visitors\n%[1]d,%[1]d,%[1]d,10\n", rounds*batch)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := w.query("SELECT sum(duplicates) AS n FROM pipeline_counts", "csv"); got != "n\n1\n" {
		t.Errorf("duplicates: %s", strings.TrimSpace(got))
	}
}

func runFrom(t *testing.T, client *kafka.Client, w *world) (stop func()) {
	l, err := lake.Open(t.Context(), lake.Config{Dir: w.dir, Flush: time.Hour}, client, duck.Catalog{},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.lake = l
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// produce appends beacons of ten visitors; the last round repeats one of the first.
func produce(t *testing.T, client *kafka.Client, round, n int) {
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var messages []kafka.Message
	add := func(id int) {
		site, visitor := schemas.Site("acme"), schemas.VisitorID(fmt.Sprint("v", id%10))
		at := 1_767_225_600_000_000 + int64(id)*1_000_000
		value, err := (&schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Beacon{Beacon: &schemas.Beacon{
			EventId: fmt.Sprint("e", id), Site: string(site), VisitorId: string(visitor),
			OccurredAtUs: at, ReceivedAtUs: at,
		}}}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, kafka.Message{
			Topic: string(schemas.Beacons), Partition: kafka.AnyPartition, Timestamp: at / 1000,
			Key: schemas.VisitorKey(site, visitor), Value: value,
		})
	}
	for i := range n {
		add(round*n + i)
	}
	if round == 2 {
		add(17)
	}
	if err := producer.Produce(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}
