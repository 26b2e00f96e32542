package edge

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// load is a plan that is being carried out. Its connections share the schedule.
type load struct {
	plan        Plan
	bodies      *bodies
	agents      []string
	connections []*connection
	began       time.Time

	mu sync.Mutex
	// requests is how many have been given out.
	requests uint64
	// step is the current one, which began at stepBegan with request stepFirst.
	step      int
	stepBegan time.Duration
	stepFirst uint64
	retries   retries
}

// request is what a connection is to send.
type request struct {
	number uint64
	// due is when, from the beginning of the load on.
	due time.Duration
	// attempt counts from 0.
	attempt int
}

// next returns the request that a free connection is to send; ok is false at the end of the plan.
func (l *load) next() (r request, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.began)
	if now >= l.length() {
		return r, false // what is due and could not be sent in time never is
	}
	if len(l.retries) > 0 && l.retries[0].due <= now {
		return heap.Pop(&l.retries).(request), true
	}
	for l.step < len(l.plan.Steps) {
		s := l.plan.Steps[l.step]
		end := l.stepBegan + seconds(s.Seconds)
		due := max(now, l.stepBegan)
		if s.Rate > 0 {
			due = l.stepBegan + seconds(float64(l.requests-l.stepFirst)/s.Rate)
		}
		if due < end {
			l.requests++
			return request{number: l.requests - 1, due: due}, true
		}
		l.step++
		l.stepBegan, l.stepFirst = end, l.requests
	}
	return r, false
}

// Attempts pause as the tracker's do.
const (
	firstPause = 2 * time.Second
	mostPause  = time.Minute
)

// again has a refused request sent once more, no sooner than the answer asks for.
func (l *load) again(r request, retryAfter time.Duration) {
	pause := min(firstPause<<min(r.attempt, 8), mostPause)
	pause = time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
	r.attempt++
	r.due = time.Since(l.began) + max(pause, retryAfter)
	l.mu.Lock()
	defer l.mu.Unlock()
	heap.Push(&l.retries, r)
}

// retries is a heap of requests, the one that is due first in front.
type retries []request

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].due < r[j].due }
func (r retries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *retries) Push(x any)        { *r = append(*r, x.(request)) }

func (r *retries) Pop() any {
	last := len(*r) - 1
	out := (*r)[last]
	*r = (*r)[:last]
	return out
}
