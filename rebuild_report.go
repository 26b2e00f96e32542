package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

// rebuildListed is how many changes a report names one by one.
const rebuildListed = 20

// rebuildReport says what a rebuild changes.
type rebuildReport struct {
	DryRun    bool   `json:"dry_run"`
	RebuildID string `json:"rebuild_id,omitempty"`
	From      string `json:"from"`
	To        string `json:"to"`
	// Days are those that visits of it began on, also before and after the days that were asked for
	// where visits reach there.
	Days []*rebuildDay `json:"days"`
	// LateBeacons are those of late visits that have found their place.
	LateBeacons int64 `json:"late_beacons"`
	// Open and Incomplete visits stay as they are.
	Open       int64 `json:"open"`
	Incomplete int64 `json:"incomplete"`
	// Changes are the first of them.
	Changes []rebuildChange `json:"changes"`

	days map[string]*rebuildDay
	// partitions is the same for each of them, as it is published.
	partitions []*schemas.Rebuild
}

type rebuildDay struct {
	Day     string `json:"day"`
	Before  int64  `json:"visits_before"`
	After   int64  `json:"visits_after"`
	Added   int64  `json:"added"`
	Changed int64  `json:"changed"`
	Gone    int64  `json:"gone"`
}

type rebuildChange struct {
	Change        string    `json:"change"`
	VisitID       string    `json:"visit_id"`
	Site          string    `json:"site"`
	VisitorID     string    `json:"visitor_id"`
	StartedAt     time.Time `json:"started_at"`
	BeaconsBefore int64     `json:"beacons_before"`
	Beacons       int64     `json:"beacons"`
}

func newRebuildReport(of *rebuild) *rebuildReport {
	r := &rebuildReport{
		DryRun: of.dryRun, From: of.from.Format(time.DateOnly), To: of.to.Format(time.DateOnly),
		Days: []*rebuildDay{}, Changes: []rebuildChange{}, days: map[string]*rebuildDay{},
	}
	if !of.dryRun {
		r.RebuildID = of.id
	}
	for _, p := range of.partitions {
		r.partitions = append(r.partitions, &schemas.Rebuild{
			RebuiltAtUs: of.at.UnixMicro(), FromDay: r.From, ToDay: r.To, ReachedOffset: p.reached,
		})
	}
	return r
}

// add counts a stretch and what has changed in it.
func (r *rebuildReport) add(
	partition int32, s *sessionize.Stretch, changes []sessionize.Change,
) {
	p := r.partitions[partition]
	p.VisitsBefore += int64(len(s.Old))
	p.VisitsAfter += int64(len(s.New))
	switch s.Fate {
	case sessionize.StillOpen:
		p.Open += int64(len(s.Old))
		r.Open += int64(len(s.Old))
	case sessionize.Incomplete:
		p.Incomplete += int64(len(s.Old))
		r.Incomplete += int64(len(s.Old))
	case sessionize.Rebuilt:
		late := placed(s)
		p.LateBeacons += late
		r.LateBeacons += late
	}
	for _, v := range s.Old {
		r.day(v).Before++
	}
	for _, v := range s.New {
		r.day(v).After++
	}
	for _, c := range changes {
		r.change(p, c)
	}
}

// placed is how many beacons of late visits are in others now; the rest were copies.
func placed(s *sessionize.Stretch) int64 {
	late, copies := int64(0), int64(0)
	for _, v := range s.Old {
		if v.Late {
			late += v.Beacons
		}
		copies += v.Beacons
	}
	for _, v := range s.New {
		copies -= v.Beacons
	}
	return max(0, late-max(0, copies))
}

func (r *rebuildReport) change(p *schemas.Rebuild, c sessionize.Change) {
	v := cmp.Or(c.New, c.Old)
	day := r.day(v)
	listed := rebuildChange{
		VisitID: v.VisitId, Site: v.Site, VisitorID: v.VisitorId,
		StartedAt:     time.UnixMicro(v.StartedAtUs).UTC(),
		BeaconsBefore: c.Old.GetBeacons(), Beacons: c.New.GetBeacons(),
	}
	switch {
	case c.Old == nil:
		listed.Change = "added"
		day.Added++
		p.Added++
	case c.New == nil:
		listed.Change = "gone"
		day.Gone++
		p.Gone++
	default:
		listed.Change = "changed"
		day.Changed++
		p.Changed++
	}
	if len(r.Changes) < rebuildListed {
		r.Changes = append(r.Changes, listed)
	}
}

func (r *rebuildReport) day(v *schemas.Visit) *rebuildDay {
	name := time.UnixMicro(v.StartedAtUs).UTC().Format(time.DateOnly)
	if r.days[name] == nil {
		r.days[name] = &rebuildDay{Day: name}
	}
	return r.days[name]
}

// changes is how many visits are others.
func (r *rebuildReport) changes() (n int) {
	for _, d := range r.days {
		n += int(d.Added + d.Changed + d.Gone)
	}
	return n
}

func (r *rebuildReport) print(w io.Writer, format string) error {
	for _, name := range slices.Sorted(maps.Keys(r.days)) {
		r.Days = append(r.Days, r.days[name])
	}
	if format == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	if r.DryRun {
		fmt.Fprintln(w, "dry run: nothing was published")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "day\tvisits before\tafter\tadded\tchanged\tgone\t")
	for _, d := range r.Days {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t\n", d.Day, d.Before, d.After, d.Added, d.Changed,
			d.Gone)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s of late visits found their place\n", plural(int(r.LateBeacons), "beacon"))
	if r.Open > 0 {
		fmt.Fprintf(w, "%s stayed as before: others that belong to them have not ended; rebuild again "+
			"later\n", plural(int(r.Open), "visit"))
	}
	if r.Incomplete > 0 {
		fmt.Fprintf(w, "%s stayed as before: the lake has their beacons no longer\n",
			plural(int(r.Incomplete), "visit"))
	}
	if !r.DryRun {
		_, err := fmt.Fprintf(w, "rebuild %s: crumbtrail sql \"FROM visit_changes WHERE rebuild_id = "+
			"'%[1]s'\" shows each change\n", r.RebuildID)
		return err
	}
	return r.list(w)
}

// list names the changes of a dry run, which no view shows.
func (r *rebuildReport) list(w io.Writer) error {
	for _, c := range r.Changes {
		fmt.Fprintf(w, "%s %s of %s on %s, %s: %d beacons before, %d after\n", c.Change, c.VisitID,
			c.VisitorID, c.Site, c.StartedAt.Format(time.RFC3339), c.BeaconsBefore, c.Beacons)
	}
	if more := r.changes() - len(r.Changes); more > 0 {
		_, err := fmt.Fprintf(w, "and %d more\n", more)
		return err
	}
	return nil
}
