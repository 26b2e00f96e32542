package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
	"pgregory.net/rapid"
)

func embedded(t testing.TB, dir string) (*Broker, *Client) {
	t.Helper()
	broker, err := Embedded(EmbeddedConfig{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := Dial(Config{Brokers: []string{broker.Addr()}, ClientID: "test", Prefix: "t."})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); broker.Close() })
	return broker, client
}

func ensure(t testing.TB, client *Client, partitions int, names ...string) {
	t.Helper()
	var specs []TopicSpec
	for _, n := range names {
		specs = append(specs, TopicSpec{Name: n, Partitions: partitions, Replication: 1})
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
}

// readAll reads a partition as a read_committed reader would, up to its end.
func readAll(t testing.TB, client *Client, topic string, partition int32) (values []string) {
	t.Helper()
	ends, err := client.Ends(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for offset := int64(0); offset < ends[partition]; {
		f, err := client.Fetch(t.Context(), topic, partition, offset, FetchWait)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range f.Records {
			values = append(values, string(r.Value))
		}
		offset = f.Next
	}
	return values
}

func TestProduceAndFetch(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 3, "events")
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := make([][]string, 3)
	for round := range 5 {
		var msgs []Message
		for i := range 500 {
			key, value := fmt.Appendf(nil, "key %d", i), fmt.Sprintf("%d/%d", round, i)
			p := PartitionOf(key, 3)
			want[p] = append(want[p], value)
			msgs = append(msgs, Message{
				Topic: "events", Partition: AnyPartition, Timestamp: int64(1000 + i),
				Key: key, Value: []byte(value),
			})
		}
		if err := producer.Produce(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
	}
	for p := range int32(3) {
		if diff := cmp.Diff(want[p], readAll(t, client, "events", p)); diff != "" {
			t.Errorf("partition %d: %s", p, diff)
		}
	}
}

func TestTransactions(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 1, "in", "out")
	ctx := t.Context()
	commit := func(tx *Transactional, value string, offset int64) error {
		return tx.Commit(ctx, Commit{
			Messages: []Message{{Topic: "out", Value: []byte(value)}},
			Group:    "stage", Topic: "in", Offset: offset, Metadata: value, Generation: -1,
		})
	}
	first, err := client.NewTransactional(ctx, "stage-0")
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(first, "a", 1); err != nil {
		t.Fatal(err)
	}
	if err := commit(first, "b", 2); err != nil {
		t.Fatal(err)
	}
	second, err := client.NewTransactional(ctx, "stage-0")
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(first, "zombie", 9); err == nil {
		t.Error("a fenced producer committed")
	} else if !Retryable(err) {
		t.Errorf("being fenced asks for a new producer, got %v", err)
	}
	if err := commit(second, "c", 3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, readAll(t, client, "out", 0)); diff != "" {
		t.Error(diff)
	}
	offset, metadata, err := client.Committed(ctx, "stage", "in", 0)
	if err != nil || offset != 3 || metadata != "c" {
		t.Errorf("committed %d %q %v, want 3 c", offset, metadata, err)
	}
}

// An aborted transaction of more than a fetch brings stays hidden in each of its parts.
func TestLargeAbortedTransactionStaysHidden(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 1, "out")
	abandoned, err := client.NewTransactional(t.Context(), "stage-0")
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.NewChaCha8([32]byte{})
	var msgs []Message
	for range 2 * fetchBytes / 1000 {
		value := make([]byte, 1000) // that no codec makes smaller
		noise.Read(value)
		msgs = append(msgs, Message{Topic: "out", Value: value})
	}
	batches, err := client.route(t.Context(), msgs)
	if err != nil {
		t.Fatal(err)
	}
	if err := abandoned.addPartitions(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	if _, err := abandoned.sender.send(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewTransactional(t.Context(), "stage-0"); err != nil {
		t.Fatal(err)
	}
	if seen := readAll(t, client, "out", 0); len(seen) > 0 {
		t.Errorf("%d of %d aborted records are visible", len(seen), len(msgs))
	}
}

func TestUnusedGroupHasNoOffset(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 1, "in")
	offset, _, err := client.Committed(t.Context(), "nobody", "in", 0)
	if err != nil || offset != -1 {
		t.Errorf("got %d %v, want -1", offset, err)
	}
}

func TestPartitionCountIsFixed(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 4, "in")
	err := client.EnsureTopics(t.Context(), []TopicSpec{{Name: "in", Partitions: 8, Replication: 1}})
	if err == nil {
		t.Fatal("another number of partitions was accepted")
	}
}

func TestDeletedTopicsAreGone(t *testing.T) {
	broker, client := embedded(t, t.TempDir())
	ensure(t, client, 1, "in", "kept")
	for range 2 { // the second time there is nothing to delete
		if err := client.DeleteTopics(t.Context(), []TopicSpec{{Name: "in"}}); err != nil {
			t.Fatal(err)
		}
	}
	other, err := Dial(Config{Brokers: []string{broker.Addr()}, Prefix: "t."})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if n, err := other.Partitions(t.Context(), "in"); !errors.Is(err, ErrNoTopic) {
		t.Errorf("the deleted topic has %d partitions, %v", n, err)
	}
	if _, err := other.Partitions(t.Context(), "kept"); err != nil {
		t.Error(err)
	}
}

func TestRestartKeepsTheLog(t *testing.T) {
	dir := t.TempDir()
	broker, client := embedded(t, dir)
	ensure(t, client, 1, "in")
	producer, _ := client.NewProducer(t.Context())
	msgs := []Message{{Topic: "in", Value: []byte("kept")}}
	if err := producer.Produce(t.Context(), msgs); err != nil {
		t.Fatal(err)
	}
	client.Close()
	broker.Close()
	_, client = embedded(t, dir)
	if diff := cmp.Diff([]string{"kept"}, readAll(t, client, "in", 0)); diff != "" {
		t.Error(diff)
	}
}

func TestOffsetOutOfRangeIsNotJumped(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 1, "in")
	if _, err := client.Fetch(t.Context(), "in", 0, 100, FetchWait); err == nil || Retryable(err) {
		t.Errorf("a fetch past the end gave %v", err)
	}
}

// Values from Kafka's own test of its partitioner (Utils.murmur2 in clients).
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "abc": 479470107,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestBatchRoundTrip(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	enc := newBatchEncoder()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "records")
		msgs := make([]Message, n)
		want := make([]Record, n)
		for i := range msgs {
			key := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "key")
			value := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")
			ts := rapid.Int64Range(0, 1<<42).Draw(t, "timestamp")
			msgs[i] = Message{Timestamp: ts, Key: key, Value: value}
			want[i] = Record{Offset: int64(i), Timestamp: ts, Key: key, Value: value}
		}
		raw := enc.encode(nil, msgs, producerStamp{id: 7, epoch: 1, sequence: 3})
		p := fetchPartition{Records: rawRecords{raw}}
		got, err := p.decode(0, client.zstd)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Records); diff != "" || got.Next != int64(n) {
			t.Fatal(got.Next, diff)
		}
	})
}

func FuzzDecodeBatches(f *testing.F) {
	enc := newBatchEncoder()
	f.Add(enc.encode(nil, []Message{{Value: []byte("x")}, {Key: []byte("k")}}, producerStamp{}))
	f.Add([]byte{})
	client, err := Dial(Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := fetchPartition{Records: rawRecords{data}}
		got, err := p.decode(0, client.zstd)
		if err == nil && len(got.Records) > 0 && got.Next <= got.Records[0].Offset {
			t.Errorf("next %d is not past record %d", got.Next, got.Records[0].Offset)
		}
	})
}

func BenchmarkFetch(b *testing.B) {
	_, client := embedded(b, b.TempDir())
	ensure(b, client, 1, "in")
	producer, _ := client.NewProducer(context.Background())
	const n = 50_000
	msgs := make([]Message, n)
	for i := range msgs {
		msgs[i] = Message{
			Topic: "in", Key: fmt.Appendf(nil, "visitor %d", i%999), Value: fmt.Appendf(nil, "%0300d", i),
		}
	}
	if err := producer.Produce(context.Background(), msgs); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(readAll(b, client, "in", 0)); got != n {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkProduce(b *testing.B) {
	_, client := embedded(b, b.TempDir())
	ensure(b, client, 8, "in")
	producer, _ := client.NewProducer(context.Background())
	const n = 20_000
	msgs := make([]Message, n)
	for i := range msgs {
		msgs[i] = Message{
			Topic: "in", Partition: AnyPartition, Key: fmt.Appendf(nil, "visitor %d", i*7919%9999),
			Value: fmt.Appendf(nil, `{"id":"%d","url":"https://example.com/a/%d","pad":"%0200d"}`,
				i, i%97, i*i),
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := producer.Produce(context.Background(), msgs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func TestRetryable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{ErrFenced, true},
		{ErrOffsetOutOfRange, false},
		{ErrNoTopic, false},
		{context.Canceled, false},
		{context.DeadlineExceeded, true},
		{io.ErrUnexpectedEOF, true},
		{fmt.Errorf("fetch: %w", protocol.NewErrNoLeader("t", 1)), true},
		{rawproduce.NewError(errors.New("mismatching leaders (1!=2)")), true},
		{kafkago.NotLeaderForPartition, true},
		{kafkago.Unknown, true},
		{kafkago.TopicAuthorizationFailed, false},
		{kafkago.MessageSizeTooLarge, false},
	} {
		if got := Retryable(c.err); got != c.want {
			t.Errorf("Retryable(%v) = %t", c.err, got)
		}
	}
}

// A broker that failed to store a batch may take it for a duplicate when it comes again.
func TestUnstoredBatchIsNotSentUnderItsSequence(t *testing.T) {
	requests := 0
	err := retry(t.Context(), func() error {
		requests++
		_, err := produced(&produce.Response{Topics: []produce.ResponseTopic{{
			Topic: "in", Partitions: []produce.ResponsePartition{{ErrorCode: -1}},
		}}})
		return err
	})
	if requests != 1 {
		t.Errorf("asked %d times", requests)
	}
	if !Retryable(err) {
		t.Errorf("a new producer may not try it: %v", err)
	}
}

// What another holder of the same producer id left open is committed, and what others have open is
// left alone.
func TestWhatIsOpenIsCommitted(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 2, "in", "out")
	put := func(tx *Transactional, partition int32) {
		t.Helper()
		batches, err := client.route(t.Context(), []Message{
			{Topic: "out", Partition: partition, Value: []byte("open")},
		})
		if err == nil {
			err = tx.addPartitions(t.Context(), batches)
		}
		if err == nil {
			_, err = tx.sender.send(t.Context(), batches)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other, err := client.NewTransactional(t.Context(), "stage-1")
	if err != nil {
		t.Fatal(err)
	}
	put(other, 0)
	hanging, err := client.NewTransactional(t.Context(), "stage-0")
	if err != nil {
		t.Fatal(err)
	}
	put(hanging, 1)
	open, err := client.open(t.Context(), []string{"out"})
	if err == nil {
		err = hanging.commitOpen(t.Context(), "stage", open)
	}
	if err != nil {
		t.Fatal(err)
	}
	open, err = client.open(t.Context(), []string{"out"})
	if err != nil {
		t.Fatal(err)
	}
	if len(open) != 1 || open[0].partition != 0 {
		t.Errorf("open are %v, want the other's alone", open)
	}
	err = other.Commit(t.Context(), Commit{
		Messages: []Message{{Topic: "out", Partition: 0, Value: []byte("more")}},
		Group:    "stage", Topic: "in", Partition: 1, Offset: 0, Generation: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := append(readAll(t, client, "out", 0), readAll(t, client, "out", 1)...); len(got) != 3 {
		t.Errorf("visible are %q, want what both committed", got)
	}
}
