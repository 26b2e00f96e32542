package ingest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"crumbtrail/schemas"
)

// setClock is a machine's clock that a test sets.
type setClock struct{ us, ranUs int64 }

// run lets time pass.
func (c *setClock) run(d time.Duration) {
	c.us, c.ranUs = c.us+d.Microseconds(), c.ranUs+d.Microseconds()
}

func (c *setClock) read() (int64, time.Duration) {
	return c.us, time.Duration(c.ranUs) * time.Microsecond
}

// A collector's time follows the machine's clock wherever that is set, but for small steps back,
// and tells of the others once.
func TestClockSteps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro()
	for _, c := range []struct {
		step time.Duration
		want time.Duration // of the collector's clock, a second later
		told bool
	}{
		{0, time.Second, false},
		{10 * time.Millisecond, time.Second + 10*time.Millisecond, false},
		{-10 * time.Millisecond, time.Second - 10*time.Millisecond, false},
		{-30 * time.Second, 0, false},
		{30 * time.Second, 31 * time.Second, false},
		{-time.Hour, time.Second - time.Hour, true},
		{time.Hour, time.Second + time.Hour, true},
		{10 * year, time.Second + 10*year, true},
		{-50 * year, time.Second - 50*year, true},
	} {
		machine := &setClock{us: begin}
		a := &arrivals{machine: machine.read}
		before := a.arrive(&arrival{})
		machine.us += c.step.Microseconds()
		machine.run(time.Second)
		after := a.arrive(&arrival{})
		if before.us != begin || after.us != begin+c.want.Microseconds() {
			t.Errorf("a step of %v: came in %v later", c.step, time.Duration(after.us-before.us)*1000)
		}
		if clock, low := a.times(); low > clock || low > before.us || clock != after.us {
			t.Errorf("a step of %v: clock %d, low %d", c.step, clock, low)
		}
		step := a.stepped()
		if (step != 0) != c.told || c.told && step != c.step || a.stepped() != 0 {
			t.Errorf("a step of %v is told as %v", c.step, step)
		}
		// Back where it should be, time is right again.
		machine.us -= c.step.Microseconds()
		machine.run(10 * time.Minute)
		if clock, _ := a.times(); clock != begin+(10*time.Minute+time.Second).Microseconds() {
			t.Errorf("after a step of %v and back: %v", c.step, time.UnixMicro(clock).UTC())
		}
	}
}

// A client's clock never moves time: whatever it says, a beacon happened no later than it came in,
// and no longer before than max_age.
func TestClientClocks(t *testing.T) {
	now := time.Now()
	const year = 365 * 24 * time.Hour
	day := 24 * time.Hour
	at := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339Nano) }
	ms := func(d time.Duration) string { return fmt.Sprint(now.Add(d).UnixMilli()) }
	epoch := -time.Duration(now.UnixNano())
	for _, c := range []struct {
		name          string
		created, sent time.Duration // of the client's clock, from the right time on
		saysSent      bool
		age           time.Duration
		clamped       bool
	}{
		{"right", -time.Minute, 0, true, time.Minute, false},
		{"25 years ahead", 25*year - time.Minute, 25 * year, true, time.Minute, false},
		{"at the epoch", epoch + time.Minute, epoch + 2*time.Minute, true, time.Minute, false},
		{"25 years ahead, not sent", 25 * year, 0, false, 0, true},
		{"at the epoch, not sent", epoch + time.Second, 0, false, 0, true},
		{"set back before it sends", 0, epoch + time.Second, true, 0, true},
		{"set right before it sends", epoch + time.Second, 0, true, 7 * day, true},
	} {
		native := fmt.Sprintf(`{"site":"acme","type":"ping","created_at":%q`, at(c.created))
		tracker := fmt.Sprintf(`{"data":[{"e":"pv","aid":"acme","dtm":%q`, ms(c.created))
		library := fmt.Sprintf(`{"writeKey":"acme","event":"e","anonymousId":"a","originalTimestamp":%q`,
			at(c.created))
		if c.saysSent {
			native += fmt.Sprintf(`,"sent_at":%q`, at(c.sent))
			tracker += fmt.Sprintf(`,"stm":%q`, ms(c.sent))
			library += fmt.Sprintf(`,"sentAt":%q`, at(c.sent))
		}
		e := newEdge(t, nil).run(t)
		e.post("/v1/beacons", native+"}")
		e.post("/com.snowplowanalytics.snowplow/tp2", tracker+"}]}")
		e.post("/v1/t", library+"}")
		log := e.tape.read(t)
		if len(log.beacons) != 3 {
			t.Errorf("%s: %v, refused %v", c.name, log.beacons, log.bad)
			continue
		}
		for _, b := range log.beacons {
			wantAge(t, c.name, b, c.age, c.clamped)
		}
	}
}

func wantAge(t *testing.T, name string, b *schemas.Beacon, age time.Duration, clamped bool) {
	t.Helper()
	got := time.Duration(b.ReceivedAtUs-b.OccurredAtUs) * time.Microsecond
	if math.Abs(float64(got-age)) > float64(2*time.Millisecond) || b.Clamped != clamped {
		t.Errorf("%s by %s: it happened %v before, clamped %t; want %v, %t", name, b.Protocol, got,
			b.Clamped, age, clamped)
	}
}

// A time that is none is refused where the protocol says what a time is, with the place; Segment's
// libraries write so many that another one is as good as none.
func TestGarbledClocks(t *testing.T) {
	for _, text := range []string{
		`"NaN"`, `"1e400"`, `"-1"`, `"99999999999999999999"`, `"noon"`, `""`,
	} {
		e := newEdge(t, nil).run(t)
		e.post("/v1/beacons", `{"site":"acme","type":"ping","created_at":`+text+`}`)
		e.post("/com.snowplowanalytics.snowplow/tp2", `{"data":[{"e":"pv","aid":"acme","dtm":`+text+`}]}`)
		e.post("/v1/t", `{"writeKey":"acme","event":"e","anonymousId":"a","timestamp":`+text+`}`)
		log := e.tape.read(t)
		refused := map[string]string{}
		for _, b := range log.bad {
			refused[b.Protocol] = b.Reason + " " + b.Path
		}
		wantTracker := "invalid_time /dtm"
		if text == `""` {
			wantTracker = "" // as if it were not there
		}
		if refused[protocolNative] != "invalid_time /created_at" ||
			refused[protocolSnowplow] != wantTracker || refused[protocolSegment] != "" {
			t.Errorf("%s: %v", text, refused)
		}
		for _, b := range log.beacons {
			wantAge(t, text, b, 0, false)
		}
	}
}
