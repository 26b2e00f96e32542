package stage

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCheckpointFromOutside: who does not own a partition is shown the state at C, and which keys
// have changed since.
func TestCheckpointFromOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		cfg := Config{Name: "count", Input: "in", Changelog: "log"}
		outside := &door{memory: log, name: "outside"}
		if c, err := LastCheckpoint(t.Context(), outside, cfg, 0); err != nil || c.Offset != 0 {
			t.Fatalf("before the first one: %d, %v", c.Offset, err)
		}
		work := func(from, to int) {
			m := log.start(t, "member", Config{Checkpoint: time.Second}, nil)
			log.produce(from, to)
			time.Sleep(5 * time.Second)
			m.stop(t)
		}
		work(0, 260) // twenty times thirteen keys
		ends := log.ends("in")
		checkpoints := make([]Checkpoint, partitions)
		for p := range partitions {
			var err error
			checkpoints[p], err = LastCheckpoint(t.Context(), outside, cfg, int32(p))
			if err != nil || checkpoints[p].Offset != ends[p] {
				t.Errorf("partition %d: checkpoint at %d, want %d: %v", p, checkpoints[p].Offset, ends[p],
					err)
			}
		}
		work(260, 262) // of two keys
		counts, later := map[string]uint64{}, 0
		for p := range partitions {
			err := checkpoints[p].Show(t.Context(), outside, cfg, int32(p),
				func(key, value []byte, after bool) error {
					if after {
						later++
					} else {
						counts[string(key)], _ = binary.Uvarint(value)
					}
					return nil
				})
			if err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]uint64{}
		for _, name := range []string{
			"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12",
		} {
			want[name] = 20
		}
		if diff := cmp.Diff(want, counts); diff != "" || later != 2 {
			t.Errorf("%d keys changed later, want 2; state (-want +got):\n%s", later, diff)
		}
	})
}
