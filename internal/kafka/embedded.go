package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is the embedded broker: one node on a loopback port, its log on disk, fsynced with
// every batch unless it is told to be lazy. Its files are verified and mended before it opens them.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	keeper  *keeper
	metrics *brokerMetrics
	notes   *commitNotes
	stop    context.CancelFunc
	ran     sync.WaitGroup
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
	// Metrics takes the broker's metrics until Close. It may be nil.
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Embedded starts the embedded broker. Damage to its files does not keep it from starting: it is
// logged, counted and listed by Damage.
func Embedded(cfg EmbeddedConfig) (*Broker, error) {
	listen, err := listener(cfg)
	if err != nil {
		return nil, err
	}
	b, err := openBroker(cfg, listen)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %q: %w", cfg.Dir, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.ran.Go(func() { b.keeper.run(ctx) })
	b.ran.Go(func() { b.clean(ctx) })
	return b, nil
}

func openBroker(cfg EmbeddedConfig, listen listenFunc) (*Broker, error) {
	id, err := clusterID(cfg.Dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{}
	if b.keeper, err = newKeeper(cfg.Dir, cfg.Log); err != nil {
		return nil, err
	}
	if b.metrics, err = newBrokerMetrics(cfg.Metrics, b.keeper); err != nil {
		return nil, err
	}
	for range 2 {
		if err := b.keeper.atRest(); err != nil {
			b.metrics.unregister()
			return nil, err
		}
		door := &door{listen: listen, opened: make(chan struct{})}
		log := &brokerLog{log: cfg.Log, warnings: b.metrics.warnings, loading: b.keeper.hide}
		b.cluster, err = kfake.NewCluster(brokerOptions(cfg, id, door, log)...)
		if err != nil {
			b.metrics.unregister()
			return nil, err
		}
		if !b.keeper.unhide() {
			b.addr = b.cluster.ListenAddrs()[0]
			log.loaded()
			if err := b.noteCommits(cfg.LazySync); err != nil {
				b.cluster.Close()
				b.metrics.unregister()
				return nil, err
			}
			close(door.opened)
			return b, nil
		}
		b.cluster.Close()
	}
	b.metrics.unregister()
	return nil, errors.New("it would still cut its segments after they were mended: its disk may " +
		"be failing, copy the directory away and look at it")
}

// brokerOptions are the settings of a broker that lives long and forgets nothing by itself.
func brokerOptions(cfg EmbeddedConfig, id string, door *door, log *brokerLog) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID(id),
		kfake.DataDir(cfg.Dir),
		kfake.ListenFn(door.open),
		kfake.WithLogger(log),
		kfake.BrokerConfigs(map[string]string{
			// A topic is kept for as long as its own settings say, a committed offset and a
			// transactional id for as long as the directory.
			"log.retention.ms":               "-1",
			"offset.retention.ms":            never,
			"transactional.id.expiration.ms": longest,
			// The broker's own cleaner is not for what must not be lost: Broker.clean says why.
			"log.cleaner.backoff.ms": never,
			// Retention takes whole segments off the disk.
			"log.segment.bytes": strconv.Itoa(segmentBytes),
		}),
	}
	if !cfg.LazySync {
		opts = append(opts, kfake.SyncWrites())
	}
	if cfg.MinSession > 0 {
		opts = append(opts, kfake.GroupMinSessionTimeout(cfg.MinSession))
	}
	return opts
}

const (
	// never is a hundred years in milliseconds: as nanoseconds it fits 63 bits.
	never = "3155760000000"
	// longest is the greatest number of milliseconds that the broker takes here, 24 days.
	longest      = "2147483647"
	segmentBytes = 64 << 20
)

// listener returns the function that the broker listens with: it asks for a loopback port of its
// own choice, and is given the configured address.
func listener(cfg EmbeddedConfig) (listenFunc, error) {
	listen := listenFunc(cfg.Listen)
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

// Damage returns what is missing from the broker's files, or cannot be read. It is safe for
// concurrent use; the background may add to it.
func (b *Broker) Damage() []Damage { return b.keeper.known() }

// Close stops the broker and leaves its data in order.
func (b *Broker) Close() {
	b.stop()
	b.ran.Wait()
	b.notes.finish()
	b.cluster.Close()
	if err := b.notes.file.Close(); err != nil {
		b.keeper.log.Error("embedded broker: close the notes of commits", "error", err)
	}
	if err := b.keeper.advance(true); err != nil {
		b.keeper.log.Error("embedded broker: verify its files at the end", "error", err)
	}
	b.metrics.unregister()
}

// PartitionsAtRest reads from the files of an embedded broker that is not running how many
// partitions a topic has, prefix included; 0 where there is none.
func PartitionsAtRest(dir, topic string) (int, error) {
	topics, err := topicsAtRest(dir)
	if err != nil {
		return 0, err
	}
	for _, t := range topics {
		if t.Name == topic {
			return t.Partitions, nil
		}
	}
	return 0, nil
}
