package stage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

var (
	errNotMember = errors.New("not a member of its group")
	errRestoring = errors.New("its state is being read back")
	errState     = errors.New("the state is larger than its limit")
)

// health tells a prober how the partitions of this process are.
type health struct {
	mu         sync.Mutex
	member     bool
	partitions map[int32]error
}

func (h *health) joined(partitions []int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.member = true
	for _, p := range partitions {
		h.partitions[p] = errRestoring
	}
}

func (h *health) left() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.member = false
}

func (h *health) set(partition int32, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.partitions[partition] = err
}

func (h *health) forget(partition int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.partitions, partition)
}

// halted returns what stopped partitions for good.
func (h *health) halted() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []error
	for _, p := range slices.Sorted(maps.Keys(h.partitions)) {
		if err := h.partitions[p]; !errors.Is(err, errRestoring) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.member {
		return errNotMember
	}
	for _, p := range slices.Sorted(maps.Keys(h.partitions)) {
		if err := h.partitions[p]; err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}
