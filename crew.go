package main

import (
	"context"
	"crypto/sha256"
	"fmt"

	"crumbtrail/internal/kafka"
	"crumbtrail/lake"
	"crumbtrail/schemas"
)

// lakeCrew is the processes that write the lake of this data directory. Their group has the
// directory's own name: another directory is another lake, with all partitions in it. A copy that
// lies elsewhere is another one, too.
func (p *pipeline) lakeCrew() (*lake.Crew, error) {
	id, err := kept(p.data, "lake-id", 0o644, schemas.NewID)
	if err != nil {
		return nil, err
	}
	group := fmt.Sprintf("lake-%.8x", sha256.Sum256([]byte(id+"\x00"+p.data)))
	share := func(
		ctx context.Context, topic string, hold func(context.Context, kafka.Assignment),
		joining func(error),
	) error {
		return p.client.Share(ctx, group, topic, hold, joining)
	}
	return &lake.Crew{Share: share, Session: p.cfg.Kafka.SessionTimeout}, nil
}
