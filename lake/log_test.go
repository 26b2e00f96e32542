package lake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// Log is topics in memory. A fetch hands out at most Batch records.
type Log struct {
	Batch int

	mu     sync.Mutex
	topics map[string][][]kafka.Record
	grown  signal
}

// NewLog makes every topic of the lake with as many partitions.
func NewLog(partitions int) *Log {
	l := &Log{Batch: 7, topics: map[string][][]kafka.Record{}}
	for _, topic := range Topics() {
		l.topics[topic] = make([][]kafka.Record, partitions)
	}
	return l
}

// Message is what every message on a topic can do.
type Message interface{ MarshalVT() ([]byte, error) }

// Append adds a record to the end of a partition.
func (l *Log) Append(topic schemas.Topic, partition int, m Message) {
	value, err := m.MarshalVT()
	if err != nil {
		panic(err)
	}
	l.AppendRaw(topic, partition, value)
}

// AppendRaw is Append for any bytes.
func (l *Log) AppendRaw(topic schemas.Topic, partition int, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.topics[string(topic)][partition]
	*p = append(*p, kafka.Record{Offset: int64(len(*p)), Timestamp: 1_767_225_600_000, Value: value})
	l.grown.raise()
}

// AllEnds is by topic and partition where a topic ends.
func (l *Log) AllEnds() map[string][]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := map[string][]int64{}
	for topic, partitions := range l.topics {
		for _, records := range partitions {
			ends[topic] = append(ends[topic], int64(len(records)))
		}
	}
	return ends
}

// Starts is the method of Source.
func (l *Log) Starts(_ context.Context, topic string) ([]int64, error) {
	return make([]int64, len(l.topics[topic])), nil
}

// Ends is the method of Source.
func (l *Log) Ends(_ context.Context, topic string) ([]int64, error) {
	return l.AllEnds()[topic], nil
}

// Fetch is the method of Source; at the end of a partition it waits for more.
func (l *Log) Fetch(
	ctx context.Context, topic string, partition int32, offset int64, _ time.Duration,
) (kafka.Fetched, error) {
	for {
		grown := l.grown.wait()
		l.mu.Lock()
		records := l.topics[topic][partition]
		l.mu.Unlock()
		if end := int64(len(records)); offset < end {
			next := min(offset+int64(l.Batch), end)
			return kafka.Fetched{Records: records[offset:next], Next: next, Stable: end}, nil
		} else if offset > end {
			return kafka.Fetched{}, fmt.Errorf("offset %d: %w", offset, kafka.ErrOffsetOutOfRange)
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return kafka.Fetched{Next: offset}, ctx.Err()
		}
	}
}
