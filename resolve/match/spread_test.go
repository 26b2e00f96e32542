package match

import (
	"slices"
	"sync"
	"testing"
)

// TestSpread holds that the same comes out however many work at the same time.
func TestSpread(t *testing.T) {
	const rows, workers = 4000, 3
	p := newPeople(11, rows)
	want := run(t, p.set(inOrder(rows)), defaults())
	o := defaults()
	o.Spread = Spread{Workers: workers, Run: func(pieces int, do func(worker, piece int)) {
		var running sync.WaitGroup
		for worker := range workers {
			running.Go(func() {
				for piece := worker; piece < pieces; piece += workers {
					do(worker, piece)
				}
			})
		}
		running.Wait()
	}}
	got := run(t, p.set(inOrder(rows)), o)
	if !slices.Equal(got.Cluster, want.Cluster) || !slices.Equal(got.Pairs, want.Pairs) ||
		!slices.Equal(got.Dropped, want.Dropped) || got.Compared != want.Compared {
		t.Error("three workers gave another result than one")
	}
}
