package kafka

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is the embedded broker: one node on a loopback port, its log on disk, fsynced with
// every batch.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// EmbeddedConfig says where the embedded broker keeps its data.
type EmbeddedConfig struct {
	// Dir is made if it is missing. Nothing else may write there.
	Dir string
	Log *slog.Logger
}

// Embedded starts the embedded broker on a free port.
func Embedded(cfg EmbeddedConfig) (*Broker, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID("crumbtrail"),
		kfake.DataDir(cfg.Dir),
		kfake.SyncWrites(),
		kfake.WithLogger(brokerLog{cfg.Log}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %q: %w", cfg.Dir, err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr returns the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and leaves its data in order.
func (b *Broker) Close() { b.cluster.Close() }

// brokerLog hands the broker's own warnings to our log: it reports damage to its files there and
// nowhere else.
type brokerLog struct{ log *slog.Logger }

// Logf is what kfake calls.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn || level == kfake.LogLevelNone {
		return
	}
	detail := strings.TrimSpace(fmt.Sprintf(format, args...))
	if level == kfake.LogLevelError {
		l.log.Error("embedded broker", "detail", detail)
		return
	}
	l.log.Warn("embedded broker", "detail", detail)
}
