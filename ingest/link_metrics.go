package ingest

import "github.com/prometheus/client_golang/prometheus"

// linkMetrics counts what redirects and pixels brought, beside what all requests count in.
type linkMetrics struct {
	requests *prometheus.CounterVec
	tokens   *prometheus.CounterVec
}

func newLinkMetrics() linkMetrics {
	m := linkMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_ingest_link_requests_total",
			Help: "Clicks on redirects and opens of mails, by whether they were durable when answered.",
		}, []string{"protocol", "result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_ingest_link_tokens_total",
			Help: "Tokens that links and pixels came with: good, or why they say nothing.",
		}, []string{"protocol", "result"}),
	}
	for _, protocol := range []string{protocolLink, protocolOpen} {
		for _, result := range []string{linkRecorded, linkUnconfirmed, linkLost} {
			m.requests.WithLabelValues(protocol, result)
		}
	}
	return m
}

// link counts a click or an open that was answered.
func (m linkMetrics) link(protocol, result string) {
	m.requests.WithLabelValues(protocol, result).Inc()
}

// token counts a token; reason is empty for a good one.
func (m linkMetrics) token(protocol, reason string) {
	if reason == "" {
		reason = "good"
	}
	m.tokens.WithLabelValues(protocol, reason).Inc()
}
