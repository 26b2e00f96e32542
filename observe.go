package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/stage"
	"crumbtrail/sessionize"
)

// visitCounts holds what the sessionizer last counted in each partition, for metrics and for the
// sums that a replay prints. The counts are part of the state: they go on across restarts.
type visitCounts struct {
	mu          sync.Mutex
	byPartition map[int32]sessionize.Counts
}

// counter is a metric that is one of a stage's counts.
type counter[C any] struct {
	name, help string
	of         func(C) int64
}

func registerCounters[C any](
	reg prometheus.Registerer, prefix string, now func() C, list []counter[C],
) {
	for _, m := range list {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: prefix + m.name + "_total", Help: m.help,
		}, func() float64 { return float64(m.of(now())) }))
	}
}

func newVisitCounts(reg prometheus.Registerer) *visitCounts {
	c := &visitCounts{byPartition: map[int32]sessionize.Counts{}}
	registerCounters(reg, "crumbtrail_sessionize_", c.total, []counter[sessionize.Counts]{
		{"beacons", "Beacons read.", func(c sessionize.Counts) int64 { return c.Beacons }},
		{
			"counted", "Beacons without consent or visitor, in no visit.",
			func(c sessionize.Counts) int64 { return c.Counted },
		},
		{
			"duplicates", "Beacons that were there already.",
			func(c sessionize.Counts) int64 { return c.Duplicates },
		},
		{
			"late_beacons", "Beacons that came after their time had been closed.",
			func(c sessionize.Counts) int64 { return c.Late },
		},
		{
			"bad_records", "Records that could not be used.",
			func(c sessionize.Counts) int64 { return c.Bad },
		},
		{"visits", "Visits closed.", func(c sessionize.Counts) int64 { return c.Visits }},
	})
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crumbtrail_sessionize_open_visits", Help: "Visits that may still grow.",
	}, func() float64 { return float64(c.total().Open) }))
	return c
}

// observe is called by the shell with each partition's machine, nil once it is another process's.
func (c *visitCounts) observe(partition int32, m stage.Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == nil {
		delete(c.byPartition, partition)
		return
	}
	c.byPartition[partition] = m.(*sessionize.Machine).Counts()
}

func (c *visitCounts) total() (sum sessionize.Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.byPartition {
		sum.Beacons += p.Beacons
		sum.Counted += p.Counted
		sum.Duplicates += p.Duplicates
		sum.Late += p.Late
		sum.Bad += p.Bad
		sum.Visits += p.Visits
		sum.Open += p.Open
	}
	return sum
}
