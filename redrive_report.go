package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"crumbtrail/ingest"
)

// redriveReport says what became of bad beacons, by the reason for which they were refused first.
type redriveReport struct {
	DryRun  bool           `json:"dry_run"`
	Reasons []*redriveLine `json:"reasons"`
}

// redriveLine is the bad beacons of one reason. Each is taken, refused, not redrivable or taken
// before; of one that is taken in parts, the others are refused again.
type redriveLine struct {
	Reason        string `json:"reason"`
	BadBeacons    int    `json:"bad_beacons"`
	Taken         int    `json:"taken"`
	Beacons       int    `json:"beacons"`
	Refused       int    `json:"refused"`
	NotRedrivable int    `json:"not_redrivable"`
	TakenBefore   int    `json:"taken_before"`
	// Why counts what keeps the rest from being taken.
	Why []*redriveWhy `json:"why,omitempty"`
}

type redriveWhy struct {
	Why   string `json:"why"`
	Count int    `json:"count"`
}

// of returns the line of a reason.
func (r *redriveReport) of(reason string) *redriveLine {
	for _, line := range r.Reasons {
		if line.Reason == reason {
			line.BadBeacons++
			return line
		}
	}
	line := &redriveLine{Reason: reason, BadBeacons: 1}
	r.Reasons = append(r.Reasons, line)
	return line
}

// add counts what became of one.
func (l *redriveLine) add(out ingest.Redriven) {
	switch {
	case out.Hopeless != "":
		l.NotRedrivable++
		l.because(out.Hopeless)
	case out.Accepted > 0:
		l.Taken++
		l.Beacons += out.Accepted
	default:
		l.Refused++
	}
	for _, refused := range out.Refused {
		l.because(refused.String())
	}
}

// mostWhys bounds what is told of one reason.
const mostWhys = 20

func (l *redriveLine) because(why string) {
	for _, known := range l.Why {
		if known.Why == why {
			known.Count++
			return
		}
	}
	if len(l.Why) >= mostWhys {
		const others = "other reasons"
		if last := l.Why[len(l.Why)-1]; last.Why == others {
			last.Count++
			return
		}
		why = others
	}
	l.Why = append(l.Why, &redriveWhy{why, 1})
}

func (r *redriveReport) print(w io.Writer, format string) error {
	slices.SortFunc(r.Reasons, func(a, b *redriveLine) int { return cmp.Compare(a.Reason, b.Reason) })
	if format == "json" {
		if r.Reasons == nil {
			r.Reasons = []*redriveLine{}
		}
		return json.NewEncoder(w).Encode(r)
	}
	if r.DryRun {
		fmt.Fprintln(w, "dry run: nothing was written")
	}
	if len(r.Reasons) == 0 {
		fmt.Fprintln(w, "there are no such bad beacons; "+
			"`crumbtrail redrive --dry-run` lists those that there are, by reason")
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "bad beacons\ttaken\tas beacons\tstill refused\tnot redrivable\t"+
		"taken before\t reason")
	for _, l := range r.Reasons {
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t %s\n", l.BadBeacons, l.Taken, l.Beacons, l.Refused,
			l.NotRedrivable, l.TakenBefore, l.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, l := range r.Reasons {
		for _, why := range l.Why {
			if _, err := fmt.Fprintf(w, "%s: %d × %s\n", l.Reason, why.Count, why.Why); err != nil {
				return err
			}
		}
	}
	return nil
}
