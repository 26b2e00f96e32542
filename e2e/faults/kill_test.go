package faults

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// V1, V2, V5: a sessionizer may be killed at any moment.
func TestKillOnEmbedded(t *testing.T) {
	killAtRandom(t, onEmbedded(t), count(t, "CRUMBTRAIL_KILLS", 8))
}

// The same holds on the broker that was not written for tests.
func TestKillOnKafka(t *testing.T) {
	killAtRandom(t, onKafka(t), count(t, "CRUMBTRAIL_KAFKA_KILLS", 4))
}

func killAtRandom(t *testing.T, b *broker, kills int) {
	random, seed := seeded(t)
	w := newWorld(t, b, seed, loadConfig{})
	go w.load.run()
	for w.kills < kills {
		w.liveAndDie(random)
	}
	w.stage().awaitReady(t)
	w.settle()
}

// liveAndDie runs a sessionizer to a random moment: of its start, of its work, or of its stop.
// One in ten stops in peace.
func (w *world) liveAndDie(random *rand.Rand) {
	w.t.Helper()
	const most = 1500 * time.Millisecond
	began := time.Now()
	p := w.stage()
	how := random.IntN(10)
	if how >= 2 {
		p.awaitReady(w.t)
		if w.kills > 0 {
			w.recoveries = append(w.recoveries, time.Since(began))
		}
	}
	lapse(w.t, time.Duration(random.Int64N(int64(most))))
	switch {
	case how == 9 && w.kills > 0:
		p.stop(w.t, 0)
		return
	case how == 8:
		p.signal(syscall.SIGTERM)
		lapse(w.t, time.Duration(random.Int64N(int64(100*time.Millisecond))))
	}
	p.kill()
	w.kills++
}
