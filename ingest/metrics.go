package ingest

import (
	"maps"
	"strconv"
	"sync"
	"time"

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
}

func newMetrics(reg prometheus.Registerer, queued func() float64) (*metrics, error) {
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
	}
	queue := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crumbtrail_ingest_queue_requests", Help: "Requests that wait for the log.",
	}, queued)
	for _, c := range []prometheus.Collector{m, m.produce, m.requests, queue} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
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

func (m *metrics) answered(route string, code int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Observe(took.Seconds())
}
