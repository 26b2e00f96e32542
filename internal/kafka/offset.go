package kafka

import (
	"context"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Committed returns the offset that a group has committed for a partition and the metadata that
// was committed with it; offset is -1 where there is none. An offset that a transaction is about to
// change is waited for. After InitProducerID of the partition's transactional id nothing can change
// it any more.
func (c *Client) Committed(
	ctx context.Context, group, topic string, partition int32,
) (offset int64, metadata string, err error) {
	err = retry(ctx, func() error {
		offset, metadata, err = c.committed(ctx, group, topic, partition)
		return err
	})
	if err != nil {
		return -1, "", fmt.Errorf("committed offset of group %q on %q partition %d: %w",
			c.prefix+group, c.prefix+topic, partition, err)
	}
	return offset, metadata, nil
}

// committed asks once.
func (c *Client) committed(
	ctx context.Context, group, topic string, partition int32,
) (offset int64, metadata string, err error) {
	m, err := c.transport.RoundTrip(ctx, c.client.Addr, &offsetFetchRequest{
		GroupID: c.prefix + group, RequireStable: true,
		Topics: []offsetFetchTopic{{Name: c.prefix + topic, Partitions: []int32{partition}}},
	})
	if err != nil {
		return -1, "", err
	}
	return m.(*offsetFetchResponse).only()
}

// only returns the answer for the one partition that was asked for.
func (r *offsetFetchResponse) only() (offset int64, metadata string, err error) {
	code := kafkago.Error(r.ErrorCode)
	// A group that was never used: Kafka says offset -1, kfake says 69 and no topic.
	if code != 0 && !errors.Is(code, kafkago.GroupIdNotFound) {
		return -1, "", code
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return -1, "", kafkago.Error(p.ErrorCode)
			}
			if p.Offset >= 0 {
				return p.Offset, p.Metadata, nil
			}
		}
	}
	return -1, "", nil
}

// offsetFetchRequest and its answer take the place of kafka-go's own in its table of messages,
// which ends at version 5: version 7 (KIP-447) can ask for stable offsets alone. Without that a
// broker answers with the offset before while a transaction is being settled, and says nothing.
type offsetFetchRequest struct {
	_ struct{} `kafka:"min=v7,max=v7,tag"` // flexible

	GroupID       string             `kafka:"min=v7,max=v7"`
	Topics        []offsetFetchTopic `kafka:"min=v7,max=v7"`
	RequireStable bool               `kafka:"min=v7,max=v7"`
}

type offsetFetchTopic struct {
	_ struct{} `kafka:"min=v7,max=v7,tag"`

	Name       string  `kafka:"min=v7,max=v7"`
	Partitions []int32 `kafka:"min=v7,max=v7"`
}

// ApiKey names the request.
func (*offsetFetchRequest) ApiKey() protocol.ApiKey { return protocol.OffsetFetch }

// Group has the request sent to the group's coordinator.
func (r *offsetFetchRequest) Group() string { return r.GroupID }

type offsetFetchResponse struct {
	_ struct{} `kafka:"min=v7,max=v7,tag"`

	ThrottleTimeMs int32               `kafka:"min=v7,max=v7"`
	Topics         []offsetFetchResult `kafka:"min=v7,max=v7"`
	ErrorCode      int16               `kafka:"min=v7,max=v7"`
}

// ApiKey names the request that this answers.
func (*offsetFetchResponse) ApiKey() protocol.ApiKey { return protocol.OffsetFetch }

type offsetFetchResult struct {
	_ struct{} `kafka:"min=v7,max=v7,tag"`

	Name       string                 `kafka:"min=v7,max=v7"`
	Partitions []offsetFetchPartition `kafka:"min=v7,max=v7"`
}

type offsetFetchPartition struct {
	_ struct{} `kafka:"min=v7,max=v7,tag"`

	Partition   int32  `kafka:"min=v7,max=v7"`
	Offset      int64  `kafka:"min=v7,max=v7"`
	LeaderEpoch int32  `kafka:"min=v7,max=v7"`
	Metadata    string `kafka:"min=v7,max=v7,nullable"`
	ErrorCode   int16  `kafka:"min=v7,max=v7"`
}

// The table must be changed before the first request, and a package has no earlier moment.
var _ = registerStableOffsetFetch()

func registerStableOffsetFetch() struct{} {
	protocol.Register(&offsetFetchRequest{}, &offsetFetchResponse{})
	return struct{}{}
}
