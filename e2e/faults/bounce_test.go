package faults

import (
	"math/rand/v2"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

// V1, V2, V8: numbered beacons, while the broker and its clients go and come back, in peace or not.
func TestBouncesOfEmbedded(t *testing.T) {
	bounce(t, onEmbedded(t), count(t, "CRUMBTRAIL_BOUNCES", 4))
}

// The same with Kafka.
func TestBouncesOfKafka(t *testing.T) {
	bounce(t, onKafka(t), count(t, "CRUMBTRAIL_BOUNCES", 2))
}

func bounce(t *testing.T, b *broker, bounces int) {
	random, seed := seeded(t)
	beacons := count(t, "CRUMBTRAIL_BEACONS", 20_000)
	w := newWorld(t, b, seed, loadConfig{rate: 25})
	go w.load.run()
	p := w.stage()
	p.awaitReady(t)
	for n := range bounces {
		share := beacons * (n + 1) / (bounces + 2)
		eventually(t, 5*time.Minute, "beacons to be acknowledged", func() bool {
			return w.load.count() >= share
		})
		w.bounce(random, n)
		p = w.survives(random, p)
	}
	eventually(t, 10*time.Minute, "enough beacons to be acknowledged", func() bool {
		return w.load.count() >= beacons
	})
	w.settle()
}

// bounce ends the broker, the hard way every other time, and starts it again.
func (w *world) bounce(random *rand.Rand, n int) {
	w.t.Helper()
	lapse(w.t, time.Duration(random.Int64N(int64(300*time.Millisecond))))
	if n%2 == 0 {
		w.broker.process.kill()
	} else {
		w.broker.stop(w.t)
	}
	w.bounces++
	w.broker.start(w.t)
}

// survives lets the sessionizer go on, or has another one go on, and waits until it does.
func (w *world) survives(random *rand.Rand, p *process) *process {
	w.t.Helper()
	began := time.Now()
	switch random.IntN(3) {
	case 0:
		p.kill()
		w.kills++
		p = w.stage()
	case 1:
		p.stop(w.t, 0)
		p = w.stage()
	}
	if !harness.WaitFor(patience, p.ready) {
		w.broker.dropsMarkers(w.t, "a partition waits for ever for its offset: "+w.state())
	}
	p.awaitReady(w.t)
	w.commitsMore(w.partitions)
	w.recoveries = append(w.recoveries, time.Since(began))
	return p
}
