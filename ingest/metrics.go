package ingest

import (
	"maps"
	"strconv"
	"sync"
	"time"

	"crumbtrail/ingest/enrich"
	"crumbtrail/ingest/spill"

	"github.com/prometheus/client_golang/prometheus"
)

// Counts says what became of everything that came in. At any moment Received is Accepted +
// Rejected() + Shed (V6): an input counts once its fate is known.
type Counts struct {
	// Received counts beacons, and bodies that could not be taken apart as one each.
	Received int64
	// Accepted are in the log as beacons.
	Accepted int64
	// RejectedByReason counts what was refused, by a Reason constant.
	RejectedByReason map[string]int64
	// Shed were answered 503 or 429: to be sent again. Some of them may be in the log all the
	// same, where the answer of the log was lost.
	Shed int64
	// Submissions are those accepted beacons that came with a submission.
	Submissions int64
	// Secrets counts fields of forms that were left out: passwords, cards, one-time codes.
	Secrets int64
}

// Rejected is the sum of RejectedByReason.
func (c Counts) Rejected() int64 {
	var sum int64
	for _, n := range c.RejectedByReason {
		sum += n
	}
	return sum
}

// metrics counts for Counts and for Prometheus from one source.
type metrics struct {
	mu     sync.Mutex
	counts Counts

	received, accepted, rejected, shedded, submissions, secrets *prometheus.Desc

	produce  *prometheus.HistogramVec
	requests *prometheus.HistogramVec
	acks     *prometheus.CounterVec
	toKafka  prometheus.Counter // of acks
	linkMetrics
	fsync prometheus.Histogram
}

func newMetrics(
	reg prometheus.Registerer, a *appender, clients *connections, countries *enrich.Countries,
) (*metrics, error) {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("crumbtrail_ingest_"+name, help, labels, nil)
	}
	m := &metrics{
		counts:      Counts{RejectedByReason: map[string]int64{}},
		received:    describe("beacons_received_total", "Beacons of which it is known what became."),
		accepted:    describe("beacons_accepted_total", "Beacons that are durable."),
		rejected:    describe("beacons_rejected_total", "Inputs that were refused.", "reason"),
		shedded:     describe("beacons_shed_total", "Beacons that the client must send again."),
		submissions: describe("submissions_total", "Submissions that are durable."),
		secrets:     describe("secret_fields_total", "Fields of forms that were left out."),
		produce: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crumbtrail_ingest_produce_seconds", Help: "How long the log took to be durable.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"result"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crumbtrail_ingest_request_seconds", Help: "How long requests took to answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"route", "code"}),
		linkMetrics: newLinkMetrics(),
		acks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_ingest_ack_path_total", Help: "Requests, by what made them durable.",
		}, []string{"path"}),
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crumbtrail_ingest_spill_fsync_seconds", Help: "How long the spill's fsyncs took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
	}
	m.toKafka = m.acks.WithLabelValues(pathKafka)
	m.acks.WithLabelValues(pathSpill)
	all := []prometheus.Collector{m, m.produce, m.requests, m.acks, m.fsync}
	all = append(all, m.linkMetrics.requests, m.tokens)
	all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crumbtrail_ingest_queue_requests", Help: "Requests that wait for the log.",
	}, func() float64 { return float64(len(a.queue)) }))
	all = append(append(all, countries.Metric()), clients.metrics()...)
	for _, c := range append(all, spillMetrics(a)...) {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// spillMetrics are what the spill says of itself; all are 0 where there is none.
func spillMetrics(a *appender) (all []prometheus.Collector) {
	of := func(value func(spill.Stats) float64) func() float64 {
		return func() float64 {
			if a.spill == nil {
				return 0
			}
			return value(a.spill.Stats())
		}
	}
	for _, g := range []struct {
		name, help string
		value      func(spill.Stats) float64
	}{
		{"pending_bytes", "Bytes of what waits in the spill.", func(s spill.Stats) float64 {
			return float64(s.Bytes)
		}},
		{"pending_records", "Records that wait in the spill.", func(s spill.Stats) float64 {
			return float64(s.Records)
		}},
		{"oldest_seconds", "Age of the oldest of them.", func(s spill.Stats) float64 {
			if s.LowUs == 0 {
				return 0
			}
			return max(0, time.Since(time.UnixMicro(s.LowUs)).Seconds())
		}},
		{"used_bytes", "What the spill takes of the disk.", func(s spill.Stats) float64 {
			return float64(s.Used)
		}},
		{"capacity_bytes", "The most that it may take.", func(s spill.Stats) float64 {
			return float64(s.Capacity)
		}},
	} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crumbtrail_ingest_spill_" + g.name, Help: g.help,
		}, of(g.value)))
	}
	return append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "crumbtrail_ingest_spill_corrupt_segments_total",
		Help: "Files of the spill that did not verify.",
	}, of(func(s spill.Stats) float64 { return float64(s.Corrupt) })))
}

// Describe and Collect make metrics a prometheus.Collector, whose values belong together.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.received, m.accepted, m.rejected, m.shedded, m.submissions, m.secrets,
	} {
		out <- d
	}
}

// Collect sends the counts of one moment.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	c := m.snapshot()
	send := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	send(m.received, c.Received)
	send(m.accepted, c.Accepted)
	send(m.shedded, c.Shed)
	send(m.submissions, c.Submissions)
	send(m.secrets, c.Secrets)
	for reason, n := range c.RejectedByReason {
		send(m.rejected, n, reason)
	}
}

func (m *metrics) snapshot() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts
	c.RejectedByReason = maps.Clone(c.RejectedByReason)
	return c
}

// took counts what is durable.
func (m *metrics) took(t *tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.Received += t.received()
	m.counts.Accepted += t.accepted
	m.counts.Submissions += t.submissions
	m.counts.Secrets += t.secrets
	for _, reason := range t.rejected {
		m.counts.RejectedByReason[reason]++
	}
}

// shed counts what has to come again.
func (m *metrics) shed(t *tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.Received += t.received()
	m.counts.Shed += t.received()
}

func (m *metrics) produced(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.produce.WithLabelValues(result).Observe(took.Seconds())
}

// acknowledged counts a request that is durable.
func (m *metrics) acknowledged(path string) {
	if path == pathKafka {
		m.toKafka.Inc()
		return
	}
	m.acks.WithLabelValues(path).Inc()
}

// synced takes in how long the spill took to be durable.
func (m *metrics) synced(took time.Duration) { m.fsync.Observe(took.Seconds()) }

// answers are the histograms of one route's requests, which are found faster here than by name.
type answers struct {
	requests *prometheus.HistogramVec
	route    string

	mu     sync.RWMutex
	byCode map[int]prometheus.Observer
}

func (m *metrics) answers(route string) *answers {
	return &answers{requests: m.requests, route: route, byCode: map[int]prometheus.Observer{}}
}

// took counts a request that was answered.
func (a *answers) took(code int, took time.Duration) {
	a.mu.RLock()
	seconds := a.byCode[code]
	a.mu.RUnlock()
	if seconds == nil {
		seconds = a.requests.WithLabelValues(a.route, strconv.Itoa(code))
		a.mu.Lock()
		a.byCode[code] = seconds
		a.mu.Unlock()
	}
	seconds.Observe(took.Seconds())
}
