package sessionize

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// drawRules draws rules that are short, so that little input meets all of them.
func drawRules(t *rapid.T, name string) Rules {
	zones := []*time.Location{nil, time.FixedZone("east", 5*3600+1800), time.FixedZone("west", -3600)}
	return Rules{
		Gap:         time.Duration(rapid.IntRange(1, 40).Draw(t, name+" gap")) * time.Minute,
		Grace:       time.Duration(rapid.IntRange(0, 240).Draw(t, name+" grace")) * time.Second,
		MaxVisit:    time.Duration(rapid.IntRange(1, 200).Draw(t, name+" max_visit")) * time.Minute,
		MaxBeacons:  rapid.SampledFrom([]int{1, 2, 3, 5, 10_000}).Draw(t, name+" max_beacons"),
		CutCampaign: rapid.Bool().Draw(t, name+" campaign"),
		CutMidnight: rapid.Bool().Draw(t, name+" midnight"),
		TimeZone:    rapid.SampledFrom(zones).Draw(t, name+" zone"),
	}
}

func drawConfig(t *rapid.T) Config {
	return Config{
		Default:      drawRules(t, "default"),
		Sites:        map[schemas.Site]Rules{"b": drawRules(t, "b")},
		DedupeWindow: time.Duration(rapid.IntRange(0, 90).Draw(t, "window")) * time.Minute,
		LateLinger:   time.Duration(rapid.IntRange(0, 120).Draw(t, "linger")) * time.Second,
	}
}

// drawBeacon draws a beacon that happened at us, of a few visitors and few event ids.
func drawBeacon(t *rapid.T, us int64) *schemas.Beacon {
	b := &schemas.Beacon{
		EventId:      fmt.Sprintf("e%d", rapid.IntRange(0, 30).Draw(t, "event")),
		Site:         rapid.SampledFrom([]string{"a", "b"}).Draw(t, "site"),
		VisitorId:    rapid.SampledFrom([]string{"v", "w", "x"}).Draw(t, "visitor"),
		Type:         schemas.BeaconType(rapid.IntRange(0, 6).Draw(t, "type")),
		Consent:      schemas.Consent(rapid.IntRange(2, 3).Draw(t, "consent")),
		OccurredAtUs: us,
		Url:          rapid.SampledFrom([]string{"", "/", "/a"}).Draw(t, "url"),
		Referrer:     rapid.SampledFrom([]string{"", "https://r.example/"}).Draw(t, "referrer"),
		Channel:      rapid.SampledFrom([]string{"", "direct", "campaign"}).Draw(t, "channel"),
		EngagedMs:    rapid.SampledFrom([]int32{0, 0, 4000, 90_000, -1}).Draw(t, "engaged"),
	}
	name := rapid.SampledFrom([]string{"", "", "spring", "summer"}).Draw(t, "campaign")
	if name != "" {
		b.Campaign = &schemas.Campaign{Name: name}
	}
	if device := rapid.SampledFrom([]string{"", "mobile", "tv"}).Draw(t, "device"); device != "" {
		b.Agent = &schemas.Agent{Device: device}
	}
	return b
}

// drawLog draws anything that may stand in a log: up to three collectors, of which some are slow,
// fast or silent for long; beacons in any order, late, twice or without consent; ticks, a flush
// and what cannot be read.
func drawLog(t *rapid.T) []stage.Record {
	collectors := rapid.IntRange(1, 3).Draw(t, "collectors")
	now := storyDay().Add(22 * time.Hour).UnixMicro()
	n := rapid.IntRange(1, 80).Draw(t, "records")
	log := make([]stage.Record, 0, n)
	for i := range n {
		now += int64(drawSkip(t, "skip")) / 1000
		appendMS := now / 1000
		name := fmt.Sprintf("c%d", rapid.IntRange(1, collectors).Draw(t, "collector"))
		said := now + int64(rapid.SampledFrom([]time.Duration{
			0, 0, 0, -time.Second, -3 * time.Minute, 20 * time.Second, time.Hour,
		}).Draw(t, "skew"))/1000
		entry := &schemas.BeaconRecord{}
		switch what := rapid.IntRange(0, 19).Draw(t, "what"); what {
		case 0, 1, 2:
			entry.Entry = &schemas.BeaconRecord_Tick{
				Tick: &schemas.Tick{Collector: name, ClockUs: said, LowUs: said},
			}
		case 3:
			entry.Entry = &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{Collector: name}}
		case 4: // nothing: a bad record
		default:
			b := drawBeacon(t, said-int64(drawSkip(t, "delay"))/1000)
			b.Collector, b.ClockUs, b.ReceivedAtUs = name, said, said
			if what == 5 {
				b.Consent = schemas.Consent_CONSENT_NONE
			}
			entry.Entry = &schemas.BeaconRecord_Beacon{Beacon: b}
		}
		value, err := entry.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, stage.Record{Offset: int64(2 * i), Timestamp: appendMS, Value: value})
	}
	return log
}

func drawSkip(t *rapid.T, name string) time.Duration {
	return time.Duration(rapid.IntRange(0, 60).Draw(t, name)) * rapid.SampledFrom([]time.Duration{
		time.Millisecond, time.Second, time.Second, time.Minute, 3 * time.Minute,
	}).Draw(t, name+" unit")
}

// run applies a log in random batches.
func run(t *rapid.T, m *Machine, log []stage.Record, out *stage.Output) {
	for len(log) > 0 {
		n := rapid.IntRange(1, len(log)).Draw(t, "batch")
		m.Apply(log[:n], out)
		log = log[n:]
	}
}

// lines are outputs as text, in order.
func lines(out *stage.Output) []string {
	var all []string
	for _, m := range out.Messages() {
		all = append(all, fmt.Sprintf("%s %d %q %s", m.Topic, m.Timestamp, m.Key,
			hex.EncodeToString(m.Value)))
	}
	return all
}

// changelog is a compacted topic of checkpoints.
type changelog map[string][]byte

func (c changelog) take(m *Machine) {
	m.Checkpoint(func(key, value []byte) {
		if value == nil {
			delete(c, string(key))
		} else {
			c[string(key)] = bytes.Clone(value)
		}
	})
}

func (c changelog) restored(t *rapid.T, cfg Config) *Machine {
	m := New(cfg, 0)
	for key, value := range c { // in the random order of a map
		if err := m.Restore([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestRestart is V3: whatever the batches, and however often the machine is replaced by one that
// was restored from a checkpoint and replayed what came after it, the outputs are the same bytes in
// the same order, and so is the state at the end.
func TestRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		log := drawLog(t)

		var want stage.Output
		through := New(cfg, 0)
		through.Apply(log, &want)
		wantState := changelog{}
		wantState.take(through)

		var got stage.Output
		m, state, committed, checkpoint := New(cfg, 0), changelog{}, 0, 0
		for committed < len(log) {
			next := rapid.IntRange(committed+1, len(log)).Draw(t, "commit")
			run(t, m, log[committed:next], &got)
			committed = next
			if rapid.Bool().Draw(t, "checkpoint") {
				state.take(m)
				checkpoint = committed
			}
			if rapid.Bool().Draw(t, "restart") {
				m = state.restored(t, cfg)
				var thrownAway stage.Output
				run(t, m, log[checkpoint:committed], &thrownAway)
			}
		}
		checkHeld(t, m)
		state.take(m)
		checkHeld(t, m)
		if diff := cmp.Diff(lines(&want), lines(&got)); diff != "" {
			t.Fatalf("outputs differ (-through +restarted):\n%s", diff)
		}
		if diff := cmp.Diff(wantState, state); diff != "" {
			t.Fatalf("states differ (-through +restarted):\n%s", diff)
		}
		if through.Counts() != m.Counts() {
			t.Fatalf("counts differ: %+v and %+v", through.Counts(), m.Counts())
		}
	})
}

// TestConservation is V1 and V6 in the small: every beacon is counted, a duplicate, or in one
// visit; every visit has its beacons within the rules; ids of visits are unique as long as no
// beacon comes again after the dedupe window.
func TestConservation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		cfg.DedupeWindow = 100 * 24 * time.Hour
		log := drawLog(t)
		log = append(log, flushAfter(t, log))
		m := New(cfg, 0)
		var out stage.Output
		run(t, m, log, &out)

		counts, beacons, late := m.Counts(), int64(0), int64(0)
		seen := map[string]bool{}
		for _, v := range visits(t, &out) {
			beacons += v.Beacons
			if v.Late {
				late += v.Beacons
			}
			if seen[v.VisitId] {
				t.Fatalf("visit %s came twice", v.VisitId)
			}
			seen[v.VisitId] = true
			rules := cfg.Default
			if v.Site == "b" {
				rules = cfg.Sites["b"]
			}
			if v.EndedAtUs-v.StartedAtUs > rules.MaxVisit.Microseconds() {
				t.Fatalf("longer than max_visit: %v", v)
			}
			if v.Beacons > int64(rules.MaxBeacons) {
				t.Fatalf("more than max_beacons: %v", v)
			}
			if v.EngagedMs > 30_000*v.Pings {
				t.Fatalf("engaged for more than its pings allow: %v", v)
			}
		}
		if counts.Beacons != counts.Counted+counts.Duplicates+beacons || counts.Late != late {
			t.Fatalf("%d beacons in visits, %d late: %+v", beacons, late, counts)
		}
		if counts.Open != 0 || counts.Visits != int64(len(seen)) {
			t.Fatalf("%d visits: %+v", len(seen), counts)
		}
		if counts.Bad+counts.Visits != int64(len(out.Messages())) {
			t.Fatalf("%d messages: %+v", len(out.Messages()), counts)
		}
		m.Checkpoint(func([]byte, []byte) {})
	})
}

// TestClock says that the clock never goes back, is never past what any record said, and never
// too far past the broker's own.
func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		now := storyDay().UnixMilli()
		said, appended := int64(0), int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			now += drawSkip(t, "skip").Milliseconds()
			us := now*1000 + int64(rapid.IntRange(-600, 600).Draw(t, "said s"))*1_000_000
			name := rapid.SampledFrom([]string{"c1", "c2", "c3"}).Draw(t, "collector")
			before := c.nowUS
			c.hear([]byte(name), us, now)
			said, appended = max(said, us), max(appended, now)
			if c.nowUS < before || c.nowUS > said || c.nowUS > appended*1000+30_000_000 {
				t.Fatalf("clock went from %d to %d; said %d, appended %d", before, c.nowUS, said,
					appended)
			}
			if len(c.collectors) > 3 {
				t.Fatalf("%d collectors", len(c.collectors))
			}
		}
	})
}

// TestNothingIsLeft says that state is bounded: once gap, grace, window and linger have passed,
// nothing but the partition's own state is left.
func TestNothingIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		log := drawLog(t)
		m, state := New(cfg, 0), changelog{}
		var out stage.Output
		run(t, m, log, &out)
		if rapid.Bool().Draw(t, "checkpoint") {
			state.take(m)
		}
		// Beacons are at most an hour ahead of the broker's clock.
		at := log[len(log)-1].Timestamp + (24 * time.Hour).Milliseconds()
		m.Apply([]stage.Record{tickAt(t, at, 0)}, &out)
		checkHeld(t, m)
		state.take(m)
		if len(state) != 1 || len(m.sessions.visitors.of) != 0 || len(m.sessions.deadlines) != 0 ||
			len(m.sessions.expiries) != 0 || m.Counts().Open != 0 {
			t.Fatalf("left: %d keys, %d visitors, %d deadlines, %d expiries", len(state),
				len(m.sessions.visitors.of), len(m.sessions.deadlines), len(m.sessions.expiries))
		}
	})
}

// failing is a *testing.T or a *rapid.T.
type failing interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func tickAt(t failing, ms, offset int64) stage.Record {
	value, err := (&schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Tick{
		Tick: &schemas.Tick{Collector: "c1", ClockUs: ms * 1000, LowUs: ms * 1000},
	}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Offset: offset, Timestamp: ms, Value: value}
}

func flushAfter(t failing, log []stage.Record) stage.Record {
	value, err := (&schemas.BeaconRecord{Entry: &schemas.BeaconRecord_Flush{
		Flush: &schemas.Flush{Collector: "c1"},
	}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	last := log[len(log)-1]
	return stage.Record{Offset: last.Offset + 1, Timestamp: last.Timestamp, Value: value}
}

// visits reads the visits that were put out, which must be as the schema writes them.
func visits(t failing, out *stage.Output) []*schemas.Visit {
	var all []*schemas.Visit
	for _, m := range out.Messages() {
		if m.Topic != string(schemas.Visits) {
			continue
		}
		v := &schemas.Visit{}
		if err := v.UnmarshalVT(m.Value); err != nil {
			t.Fatal(err)
		}
		again, err := v.MarshalVT()
		if err != nil || !bytes.Equal(again, m.Value) {
			t.Fatalf("%x is written %x, %v", m.Value, again, err)
		}
		all = append(all, v)
	}
	return all
}

// TestPartitions says that the visits of a log with one collector depend on nothing but its
// beacons: not on how visitors are spread over partitions, on batches, or on ticks. Visits may be
// late, cut and full; a tick with the last clock and a flush stand at the end, as in a replay.
func TestPartitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		var beacons []*schemas.Beacon
		now := storyDay().Add(22 * time.Hour).UnixMicro()
		for range rapid.IntRange(1, 80).Draw(t, "beacons") {
			now += int64(drawSkip(t, "skip")) / 1000
			b := drawBeacon(t, now-int64(drawSkip(t, "delay"))/1000)
			b.Collector, b.ClockUs, b.ReceivedAtUs = "c1", now, now
			beacons = append(beacons, b)
		}
		one := sorted(visitsOver(t, cfg, beacons, 1, false, 0))
		n := rapid.IntRange(1, 4).Draw(t, "partitions")
		several := sorted(visitsOver(t, cfg, beacons, n, true, 0))
		if diff := cmp.Diff(one, several); diff != "" {
			t.Fatalf("visits differ (-one partition, +%d with ticks):\n%s", n, diff)
		}
	})
}

// visitsOver spreads the beacons over partitions by visitor, the offsets of all counted together,
// ends each partition with a tick, so long after the last beacon, and a flush, and returns the
// visits without their partition.
func visitsOver(
	t *rapid.T, cfg Config, beacons []*schemas.Beacon, n int, ticks bool, after time.Duration,
) []*schemas.Visit {
	logs := make([][]stage.Record, n)
	of := map[string]int{}
	for i, b := range beacons {
		key := schemas.VisitorKey(schemas.Site(b.Site), schemas.VisitorID(b.VisitorId))
		if _, ok := of[string(key)]; !ok {
			of[string(key)] = rapid.IntRange(0, n-1).Draw(t, "partition")
		}
		value, err := (&schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
		}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		p := of[string(key)]
		logs[p] = append(logs[p], stage.Record{
			Offset: int64(2 * i), Timestamp: b.ClockUs / 1000, Key: key, Value: value,
		})
		for p := range logs {
			if ticks && rapid.IntRange(0, 9).Draw(t, "tick") == 0 {
				logs[p] = append(logs[p], tickAt(t, b.ClockUs/1000, int64(2*i+1)))
			}
		}
	}
	var all []*schemas.Visit
	for p, log := range logs {
		end := beacons[len(beacons)-1].ClockUs/1000 + after.Milliseconds()
		log = append(log, tickAt(t, end, int64(2*len(beacons))))
		log = append(log, flushAfter(t, log))
		var out stage.Output
		run(t, New(cfg, int32(p)), log, &out)
		for _, v := range visits(t, &out) {
			v.InputPartition = 0
			all = append(all, v)
		}
	}
	return all
}

// sorted are visits as text.
func sorted(visits []*schemas.Visit) []string {
	var all []string
	for _, v := range visits {
		all = append(all, fmt.Sprint(v))
	}
	slices.Sort(all)
	return all
}
