package ingest

import (
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

const (
	// tickEvery is how often a live collector tells its time to partitions without traffic.
	tickEvery = time.Second
	// recordedTick is how far a recorded clock moves between two ticks, in microseconds.
	recordedTick = int64(time.Minute / time.Microsecond)
)

// ticks makes the records that carry the collector's time into every partition. The appender alone
// uses it.
type ticks struct {
	collector string
	// heard marks the partitions that got a beacon since the last tick, which says the time too.
	heard []bool
	// lastUs is the recorded clock at the last tick.
	lastUs int64
}

func newTicks(collector string, partitions int) *ticks {
	return &ticks{collector: collector, heard: make([]bool, partitions)}
}

// said takes note of what was appended.
func (t *ticks) said(msgs []kafka.Message) {
	for i := range msgs {
		if p := msgs[i].Partition; msgs[i].Topic == string(schemas.Beacons) && p >= 0 {
			t.heard[p] = true
		}
	}
}

func (t *ticks) forget() { clear(t.heard) }

// live returns a tick for each partition that got nothing since the last call.
func (t *ticks) live(clockUs, lowUs int64) []kafka.Message {
	msgs := t.to(nil, clockUs, lowUs)
	t.forget()
	return msgs
}

// recorded appends a tick for every partition if the clock has moved by a minute. What was queued
// before is in front of it, so that nothing older is on its way.
func (t *ticks) recorded(msgs []kafka.Message, clockUs int64) []kafka.Message {
	if clockUs-t.lastUs < recordedTick {
		return msgs
	}
	t.lastUs = clockUs
	t.forget()
	return t.to(msgs, clockUs, clockUs)
}

func (t *ticks) to(msgs []kafka.Message, clockUs, lowUs int64) []kafka.Message {
	tick := &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Tick{
		Tick: &schemas.Tick{Collector: t.collector, ClockUs: clockUs, LowUs: lowUs},
	}}
	return t.each(msgs, clockUs, tick, t.heard)
}

// flush returns a Flush for every partition, which closes all visits without moving the clock. A
// Tick goes before it: what the clock closes by itself must not depend on what else the partition
// has last heard.
func (t *ticks) flush(clockUs int64) []kafka.Message {
	clear(t.heard)
	msgs := t.to(nil, clockUs, clockUs)
	return t.each(msgs, clockUs, &schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Flush{
		Flush: &schemas.Flush{Collector: t.collector},
	}}, make([]bool, len(t.heard)))
}

func (t *ticks) each(
	msgs []kafka.Message, clockUs int64, r *schemas.BeaconRecord, but []bool,
) []kafka.Message {
	value, err := r.MarshalVT()
	if err != nil {
		panic("encode a tick: " + err.Error())
	}
	for p := range but {
		if !but[p] {
			msgs = append(msgs, kafka.Message{
				Topic: string(schemas.Beacons), Partition: int32(p), Timestamp: clockUs / 1000,
				Value: value,
			})
		}
	}
	return msgs
}
