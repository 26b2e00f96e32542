package faults

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"crumbtrail/schemas"
)

// reader reads the visits while faults happen, as whoever is downstream does.
type reader struct {
	done chan struct{}

	mu       sync.Mutex
	shown    map[place]read
	commits  int // ends of transactions that wrote visits
	aborts   int
	problems []string
}

// newReader reads until the test ends.
func newReader(t *testing.T, address, topic string, partitions int) *reader {
	t.Helper()
	r := &reader{done: make(chan struct{}), shown: map[place]read{}}
	client := newClient(t, address, readCommitted(topic, partitions)...)
	ctx, cancel := context.WithCancel(context.Background())
	go r.run(ctx, client)
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

func (r *reader) run(ctx context.Context, client *kgo.Client) {
	defer close(r.done)
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		r.mu.Lock()
		fetches.EachError(func(topic string, partition int32, err error) {
			const most = 20
			if len(r.problems) < most {
				r.problems = append(r.problems, fmt.Sprintf("%s/%d: %v", topic, partition, err))
			}
		})
		fetches.EachRecord(r.show)
		r.mu.Unlock()
	}
}

// show takes in one record. The key of a control record is a version and a type, 1 for a commit.
func (r *reader) show(record *kgo.Record) {
	if record.Attrs.IsControl() {
		if len(record.Key) == 4 && record.Key[3] == 1 {
			r.commits++
		} else {
			r.aborts++
		}
		return
	}
	at := place{record.Partition, record.Offset}
	visit, err := readVisit(record)
	if err == nil && r.shown[at] != (read{}) && r.shown[at] != visit {
		err = fmt.Errorf("%s was another visit before", describe(record))
	}
	if err != nil {
		r.problems = append(r.problems, err.Error())
		return
	}
	r.shown[at] = visit
}

func readVisit(record *kgo.Record) (read, error) {
	var v schemas.Visit
	if err := proto.Unmarshal(record.Value, &v); err != nil {
		return read{}, fmt.Errorf("%s is no visit: %w", describe(record), err)
	}
	return read{v.VisitId, v.InputPartition, visit{
		site: v.Site, visitor: v.VisitorId, startedUS: v.StartedAtUs, endedUS: v.EndedAtUs,
		beacons: v.Beacons, duplicates: v.Duplicates,
	}}, nil
}

// visits returns how many visits have been shown.
func (r *reader) visits() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.shown)
}

// visitsOf returns how many of them are made of the beacons of a partition.
func (r *reader) visitsOf(input int32) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.shown {
		if v.input == input {
			n++
		}
	}
	return n
}

// transactions returns how many ends of transactions have been shown.
func (r *reader) transactions() (commits, aborts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commits, r.aborts
}

// account returns all that was shown, and what the reader could not make sense of.
func (r *reader) account() (shown map[place]read, problems []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.shown), r.problems
}

// readVisits reads all visits from the first on.
func readVisits(t *testing.T, address, topic string, partitions int) map[place]read {
	t.Helper()
	visits := map[place]read{}
	for _, record := range readAll(t, address, topic, partitions) {
		visit, err := readVisit(record)
		if err != nil {
			t.Fatal(err)
		}
		visits[place{record.Partition, record.Offset}] = visit
	}
	return visits
}

// readLog reads all beacons that stand in the log, in partitions that count for the verdict.
func readLog(
	t *testing.T, address, topic string, partitions int, counts func(partition int32) bool,
) (log []beacon) {
	t.Helper()
	for _, record := range readAll(t, address, topic, partitions) {
		var r schemas.BeaconRecord
		if err := proto.Unmarshal(record.Value, &r); err != nil {
			t.Fatalf("%s is no beacon: %v", describe(record), err)
		}
		if b := r.GetBeacon(); b != nil && counts(record.Partition) {
			log = append(log, beacon{b.EventId, b.Site, b.VisitorId, b.OccurredAtUs})
		}
	}
	return log
}
