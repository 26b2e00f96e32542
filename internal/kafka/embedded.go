package kafka

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is the embedded broker: one node on a loopback port, its log on disk, fsynced with
// every batch unless it is told to be lazy.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// EmbeddedConfig says where the embedded broker keeps its data.
type EmbeddedConfig struct {
	// Dir is made if it is missing. Nothing else may write there.
	Dir string
	// LazySync leaves it to the operating system when a batch reaches the disk, which a stop of the
	// process survives and a power cut may not. It is for input that is still somewhere else.
	LazySync bool
	// Addr is the host:port to listen on, which is also what clients are told to connect to. Empty:
	// a free loopback port.
	Addr string
	// Listen is net.Listen when nil. A test on a network in memory has its own.
	Listen func(network, address string) (net.Listener, error)
	// MinSession is the shortest session timeout that a group's member may ask for. 0: 6 s, as Kafka.
	MinSession time.Duration
	Log        *slog.Logger
}

// Embedded starts the embedded broker.
func Embedded(cfg EmbeddedConfig) (*Broker, error) {
	listen, err := listener(cfg)
	if err != nil {
		return nil, err
	}
	id, err := clusterID(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %q: %w", cfg.Dir, err)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID(id),
		kfake.DataDir(cfg.Dir),
		kfake.ListenFn(listen),
		kfake.WithLogger(brokerLog{cfg.Log}),
	}
	if cfg.MinSession > 0 {
		opts = append(opts, kfake.GroupMinSessionTimeout(cfg.MinSession))
	}
	if !cfg.LazySync {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %q: %w", cfg.Dir, err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// listener returns the function that the broker listens with: it asks for a loopback port of its
// own choice, and is given the configured address.
func listener(cfg EmbeddedConfig) (func(network, address string) (net.Listener, error), error) {
	listen := cfg.Listen
	if listen == nil {
		listen = net.Listen
	}
	if cfg.Addr == "" {
		return listen, nil
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen address of the embedded broker: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("listen address %q of the embedded broker: clients are told to connect "+
			"to it, name a host or an address that they can reach", cfg.Addr)
	}
	return func(network, _ string) (net.Listener, error) { return listen(network, cfg.Addr) }, nil
}

// clusterID is drawn once for a directory: another directory in the same place is another log.
func clusterID(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cluster-id")
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := rand.Text()
	return id, os.WriteFile(path, []byte(id+"\n"), 0o644)
}

// Addr returns the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and leaves its data in order.
func (b *Broker) Close() { b.cluster.Close() }

// PartitionsAtRest reads from the files of an embedded broker that is not running how many
// partitions a topic has, prefix included; 0 where there is none.
func PartitionsAtRest(dir, topic string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("topics of the embedded broker: %w", err)
	}
	var file struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int    `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return 0, fmt.Errorf("topics of the embedded broker in %s: %w", dir, err)
	}
	for _, t := range file.Topics {
		if t.Name == topic {
			return t.Partitions, nil
		}
	}
	return 0, nil
}

// brokerLog hands the broker's own warnings to our log: it reports damage to its files there and
// nowhere else.
type brokerLog struct{ log *slog.Logger }

// slowCommit begins the one warning that tells of no damage: a commit took more than 5 ms, as any
// does that is fsynced beside others. The stages' own metric has its time.
const slowCommit = "txn: EndTxn slow"

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
	if strings.HasPrefix(detail, slowCommit) {
		l.log.Debug("embedded broker", "detail", detail)
		return
	}
	l.log.Warn("embedded broker", "detail", detail)
}
