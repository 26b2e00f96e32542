package benchmarks

import (
	"context"
	"fmt"
	"time"

	"crumbtrail/benchmarks/load"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// Recovery is how a sessionizer came back with its open visits.
type Recovery struct {
	Visits int `json:"visits"`
	// After is how the run before ended: "kill" with a whole round of beacons since its checkpoint,
	// or "stop".
	After string `json:"after"`
	// Seconds is from the start of the process until it said that it was ready. After a kill the
	// group first waits until the dead member's session is over.
	Seconds float64 `json:"seconds"`
	// RestoreSeconds is the longest that one partition took of it.
	RestoreSeconds float64 `json:"restore_seconds"`
	// Keys were read from the changelog, Replayed records from the input after the checkpoint.
	Keys     int64 `json:"keys"`
	Replayed int64 `json:"replayed"`
	// CoreSeconds and PeakRSSBytes are those of the process up to then.
	CoreSeconds  float64 `json:"core_seconds"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
	// ChangelogBytes are all keys and values that lie in the changelog.
	ChangelogBytes int64 `json:"changelog_bytes"`

	used usage
}

// The visits that stay open are seen once in each round. Before them come brief ones, whose visits
// close after the last round, by the default gap and grace: input is committed with output.
const (
	rounds      = 3
	roundLength = 5 * time.Minute
	firstRound  = 15 * time.Minute
	brief       = 256
	briefClosed = 32 * time.Minute
)

// rareCheckpoints leave all the time that is needed to append a round before the next one.
const rareCheckpoints = "stages: {checkpoint: 1h}\n"

// Recover measures how long the sessionizer takes to come back with so many open visits, for each
// of the sizes. Events are the beacons in those visits, once for each time that they came back.
func Recover(ctx context.Context, cfg Config, sizes []int) (Result, error) {
	r := Result{Name: "recovery"}
	for _, visits := range sizes {
		pair, err := recoverTwice(ctx, cfg, visits)
		if err != nil {
			return r, fmt.Errorf("%d open visits: %w", visits, err)
		}
		r.Recoveries = append(r.Recoveries, pair...)
	}
	for _, v := range r.Recoveries {
		r.Events += v.Visits * rounds
		r.Seconds += v.Seconds
	}
	for _, v := range r.Recoveries {
		r.took(v.used)
	}
	return r, nil
}

// recoverTwice lets a sessionizer come back after a kill and after a stop.
func recoverTwice(ctx context.Context, cfg Config, visits int) (both []Recovery, err error) {
	b, err := makeBed(ctx, cfg, rareCheckpoints)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.preload(ctx, rounds*visits, b.openVisits(visits, 0, rounds-1)); err != nil {
		return nil, err
	}
	if err := b.checkpointed(ctx); err != nil {
		return nil, err
	}
	s, err := b.sessionizer(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if err := b.preload(ctx, rounds*visits, b.openVisits(visits, rounds-1, rounds)); err != nil {
		return nil, err
	}
	if err := b.drain(ctx, s); err != nil {
		return nil, err
	}
	s.kill()
	for _, after := range []string{"kill", "stop"} {
		s, v, err := b.recovery(ctx)
		if err != nil {
			return nil, err
		}
		v.Visits, v.After = visits, after
		both = append(both, v)
		if after == "kill" && v.Replayed < int64(visits) {
			return nil, fmt.Errorf("only %d records were replayed: a checkpoint was written between the "+
				"last round and the kill", v.Replayed)
		}
		if err := s.stop(); err != nil {
			return nil, err
		}
	}
	return both, b.closeVisits(ctx)
}

// openVisits writes rounds of the visits that stay open, the brief ones before the first round,
// and after the last one the time at which those have closed.
func (b *bed) openVisits(visits, from, to int) (next func() bool) {
	n := from * visits
	if from == 0 {
		n -= brief
	}
	step := roundLength / time.Duration(visits)
	return func() bool {
		switch {
		case n < 0:
			at := load.Start().UnixMicro()
			b.writer.Beacon(uint64(visits-1-n), at, at)
		case n < to*visits:
			at := load.Start().Add(firstRound + time.Duration(n)*step).UnixMicro()
			b.writer.Beacon(uint64(n%visits), at, at)
		case to == rounds:
			b.writer.Tick(load.Start().Add(briefClosed).UnixMicro())
			return false
		default:
			return false
		}
		n++
		return true
	}
}

// checkpointed runs the sessionizer until all that was appended is in a checkpoint.
func (b *bed) checkpointed(ctx context.Context) error {
	s, err := b.sessionizer(ctx)
	if err != nil {
		return err
	}
	if err := b.applied(ctx, s); err != nil {
		return err
	}
	return s.stop()
}

// recovery starts the sessionizer and waits until it is ready.
func (b *bed) recovery(ctx context.Context) (*daemon, Recovery, error) {
	var v Recovery
	err := b.scan(ctx, string(schemas.SessionizeChangelog), func(r *kafka.Record) error {
		v.ChangelogBytes += int64(len(r.Key) + len(r.Value))
		return nil
	})
	if err != nil {
		return nil, v, err
	}
	s, err := b.sessionizer(ctx)
	if err != nil {
		return s, v, err
	}
	if err := s.ready(ctx); err != nil {
		return s, v, err
	}
	v.Seconds, v.used = time.Since(s.began).Seconds(), s.using()
	v.CoreSeconds, v.PeakRSSBytes = v.used.core().Seconds(), v.used.peakRSSBytes
	partitions, err := s.takeOvers(ctx, b.partitions)
	for _, p := range partitions {
		v.RestoreSeconds = max(v.RestoreSeconds, p.Seconds)
		v.Keys += p.Keys
		v.Replayed += p.Offset - p.Checkpoint
	}
	return s, v, err
}

// closeVisits has every visit come out, and checks them.
func (b *bed) closeVisits(ctx context.Context) error {
	s, err := b.sessionizer(ctx)
	if err != nil {
		return err
	}
	b.writer.Flush(load.Start().Add(briefClosed).UnixMicro())
	if err := b.producer.Produce(ctx, b.writer.Take()); err != nil {
		return err
	}
	if err := b.drain(ctx, s); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	_, err = b.check(ctx)
	return err
}
