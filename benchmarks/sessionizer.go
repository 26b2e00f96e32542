package benchmarks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// sessionizer is a run of the stage under test.
type sessionizer struct {
	*process
	url string // of its admin listener
}

func (b *bed) sessionizer(ctx context.Context) (*sessionizer, error) {
	p, err := b.launch(ctx, "sessionize", "--verbose", "--brokers", b.brokers,
		"--admin-listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	url, err := p.address(ctx)
	return &sessionizer{process: p, url: url}, err
}

// ready waits until the stage says that it is: it has the state of all its partitions.
func (s *sessionizer) ready(ctx context.Context) error {
	for {
		_, status, err := s.get(ctx, "/readyz")
		if err != nil || status == http.StatusOK {
			return err
		}
		if !kafka.Pause(ctx, poll) {
			return ctx.Err()
		}
	}
}

// get asks the admin listener.
func (s *sessionizer) get(ctx context.Context, path string) (text []byte, status int, err error) {
	if err := s.alive(); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, s.failed(err)
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	return text, res.StatusCode, err
}

// takeOvers waits for what the stage logs of so many partitions.
func (s *sessionizer) takeOvers(ctx context.Context, partitions int) ([]takeOver, error) {
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
func (b *bed) drain(ctx context.Context, s *sessionizer) error {
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
func (b *bed) applied(ctx context.Context, s *sessionizer) error {
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

// metric reads one of the process's metrics.
func (s *sessionizer) metric(ctx context.Context, name string) (float64, error) {
	text, _, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s: no metric %s", s.name, name)
}

func sum(all []int64) (total int64) {
	for _, n := range all {
		total += n
	}
	return total
}
