package sessionize

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// TestStories runs testdata/*.txt. The commands are
//
//	rules [gap=30m grace=60s max_visit=24h max_beacons=10000 cuts=(campaign,midnight)
//	       zone=UTC window=1h linger=60s]
//	                                   a new machine under these rules
//	site name=NAME [the same]          a new machine that has others for this site
//	play                               records, one a line, and the visits that come of them
//	restart [the same]                 a new machine from the checkpoint of the old one
//	clock                              the clock and what the collectors said
//	counts                             what became of the beacons
//
// and the lines of play are
//
//	TIME VISITOR TYPE EVENT [at=TIME url=/ ref= campaign= channel= engaged=ms device= consent=
//	                         site=s on=COLLECTOR append=TIME clock=never]
//	TIME tick [on=COLLECTOR append=TIME]
//	flush
//	garbage
//
// VISITOR nobody is an empty one. TIME is [DAY+]HH:MM:SS[.mmm] in UTC, from 2026-03-10 on: the
// collector's clock, and unless append says otherwise the broker's. at is when the beacon happened,
// unless that is the same.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{cfg: DefaultConfig()}
		s.machine = New(s.cfg, 0)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "rules":
				s.cfg = DefaultConfig()
				s.rules(t, d)
			case "site":
				s.rules(t, d)
			case "play":
				return s.play(t, d.Input)
			case "restart":
				before := s.machine
				if len(d.CmdArgs) > 0 {
					s.rules(t, d)
				}
				return s.restart(t, before)
			case "clock":
				return s.clock()
			case "counts":
				return fmt.Sprintf("%+v\n", s.machine.Counts())
			default:
				t.Fatalf("%s: no command %q", d.Pos, d.Cmd)
			}
			return ""
		})
	})
}

type story struct {
	cfg     Config
	machine *Machine
	offset  int64
}

func (s *story) rules(t *testing.T, d *datadriven.TestData) {
	r, site := DefaultRules(), ""
	durations := map[string]*time.Duration{
		"gap": &r.Gap, "grace": &r.Grace, "max_visit": &r.MaxVisit,
		"window": &s.cfg.DedupeWindow, "linger": &s.cfg.LateLinger,
	}
	for _, arg := range d.CmdArgs {
		value := arg.Vals[0]
		var err error
		switch arg.Key {
		case "name":
			site = value
		case "max_beacons":
			r.MaxBeacons, err = strconv.Atoi(value)
		case "cuts":
			r.CutCampaign = slices.Contains(arg.Vals, "campaign")
			r.CutMidnight = slices.Contains(arg.Vals, "midnight")
		case "zone":
			r.TimeZone, err = time.LoadLocation(value)
		default:
			*durations[arg.Key], err = time.ParseDuration(value)
		}
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
	}
	if site == "" {
		s.cfg.Default = r
	} else {
		s.cfg.Sites = map[schemas.Site]Rules{schemas.Site(site): r}
	}
	if err := s.cfg.Validate(); err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	s.machine = New(s.cfg, 0)
}

func (s *story) play(t *testing.T, lines string) string {
	var out stage.Output
	for line := range strings.Lines(lines) {
		s.machine.Apply([]stage.Record{storyRecord(t, strings.TrimSpace(line), s.offset)}, &out)
		s.offset++
	}
	var text strings.Builder
	for _, m := range out.Messages() {
		text.WriteString(describeMessage(t, m.Topic, m.Value))
	}
	return text.String()
}

func (s *story) restart(t *testing.T, before *Machine) string {
	next, keys := New(s.cfg, 0), 0
	before.Checkpoint(func(key, value []byte) {
		if value == nil {
			return
		}
		keys++
		if err := next.Restore(key, value); err != nil {
			t.Fatal(err)
		}
	})
	s.machine = next
	return fmt.Sprintf("%d keys\n", keys)
}

func (s *story) clock() string {
	var text strings.Builder
	c := &s.machine.sessions.clock
	fmt.Fprintf(&text, "%s\n", storyTime(c.nowUS))
	for _, other := range c.collectors {
		fmt.Fprintf(&text, "  %s said %s, heard %s\n", other.name, storyTime(other.saidUS),
			storyTime(other.heardAtMS*1000))
	}
	return text.String()
}

func storyRecord(t *testing.T, line string, offset int64) stage.Record {
	words := strings.Fields(line)
	named := map[string]string{"on": "c1", "site": "s"}
	var plain []string
	for _, word := range words {
		if name, value, ok := strings.Cut(word, "="); ok {
			named[name] = value
		} else {
			plain = append(plain, word)
		}
	}
	switch plain[0] {
	case "flush":
		return encoded(t, offset, 0, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{Collector: "c1"}},
		})
	case "garbage":
		return stage.Record{Offset: offset, Key: schemas.VisitorKey("s", "v"), Value: []byte("\xff")}
	}
	at := parseStoryTime(t, plain[0])
	appended := at / 1000
	if named["append"] != "" {
		appended = parseStoryTime(t, named["append"]) / 1000
	}
	if plain[1] == "tick" {
		return encoded(t, offset, appended, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Tick{Tick: &schemas.Tick{
				Collector: named["on"], ClockUs: at, LowUs: at,
			}},
		})
	}
	return encoded(t, offset, appended, &schemas.BeaconRecord{
		Entry: &schemas.BeaconRecord_Beacon{Beacon: storyBeacon(t, plain, named)},
	})
}

func storyBeacon(t *testing.T, plain []string, named map[string]string) *schemas.Beacon {
	at := parseStoryTime(t, plain[0])
	kind, ok := schemas.ParseBeaconType(plain[2])
	if !ok {
		t.Fatalf("no beacon type %q", plain[2])
	}
	b := &schemas.Beacon{
		EventId: plain[3], Site: named["site"], VisitorId: plain[1], Type: kind,
		Consent: schemas.Consent_CONSENT_IDENTIFIED, ReceivedAtUs: at, OccurredAtUs: at,
		Collector: named["on"], ClockUs: at, Url: named["url"], Referrer: named["ref"],
		Channel: named["channel"],
	}
	if b.VisitorId == "nobody" {
		b.VisitorId = ""
	}
	if named["at"] != "" {
		b.OccurredAtUs = parseStoryTime(t, named["at"])
	}
	if named["clock"] == "never" {
		b.ClockUs = 0
	}
	if named["campaign"] != "" {
		b.Campaign = &schemas.Campaign{Name: named["campaign"]}
	}
	if named["consent"] != "" {
		b.Consent, _ = schemas.ParseConsent(named["consent"])
	}
	if named["device"] != "" {
		b.Agent = &schemas.Agent{Device: named["device"]}
	}
	if named["engaged"] != "" {
		ms, err := strconv.Atoi(named["engaged"])
		if err != nil {
			t.Fatal(err)
		}
		b.EngagedMs = int32(ms)
	}
	return b
}

func encoded(t testing.TB, offset, appendMS int64, r *schemas.BeaconRecord) stage.Record {
	value, err := r.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	rec := stage.Record{Offset: offset, Timestamp: appendMS, Value: value}
	if b := r.GetBeacon(); b != nil {
		rec.Key = schemas.VisitorKey(schemas.Site(b.Site), schemas.VisitorID(b.VisitorId))
	}
	return rec
}

// describeMessage prints a visit on one line: what every visit has first, what few have as
// name=value.
func describeMessage(t testing.TB, topic string, value []byte) string {
	if topic == string(schemas.BadBeacons) {
		var bad schemas.BadBeacon
		if err := bad.UnmarshalVT(value); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("bad %s (%s)\n", bad.Reason, bad.Detail)
	}
	var v schemas.Visit
	if err := v.UnmarshalVT(value); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if v.Site != "s" {
		text.WriteString(v.Site + " ")
	}
	fmt.Fprintf(&text, "%s %s–%s %s…%s: %d beacons, %s→%s",
		v.VisitorId, storyTime(v.StartedAtUs), storyTime(v.EndedAtUs), v.FirstEventId,
		v.LastEventId, v.Beacons, v.StartReason, v.EndReason)
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"duplicates", v.Duplicates},
		{"page_views", v.PageViews},
		{"pings", v.Pings},
		{"link_clicks", v.LinkClicks},
		{"form_submits", v.FormSubmits},
		{"customs", v.Customs},
		{"requests", v.Requests},
		{"engaged_ms", v.EngagedMs},
	} {
		if n.value != 0 {
			fmt.Fprintf(&text, " %s=%d", n.name, n.value)
		}
	}
	for _, s := range [][2]string{
		{"entry", v.EntryUrl},
		{"exit", v.ExitUrl},
		{"referrer", v.Referrer},
		{"channel", v.Channel},
		{"campaign", v.GetCampaign().GetName()},
		{"device", v.GetAgent().GetDevice()},
	} {
		if s[1] != "" {
			fmt.Fprintf(&text, " %s=%s", s[0], s[1])
		}
	}
	if v.Consent != schemas.Consent_CONSENT_IDENTIFIED {
		fmt.Fprintf(&text, " consent=%s", v.Consent.Name())
	}
	if v.Late {
		text.WriteString(" late")
	}
	return text.String() + "\n"
}

func storyDay() time.Time { return time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC) }

func parseStoryTime(t *testing.T, text string) int64 {
	days := 0
	if day, clock, ok := strings.Cut(text, "+"); ok {
		n, err := strconv.Atoi(day)
		if err != nil {
			t.Fatal(err)
		}
		days, text = n, clock
	}
	at, err := time.Parse("15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	since := at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	return storyDay().AddDate(0, 0, days).Add(since).UnixMicro()
}

func storyTime(us int64) string {
	at := time.UnixMicro(us).UTC()
	if us == 0 {
		return "never"
	}
	text := at.Format("15:04:05.999")
	if days := int(at.Sub(storyDay()).Hours() / 24); days > 0 {
		return fmt.Sprintf("%d+%s", days, text)
	}
	return text
}
