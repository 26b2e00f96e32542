package handoff

import "github.com/prometheus/client_golang/prometheus"

// metrics are the room's own, by webhook.
type metrics struct {
	delivered, failures, expired *prometheus.CounterVec
	waiting                      *prometheus.GaugeVec
}

type hookMetrics struct {
	delivered, failures, expired prometheus.Counter
	waiting                      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_handoff_" + name + "_total", Help: help,
		}, []string{"webhook"})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		delivered: counter("delivered", "Hand-offs that the webhook has taken."),
		failures:  counter("failures", "Tries that the webhook did not answer, or with a refusal."),
		expired:   counter("expired", "Hand-offs that the webhook did not take in time."),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crumbtrail_handoff_waiting", Help: "Hand-offs that are to be sent.",
		}, []string{"webhook"}),
	}
	reg.MustRegister(m.waiting)
	return m
}

func (m *metrics) of(webhook string) *hookMetrics {
	return &hookMetrics{
		m.delivered.WithLabelValues(webhook), m.failures.WithLabelValues(webhook),
		m.expired.WithLabelValues(webhook), m.waiting.WithLabelValues(webhook),
	}
}
