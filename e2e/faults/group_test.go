package faults

import (
	"math/rand/v2"
	"testing"
	"time"
)

// V1, V2, V8: members of a group of three come and go, and the partitions go with them.
func TestMembersComeAndGo(t *testing.T) {
	b := onKafka(t)
	random, seed := seeded(t)
	lasts := lasting(t, "CRUMBTRAIL_REBALANCING", 25*time.Second)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	const members = 3
	for range members {
		w.stage()
	}
	w.whole()
	every := min(10*time.Second, lasts/4)
	for began := time.Now(); time.Since(began) < lasts; {
		next := time.Now().Add(every)
		w.replace(random)
		w.whole()
		lapse(t, time.Until(next))
	}
	w.settle()
}

// replace kills one member and adds another.
func (w *world) replace(random *rand.Rand) {
	living := w.living()
	living[random.IntN(len(living))].kill()
	w.kills++
	w.stage()
}

// whole waits until every partition has one owner, which works on it, and takes down how long that
// took.
func (w *world) whole() {
	w.t.Helper()
	began := time.Now()
	eventually(w.t, patience, "one owner for each partition", func() bool {
		for _, p := range w.living() {
			if !p.ready() {
				return false
			}
		}
		return w.lag() >= 0
	})
	if w.kills > 0 {
		w.recoveries = append(w.recoveries, time.Since(began))
	}
}
