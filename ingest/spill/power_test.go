package spill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"crumbtrail/internal/kafka"
)

// small has segments of four kilobytes.
const small = 64 << 10

// life is what a caller of a spill knows: which frames it has sent, which of them were durable, and
// which have come out.
type life struct {
	random *rand.Rand
	sent   uint64
	acked  map[uint64]bool
	out    []uint64 // since the last start
	first  map[uint64]bool
	last   uint64 // the latest that ever came out
}

func newLife(seed uint64) *life {
	return &life{
		random: rand.New(rand.NewPCG(seed, 1)), acked: map[uint64]bool{}, first: map[uint64]bool{},
	}
}

// frame makes the frame of a number, always the same.
func frame(n uint64) Frame {
	random := rand.New(rand.NewPCG(n, 2))
	value := make([]byte, 8+random.IntN(1200))
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	binary.BigEndian.PutUint64(value, n)
	return Frame{LowUs: int64(n), Messages: []kafka.Message{
		{Topic: "beacons", Timestamp: int64(n), Key: value[:8], Value: value, Partition: kafka.AnyPartition},
		{Topic: "submissions", Timestamp: -1, Partition: kafka.AnyPartition},
	}}
}

// came takes in what came out: frames that were sent, as they were, each after those before it.
func (l *life) came(messages []kafka.Message) error {
	for len(messages) > 0 {
		n := binary.BigEndian.Uint64(messages[0].Key)
		want := frame(n).Messages
		if n == 0 || n > l.sent || len(messages) < 2 || !same(messages[:2], want) {
			return fmt.Errorf("frame %d was never sent so", n)
		}
		if len(l.out) > 0 && n <= l.out[len(l.out)-1] {
			return fmt.Errorf("frame %d came after %d", n, l.out[len(l.out)-1])
		}
		if !l.first[n] && n < l.last && l.acked[n] {
			return fmt.Errorf("frame %d came for the first time after %d", n, l.last)
		}
		l.out, l.first[n], l.last = append(l.out, n), true, max(l.last, n)
		messages = messages[2:]
	}
	return nil
}

func same(a, b []kafka.Message) bool {
	for i := range a {
		if a[i].Topic != b[i].Topic || a[i].Timestamp != b[i].Timestamp ||
			!bytes.Equal(a[i].Key, b[i].Key) || !bytes.Equal(a[i].Value, b[i].Value) ||
			(a[i].Value == nil) != (b[i].Value == nil) || a[i].Partition != b[i].Partition {
			return false
		}
	}
	return true
}

// append sends up to three frames.
func (l *life) append(log *Log) error {
	var frames []Frame
	for range 1 + l.random.IntN(3) {
		l.sent++
		frames = append(frames, frame(l.sent))
	}
	from := l.sent - uint64(len(frames))
	n, _, err := log.Append(frames)
	for i := range n {
		l.acked[from+uint64(i)+1] = true
	}
	if n < len(frames) && err == nil {
		return fmt.Errorf("%d of %d frames taken, and no error", n, len(frames))
	}
	return nil
}

// drain delivers a batch and says whether there was one. It runs in a bubble.
func (l *life) drain(log *Log) (bool, error) {
	batch, err := log.Next(int64(1 + l.random.IntN(3000)))
	if err != nil {
		time.Sleep(failurePause)
		return true, nil // an error that was planned
	}
	if len(batch.Messages) == 0 {
		return false, nil
	}
	if err := l.came(batch.Messages); err != nil {
		return false, err
	}
	log.Delivered(batch.End)
	return true, nil
}

// run lets a spill live for some operations, with a clean stop among them. It runs in a bubble.
func (l *life) run(m *memory) error {
	log, err := Open(m, Config{Capacity: small}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	l.out = nil
	for range 60 {
		switch l.random.IntN(6) {
		case 0:
			_, err = l.drain(log)
		case 1:
			log.Check()
			time.Sleep(failurePause)
		case 2:
			if l.random.IntN(4) > 0 {
				continue
			}
			log.Close()
			l.out = nil
			log, err = Open(m, Config{Capacity: small}, slog.New(slog.DiscardHandler))
		default:
			err = l.append(log)
		}
		if err != nil {
			return err
		}
	}
	log.Close()
	return nil
}

// untilCut is run, and cut says whether the power went.
func (l *life) untilCut(m *memory) (cut bool, err error) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case powerCut:
			cut = true
		default:
			panic(r)
		}
	}()
	return false, l.run(m)
}

// finish drains everything and holds it against what was durable.
func (l *life) finish(m *memory) error {
	log, err := Open(m, Config{Capacity: small}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer log.Close()
	l.out = nil
	for more := true; more && err == nil; {
		more, err = l.drain(log)
	}
	if err != nil {
		return err
	}
	for n := range l.acked {
		if !l.first[n] {
			return fmt.Errorf("frame %d was durable and never came out", n)
		}
	}
	if s := log.Stats(); s.Corrupt > 0 || s.Records > 0 || log.Pending() {
		return fmt.Errorf("after a power cut %+v", s)
	}
	return nil
}

// each runs a test with the fault at each operation of a run in turn, for some seeds.
func each(t *testing.T, test func(seed uint64, at int) (reached bool, err error)) {
	t.Helper()
	faults := 0
	for seed := range uint64(8) {
		for at := 1; ; at++ {
			var reached bool
			var err error
			synctest.Test(t, func(*testing.T) { reached, err = test(seed, at) })
			if err != nil {
				t.Fatalf("seed %d, operation %d: %v", seed, at, err)
			}
			if !reached {
				break
			}
			faults++
		}
	}
	if faults < 1000 {
		t.Errorf("%d faults: the runs are too short", faults)
	}
	t.Logf("%d faults", faults)
}

// V1, V5: the power goes at each operation, comes back, and goes again.
func TestPowerCut(t *testing.T) {
	each(t, func(seed uint64, at int) (bool, error) {
		l, m := newLife(seed), newMemory(seed^uint64(at)<<8)
		m.cutAt = at
		cut, err := l.untilCut(m)
		if err != nil || !cut {
			return false, err
		}
		m = m.afterCut()
		m.cutAt = 1 + l.random.IntN(60)
		if _, err := l.untilCut(m); err != nil {
			return true, err
		}
		return true, l.finish(m.afterCut())
	})
}

// V1, V5: each operation fails, a full disk or a failing one, and the power goes later.
func TestFailingOperation(t *testing.T) {
	each(t, func(seed uint64, at int) (bool, error) {
		l, m := newLife(seed), newMemory(seed^uint64(at)<<8)
		m.failAt = at
		if err := l.run(m); err != nil {
			return true, err
		}
		if m.failed == "" {
			return false, nil
		}
		m = m.afterCut()
		return true, l.finish(m)
	})
}
