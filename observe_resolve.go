package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve"
)

// peopleCounts holds what the resolver last counted, for metrics. The counts are part of its state:
// they go on across restarts.
type peopleCounts struct {
	mu     sync.Mutex
	counts resolve.Counts
	held   resolve.Held
}

func newPeopleCounts(reg prometheus.Registerer) *peopleCounts {
	c := &peopleCounts{}
	for _, o := range []struct {
		outcome string
		of      func(resolve.Counts) int64
	}{
		{"matched", func(c resolve.Counts) int64 { return c.Matched }},
		{"created", func(c resolve.Counts) int64 { return c.Created }},
		{"review", func(c resolve.Counts) int64 { return c.Review }},
		{"unresolved", func(c resolve.Counts) int64 { return c.Unresolved }},
		{"duplicate", func(c resolve.Counts) int64 { return c.Duplicates }},
		{"pending", func(c resolve.Counts) int64 { return c.Pending }},
		{"spam", func(c resolve.Counts) int64 { return c.Spam }},
		{"accepted", func(c resolve.Counts) int64 { return c.Accepted }},
		{"rejected", func(c resolve.Counts) int64 { return c.Rejected }},
		{"split", func(c resolve.Counts) int64 { return c.Split }},
		{"withdrawn", func(c resolve.Counts) int64 { return c.Withdrawn }},
		{"refused", func(c resolve.Counts) int64 { return c.Refused }},
		{"erased", func(c resolve.Counts) int64 { return c.Erased }},
	} {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "crumbtrail_resolve_submissions_total",
			Help:        "Submissions and reviews read, by what became of them.",
			ConstLabels: prometheus.Labels{"outcome": o.outcome},
		}, func() float64 { return float64(o.of(c.now())) }))
	}
	registerCounters(reg, "crumbtrail_resolve_", c.now, []counter[resolve.Counts]{
		{
			"identities", "Edges from a visitor to a record.",
			func(c resolve.Counts) int64 { return c.Linked },
		},
		{
			"merged_contacts", "Contacts that another took over.",
			func(c resolve.Counts) int64 { return c.Merged },
		},
		{
			"parted_contacts", "Contacts that stood for themselves again.",
			func(c resolve.Counts) int64 { return c.Parted },
		},
		{
			"confirmed", "Pending submissions that were confirmed.",
			func(c resolve.Counts) int64 { return c.Confirmed },
		},
		{
			"expired", "Pending submissions that were not, in time.",
			func(c resolve.Counts) int64 { return c.Expired },
		},
		{
			"bad_records", "Records that could not be used.",
			func(c resolve.Counts) int64 { return c.Bad },
		},
	})
	c.gauges(reg)
	return c
}

func (c *peopleCounts) gauges(reg prometheus.Registerer) {
	for _, m := range []struct {
		name, help string
		of         func(resolve.Held) int
	}{
		{"records", "Records held.", func(h resolve.Held) int { return h.Records }},
		{"edges", "Pairs of records of which something is known.", func(h resolve.Held) int {
			return h.Edges
		}},
		{"hot_keys", "Values that too many records have to compare them by.", func(h resolve.Held) int {
			return h.HotKeys
		}},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crumbtrail_resolve_" + m.name, Help: m.help,
		}, func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(m.of(c.held))
		}))
	}
}

// observe is called by the shell with the machine, nil once it is another process's.
func (c *peopleCounts) observe(_ int32, m stage.Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == nil {
		c.counts, c.held = resolve.Counts{}, resolve.Held{}
		return
	}
	c.counts, c.held = m.(*resolve.Machine).Counts(), m.(*resolve.Machine).Held()
}

func (c *peopleCounts) now() resolve.Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}
