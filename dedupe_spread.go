package main

import (
	"runtime"
	"sync"
	"sync/atomic"

	"crumbtrail/resolve/match"
)

// spread lets each processor work.
func spread() match.Spread {
	workers := runtime.GOMAXPROCS(0)
	return match.Spread{Workers: workers, Run: func(pieces int, do func(worker, piece int)) {
		var next atomic.Int64
		var running sync.WaitGroup
		for worker := range min(workers, pieces) {
			running.Go(func() {
				for piece := int(next.Add(1)) - 1; piece < pieces; piece = int(next.Add(1)) - 1 {
					do(worker, piece)
				}
			})
		}
		running.Wait()
	}}
}
