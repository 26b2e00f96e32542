package sessionize

import "time"

const (
	// collectorSilence is how long a collector that says nothing holds back the clock.
	collectorSilence = 5 * time.Minute
	// clockLead is how far a collector's clock may be past the broker's append time.
	clockLead = 30 * time.Second
)

// clock is the time of one partition: the least of what its collectors have said. It never goes
// back. What is too far past the broker's append time is capped, and a collector that has not been
// heard for long is forgotten, so that one fast clock or one dead collector does no harm.
type clock struct {
	// nowUS is microseconds since the epoch, 0 before the first record.
	nowUS      int64
	collectors []collector
}

// collector is what the partition last heard of one.
type collector struct {
	name      string
	saidUS    int64
	heardAtMS int64
}

// hear takes in what a collector says in a record that the broker appended at appendMS.
func (c *clock) hear(name []byte, saidUS, appendMS int64) {
	saidUS = min(saidUS, appendMS*1000+clockLead.Microseconds())
	known := false
	leastUS := saidUS
	kept := c.collectors[:0]
	for i := range c.collectors {
		other := &c.collectors[i]
		switch {
		case !known && other.name == string(name):
			known = true
			other.saidUS, other.heardAtMS = saidUS, appendMS
		case other.heardAtMS < appendMS-collectorSilence.Milliseconds():
			continue
		default:
			leastUS = min(leastUS, other.saidUS)
		}
		kept = append(kept, *other)
	}
	if !known {
		kept = append(kept, collector{name: string(name), saidUS: saidUS, heardAtMS: appendMS})
	}
	c.collectors = kept
	c.nowUS = max(c.nowUS, leastUS)
}
