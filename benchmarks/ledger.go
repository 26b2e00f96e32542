package benchmarks

import (
	"context"
	"fmt"
	"net/url"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/peers"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// firedLoad is a load that was put on a collector, and what became of its requests.
type firedLoad struct {
	server string
	plan   edge.Plan
	states []byte
}

// ledger holds what a topic has against what its senders were told.
type ledger struct {
	loads []firedLoad
	// seen counts each beacon of the loads, by its number.
	seen []uint8
	// strange is the first id that nobody sent.
	strange string
}

// take notes a beacon of the topic.
func (l *ledger) take(id string) {
	number, ok := edge.NumberOf(id)
	if ok = ok && number < uint64(len(l.seen)); ok {
		ok = l.seen[number] < 255
		l.seen[number]++
	}
	if !ok && l.strange == "" {
		l.strange = id
	}
}

// check wants every acknowledged beacon in the topic, and none that nobody sent. What was not
// acknowledged may be there or not.
func (l *ledger) check() (repeated int, err error) {
	if l.strange != "" {
		return 0, fmt.Errorf("the topic has a beacon that nobody sent: %s", l.strange)
	}
	missing := 0
	for _, load := range l.loads {
		for request, state := range load.states {
			first := load.plan.First + uint64(request*load.plan.Batch)
			for _, seen := range l.seen[first : first+uint64(load.plan.Batch)] {
				switch {
				case load.server != crumbtrailServer && seen > 0, edge.State(state) == edge.Unsent && seen > 0:
					return 0, fmt.Errorf("the topic has a beacon of request %d of %s, which did not get it",
						request, load.server)
				case seen > 1:
					repeated++
				case seen == 0 && load.server == crumbtrailServer &&
					edge.State(state) == edge.Acknowledged:
					missing++
				}
			}
		}
	}
	if missing > 0 {
		return repeated, fmt.Errorf("%d acknowledged beacons are not in the topic", missing)
	}
	return repeated, nil
}

// checkLoads holds the topics against what the load was told.
func (b *bed) checkLoads(ctx context.Context) (repeated int, err error) {
	l := &ledger{loads: b.loads, seen: make([]uint8, b.beacons)}
	bar := progress.New(b.cfg.Progress, progress.Options{What: "check"})
	beacons := 0
	err = b.scan(ctx, string(schemas.Beacons), func(r *kafka.Record) error {
		var record schemas.BeaconRecord
		if err := record.UnmarshalVT(r.Value); err != nil {
			return fmt.Errorf("beacon at offset %d: %w", r.Offset, err)
		}
		if beacon := record.GetBeacon(); beacon != nil {
			l.take(beacon.EventId)
			beacons++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if repeated, err = l.check(); err != nil {
		return repeated, err
	}
	bar.Done("all acknowledged beacons are among the %d in the topic, %d of them twice", beacons,
		repeated)
	return repeated, b.checkForwarded(ctx)
}

// checkForwarded counts what the forwarding peer has acknowledged.
func (b *bed) checkForwarded(ctx context.Context) error {
	acknowledged := int64(0)
	for _, load := range b.loads {
		for _, state := range load.states {
			if load.server == peers.Forward && edge.State(state) == edge.Acknowledged {
				acknowledged++
			}
		}
	}
	if acknowledged == 0 {
		return nil
	}
	ends, err := b.client.Ends(ctx, forwarded)
	if err == nil && sum(ends) < acknowledged {
		err = fmt.Errorf("%s acknowledged %d requests, the topic has %d", peers.Forward, acknowledged,
			sum(ends))
	}
	return err
}

// hostOf is the host:port of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}
