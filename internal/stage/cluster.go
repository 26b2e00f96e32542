package stage

import (
	"context"

	"crumbtrail/internal/kafka"
)

// Cluster is what a stage asks of Kafka; OnKafka has the real one.
type Cluster interface {
	kafka.Fetcher
	// Partitions returns how many partitions a topic has.
	Partitions(ctx context.Context, topic string) (int, error)
	// TopicConfig returns the broker's settings of a topic.
	TopicConfig(ctx context.Context, topic string) (map[string]string, error)
	// Starts and Ends return for each partition the oldest offset that is there and the one that a
	// read_committed reader ends at.
	Starts(ctx context.Context, topic string) ([]int64, error)
	Ends(ctx context.Context, topic string) ([]int64, error)
	// Committed returns what a group has committed for a partition, offset -1 where it has nothing.
	Committed(
		ctx context.Context, group, topic string, partition int32,
	) (offset int64, metadata string, err error)
	// Transactional fences whoever had the id before and settles its open transaction.
	Transactional(ctx context.Context, id string, reach kafka.Reach) (Transactional, error)
	// Share calls hold for each generation of the group, until ctx ends; see kafka.Client.Share.
	Share(
		ctx context.Context, group, topic string, hold func(context.Context, kafka.Assignment),
		joining func(error),
	) error
}

// Transactional commits outputs and input offset together. After an error it is thrown away.
type Transactional interface {
	Commit(ctx context.Context, c kafka.Commit) error
}

// OnKafka is the cluster that a client is connected to.
func OnKafka(client *kafka.Client) Cluster { return onKafka{client} }

type onKafka struct{ *kafka.Client }

// Transactional is the method of Cluster.
func (k onKafka) Transactional(
	ctx context.Context, id string, reach kafka.Reach,
) (Transactional, error) {
	t, err := k.NewTransactional(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := t.Close(ctx, reach); err != nil {
		return nil, err
	}
	return t, nil
}
