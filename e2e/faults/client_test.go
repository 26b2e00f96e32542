package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newClient connects a client that comes back quickly from a bounce of the broker.
func newClient(t *testing.T, address string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(address), kgo.DisableClientMetrics(), kgo.AlwaysRetryEOF(),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.RetryTimeout(2 * time.Minute), kgo.RequestRetries(1000),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// createTopic makes a topic whose records have the time that their producer gives them, and stay.
func createTopic(t *testing.T, client *kgo.Client, topic string, partitions int) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	spec := kmsg.NewCreateTopicsRequestTopic()
	spec.Topic, spec.NumPartitions, spec.ReplicationFactor = topic, int32(partitions), 1
	for name, value := range map[string]string{
		"message.timestamp.type": "CreateTime", "retention.ms": "-1",
	} {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, &value
		spec.Configs = append(spec.Configs, config)
	}
	req.Topics = append(req.Topics, spec)
	res, err := req.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// What offsets may be asked for.
const (
	earliest = -2
	latest   = -1
)

// offsets returns where a read_committed reader of each partition begins, or ends.
func offsets(
	t *testing.T, client *kgo.Client, topic string, partitions int, which int64,
) []int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, 1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for p := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = int32(p), which
		of.Partitions = append(of.Partitions, partition)
	}
	req.Topics = append(req.Topics, of)
	res, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatalf("offsets of %s: %v", topic, err)
	}
	out := make([]int64, partitions)
	for _, p := range res.Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			t.Fatalf("offsets of %s partition %d: %v", topic, p.Partition, err)
		}
		out[p.Partition] = p.Offset
	}
	return out
}

// deleteBefore deletes the records of a partition before an offset.
func deleteBefore(t *testing.T, client *kgo.Client, topic string, partition int32, offset int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	of := kmsg.NewDeleteRecordsRequestTopic()
	of.Topic = topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	of.Partitions = append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	res, err := req.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("delete records of %s partition %d: %v", topic, partition, err)
	}
}

// commit is what a stage has committed of a partition: the offset up to which it has read, and the
// one whose state the changelog has. Both are -1 where there is none.
type commit struct{ offset, checkpoint int64 }

// committed returns what a stage has committed. No transaction is open then.
func committed(
	t *testing.T, client *kgo.Client, group, topic string, partitions int,
) []commit {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	of := kmsg.NewOffsetFetchRequestGroup()
	of.Group = group
	in := kmsg.NewOffsetFetchRequestGroupTopic()
	in.Topic = topic
	out := make([]commit, partitions)
	for p := range partitions {
		in.Partitions = append(in.Partitions, int32(p))
		out[p] = commit{-1, -1}
	}
	of.Topics = append(of.Topics, in)
	req.Groups = append(req.Groups, of)
	res, err := req.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(res.Groups[0].ErrorCode)
	}
	if errors.Is(err, kerr.GroupIDNotFound) { // no member yet
		return out
	}
	if err != nil {
		t.Fatalf("offsets of group %s: %v", group, err)
	}
	for _, of := range res.Groups[0].Topics {
		for _, p := range of.Partitions {
			if p.Offset < 0 || p.Metadata == nil {
				continue
			}
			var metadata struct{ C int64 }
			if err := json.Unmarshal([]byte(*p.Metadata), &metadata); err != nil {
				t.Fatalf("group %s partition %d: metadata %q: %v", group, p.Partition, *p.Metadata, err)
			}
			out[p.Partition] = commit{p.Offset, metadata.C}
		}
	}
	return out
}

// takeID takes a transactional id over, as an instance does that was started by mistake.
func takeID(t *testing.T, client *kgo.Client, id string) {
	t.Helper()
	eventually(t, patience, "transactional id "+id, func() bool {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &id, 10_000
		req.ProducerID, req.ProducerEpoch = -1, -1
		res, err := req.RequestWith(t.Context(), client)
		return err == nil && res.ErrorCode == 0
	})
}

// fromStart reads whole partitions from their first record.
func fromStart(topic string, partitions int) kgo.Opt {
	at := map[int32]kgo.Offset{}
	for p := range partitions {
		at[int32(p)] = kgo.NewOffset().AtStart()
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at})
}

// readCommitted are the options of a reader that sees committed records alone, the ends of
// transactions too, and never goes on elsewhere than where it was.
func readCommitted(topic string, partitions int) []kgo.Opt {
	return []kgo.Opt{
		fromStart(topic, partitions), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(250 * time.Millisecond),
	}
}

// readAll reads a topic from its first record to its end.
func readAll(t *testing.T, address, topic string, partitions int) (records []*kgo.Record) {
	t.Helper()
	client := newClient(t, address, readCommitted(topic, partitions)...)
	defer client.Close()
	from := offsets(t, client, topic, partitions, earliest)
	to := offsets(t, client, topic, partitions, latest)
	left := 0
	for p := range to {
		if from[p] < to[p] {
			left++
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			t.Errorf("read %s partition %d: %v", topic, partition, err)
		})
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= to[r.Partition] {
				return
			}
			if r.Offset == to[r.Partition]-1 {
				left--
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	return records
}

func describe(r *kgo.Record) string {
	return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
}
