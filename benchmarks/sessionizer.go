package benchmarks

import (
	"context"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// sessionizer starts the stage under test.
func (b *bed) sessionizer(ctx context.Context) (*daemon, error) {
	return b.daemon(ctx, "sessionize", "--verbose")
}

// takeOvers waits for what the stage logs of so many partitions.
func (s *daemon) takeOvers(ctx context.Context, partitions int) ([]takeOver, error) {
	for {
		s.mu.Lock()
		took := s.took
		s.mu.Unlock()
		if len(took) >= partitions {
			return took, nil
		}
		if err := s.alive(); err != nil {
			return nil, err
		}
		if !kafka.Pause(ctx, poll) {
			return nil, ctx.Err()
		}
	}
}

// drain waits until the stage has committed all that was appended.
func (b *bed) drain(ctx context.Context, s *daemon) error {
	ends, err := b.client.Ends(ctx, string(schemas.Beacons))
	if err != nil {
		return err
	}
	total := sum(ends)
	bar := progress.New(b.cfg.Progress, progress.Options{What: group, Total: total})
	committed := make([]int64, len(ends))
	for done := int64(0); done < total; {
		if done = 0; s.alive() != nil {
			return s.alive()
		}
		for p := range ends {
			if committed[p] < ends[p] {
				committed[p], _, err = b.client.Committed(ctx, group, string(schemas.Beacons), int32(p))
				if err != nil {
					return err
				}
			}
			done += max(0, committed[p])
		}
		bar.Set(done)
		if !kafka.Pause(ctx, drainPoll) {
			return ctx.Err()
		}
	}
	bar.Done("%d records committed", total)
	return nil
}

// applied waits until the stage has read all that was appended, committed or not.
func (b *bed) applied(ctx context.Context, s *daemon) error {
	ends, err := b.client.Ends(ctx, string(schemas.Beacons))
	if err != nil {
		return err
	}
	for {
		read, err := s.metric(ctx, `crumbtrail_stage_records_in_total{stage="`+group+`"}`)
		if err != nil || read >= float64(sum(ends)) {
			return err
		}
		if !kafka.Pause(ctx, drainPoll) {
			return ctx.Err()
		}
	}
}

func sum(all []int64) (total int64) {
	for _, n := range all {
		total += n
	}
	return total
}
