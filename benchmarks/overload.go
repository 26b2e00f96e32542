package benchmarks

import (
	"context"
	"fmt"

	"crumbtrail/benchmarks/edge"
)

// OverloadOptions say what load is put on the collector.
type OverloadOptions struct {
	Batch int
	// Connections are so many that those who wait for an answer keep nobody from asking.
	Connections int
	Seconds     int
	// Rate is how many beacons a second count as the capacity; 0 measures it.
	Rate int
}

// Overload is what a collector does with more than it can.
type Overload struct {
	Batch       int `json:"batch"`
	Connections int `json:"connections"`
	// Capacity is in beacons a second.
	Capacity float64        `json:"capacity"`
	Steps    []OverloadStep `json:"steps"`
	// Goodput is what was taken at twice the capacity, as a share of the most that was taken in any
	// step.
	Goodput float64 `json:"goodput"`
	// RecoverySeconds is how long after the last step down the p99 of a second stays above twice
	// that of the first step.
	RecoverySeconds int `json:"recovery_seconds"`
}

// OverloadStep is a time with one rate.
type OverloadStep struct {
	// Factor is how many times the capacity was due.
	Factor  float64 `json:"factor"`
	Seconds float64 `json:"seconds"`
	// Asked, EventsPerSecond and RefusedPerSecond are beacons that were sent, taken, and turned away.
	Asked            float64        `json:"asked_per_second"`
	EventsPerSecond  float64        `json:"events_per_second"`
	RefusedPerSecond float64        `json:"refused_per_second"`
	LatencyMS        edge.Quantiles `json:"latency_ms"`
	// LateMS is how much of it passed before the load had a connection free.
	LateMS    edge.Quantiles `json:"late_ms"`
	RefusalMS edge.Quantiles `json:"refusal_ms"`
	// Hurried are refusals that did not say when to come again.
	Hurried int `json:"hurried"`
}

// factors are those of the steps.
func factors() []float64 { return []float64{0.5, 1, 2, 0.5} }

// Overwhelm measures the collector at half of its capacity, at all of it, at twice as much, and at
// half again, with clients that come again when they are turned away.
func Overwhelm(ctx context.Context, cfg Config, o OverloadOptions) (r Result, err error) {
	b, err := makeBed(ctx, cfg, edgeSettings())
	if err != nil {
		return r, err
	}
	defer b.close()
	s, err := b.serve(ctx, crumbtrailServer)
	if err != nil {
		return r, err
	}
	plan := edge.Plan{Address: s.address, Connections: o.Connections, Batch: o.Batch}
	out := &Overload{Batch: o.Batch, Connections: o.Connections, Capacity: float64(o.Rate)}
	if o.Rate == 0 {
		if out.Capacity, err = b.capacity(ctx, s, plan, o); err != nil {
			return r, err
		}
	}
	used, broker := s.using(), b.brokerUse()
	for _, factor := range factors() {
		plan.Steps = append(plan.Steps, edge.Step{
			Rate: factor * out.Capacity / float64(o.Batch), Seconds: float64(o.Seconds),
		})
	}
	plan.Retry = true
	report, err := b.fire(ctx, s, plan)
	if err != nil {
		return r, err
	}
	now := s.using()
	r = Result{Name: "overload", Overload: out, Seconds: float64(len(factors()) * o.Seconds)}
	r.Events = out.took(report.Steps, o.Batch)
	r.took(usage{
		user: now.user - used.user, system: now.system - used.system, peakRSSBytes: now.peakRSSBytes,
	})
	r.BrokerCoreSeconds = (b.brokerUse() - broker).Seconds()
	if broken := report.Broken(); broken > 0 {
		return r, fmt.Errorf("%d requests broke, one of them: %s", broken, report.Problem)
	}
	if err := s.stop(); err != nil {
		return r, err
	}
	r.Repeated, err = b.checkLoads(ctx)
	return r, err
}

// The capacity is looked for in steps, each with so many times the rate of the one before, until
// less than most of what was due is taken.
const (
	capacityConnections = 256
	capacityStep        = 1.3
	capacitySeconds     = 4
	capacityMost        = 0.9
)

// capacity is the most that the collector takes a second. It begins with what few connections get
// in a closed loop, which wait for the log rather than for a processor.
func (b *bed) capacity(
	ctx context.Context, s *server, plan edge.Plan, o OverloadOptions,
) (float64, error) {
	few := plan
	few.Connections = min(o.Connections, capacityConnections)
	load, err := b.put(ctx, s, few, edge.Step{Seconds: warmUp})
	most := load.EventsPerSecond
	for rate := most; err == nil; rate *= capacityStep {
		load, err = b.put(ctx, s, plan, edge.Step{
			Rate: rate / float64(o.Batch), Seconds: capacitySeconds,
		})
		most = max(most, load.EventsPerSecond)
		if load.EventsPerSecond < capacityMost*rate {
			return most, err
		}
	}
	return most, err
}

// took fills in what came of the steps, and returns how many beacons were taken.
func (o *Overload) took(steps []edge.StepReport, batch int) (events int) {
	most := 0.0
	for i, s := range steps {
		perSecond := func(requests int) float64 { return float64(requests*batch) / s.Seconds }
		step := OverloadStep{
			Factor: factors()[i], Seconds: s.Seconds, EventsPerSecond: perSecond(s.Acknowledged),
			RefusedPerSecond: perSecond(s.Refused), LatencyMS: s.Latency, LateMS: s.Late,
			RefusalMS: s.Refusal,
			Asked:     perSecond(s.Acknowledged + s.Refused + s.Broken),
			Hurried:   s.Hurried,
		}
		o.Steps = append(o.Steps, step)
		events += s.Acknowledged * batch
		most = max(most, step.EventsPerSecond)
	}
	o.Goodput = o.Steps[2].EventsPerSecond / most
	normal := 2 * steps[0].Latency.P99
	for second, w := range steps[len(steps)-1].Windows {
		if w.Latency.P99 > normal {
			o.RecoverySeconds = second + 1
		}
	}
	return events
}
