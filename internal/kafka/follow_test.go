package kafka

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// scripted answers fetches one after the other, and then waits.
type scripted []func(offset int64) (Fetched, error)

func (s *scripted) Fetch(
	ctx context.Context, _ string, _ int32, offset int64, _ time.Duration,
) (Fetched, error) {
	if len(*s) == 0 {
		<-ctx.Done()
		return Fetched{Next: offset}, ctx.Err()
	}
	next := (*s)[0]
	*s = (*s)[1:]
	return next(offset)
}

func some(n, missing int64) func(int64) (Fetched, error) {
	return func(offset int64) (Fetched, error) {
		return Fetched{
			Records: make([]Record, n-missing), Next: offset + n, Missing: missing,
		}, nil
	}
}

func broken(err error) func(int64) (Fetched, error) {
	return func(offset int64) (Fetched, error) { return Fetched{Next: offset}, err }
}

func TestFollow(t *testing.T) {
	tests := []struct {
		name     string
		answers  scripted
		gaps     Gaps
		records  int
		repeated int
		err      error
	}{
		{"batches", scripted{some(3, 0), some(0, 0), some(2, 0)}, GapsRefused, 5, 0, nil},
		{"broker away", scripted{some(3, 0), broken(io.EOF), broken(io.EOF), some(2, 0)}, GapsRefused, 5, 2, nil},
		{"overtaken", scripted{some(3, 0), broken(ErrOffsetOutOfRange)}, GapsRefused, 3, 0, ErrOffsetOutOfRange},
		{"hole", scripted{some(3, 0), some(4, 2)}, GapsRefused, 3, 0, ErrMissing},
		{"accepted hole", scripted{some(3, 0), some(4, 2)}, GapsSkipped, 5, 1, nil},
		{"compacted", scripted{some(3, 0), some(4, 2)}, GapsExpected, 5, 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				batches, done := make(chan Fetched), make(chan error, 1)
				repeated := 0
				go func() {
					defer close(batches)
					done <- Follow(ctx, &test.answers, "in", 0, 0, test.gaps, batches,
						func(error) { repeated++ })
				}()
				go func() {
					time.Sleep(time.Minute)
					cancel()
				}()
				records := 0
				for b := range batches {
					records += len(b.Records)
				}
				err := <-done
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				if records != test.records || repeated != test.repeated {
					t.Errorf("%d records, %d repeats, want %d and %d",
						records, repeated, test.records, test.repeated)
				}
				time.Sleep(time.Minute) // the canceller ends with the bubble
			})
		})
	}
}
