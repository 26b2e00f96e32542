package lake

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// erasures follows the topic of erasures, whoever copies it, for the partitions of this process.
type erasures struct {
	reader Source
	log    *slog.Logger
	// grace is how long a file stays that holds rows of somebody who was erased: a query that began
	// before may still read it.
	grace time.Duration
	// hurry asks for a cycle: something is to be published.
	hurry chan struct{}

	mu   sync.Mutex
	list []*erasure
	// next is the offset after the last that was read.
	next int64
	// ends are where topics ended after it had been read: a person's rows, but for those that a
	// filter knows, are of records before that.
	ends map[string][]int64

	filter atomic.Pointer[filter]
}

func newErasures(reader Source, grace time.Duration, log *slog.Logger) *erasures {
	e := &erasures{reader: reader, log: log, grace: grace, hurry: make(chan struct{}, 1)}
	e.filter.Store(newFilter(nil))
	return e
}

// load reads what is on the topic.
func (e *erasures) load(ctx context.Context) error {
	ends, err := e.reader.Ends(ctx, string(schemas.Erasures))
	if err != nil {
		return err
	}
	starts, err := e.reader.Starts(ctx, string(schemas.Erasures))
	if err != nil {
		return err
	}
	for e.next = starts[0]; e.next < ends[0]; {
		if err := e.read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// follow reads on until ctx ends.
func (e *erasures) follow(ctx context.Context) error {
	batches := make(chan kafka.Fetched)
	failed := make(chan error, 1)
	go func() {
		defer close(batches)
		failed <- kafka.Follow(ctx, e.reader, string(schemas.Erasures), 0, e.position(),
			kafka.GapsExpected, batches, func(err error) {
				e.log.Warn("fetch erasures for the lake", "err", err)
			})
	}()
	for batch := range batches {
		for pause := retryFirst; ; pause = min(2*pause, retryMost) {
			err := e.take(ctx, batch)
			if err == nil || ctx.Err() != nil {
				break
			}
			e.log.Warn("see how far topics reach, to erase", "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
	return <-failed
}

func (e *erasures) read(ctx context.Context) error {
	batch, err := e.reader.Fetch(ctx, string(schemas.Erasures), 0, e.next, kafka.FetchWait)
	if err != nil {
		return err
	}
	return e.take(ctx, batch)
}

// take adds what was read. A record that nobody can read is among the bad beacons.
func (e *erasures) take(ctx context.Context, batch kafka.Fetched) error {
	var read []*erasure
	for _, r := range batch.Records {
		one := &erasure{Erasure: &schemas.Erasure{}, offset: r.Offset}
		if r.Value != nil && one.UnmarshalVT(r.Value) == nil {
			read = append(read, one)
		}
	}
	if len(read) == 0 {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.next = batch.Next
		return nil
	}
	ends := map[string][]int64{}
	for _, topic := range Topics() {
		at, err := e.reader.Ends(ctx, topic)
		if err != nil {
			return err
		}
		ends[topic] = at
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, read...)
	e.filter.Store(newFilter(e.list))
	e.next, e.ends = batch.Next, ends
	e.again(0)
	return nil
}

// again asks for a cycle after a while.
func (e *erasures) again(after time.Duration) {
	time.AfterFunc(after, func() {
		select {
		case e.hurry <- struct{}{}:
		default: // the one that is asked for will do
		}
	})
}

func (e *erasures) position() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.next
}

// due are the erasures from an offset of their topic on that a partition's files are to be searched
// for, now that it has come to next, and the offset behind them; none while rows may be missing.
func (e *erasures) due(s source, next, from int64) (list []*erasure, to int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ends := e.ends[s.topic]
	if int(s.partition) < len(ends) && next < ends[s.partition] {
		return nil, from
	}
	at := slices.IndexFunc(e.list, func(one *erasure) bool { return one.offset >= from })
	if at < 0 {
		return nil, from
	}
	return slices.Clone(e.list[at:]), e.list[len(e.list)-1].offset + 1
}

// erasing is how far a partition is with the erasures that its files are searched for.
type erasing struct {
	// found gives what a search has come to; nil: none is under way.
	found chan cleared
	// to is up to which offset of erasures the files were searched, and what was found is not in
	// them any more. It is published once files that hold it are gone.
	to int64
	// number is the manifest by which that was so, us when.
	number, us int64
}

// cleared is what a search has come to.
type cleared struct {
	to int64
	// replacements are of one file each, with nothing instead where no row is left.
	replacements []replacement
	// rows are how many were taken out, by request and table.
	rows map[string]tableRows
	err  error
}

// tableRows are rows by table.
type tableRows map[string]int64

// addRows adds up rows by request and table.
func addRows(to map[string]tableRows, request, table string, rows int64) {
	if rows == 0 {
		return
	}
	if to[request] == nil {
		to[request] = tableRows{}
	}
	to[request][table] += rows
}

func cloneRows(of map[string]tableRows) map[string]tableRows {
	all := map[string]tableRows{}
	for request, tables := range of {
		for table, rows := range tables {
			addRows(all, request, table, rows)
		}
	}
	return all
}
