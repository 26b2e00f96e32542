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

// Gaps says what missing offsets mean to a reader.
type Gaps int

const (
	// GapsExpected is for a topic that is compacted.
	GapsExpected Gaps = iota
	// GapsRefused makes the first gap an error, which is ErrMissing.
	GapsRefused
	// GapsSkipped tells of each gap and goes on behind it: somebody has accepted the loss.
	GapsSkipped
)

// Check returns what to tell of a batch that was read from an offset, and whether that is the end.
func (g Gaps) Check(b Fetched, topic string, partition int32, offset int64) (end bool, err error) {
	if b.Missing == 0 || g == GapsExpected {
		return false, nil
	}
	return g == GapsRefused, fmt.Errorf("%w: %d of those between offset %d and %d of %q partition %d",
		ErrMissing, b.Missing, offset, b.Next, topic, partition)
}

// Follow hands on what a partition has from offset on, batch by batch and one fetch ahead, until
// ctx ends, and then returns nil. It repeats what can be repeated, and tells failed of it.
func Follow(
	ctx context.Context, from Fetcher, topic string, partition int32, offset int64, gaps Gaps,
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
		if end, err := gaps.Check(batch, topic, partition, offset); end {
			return err
		} else if err != nil {
			failed(err)
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
