package traffic

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// seen is when a beacon happened, as a collector must work it out.
type seen struct {
	visitor  visitorKey
	id       string
	occurred time.Time
	received time.Time
}

// visible lists the beacons with a visitor, duplicates and garbage left out.
func visible(t *testing.T, made *Traffic) []seen {
	t.Helper()
	var all []seen
	ids := map[string]bool{}
	add := func(s seen) {
		if !ids[s.id] && s.visitor.visitor != "" {
			all = append(all, s)
		}
		ids[s.id] = true
	}
	for r := range made.Requests() {
		if r.Kind != Beacons {
			// The collector makes the id.
			visitor, _ := strings.CutPrefix(r.Header.Get("Cookie"), "ct_visitor=")
			if visitor != r.Visitor {
				visitor = ""
			}
			add(seen{visitorKey{r.Site, visitor}, fmt.Sprint(len(ids)), r.At, r.At})
			continue
		}
		var body struct {
			SentAt  time.Time `json:"sent_at"`
			Beacons []json.RawMessage
		}
		if json.Unmarshal(r.Body, &body) != nil {
			continue
		}
		for _, item := range body.Beacons {
			var b beacon
			if !isBeacon(item, &b) {
				continue
			}
			created, err := time.Parse(time.RFC3339, b.CreatedAt)
			if err != nil {
				t.Fatal(err)
			}
			add(seen{visitorKey{b.Site, b.Visitor}, b.ID, r.At.Add(created.Sub(body.SentAt)), r.At})
		}
	}
	return all
}

// Visits, late beacons and visitors are counted once more, from nothing but the bodies.
func TestVisitsMatchBodies(t *testing.T) {
	made := mustNew(t, Config{Seed: 4})
	all := visible(t, made)
	visitors := map[visitorKey]bool{}
	late := 0
	onTime := all[:0]
	for _, s := range all {
		visitors[s.visitor] = true
		if s.received.Sub(s.occurred) > lateFrom {
			late++
		} else {
			onTime = append(onTime, s)
		}
	}
	slices.SortFunc(onTime, func(a, b seen) int {
		if c := strings.Compare(a.visitor.site+a.visitor.visitor,
			b.visitor.site+b.visitor.visitor); c != 0 {
			return c
		}
		return a.occurred.Compare(b.occurred)
	})
	visits := 0
	for i, s := range onTime {
		if i == 0 || onTime[i-1].visitor != s.visitor ||
			s.occurred.Sub(onTime[i-1].occurred) > 30*time.Minute {
			visits++
		}
	}
	want := made.Expected()
	if len(visitors) != want.Visitors || late != want.Late || visits != want.Visits {
		t.Errorf("bodies hold %d visitors, %d late beacons, %d visits; expected %d, %d, %d",
			len(visitors), late, visits, want.Visitors, want.Late, want.Visits)
	}
}
