package sessionize

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"crumbtrail/schemas"
)

// TestReference compares with a sessionizer that sees everything at once: it sorts the beacons of
// each visitor and splits them. The log has beacons out of order by at most the grace, some twice,
// from two collectors, over several partitions; nothing in it is late and no visit is full.
func TestReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		cfg.DedupeWindow = 100 * 24 * time.Hour
		cfg.Default.MaxBeacons = 10_000
		cfg.Sites = nil
		grace := int(cfg.Default.Grace.Milliseconds())

		var beacons []*schemas.Beacon
		occurred := storyDay().Add(22 * time.Hour).UnixMicro()
		for i := range rapid.IntRange(1, 80).Draw(t, "beacons") {
			occurred += int64(drawSkip(t, "skip")) / 1000
			b := drawBeacon(t, occurred)
			b.EventId = fmt.Sprintf("%s-%d", b.EventId, i)
			b.Collector = fmt.Sprintf("c%d", rapid.IntRange(1, 2).Draw(t, "collector"))
			b.ReceivedAtUs = occurred + 1000*int64(rapid.IntRange(0, grace).Draw(t, "delay ms"))
			beacons = append(beacons, b)
		}
		arrivals := slices.Clone(beacons)
		for range rapid.IntRange(0, 10).Draw(t, "duplicates") {
			again := proto.CloneOf(rapid.SampledFrom(beacons).Draw(t, "duplicate"))
			again.ReceivedAtUs += int64(drawSkip(t, "again")) / 1000
			arrivals = append(arrivals, again)
		}
		slices.SortStableFunc(arrivals, func(a, b *schemas.Beacon) int {
			return cmp.Compare(a.ReceivedAtUs, b.ReceivedAtUs)
		})
		for _, b := range arrivals {
			b.ClockUs = b.ReceivedAtUs
		}
		n := rapid.IntRange(1, 3).Draw(t, "partitions")
		got := visitsOver(t, cfg, arrivals, n, true, 24*time.Hour)
		for _, v := range got {
			// Which of its visits a duplicate found, and when, is a matter of arrival.
			v.Duplicates, v.LastOffset = 0, 0
		}
		want := reference(cfg.Default, beacons)
		if diff := gocmp.Diff(sorted(want), sorted(got)); diff != "" {
			t.Fatalf("visits differ (-reference +got):\n%s", diff)
		}
	})
}

// reference makes the visits of beacons that all came in time, each once.
func reference(r Rules, beacons []*schemas.Beacon) []*schemas.Visit {
	byVisitor := map[[2]string][]*schemas.Beacon{}
	for _, b := range beacons {
		key := [2]string{b.Site, b.VisitorId}
		byVisitor[key] = append(byVisitor[key], b)
	}
	var all []*schemas.Visit
	for _, own := range byVisitor {
		slices.SortFunc(own, func(a, b *schemas.Beacon) int {
			return cmp.Or(cmp.Compare(a.OccurredAtUs, b.OccurredAtUs),
				cmp.Compare(a.EventId, b.EventId))
		})
		start, from, campaign := "first_beacon", 0, own[0].GetCampaign().GetName()
		for i := range own[1:] {
			visit, next := own[from:i+1], own[i+1]
			if why := boundary(r, visit, next, campaign); why != "" {
				all = append(all, referenceVisit(visit, start, why))
				start, from = why, i+1
				if why == "gap" {
					campaign = ""
				}
			}
			campaign = cmp.Or(next.GetCampaign().GetName(), campaign)
		}
		all = append(all, referenceVisit(own[from:], start, "gap"))
	}
	return all
}

// boundary says why next does not go on with the visit so far, which campaign was named last in.
func boundary(r Rules, visit []*schemas.Beacon, next *schemas.Beacon, campaign string) string {
	at := func(b *schemas.Beacon) time.Time { return time.UnixMicro(b.OccurredAtUs).In(r.zone()) }
	last := visit[len(visit)-1]
	switch {
	case at(next).Sub(at(last)) > r.Gap:
		return "gap"
	case at(next).Sub(at(visit[0])) > r.MaxVisit:
		return "max_visit"
	case r.CutCampaign && next.Campaign != nil && next.Campaign.Name != campaign:
		return "campaign"
	case r.CutMidnight && at(next).YearDay() != at(last).YearDay():
		return "midnight"
	}
	return ""
}

func referenceVisit(beacons []*schemas.Beacon, start, end string) *schemas.Visit {
	first, last := beacons[0], beacons[len(beacons)-1]
	v := &schemas.Visit{
		VisitId: string(schemas.NewVisitIDs().AppendID(nil, first.Site+"\x00"+first.VisitorId,
			first.OccurredAtUs, []byte(first.EventId))),
		Site: first.Site, VisitorId: first.VisitorId, StartReason: start, EndReason: end,
		StartedAtUs: first.OccurredAtUs, EndedAtUs: last.OccurredAtUs,
		FirstEventId: first.EventId, LastEventId: last.EventId, Beacons: int64(len(beacons)),
		EntryUrl: first.Url, ExitUrl: last.Url, Consent: schemas.Consent_CONSENT_IDENTIFIED,
	}
	counters := []*int64{
		nil, &v.PageViews, &v.Pings, &v.LinkClicks, &v.FormSubmits, &v.Customs, &v.Requests,
	}
	var engaged time.Duration
	for i, b := range slices.Backward(beacons) { // so that the first has the last word
		if counter := counters[b.Type]; counter != nil {
			*counter++
		}
		v.Consent = min(v.Consent, b.Consent)
		if b.Agent != nil {
			v.Agent = b.Agent
		}
		if b.Referrer != "" || b.Channel != "" || b.Campaign != nil {
			v.Referrer, v.Channel, v.Campaign = b.Referrer, b.Channel, b.Campaign
		}
		if b.Type == schemas.BeaconType_BEACON_TYPE_PAGE_VIEW {
			v.EntryUrl = b.Url
			if v.PageViews == 1 {
				v.ExitUrl = b.Url
			}
		}
		if b.Type == schemas.BeaconType_BEACON_TYPE_PING {
			said := time.Duration(b.EngagedMs) * time.Millisecond
			if said <= 0 && i > 0 {
				said = time.Duration(b.OccurredAtUs-beacons[i-1].OccurredAtUs) * time.Microsecond
			}
			engaged += min(max(said, 0), 30*time.Second)
		}
	}
	v.EngagedMs = engaged.Milliseconds()
	return v
}
