package stage

import (
	"context"
	"sync"
)

// progress tells waiters how far each partition has got.
type progress struct {
	mu      sync.Mutex
	settled []int64
	moved   chan struct{} // closed and replaced at each move
}

func newProgress(partitions int) *progress {
	return &progress{settled: make([]int64, partitions), moved: make(chan struct{})}
}

// settle says that everything before offset has been applied and committed.
func (p *progress) settle(partition int32, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled[partition] == offset {
		return
	}
	p.settled[partition] = offset
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *progress) wait(ctx context.Context, ends []int64) error {
	for {
		p.mu.Lock()
		behind := false
		for i, settled := range p.settled {
			behind = behind || settled < ends[i]
		}
		moved := p.moved
		p.mu.Unlock()
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
