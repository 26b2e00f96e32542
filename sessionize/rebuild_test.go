package sessionize

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// world is what a log has become: the beacons that a lake would have, once each, the visits that
// stand, and the visitors with open ones.
type world struct {
	cfg     Config
	beacons map[string][]*schemas.Beacon
	offset  map[string]int64
	visits  map[string][]*schemas.Visit
	open    map[string]*Span
	given   int // beacons handed to rebuilders so far
}

func keyOf(site, visitor string) string { return site + "\x00" + visitor }

// drawWorld draws beacons of which some come hours or days late and some twice, and runs the
// sessionizer over them.
func drawWorld(t *rapid.T, cfg Config) *world {
	w := &world{
		cfg: cfg, beacons: map[string][]*schemas.Beacon{}, offset: map[string]int64{},
		visits: map[string][]*schemas.Visit{}, open: map[string]*Span{},
	}
	var arrivals []*schemas.Beacon
	occurred := storyDay().Add(20 * time.Hour).UnixMicro()
	for i := range rapid.IntRange(1, 80).Draw(t, "beacons") {
		occurred += int64(drawSkip(t, "skip")) / 1000
		b := drawBeacon(t, occurred)
		b.EventId = fmt.Sprintf("%s-%d", b.EventId, i)
		b.Collector = "c1"
		b.ReceivedAtUs = occurred + rapid.SampledFrom([]int64{
			0, 0, 0, 0, time.Second.Microseconds(), time.Hour.Microseconds(),
			(24 * time.Hour).Microseconds(),
		}).Draw(t, "delay")
		key := keyOf(b.Site, b.VisitorId)
		w.beacons[key] = append(w.beacons[key], b)
		arrivals = append(arrivals, b)
	}
	for range rapid.IntRange(0, 10).Draw(t, "duplicates") {
		again := proto.CloneOf(rapid.SampledFrom(arrivals).Draw(t, "duplicate"))
		again.ReceivedAtUs += rapid.SampledFrom([]int64{
			0, time.Minute.Microseconds(), (5 * time.Hour).Microseconds(),
		}).Draw(t, "again")
		arrivals = append(arrivals, again)
	}
	slices.SortStableFunc(arrivals, func(a, b *schemas.Beacon) int {
		return cmp.Compare(a.ReceivedAtUs, b.ReceivedAtUs)
	})
	var log []stage.Record
	for i, b := range arrivals {
		b.ClockUs = b.ReceivedAtUs
		if _, seen := w.offset[b.EventId]; !seen {
			w.offset[b.EventId] = int64(i)
		}
		value, err := (&schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
		}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, stage.Record{
			Offset: int64(i), Timestamp: b.ClockUs / 1000, Value: value,
		})
	}
	if rapid.Bool().Draw(t, "all closed") {
		log = append(log, tickAt(t, log[len(log)-1].Timestamp+200*3600*1000, int64(len(log))))
	}
	w.run(t, log)
	return w
}

// run makes the visits of the log, and reads which are open from the checkpoint.
func (w *world) run(t *rapid.T, log []stage.Record) {
	m := New(w.cfg, 3)
	var out stage.Output
	run(t, m, log, &out)
	for _, v := range visits(t, &out) {
		key := keyOf(v.Site, v.VisitorId)
		w.visits[key] = append(w.visits[key], v)
	}
	m.Checkpoint(func(key, value []byte) {
		open, err := OpenSpan(key, value)
		if err != nil {
			t.Fatal(err)
		}
		if open != nil {
			w.open[string(key)] = open
		}
	})
	for key := range w.beacons {
		byStart(w.visits[key])
		slices.SortFunc(w.beacons[key], func(a, b *schemas.Beacon) int {
			return cmp.Or(cmp.Compare(a.OccurredAtUs, b.OccurredAtUs),
				cmp.Compare(a.EventId, b.EventId))
		})
	}
}

func byStart(visits []*schemas.Visit) {
	slices.SortFunc(visits, func(a, b *schemas.Visit) int {
		return cmp.Or(cmp.Compare(a.StartedAtUs, b.StartedAtUs),
			cmp.Compare(a.FirstEventId, b.FirstEventId))
	})
}

// rebuild makes the visits of days again, reading as much around them as it turns out to need, and
// returns how many changed.
func (w *world) rebuild(t *rapid.T, days Span) (changed int) {
	known := days
	for {
		n, err := w.rebuildKnowing(t, days, known)
		if err == nil {
			return n
		}
		if !errors.Is(err, ErrReach) || known == Always() {
			t.Fatal(err)
		}
		hour := int64(rapid.IntRange(1, 30).Draw(t, "more hours")) * time.Hour.Microseconds()
		known = Span{known.FirstUS - hour, known.LastUS + hour}
		if known.Join(days) != known || known.LastUS-known.FirstUS > 400*time.Hour.Microseconds() {
			known = Always()
		}
	}
}

func (w *world) rebuildKnowing(t *rapid.T, days, known Span) (changed int, err error) {
	r := NewRebuilder(w.cfg, 3, days, known)
	next := map[string][]*schemas.Visit{}
	for key, beacons := range w.beacons {
		first := beacons[0]
		var old []*schemas.Visit
		for _, v := range w.visits[key] {
			if v.EndedAtUs >= known.FirstUS && v.StartedAtUs <= known.LastUS {
				old = append(old, proto.CloneOf(v))
			}
		}
		r.Begin(schemas.Site(first.Site), schemas.VisitorID(first.VisitorId), old, w.open[key])
		for _, b := range beacons {
			if known.has(b.OccurredAtUs) {
				if err := r.Add(b, w.offset[b.EventId]); err != nil {
					t.Fatal(err)
				}
				w.given++
			}
		}
		stretches, err := r.End()
		if err != nil {
			return 0, err
		}
		standing := slices.Clone(w.visits[key])
		for i := range stretches {
			for _, c := range stretches[i].Changes() {
				changed++
				if c.Old != nil {
					standing = slices.DeleteFunc(standing, func(v *schemas.Visit) bool {
						return v.VisitId == c.Old.VisitId
					})
				}
				if c.New != nil {
					standing = append(standing, c.New)
				}
			}
		}
		byStart(standing)
		next[key] = standing
	}
	w.visits = next
	return changed, nil
}

// batch is what a sessionizer that sees everything at once makes of a visitor's beacons.
func (w *world) batch(key string) []*schemas.Visit {
	rules := w.cfg.Default
	all := reference(rules, w.beacons[key])
	byStart(all)
	for i, v := range all[1:] {
		silence := time.Duration(v.StartedAtUs-all[i].EndedAtUs) * time.Microsecond
		due := rules.Gap + rules.Grace
		if v.StartReason == "gap" && silence > due && silence >= due+w.cfg.DedupeWindow {
			v.StartReason = "first_beacon"
		}
	}
	return all
}

// TestRebuildIsABatch: whatever came late or twice, visits that are rebuilt, all at once or day by
// day and whichever day first, are those of a batch over all beacons, and every beacon that was
// counted still is. Who has an open visit keeps all that hangs together with it. A second rebuild
// finds nothing to do.
func TestRebuildIsABatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		cfg.Default.MaxBeacons, cfg.Sites = 10_000, nil
		w := drawWorld(t, cfg)
		before := w.visits
		if rapid.Bool().Draw(t, "in parts") {
			cut := w.drawMoment(t)
			parts := []Span{{Always().FirstUS, cut - 1}, {cut, Always().LastUS}}
			if rapid.Bool().Draw(t, "later part first") {
				slices.Reverse(parts)
			}
			w.rebuild(t, parts[0])
			if n, err := w.rebuildKnowing(t, parts[0], Always()); n != 0 || err != nil {
				t.Fatalf("who knows all changes %d visits more: %v", n, err)
			}
			w.rebuild(t, parts[1])
		} else {
			w.rebuild(t, Always())
		}
		for key := range w.beacons {
			w.check(t, key, before[key])
		}
		if n := w.rebuild(t, Always()); n != 0 {
			t.Fatalf("a second rebuild changes %d visits", n)
		}
	})
}

// drawMoment draws when one of the beacons happened.
func (w *world) drawMoment(t *rapid.T) int64 {
	var all []int64
	for _, beacons := range w.beacons {
		for _, b := range beacons {
			all = append(all, b.OccurredAtUs)
		}
	}
	slices.Sort(all)
	return rapid.SampledFrom(all).Draw(t, "moment")
}

func (w *world) check(t *rapid.T, key string, before []*schemas.Visit) {
	sum := func(visits []*schemas.Visit) (n int64) {
		for _, v := range visits {
			n += v.Beacons + v.Duplicates
		}
		return n
	}
	if was, is := sum(before), sum(w.visits[key]); was != is {
		t.Fatalf("%q: %d beacons and duplicates, %d once rebuilt", key, was, is)
	}
	if w.open[key] != nil {
		return
	}
	var got []*schemas.Visit
	for _, v := range w.visits[key] {
		if v.InputPartition != 3 {
			t.Fatalf("partition %d", v.InputPartition)
		}
		v = proto.CloneOf(v)
		v.Duplicates, v.LastOffset, v.InputPartition = 0, 0, 0
		got = append(got, v)
	}
	if diff := gocmp.Diff(sorted(w.batch(key)), sorted(got)); diff != "" {
		t.Fatalf("%q: visits differ (-batch +rebuilt):\n%s", key, diff)
	}
}

// TestRebuildOfOrderedInput: what came in order and in time is rebuilt byte for byte, full visits
// and duplicates included.
func TestRebuildOfOrderedInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		w := &world{
			cfg: cfg, beacons: map[string][]*schemas.Beacon{}, offset: map[string]int64{},
			visits: map[string][]*schemas.Visit{}, open: map[string]*Span{},
		}
		var log []stage.Record
		occurred := storyDay().Add(20 * time.Hour).UnixMicro()
		for i := range rapid.IntRange(1, 60).Draw(t, "beacons") {
			occurred += 1 + int64(drawSkip(t, "skip"))/1000
			b := drawBeacon(t, occurred)
			b.EventId = fmt.Sprintf("%s-%d", b.EventId, i)
			b.Collector, b.ReceivedAtUs, b.ClockUs = "c1", occurred, occurred
			key := keyOf(b.Site, b.VisitorId)
			w.beacons[key] = append(w.beacons[key], b)
			w.offset[b.EventId] = int64(len(log))
			value, err := (&schemas.BeaconRecord{
				Entry: &schemas.BeaconRecord_Beacon{Beacon: b},
			}).MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "times") {
				log = append(log, stage.Record{
					Offset: int64(len(log)), Timestamp: occurred / 1000, Value: value,
				})
			}
		}
		end := log[len(log)-1]
		log = append(log, tickAt(t, end.Timestamp+200*3600*1000, end.Offset+1))
		w.run(t, log)
		if n := w.rebuild(t, Always()); n != 0 {
			t.Fatalf("%d of the visits change", n)
		}
	})
}

// TestRebuildLeavesWhatIsNotThere: where the lake has the beacons of a visit no longer, it stays.
func TestRebuildLeavesWhatIsNotThere(t *testing.T) {
	stands := minuteVisit("v1", 0, 20)
	stands.FirstEventId = "no longer there"
	stretches := rebuildMinutes(t, DefaultConfig(), []*schemas.Visit{stands}, 10, 20)
	if len(stretches) != 1 || stretches[0].Fate != Incomplete || len(stretches[0].Changes()) != 0 {
		t.Fatalf("%+v", stretches)
	}
}

// TestRebuildKeepsDuplicatesOnTheFirstPiece: a late beacon joins two visits to one that is cut, and
// what was sent again, a late visit of nothing else included, is counted where that begins.
func TestRebuildKeepsDuplicatesOnTheFirstPiece(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Default.MaxVisit = 50 * time.Minute
	first, second := minuteVisit("v1", 0, 0), minuteVisit("v2", 60, 80)
	first.Beacons, second.Beacons, second.Duplicates = 1, 2, 3
	late, again := minuteVisit("late", 30, 30), minuteVisit("again", 60, 60)
	late.Late, late.Beacons, again.Late, again.Beacons = true, 1, true, 1
	stretches := rebuildMinutes(t, cfg, []*schemas.Visit{first, late, second, again}, 0, 30, 60, 80)
	if len(stretches) != 1 || len(stretches[0].New) != 2 {
		t.Fatalf("%+v", stretches)
	}
	if a, b := stretches[0].New[0], stretches[0].New[1]; a.Duplicates != 4 || b.Duplicates != 0 {
		t.Errorf("%d and %d duplicates, want 4 and 0", a.Duplicates, b.Duplicates)
	}
}

func minuteEvent(minute int) string { return fmt.Sprintf("at %d", minute) }

func minuteAt(minute int) int64 {
	return storyDay().Add(time.Duration(minute) * time.Minute).UnixMicro()
}

// minuteVisit is a visit from the beacon of one minute to that of another.
func minuteVisit(id string, from, to int) *schemas.Visit {
	return &schemas.Visit{
		VisitId: id, Site: "a", VisitorId: "v", StartedAtUs: minuteAt(from), EndedAtUs: minuteAt(to),
		FirstEventId: minuteEvent(from), LastEventId: minuteEvent(to),
	}
}

// rebuildMinutes rebuilds the visits of one visitor with a beacon at each of some minutes.
func rebuildMinutes(t *testing.T, cfg Config, old []*schemas.Visit, minutes ...int) []Stretch {
	t.Helper()
	r := NewRebuilder(cfg, 0, Always(), Always())
	r.Begin("a", "v", old, nil)
	for i, minute := range minutes {
		err := r.Add(&schemas.Beacon{
			EventId: minuteEvent(minute), Site: "a", VisitorId: "v", OccurredAtUs: minuteAt(minute),
			Consent: schemas.Consent_CONSENT_STATISTICAL,
		}, int64(i))
		if err != nil {
			t.Fatal(err)
		}
	}
	stretches, err := r.End()
	if err != nil {
		t.Fatal(err)
	}
	return stretches
}
