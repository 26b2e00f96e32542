package stage

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
)

// metrics are those of one stage; the stage's name is a label.
type metrics struct {
	in, out      prometheus.Counter
	restarts     prometheus.Counter
	fenced       prometheus.Counter
	rebalances   prometheus.Counter
	transactions *prometheus.CounterVec
	seconds      prometheus.Histogram
	restore      prometheus.Histogram
	halted       prometheus.Gauge
	state        prometheus.Gauge
	stateLimit   prometheus.Gauge
	lag          *prometheus.GaugeVec
	standby      prometheus.Gauge
	standbyLag   *prometheus.GaugeVec
}

func newMetrics(stage string, reg prometheus.Registerer) *metrics {
	labels := prometheus.Labels{"stage": stage}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crumbtrail_stage_" + name, Help: help, ConstLabels: labels,
		})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crumbtrail_stage_" + name, Help: help, ConstLabels: labels,
		})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crumbtrail_stage_" + name, Help: help, ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 15),
		})
	}
	m := &metrics{
		in:       counter("records_in_total", "Input records applied."),
		out:      counter("records_out_total", "Output records committed, without checkpoints."),
		restarts: counter("restarts_total", "Times a partition's state was read back after a failure."),
		fenced: counter("fenced_total",
			"Times that another instance was found to have taken over."),
		rebalances: counter("rebalances_total", "Generations of the group that this process was in."),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_stage_transactions_total", Help: "Transactions by result.",
			ConstLabels: labels,
		}, []string{"result"}),
		seconds: seconds("transaction_seconds", "How long a commit took."),
		restore: seconds("restore_seconds", "How long it took to take a partition over."),
		halted: gauge("halted_partitions",
			"Partitions that go no further until somebody helps."),
		state:      gauge("state_bytes", "State of the partitions that this process holds."),
		stateLimit: gauge("state_limit_bytes", "Largest state before a partition is halted; 0 is none."),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crumbtrail_stage_lag_records", Help: "Committed input records not applied yet.",
			ConstLabels: labels,
		}, []string{"partition"}),
		standby: gauge("standby_partitions",
			"Partitions of other members whose state is here, to take them over."),
		standbyLag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name:        "crumbtrail_stage_standby_lag_records",
			Help:        "Changelog records of other members' partitions not read yet.",
			ConstLabels: labels,
		}, []string{"partition"}),
	}
	reg.MustRegister(m.in, m.out, m.restarts, m.fenced, m.rebalances, m.transactions, m.seconds,
		m.restore, m.halted, m.state, m.stateLimit, m.lag, m.standby, m.standbyLag)
	return m
}

// ended counts a transaction by its result.
func (m *metrics) ended(err error) {
	result := "committed"
	switch {
	case errors.Is(err, kafka.ErrFenced):
		result = "fenced"
	case err != nil:
		result = "failed"
	}
	m.transactions.WithLabelValues(result).Inc()
}

// forget drops the series of a partition that is held no more.
func (m *metrics) forget(partition int32) {
	m.lag.DeleteLabelValues(partitionLabel(partition))
}

func partitionLabel(partition int32) string { return strconv.Itoa(int(partition)) }
