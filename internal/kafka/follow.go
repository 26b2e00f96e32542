package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrMissing means that offsets in the middle of a topic that is not compacted are not in the log
// any more. Going on behind them would lose records silently, so nobody does.
var ErrMissing = errors.New("records are missing in the middle of the topic")

// Fetcher is the part of a Client that reads.
type Fetcher interface {
	Fetch(
		ctx context.Context, topic string, partition int32, offset int64, wait time.Duration,
	) (Fetched, error)
}

const (
	followFirst = 50 * time.Millisecond
	followMost  = 5 * time.Second
)

// Follow hands on what a partition has from offset on, batch by batch and one fetch ahead, until
// ctx ends, and then returns nil. It repeats what can be repeated, and tells failed of it. Where
// complete is true the topic is not compacted, and a gap in its offsets is ErrMissing.
func Follow(
	ctx context.Context, from Fetcher, topic string, partition int32, offset int64, complete bool,
	batches chan<- Fetched, failed func(error),
) error {
	pause := followFirst
	for ctx.Err() == nil {
		batch, err := from.Fetch(ctx, topic, partition, offset, FetchWait)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause = followFirst
		case Retryable(err):
			failed(err)
			Pause(ctx, pause)
			pause = min(2*pause, followMost)
			continue
		default:
			return err
		}
		if complete && batch.Missing > 0 {
			return fmt.Errorf("%w: %d between offset %d and %d of %q partition %d",
				ErrMissing, batch.Missing, offset, batch.Next, topic, partition)
		}
		if batch.Next == offset {
			continue
		}
		offset = batch.Next
		select {
		case batches <- batch:
		case <-ctx.Done():
		}
	}
	return nil
}
