package stage

import (
	"context"
	"errors"
	"sync"
)

// progress tells waiters how far each partition has got.
type progress struct {
	mu      sync.Mutex
	settled []int64
	failed  map[int32]error
	moved   chan struct{} // closed and replaced at each move
}

func newProgress(partitions int) *progress {
	return &progress{
		settled: make([]int64, partitions), failed: map[int32]error{}, moved: make(chan struct{}),
	}
}

// settle says that everything before offset has been applied and committed.
func (p *progress) settle(partition int32, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled[partition] == offset && p.failed[partition] == nil {
		return
	}
	p.settled[partition] = offset
	delete(p.failed, partition)
	p.wake()
}

// fail says that a partition goes no further.
func (p *progress) fail(partition int32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed[partition] = err
	p.wake()
}

func (p *progress) wake() {
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *progress) wait(ctx context.Context, ends []int64) error {
	for {
		p.mu.Lock()
		behind := false
		var failed []error
		for i, settled := range p.settled {
			if settled < ends[i] {
				behind = true
				failed = append(failed, p.failed[int32(i)])
			}
		}
		moved := p.moved
		p.mu.Unlock()
		if err := errors.Join(failed...); err != nil {
			return err
		}
		if !behind {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
