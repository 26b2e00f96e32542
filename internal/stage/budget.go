package stage

import (
	"fmt"
	"sync"
)

// budget bounds the state of all partitions of a process, in bytes.
type budget struct {
	limit int64 // 0 is none

	mu    sync.Mutex
	sizes []int64
	total int64
}

func newBudget(partitions int, limit int64) *budget {
	return &budget{limit: limit, sizes: make([]int64, partitions)}
}

// set says how large a partition's state is and returns the sum of all.
func (b *budget) set(partition int32, size int64) (total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total += size - b.sizes[partition]
	b.sizes[partition] = size
	return b.total
}

// over returns an error where the sum is more than the limit.
func (b *budget) over(total int64) error {
	if b.limit == 0 || total <= b.limit {
		return nil
	}
	return fmt.Errorf("%w: %d MB in this process, %d MB are allowed; allow more, or run the stage in "+
		"more processes", errState, total>>20, b.limit>>20)
}
