package stage

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Members come, are killed, are silent for longer than their session and wake up, and lose
// requests and answers around each commit: what comes out is what one member that never dies puts
// out. Each run is drawn from its seed, in a bubble of fake time.
func TestExactlyOnceWhateverDies(t *testing.T) {
	runs := 150
	if testing.Short() {
		runs = 20
	}
	var injected, lives int
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			makers := []MachineMaker{newCounter, newFollower} // the second with standbys
			f, l := chaos(t, rand.New(rand.NewPCG(uint64(seed), 1)), makers[seed%2])
			injected, lives = injected+f, lives+l
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
	if injected < 10*runs || lives < 2*runs {
		t.Errorf("%d faults and %d lives in %d runs: hardly anything was tried", injected, lives, runs)
	}
}

// chaos is one run of TestExactlyOnceWhateverDies, in a bubble.
func chaos(
	t *testing.T, random *rand.Rand, maker MachineMaker,
) (injected, lives int) {
	log := newLog()
	log.maker = maker
	var mu sync.Mutex
	calm := false
	dead := map[string]bool{}
	faulty := func(name string) func(string, bool) error {
		return func(request string, _ bool) error {
			mu.Lock()
			defer mu.Unlock()
			if dead[name] {
				return io.ErrClosedPipe // nothing of it gets out any more
			}
			often := 100
			if request == "commit" || request == "init" {
				often = 6
			}
			if calm || random.IntN(often) > 0 {
				return nil
			}
			injected++
			return io.EOF
		}
	}
	cfg := Config{Commit: 50 * time.Millisecond, Checkpoint: 400 * time.Millisecond}
	begin := func() *member {
		for {
			name := fmt.Sprintf("m%d", lives)
			lives++
			mu.Lock()
			calm = true // New gives up at the first error, as a start does
			mu.Unlock()
			m := log.start(t, name, cfg, faulty(name))
			mu.Lock()
			calm = false
			mu.Unlock()
			return m
		}
	}
	running := []*member{begin()}
	const records = 600
	for sent := 0; sent < records; sent += 20 {
		log.produce(sent, sent+20)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		victim := running[random.IntN(len(running))]
		switch random.IntN(8) {
		case 0: // kill -9, and a new one
			mu.Lock()
			dead[victim.name] = true
			mu.Unlock()
			victim.cancel()
			<-victim.done
			log.expel(victim.name)
			running = slices.DeleteFunc(running, func(m *member) bool { return m == victim })
			running = append(running, begin())
		case 1: // silent for longer than its session: the others go on, then it wakes up
			log.expel(victim.name)
		case 2:
			if len(running) < 3 {
				running = append(running, begin())
			}
		case 3: // a clean stop
			if len(running) > 1 {
				victim.cancel()
				<-victim.done
				running = slices.DeleteFunc(running, func(m *member) bool { return m == victim })
			}
		}
	}
	mu.Lock()
	calm = true
	mu.Unlock()
	time.Sleep(time.Minute)
	for _, m := range running {
		m.stop(t)
	}
	if diff := cmp.Diff(want(records, 3), log.values("out")); diff != "" {
		t.Errorf("outputs: %s", diff)
	}
	return injected, lives
}
