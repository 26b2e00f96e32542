package kafka

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// ErrFenced means that another instance owns this transactional id or partition now, or that the
// transaction timed out: what was under way is void, and nothing more of it may be written (V4).
var ErrFenced = errors.New("another instance has taken over, or the transaction timed out")

// ErrOffsetOutOfRange means that retention or a deletion has overtaken a reader. Going on from
// elsewhere would lose records silently, so nobody does.
var ErrOffsetOutOfRange = errors.New("offset out of range: its records are gone from the topic")

// ErrNoTopic means that the cluster does not have a topic.
var ErrNoTopic = errors.New("the cluster has no such topic")

// errUnstored means that a broker could not store a batch and may have counted its sequence as used
// all the same: the batch sent again under it would be taken for a duplicate, and acknowledged.
var errUnstored = errors.New("the broker could not store the batch")

// Retryable says whether the same request, or the whole step that it was part of, may succeed
// later without anybody's help.
func Retryable(err error) bool {
	switch {
	case err == nil, errors.Is(err, ErrOffsetOutOfRange):
		return false
	case errors.Is(err, ErrFenced):
		return true // as a new instance: initialise, read back, replay
	case errors.Is(err, context.Canceled):
		return false // somebody asked to stop
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrNoProgress):
		return true // the broker or the way to it is away
	case errors.Is(err, protocol.ErrNoLeader), errors.Is(err, protocol.ErrNoTopic),
		errors.Is(err, protocol.ErrNoPartition):
		return true // the client's metadata is behind: an election, or a topic that was just made
	}
	var moved *rawproduce.Error
	if errors.As(err, &moved) {
		return true // partitions of one request have come to several leaders
	}
	var code kafkago.Error
	if errors.As(err, &code) {
		// Kafka's own word on the code, and the broker's catch-all (-1), which says "not durable".
		return code.Temporary() || code.Timeout() || code == kafkago.Unknown ||
			transient(code) || unsettled(code) || expelled(code)
	}
	var dial net.Error
	return errors.As(err, &dial)
}

// transient says that the same request will be answered as soon as the broker has finished
// something of its own: elect, load or settle an earlier transaction.
func transient(code kafkago.Error) bool {
	switch code {
	case kafkago.ConcurrentTransactions, kafkago.GroupCoordinatorNotAvailable,
		kafkago.NotCoordinatorForGroup, kafkago.GroupLoadInProgress,
		kafkago.LeaderNotAvailable, kafkago.NotLeaderForPartition,
		kafkago.UnknownTopicOrPartition, kafkago.NotController:
		return true
	}
	return false
}

// unsettled says that a producer's identity is no longer good and a new one must be asked for.
func unsettled(code kafkago.Error) bool {
	switch code {
	case kafkago.OutOfOrderSequenceNumber, kafkago.InvalidProducerEpoch,
		kafkago.UnknownProducerId, kafkago.InvalidProducerIDMapping,
		kafkago.InvalidTransactionState, kafkago.ProducerFenced:
		return true
	}
	return false
}

// expelled says that a member's generation is over: its partitions may be somebody else's.
func expelled(code kafkago.Error) bool {
	switch code {
	case kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress:
		return true
	}
	return false
}

// fenced turns the codes that mean fenced or timed out (47, 48 on kfake, 90), and those that say
// that the generation is over, into ErrFenced.
func fenced(err error) error {
	var code kafkago.Error
	if !errors.As(err, &code) || errors.Is(err, ErrFenced) {
		return err
	}
	switch code {
	case kafkago.InvalidProducerEpoch, kafkago.InvalidTransactionState, kafkago.ProducerFenced:
	default:
		if !expelled(code) {
			return err
		}
	}
	return errors.Join(ErrFenced, err)
}

const (
	retryFirst = 5 * time.Millisecond
	retryMost  = time.Second
)

// retry runs one idempotent request until it is answered for good or ctx ends.
func retry(ctx context.Context, request func() error) error {
	return repeat(ctx, request, func(err error) bool {
		var code kafkago.Error
		stale := errors.As(err, &code) && unsettled(code)
		var moved *rawproduce.Error
		return Retryable(err) && !stale && !errors.Is(err, ErrFenced) &&
			!errors.Is(err, errUnstored) && !errors.As(err, &moved)
	})
}

// settle runs one request of a transaction, and again only where the broker said for certain that
// it did nothing yet. A lost answer is an error: only a new producer knows what became of it.
func settle(ctx context.Context, request func() error) error {
	return repeat(ctx, request, func(err error) bool {
		var code kafkago.Error
		return errors.As(err, &code) && transient(code)
	})
}

// repeat pauses between attempts, twice as long each time and jittered, so that clients do not
// come back together. Nothing is asked any more once ctx has ended.
func repeat(ctx context.Context, request func() error, again func(error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pause := retryFirst
	for {
		err := request()
		if err == nil || !again(err) {
			return err
		}
		if !Pause(ctx, pause) {
			return errors.Join(ctx.Err(), err)
		}
		pause = min(2*pause, retryMost)
	}
}

// Pause waits between half of d and d, and returns false where ctx ended first. How long comes from
// the clock's nanoseconds, which clients do not share, and which a test in fake time repeats.
func Pause(ctx context.Context, d time.Duration) bool {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	timer := time.NewTimer(d/2 + time.Duration(rng.Int64N(int64(d/2)+1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
