package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// handoffsReport says of how many hand-offs webhooks are told again.
type handoffsReport struct {
	DryRun   bool                  `json:"dry_run"`
	Webhooks []*handoffsReportLine `json:"webhooks"`
}

type handoffsReportLine struct {
	Webhook  string `json:"webhook"`
	Handoffs int    `json:"handoffs"`
}

// runHandoffs has webhooks told again of what they did not take in time.
func (r *redrive) runHandoffs(ctx context.Context) (err error) {
	if !r.dryRun {
		// Two at a time would both ask for the same: the later one fences the first.
		r.transaction, err = r.client.NewTransactional(ctx, "redrive-handoffs")
		if err != nil {
			return err
		}
	}
	expired, err := r.expiredHandoffs(ctx)
	if err != nil {
		return err
	}
	lines := map[string]int{}
	for _, again := range expired {
		if r.limit > 0 && r.done >= r.limit {
			break
		}
		r.done++
		lines[again.Webhook]++
		if err := r.again(ctx, again); err != nil {
			return err
		}
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	report := handoffsReport{DryRun: r.dryRun, Webhooks: []*handoffsReportLine{}}
	for name, n := range lines {
		report.Webhooks = append(report.Webhooks, &handoffsReportLine{name, n})
	}
	slices.SortFunc(report.Webhooks, func(a, b *handoffsReportLine) int {
		return cmp.Compare(a.Webhook, b.Webhook)
	})
	return r.printHandoffs(report)
}

// expiredHandoffs are those that were given up and not sent again since, in the order in which
// they were given up.
func (r *redrive) expiredHandoffs(
	ctx context.Context,
) (all []*schemas.HandoffRedelivery, err error) {
	type place struct{ webhook, id string }
	offsets, open := map[string]int64{}, map[place]time.Time{}
	err = r.client.ScanAll(ctx, string(schemas.Handoffs), func(records []kafka.Record) error {
		for i := range records {
			entry := &schemas.HandoffRecord{}
			if entry.UnmarshalVT(records[i].Value) != nil {
				continue // the lake keeps it among the bad beacons
			}
			switch e := entry.Entry.(type) {
			case *schemas.HandoffRecord_Handoff:
				offsets[e.Handoff.HandoffId] = records[i].Offset
			case *schemas.HandoffRecord_Redelivery:
				delete(open, place{e.Redelivery.Webhook, e.Redelivery.HandoffId})
			case *schemas.HandoffRecord_Delivery:
				d := e.Delivery
				delete(open, place{d.Webhook, d.HandoffId})
				if d.Outcome == schemas.DeliveryOutcome_DELIVERY_OUTCOME_EXPIRED {
					open[place{d.Webhook, d.HandoffId}] = time.UnixMicro(d.AtUs)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for p, at := range open {
		offset, kept := offsets[p.id]
		if kept && lists(r.webhooks, p.webhook) && lists(r.ids, p.id) && r.covers(at) {
			all = append(all, &schemas.HandoffRedelivery{
				HandoffId: p.id, Webhook: p.webhook, HandoffOffset: offset,
			})
		}
	}
	slices.SortFunc(all, func(a, b *schemas.HandoffRedelivery) int {
		return cmp.Or(open[place{a.Webhook, a.HandoffId}].Compare(open[place{b.Webhook, b.HandoffId}]),
			cmp.Compare(a.HandoffOffset, b.HandoffOffset), cmp.Compare(a.Webhook, b.Webhook))
	})
	return all, nil
}

// again asks for a hand-off to be sent again.
func (r *redrive) again(ctx context.Context, again *schemas.HandoffRedelivery) error {
	if r.dryRun {
		return nil
	}
	at := time.Now()
	again.AtUs = at.UnixMicro()
	value, err := (&schemas.HandoffRecord{
		Entry: &schemas.HandoffRecord_Redelivery{Redelivery: again},
	}).MarshalVT()
	if err != nil {
		return fmt.Errorf("encode a redelivery of %s: %w", again.HandoffId, err)
	}
	r.waiting = append(r.waiting, kafka.Message{
		Topic: string(schemas.Handoffs), Timestamp: at.UnixMilli(), Key: []byte(again.HandoffId),
		Value: value,
	})
	if len(r.waiting) < redriveRecords {
		return nil
	}
	return r.commit(ctx)
}

func (r *redrive) printHandoffs(report handoffsReport) error {
	if r.format == "json" {
		return json.NewEncoder(r.call.stdout).Encode(report)
	}
	if report.DryRun {
		fmt.Fprintln(r.call.stdout, "dry run: nothing was written")
	}
	if len(report.Webhooks) == 0 {
		fmt.Fprintln(r.call.stdout, "there are no such hand-offs")
		return nil
	}
	w := tabwriter.NewWriter(r.call.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "hand-offs\t webhook")
	for _, line := range report.Webhooks {
		fmt.Fprintf(w, "%d\t %s\n", line.Handoffs, line.Webhook)
	}
	return w.Flush()
}
