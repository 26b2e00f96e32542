package mail

import "github.com/prometheus/client_golang/prometheus"

// metrics are the room's own.
type metrics struct {
	sent, putOff, refused, expired, failures prometheus.Counter
	waiting                                  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crumbtrail_mail_" + name + "_total", Help: help,
		})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		sent:     counter("sent", "Mails that the server has taken."),
		putOff:   counter("put_off", "Tries that the server has put off."),
		refused:  counter("refused", "Mails that the server has refused for good."),
		expired:  counter("expired", "Mails that were not sent before their link had expired."),
		failures: counter("server_failures", "Times that the server was not there, or took nothing."),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crumbtrail_mail_waiting", Help: "Mails that are to be sent.",
		}),
	}
	reg.MustRegister(m.waiting)
	return m
}
