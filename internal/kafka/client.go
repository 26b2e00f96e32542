// Package kafka reads and writes Kafka topics, and is the only home of kafka-go and of the
// embedded broker. It guarantees that what Produce and Commit report as done is durable
// (acks=all), that Fetch shows committed records only, and that no offset is ever jumped silently.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sort"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// Config says how to reach a cluster.
type Config struct {
	// Brokers are host:port addresses to start from.
	Brokers []string
	// ClientID is what brokers log this client as.
	ClientID string
	// Prefix stands before every topic name, group and transactional id on the cluster; callers
	// of this package never see it.
	Prefix string
	// TLS is nil for plain connections.
	TLS *tls.Config
	// Dial opens a connection; nil is a TCP connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// SASL is nil where the brokers ask for no sign-in.
	SASL sasl.Mechanism
	// Session is how long a member of a group may be silent before its partitions go to others
	// (6 s). Brokers have a least one, 6 s by default.
	Session time.Duration
}

// Client is a connection pool to one cluster. It is safe for concurrent use.
type Client struct {
	cfg       Config
	prefix    string
	client    *kafkago.Client
	transport *kafkago.Transport
	zstd      *zstd.Decoder

	mu     sync.Mutex
	layout map[string]topicLayout
}

// topicLayout is what metadata says of a topic: the leader of each partition, by number.
type topicLayout struct{ leaders []int32 }

const (
	requestTimeout = 15 * time.Second
	dialTimeout    = 5 * time.Second
	metadataTTL    = 30 * time.Second
	// topicAppears is how long a topic that was just made may be unknown to a broker.
	topicAppears = time.Second
)

// Dial makes a client. It opens no connection before the first request.
func Dial(cfg Config) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("dial kafka: no broker address given")
	}
	for _, addr := range cfg.Brokers {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("dial kafka: broker address %q: want host:port", addr)
		}
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("dial kafka: %w", err)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if cfg.Session <= 0 {
		cfg.Session = sessionTimeout
	}
	transport := &kafkago.Transport{
		Dial:        cfg.Dial,
		ClientID:    cfg.ClientID,
		MetadataTTL: metadataTTL,
		TLS:         cfg.TLS,
		SASL:        cfg.SASL,
	}
	return &Client{
		cfg:       cfg,
		prefix:    cfg.Prefix,
		transport: transport,
		zstd:      dec,
		client: &kafkago.Client{
			Addr: kafkago.TCP(cfg.Brokers...), Timeout: requestTimeout, Transport: transport,
		},
		layout: map[string]topicLayout{},
	}, nil
}

// Close drops the idle connections. Requests under way end first.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.zstd.Close()
}

// TopicSpec says how a topic is to be laid out on the cluster.
type TopicSpec struct {
	Name        string
	Partitions  int
	Replication int
	// Configs are the broker's own topic settings, such as cleanup.policy.
	Configs map[string]string
}

// EnsureTopics creates the topics that are missing. A topic that exists with another number of
// partitions is an error: keys would move to other partitions and their state would not.
func (c *Client) EnsureTopics(ctx context.Context, specs []TopicSpec) error {
	req := &kafkago.CreateTopicsRequest{}
	for _, s := range specs {
		t := kafkago.TopicConfig{
			Topic: c.prefix + s.Name, NumPartitions: s.Partitions, ReplicationFactor: s.Replication,
		}
		names := make([]string, 0, len(s.Configs))
		for name := range s.Configs {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			t.ConfigEntries = append(t.ConfigEntries,
				kafkago.ConfigEntry{ConfigName: name, ConfigValue: s.Configs[name]})
		}
		req.Topics = append(req.Topics, t)
	}
	err := retry(ctx, func() error {
		res, err := c.client.CreateTopics(ctx, req)
		if err != nil {
			return err
		}
		var all []error
		for topic, err := range res.Errors {
			if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
				all = append(all, fmt.Errorf("topic %q: %w", topic, err))
			}
		}
		return errors.Join(all...)
	})
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, s := range specs {
		n, err := c.Partitions(ctx, s.Name)
		if err != nil {
			return err
		}
		if n != s.Partitions {
			return fmt.Errorf("topic %q has %d partitions, the configuration says %d: the number is "+
				"fixed when a topic is made; set topics.partitions to %d or start with another "+
				"data directory", c.prefix+s.Name, n, s.Partitions, n)
		}
	}
	return nil
}

// DeleteTopics deletes topics with all that is in them. A topic that does not exist is no error.
func (c *Client) DeleteTopics(ctx context.Context, specs []TopicSpec) error {
	req := &kafkago.DeleteTopicsRequest{}
	for _, s := range specs {
		req.Topics = append(req.Topics, c.prefix+s.Name)
	}
	defer c.forget()
	err := retry(ctx, func() error {
		res, err := c.client.DeleteTopics(ctx, req)
		if err != nil {
			return err
		}
		var all []error
		for topic, err := range res.Errors {
			if err != nil && !errors.Is(err, kafkago.UnknownTopicOrPartition) {
				all = append(all, fmt.Errorf("topic %q: %w", topic, err))
			}
		}
		return errors.Join(all...)
	})
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return nil
}

// Partitions returns how many partitions a topic has.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	layout, err := c.layoutOf(ctx, topic)
	return len(layout.leaders), err
}

// layoutOf returns a topic's layout, asking the cluster once and again after forget.
func (c *Client) layoutOf(ctx context.Context, topic string) (topicLayout, error) {
	c.mu.Lock()
	layout, ok := c.layout[topic]
	c.mu.Unlock()
	if ok {
		return layout, nil
	}
	began := time.Now()
	err := retry(ctx, func() error {
		res, err := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{c.prefix + topic}})
		if err != nil {
			return err
		}
		layout = topicLayout{}
		for _, t := range res.Topics {
			if errors.Is(t.Error, kafkago.UnknownTopicOrPartition) && time.Since(began) > topicAppears {
				return ErrNoTopic
			}
			if t.Error != nil {
				return t.Error
			}
			layout.leaders = make([]int32, len(t.Partitions))
			for _, p := range t.Partitions {
				if p.Error != nil {
					return p.Error
				}
				layout.leaders[p.ID] = int32(p.Leader.ID)
			}
		}
		if len(layout.leaders) == 0 {
			return kafkago.UnknownTopicOrPartition
		}
		return nil
	})
	if err != nil {
		return topicLayout{}, fmt.Errorf("metadata of topic %q: %w", c.prefix+topic, err)
	}
	c.mu.Lock()
	c.layout[topic] = layout
	c.mu.Unlock()
	return layout, nil
}

// ClusterID returns the name that the cluster has given itself.
func (c *Client) ClusterID(ctx context.Context) (id string, err error) {
	err = retry(ctx, func() error {
		res, err := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{}})
		if err != nil {
			// The transport would answer with its first failure for up to metadataTTL.
			c.transport.CloseIdleConnections()
			return err
		}
		id = res.ClusterID
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("cluster id: %w", err)
	}
	return id, nil
}

// forget drops what is known of where partitions live, after an answer that says it is wrong.
func (c *Client) forget() {
	c.mu.Lock()
	clear(c.layout)
	c.mu.Unlock()
}

// Ends returns for each partition of a topic the offset that a read_committed reader ends at.
func (c *Client) Ends(ctx context.Context, topic string) ([]int64, error) {
	return c.offsets(ctx, topic, kafkago.ReadCommitted, kafkago.LastOffsetOf)
}

// Starts returns for each partition of a topic the oldest offset that is still there.
func (c *Client) Starts(ctx context.Context, topic string) ([]int64, error) {
	return c.offsets(ctx, topic, kafkago.ReadCommitted, kafkago.FirstOffsetOf)
}

func (c *Client) offsets(
	ctx context.Context, topic string, isolation kafkago.IsolationLevel,
	of func(partition int) kafkago.OffsetRequest,
) ([]int64, error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	req := &kafkago.ListOffsetsRequest{
		Topics:         map[string][]kafkago.OffsetRequest{},
		IsolationLevel: isolation,
	}
	name := c.prefix + topic
	for p := range n {
		req.Topics[name] = append(req.Topics[name], of(p))
	}
	out := make([]int64, n)
	err = retry(ctx, func() error {
		res, err := c.client.ListOffsets(ctx, req)
		if err != nil {
			return err
		}
		for _, p := range res.Topics[name] {
			if p.Error != nil {
				return p.Error
			}
			out[p.Partition] = max(p.FirstOffset, p.LastOffset)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("offsets of topic %q: %w", name, err)
	}
	return out, nil
}

// TopicConfig returns the broker's settings of a topic, such as cleanup.policy.
func (c *Client) TopicConfig(ctx context.Context, topic string) (map[string]string, error) {
	out := map[string]string{}
	err := retry(ctx, func() error {
		res, err := c.client.DescribeConfigs(ctx, &kafkago.DescribeConfigsRequest{
			Resources: []kafkago.DescribeConfigRequestResource{{
				ResourceType: kafkago.ResourceTypeTopic, ResourceName: c.prefix + topic,
			}},
		})
		if err != nil {
			return err
		}
		for _, r := range res.Resources {
			if r.Error != nil {
				return r.Error
			}
			for _, e := range r.ConfigEntries {
				out[e.ConfigName] = e.ConfigValue
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("settings of topic %q: %w", c.prefix+topic, err)
	}
	return out, nil
}
