package kafka

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
)

// brokerLog hands the broker's own warnings to our log: it reports damage to its files there and
// nowhere else.
type brokerLog struct {
	log      *slog.Logger
	warnings prometheus.Counter
	loading  func(message string) // is called with warnings while the broker loads
	done     atomic.Bool
}

// loaded says that the broker has loaded its files.
func (l *brokerLog) loaded() { l.done.Store(true) }

// slowCommit begins the one warning that tells of no damage: a commit took more than 5 ms, as any
// does that is fsynced beside others. The stages' own metric has its time.
const slowCommit = "txn: EndTxn slow"

// Logf is what kfake calls.
func (l *brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn || level == kfake.LogLevelNone {
		return
	}
	detail := strings.TrimSpace(fmt.Sprintf(format, args...))
	if strings.HasPrefix(detail, slowCommit) {
		l.log.Debug("embedded broker", "detail", detail)
		return
	}
	l.warnings.Inc()
	if level == kfake.LogLevelError {
		l.log.Error("embedded broker", "detail", detail)
		return
	}
	l.log.Warn("embedded broker", "detail", detail)
	if !l.done.Load() {
		l.loading(detail)
	}
}

// brokerMetrics count what the broker and its keeper find wrong.
type brokerMetrics struct {
	warnings   prometheus.Counter
	registerer prometheus.Registerer
	collectors []prometheus.Collector
}

func newBrokerMetrics(r prometheus.Registerer, k *keeper) (*brokerMetrics, error) {
	m := &brokerMetrics{registerer: r, warnings: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "crumbtrail_broker_warnings_total",
		Help: "Warnings and errors of the embedded broker.",
	})}
	m.collectors = []prometheus.Collector{
		m.warnings,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crumbtrail_broker_damaged_partitions",
			Help: "Partitions and state logs of the embedded broker with known damage.",
		}, func() float64 { return float64(k.damaged()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "crumbtrail_broker_torn_bytes_total",
			Help: "Bytes at the ends of the embedded broker's files that a stop had left unfinished.",
		}, func() float64 { return float64(k.torn.Load()) }),
	}
	if r == nil {
		return m, nil
	}
	for i, c := range m.collectors {
		if err := r.Register(c); err != nil {
			m.collectors = m.collectors[:i]
			m.unregister()
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

// unregister gives the names back, so that the process may open another broker.
func (m *brokerMetrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}

type listenFunc func(network, address string) (net.Listener, error)

// door lets no client in before the broker is known to have loaded everything.
type door struct {
	listen listenFunc
	opened chan struct{}
}

func (d *door) open(network, address string) (net.Listener, error) {
	l, err := d.listen(network, address)
	return &waitingListener{Listener: l, opened: d.opened, closed: make(chan struct{})}, err
}

type waitingListener struct {
	net.Listener
	opened, closed chan struct{}
	once           sync.Once
}

// Accept waits for the door to open.
func (l *waitingListener) Accept() (net.Conn, error) {
	select {
	case <-l.opened:
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		return &owedConn{Conn: conn}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close also ends an Accept that waits.
func (l *waitingListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}
