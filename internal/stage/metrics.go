package stage

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one stage; the stage's name is a label.
type metrics struct {
	in, out      prometheus.Counter
	restarts     prometheus.Counter
	transactions *prometheus.CounterVec
	seconds      prometheus.Histogram
	lag          *prometheus.GaugeVec
}

func newMetrics(stage string, reg prometheus.Registerer) *metrics {
	labels := prometheus.Labels{"stage": stage}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crumbtrail_stage_" + name, Help: help, ConstLabels: labels,
		})
	}
	m := &metrics{
		in:       counter("records_in_total", "Input records applied."),
		out:      counter("records_out_total", "Output records committed, without checkpoints."),
		restarts: counter("restarts_total", "Times a partition's state was read back after a failure."),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_stage_transactions_total", Help: "Transactions by result.",
			ConstLabels: labels,
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crumbtrail_stage_transaction_seconds", Help: "How long a commit took.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.002, 2, 12),
		}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crumbtrail_stage_lag_records", Help: "Committed input records not applied yet.",
			ConstLabels: labels,
		}, []string{"partition"}),
	}
	reg.MustRegister(m.in, m.out, m.restarts, m.transactions, m.seconds, m.lag)
	return m
}

func partitionLabel(partition int32) string { return strconv.Itoa(int(partition)) }
