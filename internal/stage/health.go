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
	// standby are the partitions whose state is followed, true where all of it is here.
	standby map[int32]bool
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

// stand says whether all of a followed partition's state is here. It returns whether that is new,
// and how many there are of which it is.
func (h *health) stand(partition int32, current bool) (changed bool, ready int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.standby[partition]
	h.standby[partition] = current
	return !known || before != current, h.standing()
}

// leave says that a partition is followed no more. It returns as many as stand does.
func (h *health) leave(partition int32) (ready int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.standby, partition)
	return h.standing()
}

// standing counts the partitions whose state is here and not worked on; h.mu is held.
func (h *health) standing() (ready int) {
	for _, current := range h.standby {
		if current {
			ready++
		}
	}
	return ready
}

// idle says what a member that works on nothing does instead.
func (h *health) idle() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch ready := h.standing(); {
	case !h.member || len(h.partitions) > 0 || len(h.standby) == 0:
		return ""
	case ready < len(h.standby):
		return "standby, not ready yet: the state of what other members work on is being read"
	default:
		return "standby: other members do the work, and the state to take it over is here"
	}
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
