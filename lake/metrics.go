package lake

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the lake.
type metrics struct {
	rows        *prometheus.CounterVec
	files       *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	duplicates  prometheus.Counter
	undecodable *prometheus.CounterVec
	retries     prometheus.Counter
	offset      *prometheus.GaugeVec
	flush       prometheus.Histogram
	catalog     prometheus.Histogram
	built       prometheus.Gauge
	freshness   *prometheus.HistogramVec

	fenced, damaged prometheus.Counter

	compactedDays, compactedRows, compactFailures prometheus.Counter
	compaction                                    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crumbtrail_lake_" + name, Help: help,
		}, []string{label})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crumbtrail_lake_" + name, Help: help,
		})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crumbtrail_lake_" + name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		})
	}
	m := &metrics{
		rows:       vec("rows_total", "Rows published.", "table"),
		files:      vec("files_total", "Parquet files published.", "table"),
		bytes:      vec("file_bytes_total", "Bytes of the Parquet files published.", "table"),
		duplicates: counter("duplicates_total", "Beacons that the lake had already."),
		undecodable: vec("undecodable_records_total",
			"Records that nobody could read, kept in bad_beacons.", "topic"),
		retries: counter("retries_total", "Times a partition went back to what is published."),
		offset: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crumbtrail_lake_read_offset",
			Help: "All records of the topic's partition before this offset have been read.",
		}, []string{"topic", "partition"}),
		flush:   seconds("flush_seconds", "How long a partition took to write and publish."),
		catalog: seconds("catalog_seconds", "How long the catalog took to build."),
		built: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crumbtrail_lake_catalog_timestamp_seconds",
			Help: "When the catalog was built last, seconds since the epoch.",
		}),
	}
	m.fenced = counter("fenced_total",
		"Times that another process was found to have taken a partition over.")
	m.damaged = counter("damaged_files_total", "Times a file was found that is not as it was written.")
	reg.MustRegister(m.fenced, m.damaged)
	m.freshness = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "crumbtrail_lake_freshness_seconds",
		Help: "How long the oldest of the rows that a catalog shows for the first time has waited, " +
			"from when its record came on the topic.",
		Buckets: []float64{1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 300, 900, 3600},
	}, []string{"topic"})
	reg.MustRegister(m.freshness)
	m.compactedDays = counter("compacted_days_total", "Days of a table and partition compacted.")
	m.compactedRows = counter("compacted_rows_total", "Rows in them.")
	m.compactFailures = counter("compaction_failures_total", "Times a compaction failed.")
	m.compaction = seconds("compaction_seconds", "How long a process that compacts took.")
	reg.MustRegister(m.compactedDays, m.compactedRows, m.compactFailures, m.compaction)
	reg.MustRegister(m.rows, m.files, m.bytes, m.duplicates, m.undecodable, m.retries, m.offset,
		m.flush,
		m.catalog, m.built)
	return m
}

// published counts what a manifest has beyond the one before it.
func (m *metrics) published(before, after *manifest, written []dataFile, took time.Duration) {
	for _, f := range written {
		m.rows.WithLabelValues(f.Table).Add(float64(f.Rows))
		m.files.WithLabelValues(f.Table).Inc()
		m.bytes.WithLabelValues(f.Table).Add(float64(f.Bytes))
	}
	m.duplicates.Add(float64(after.Duplicates - before.Duplicates))
	m.flush.Observe(took.Seconds())
}

// forget drops the series of a partition that this process does not have any more.
func (m *metrics) forget(s source) {
	m.offset.DeleteLabelValues(s.topic, strconv.Itoa(int(s.partition)))
}

// compacted counts what took the place of other files.
func (m *metrics) compacted(made []replacement, took time.Duration) {
	for _, r := range made {
		m.compactedDays.Inc()
		m.compactedRows.Add(float64(countRows(r.come)))
	}
	m.compaction.Observe(took.Seconds())
}
