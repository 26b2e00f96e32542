package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"crumbtrail/internal/fault"
)

// V1, V2, V4, V8: several processes write one lake, die and come, and stand still with a manifest
// in hand while others take over. Whoever queries it sees one lake.
func TestSeveralProcessesWriteOneLake(t *testing.T) {
	b := onEmbedded(t)
	binary(t, shared.faulty)
	random, seed := seeded(t)
	kills := count(t, "CRUMBTRAIL_LAKE_KILLS", 2)
	stopped := lasting(t, "CRUMBTRAIL_STOPPED", 3*time.Second)
	l := newLakes(t, b, seed, time.Minute+time.Duration(kills)*10*time.Second+4*stopped)
	const members = 3
	crew := make([]*process, members)
	for i := range crew {
		crew[i] = l.writer()
	}
	l.owned(crew...)
	l.query()
	for range kills {
		i := random.IntN(members)
		if names := fault.LakeNames(); random.IntN(2) == 0 {
			crew[i].stop(t, 0)
			d := l.condemnTo(random, names[random.IntN(len(names))], 4, l.writer)
			l.die(d)
		} else {
			crew[i].kill()
			l.kills++
		}
		crew[i] = l.writer()
		l.owned(crew...)
	}

	anywhere := crew[0]
	anywhere.signal(syscall.SIGSTOP)
	l.wakesLate(anywhere, stopped, crew[1:]...)
	l.owned(crew...)

	crew[0].stop(t, 0)
	note := filepath.Join(t.TempDir(), "fired")
	crew[0] = l.writer(fmt.Sprintf("CRUMBTRAIL_FAULT=%s:20:stop", fault.LakeFiles),
		"CRUMBTRAIL_FAULT_LOG="+note)
	eventually(t, patience, "a process to stop before it publishes a manifest", func() bool {
		text, err := os.ReadFile(note)
		return err == nil && len(text) > 0
	})
	l.wakesLate(crew[0], stopped, crew[1:]...)
	eventually(t, patience, "the one that stood still to be refused", func() bool {
		return crew[0].metric("crumbtrail_lake_fenced_total", "")[""] >= 1
	})
	l.owned(crew...)
	l.settle()
}

// partitionsOf is which partitions of the beacons a process writes to the lake.
func partitionsOf(p *process) map[string]float64 {
	return p.metric("crumbtrail_lake_read_offset", "partition")
}

// owned waits until the processes are ready and have the lake's partitions, each in one of them.
func (l *lakes) owned(crew ...*process) {
	l.t.Helper()
	eventually(l.t, patience, "one owner for each partition of the lake", func() bool {
		owners := map[string]int{}
		for _, p := range crew {
			if !p.ready() {
				return false
			}
			for partition := range partitionsOf(p) {
				owners[partition]++
			}
		}
		for _, n := range owners {
			if n != 1 {
				return false
			}
		}
		return len(owners) == l.partitions
	})
}

// wakesLate lets a process stand still while others take over, and for so long, and wakes it.
func (l *lakes) wakesLate(zombie *process, stopped time.Duration, others ...*process) {
	l.t.Helper()
	began := time.Now()
	l.owned(others...)
	lapse(l.t, stopped-time.Since(began))
	zombie.signal(syscall.SIGCONT)
	l.kills++
}
