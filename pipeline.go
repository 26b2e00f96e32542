package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"crumbtrail/handoff"
	"crumbtrail/ingest/enrich"
	"crumbtrail/internal/admin"
	"crumbtrail/internal/datadir"
	"crumbtrail/internal/duck"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/lake"
	"crumbtrail/mail"
	"crumbtrail/resolve"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

// pipeline is the stages of one process, which meet only in topics.
type pipeline struct {
	cfg      Config
	data     string // absolute
	log      *slog.Logger
	registry *prometheus.Registry
	client   *kafka.Client
	visits   *visitCounts

	countries *enrich.Countries // nil without a file of them, or a collector

	// Nil where another process runs them.
	sessionize *stage.Runner
	resolve    *stage.Runner
	mail       *mail.Sender
	handoffs   *handoff.Sender
	lake       *lake.Lake

	// joined is true where another process runs the stages on this directory.
	joined      bool
	lock        *datadir.Lock // nil for a stage that keeps nothing there
	broker      *kafka.Broker // nil with --brokers
	skipMissing bool
	// loopback is true where the broker is an embedded one, ours or another process's: what the
	// configuration says of a cluster's security does not hold for it.
	loopback bool
}

// pipelineOptions say what kind of run it is.
type pipelineOptions struct {
	// recorded is true where time comes from the input: topics that are made then keep the
	// producer's time and are not shortened by age. The input can be sent again, so an embedded
	// broker need not sync each batch.
	recorded bool
	// join uses the brokers of whoever runs on the directory, if anybody does.
	join bool
	// commit overrides how often stages commit; 0 leaves it to them.
	commit time.Duration
	// later leaves it to the caller to look at the log, which may not be there yet.
	later bool
	// alone names the one stage that this process runs; empty is all of them.
	alone string
}

// runs says whether the process runs a stage.
func (o pipelineOptions) runs(name string) bool { return o.alone == "" || o.alone == name }

// keeps says whether the process keeps something in the data directory: the state of sessionize
// and resolve is in the log. Who joins looks there for who runs on it.
func (o pipelineOptions) keeps() bool { return o.join || o.runs("ingest") || o.runs("lake") }

// openPipeline takes the data directory, connects, makes the topics that are missing and opens
// the lake. Nothing runs yet.
func openPipeline(
	ctx context.Context, c *call, cfg Config, o pipelineOptions,
) (p *pipeline, err error) {
	data, err := filepath.Abs(c.data)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	p = &pipeline{
		cfg: cfg, data: data, log: c.log, registry: newRegistry(), skipMissing: c.skipMissing,
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if o.keeps() {
		err = p.takeDirectory(ctx, c, o)
	} else {
		err = p.connect(ctx, splitList(c.brokers))
	}
	if err != nil || p.joined {
		return p, err
	}
	if !o.later {
		if err := p.prepareLog(ctx, o); err != nil {
			return p, err
		}
	}
	return p, p.openStages(ctx, o)
}

// prepareLog looks whether it is the log that the directory belongs to and makes the topics that
// are missing.
func (p *pipeline) prepareLog(ctx context.Context, o pipelineOptions) error {
	if p.lock != nil {
		if err := p.sameLog(ctx); err != nil {
			return err
		}
	}
	return p.client.EnsureTopics(ctx, topicSpecs(p.cfg, o.recorded))
}

// takeDirectory locks the data directory and connects to the brokers that go with it: those that
// were named, those of whoever holds it, or an embedded one.
func (p *pipeline) takeDirectory(ctx context.Context, c *call, o pipelineOptions) (err error) {
	brokers := splitList(c.brokers)
	var held *datadir.HeldError
	take := datadir.Acquire
	if o.alone == "lake" { // others may write the same lake
		take = datadir.Join
	}
	p.lock, err = take(p.data)
	switch {
	case errors.As(err, &held) && o.join && len(held.Holder.Brokers) > 0:
		p.joined, p.loopback = true, held.Holder.Embedded
		brokers = held.Holder.Brokers
	case err != nil:
		return err
	case len(brokers) == 0:
		p.broker, err = kafka.Embedded(kafka.EmbeddedConfig{
			Dir: filepath.Join(p.data, brokerDir), LazySync: o.recorded, Metrics: p.registry, Log: c.log,
		})
		if err != nil {
			return err
		}
		p.loopback = true
		brokers = []string{p.broker.Addr()}
	}
	if err := p.connect(ctx, brokers); err != nil || p.joined {
		return err
	}
	return p.lock.Publish(datadir.Holder{
		PID: os.Getpid(), Brokers: brokers, Embedded: p.broker != nil, Command: c.flags.Name(),
	})
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

func (p *pipeline) connect(ctx context.Context, brokers []string) error {
	security, err := p.cfg.Kafka.security()
	if err != nil {
		return err
	}
	if p.loopback {
		security = kafka.Config{}
	}
	security.Brokers, security.ClientID, security.Prefix = brokers, "crumbtrail", p.cfg.Topics.Prefix
	security.Session = p.cfg.Kafka.SessionTimeout
	p.client, err = kafka.Dial(security)
	return err
}

// sameLog says no to another log than the one that the directory's lake was made from: offsets of
// the one say nothing of the other.
func (p *pipeline) sameLog(ctx context.Context) error {
	id, err := p.client.ClusterID(ctx)
	if err != nil {
		return err
	}
	now := fmt.Sprintf("cluster %s, topics.prefix %q", id, p.cfg.Topics.Prefix)
	before, err := kept(p.data, "log", 0o644, func() string { return now })
	if err != nil {
		return err
	}
	if now != before {
		return fmt.Errorf("the lake in %s was made from %s, this is %s: go back to that, or choose "+
			"another directory with --data", p.data, before, now)
	}
	return nil
}

// openStages opens the stages that this process runs.
func (p *pipeline) openStages(ctx context.Context, o pipelineOptions) (err error) {
	commit := p.cfg.Stages.Commit
	if o.commit > 0 {
		commit = o.commit
	}
	if o.runs("sessionize") {
		if err := p.openSessionize(ctx, commit); err != nil {
			return err
		}
	}
	if o.runs("resolve") {
		if err := p.openResolve(ctx, commit); err != nil {
			return err
		}
	}
	if o.runs("resolve") && p.cfg.Mail != nil && !o.recorded {
		if err := p.openMail(o); err != nil {
			return err
		}
	}
	if o.runs("lake") {
		if err := p.openHandoffs(o); err != nil {
			return err
		}
		return p.openLake(ctx, o)
	}
	return nil
}

func (p *pipeline) openLake(ctx context.Context, o pipelineOptions) error {
	child, err := queryChild()
	if err != nil {
		return err
	}
	child.Limits = compactLimits
	cfg := lake.Config{
		Dir: p.data, Flush: p.cfg.Lake.Flush, SkipMissing: p.skipMissing,
		Rewriter: rewriter{child}, CompactAfter: p.cfg.Lake.CompactAfter, Grace: p.cfg.Lake.Grace,
		Keep: p.cfg.Lake.Keep, ErasureGrace: p.cfg.Lake.ErasureGrace,
		Ask: func(ctx context.Context, sql string, row func([]any) error) error {
			q := duck.Query{Database: catalogPath(p.data), SQL: sql}
			return child.Rows(ctx, q, func(_ []duck.Column, values []any) error { return row(values) })
		},
	}
	if o.alone == "lake" {
		if cfg.Crew, err = p.lakeCrew(); err != nil {
			return err
		}
	}
	p.lake, err = lake.Open(ctx, cfg, p.client, duck.Catalog{}, p.log, p.registry)
	return err
}

// compactLimits bound a process that compacts past days.
var compactLimits = duck.Limits{Memory: 512 << 20, Threads: 1, Deadline: time.Hour}

// rewriter makes the lake's compacted files.
type rewriter struct{ duck.Child }

// Rewrite is the method of lake.Rewriter.
func (r rewriter) Rewrite(
	ctx context.Context, dir string, files []lake.Rewrite,
) (rows []int64, err error) {
	made := make([]duck.File, len(files))
	for i, f := range files {
		made[i] = duck.File(f)
	}
	return r.Files(ctx, dir, made)
}

func (p *pipeline) openSessionize(ctx context.Context, commit time.Duration) (err error) {
	p.visits = newVisitCounts(p.registry)
	cfg := p.stageConfig("sessionize", schemas.Beacons, schemas.SessionizeChangelog,
		schemas.Visits, schemas.BadBeacons)
	cfg.Rules, cfg.Commit, cfg.Observe = p.cfg.sessionizeConfig().Encode(), commit, p.visits.observe
	machine := func(partition int32, rules []byte) (stage.Machine, error) {
		cfg, err := sessionize.DecodeConfig(rules)
		if err != nil {
			return nil, err
		}
		return sessionize.New(cfg, partition), nil
	}
	p.sessionize, err = stage.New(ctx, cfg, stage.OnKafka(p.client), machine, p.log, p.registry)
	return err
}

func (p *pipeline) openResolve(ctx context.Context, commit time.Duration) (err error) {
	cfg := p.stageConfig("resolve", schemas.Submissions, schemas.ResolveChangelog,
		schemas.Records, schemas.Edges, schemas.Aliases, schemas.Contacts, schemas.Identities,
		schemas.Decisions, schemas.Erasures, schemas.BadBeacons)
	rules, err := p.cfg.resolveConfig()
	if err != nil {
		return err
	}
	cfg.Rules, cfg.Commit = rules.Encode(), commit
	cfg.Observe = newPeopleCounts(p.registry).observe
	machine := func(_ int32, rules []byte) (stage.Machine, error) {
		cfg, err := resolve.DecodeConfig(rules)
		if err != nil {
			return nil, err
		}
		return resolve.New(cfg), nil
	}
	p.resolve, err = stage.New(ctx, cfg, stage.OnKafka(p.client), machine, p.log, p.registry)
	return err
}

// openMail prepares the sender of mails, which works beside the resolver.
func (p *pipeline) openMail(o pipelineOptions) error {
	cfg, err := p.cfg.mailConfig()
	if err != nil {
		return err
	}
	if o.alone != "" && len(p.cfg.Keys) == 0 {
		return errors.New("mail: links are signed by the resolver and read by collectors, and the " +
			"configuration has no keys for both: add keys: [{id: a, secret_file: FILE}]")
	}
	if cfg.Keys, err = p.cfg.tokenKeys(p.data); err != nil {
		return err
	}
	p.mail, err = mail.New(cfg, stage.OnKafka(p.client), p.log, p.registry)
	return err
}

// mailHealth is what is to be known of the mail server, for which nothing else waits.
func (p *pipeline) mailHealth() admin.Check {
	return admin.Check{Name: "mail", Ready: func() error {
		if p.mail == nil || p.mail.Notice() == "" {
			return nil
		}
		return admin.Degraded(p.mail.Notice())
	}}
}

// stageConfig is what all stages have in common, with what this one reads and writes.
func (p *pipeline) stageConfig(
	name string, input, changelog schemas.Topic, outputs ...schemas.Topic,
) stage.Config {
	cfg := stage.Config{
		Name: name, Input: string(input), Changelog: string(changelog),
		Checkpoint: p.cfg.Stages.Checkpoint, Session: p.cfg.Kafka.SessionTimeout,
		MaxState: int64(p.cfg.Stages.StateBytes), SkipMissing: p.skipMissing,
	}
	for _, t := range outputs {
		cfg.Outputs = append(cfg.Outputs, string(t))
	}
	return cfg
}

// close gives back what openPipeline took, in the opposite order.
func (p *pipeline) close() {
	if p.client != nil {
		p.client.Close()
	}
	if p.broker != nil {
		p.broker.Close()
	}
	if p.lock != nil {
		if err := p.lock.Release(); err != nil {
			p.log.Warn("release the data directory", "err", err)
		}
	}
}

// stageParts are the stages of this process between the edge and the analyst, in the order of the
// data.
func (p *pipeline) stageParts() (parts []part) {
	if p.sessionize != nil {
		parts = append(parts, part{"sessionize", p.sessionize.Run})
	}
	if p.resolve != nil {
		parts = append(parts, part{"resolve", p.resolve.Run})
	}
	if p.mail != nil {
		parts = append(parts, part{"mail", p.mail.Run})
	}
	if p.handoffs != nil {
		parts = append(parts, part{"handoff", p.handoffs.Run})
	}
	if p.lake != nil {
		parts = append(parts, p.lakePart())
	}
	return parts
}

func (p *pipeline) lakePart() part { return part{"lake", p.lake.Run} }

// drain returns once everything that is on the topics now has come out at the other end.
func (p *pipeline) drain(ctx context.Context) error {
	for _, s := range []struct {
		input  schemas.Topic
		runner *stage.Runner
	}{{schemas.Beacons, p.sessionize}, {schemas.Submissions, p.resolve}} {
		ends, err := p.client.Ends(ctx, string(s.input))
		if err != nil {
			return err
		}
		if err := s.runner.Wait(ctx, ends); err != nil {
			return err
		}
	}
	return p.drainLake(ctx)
}

func (p *pipeline) drainLake(ctx context.Context) error {
	ends := map[string][]int64{}
	for _, topic := range lake.Topics() {
		at, err := p.client.Ends(ctx, topic)
		if err != nil {
			return err
		}
		ends[topic] = at
	}
	return p.lake.Drain(ctx, ends)
}

const (
	beaconsRetention = 7 * 24 * time.Hour
	otherRetention   = 30 * 24 * time.Hour
)

// retention is how long a topic keeps records that go by time.
func retention(topic schemas.Topic) time.Duration {
	if topic == schemas.Beacons {
		return beaconsRetention
	}
	return otherRetention
}

// topicSpecs lays the topics out as the configuration says.
func topicSpecs(cfg Config, recorded bool) []kafka.TopicSpec {
	var specs []kafka.TopicSpec
	for _, t := range schemas.Topics() {
		configs := map[string]string{
			"min.insync.replicas": strconv.Itoa(max(1, cfg.Topics.Replication-1)),
		}
		switch {
		case t.Compacted:
			configs["cleanup.policy"] = "compact"
		case recorded: // old by its own time from the start
			configs["retention.ms"] = "-1"
		default:
			configs["retention.ms"] = strconv.FormatInt(retention(t.Topic).Milliseconds(), 10)
		}
		if t.Clocked && !recorded {
			configs["message.timestamp.type"] = "LogAppendTime"
		}
		partitions := cfg.Topics.Partitions
		if t.Single {
			partitions = 1
		}
		specs = append(specs, kafka.TopicSpec{
			Name: string(t.Topic), Partitions: partitions, Replication: cfg.Topics.Replication,
			Configs: configs,
		})
	}
	return specs
}

func splitList(list string) (items []string) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// security reads what a cluster asks of its clients.
func (k KafkaSettings) security() (kafka.Config, error) {
	var out kafka.Config
	if k.TLS != nil {
		cfg, err := k.TLS.config()
		if err != nil {
			return out, err
		}
		out.TLS = cfg
	}
	if k.SASL != nil {
		password, err := secretOf(k.SASL.Password, k.SASL.PasswordFile)
		if err != nil {
			return out, fmt.Errorf("kafka.sasl.password_file: %w", err)
		}
		out.SASL, err = kafka.SASL(string(k.SASL.Mechanism), k.SASL.Username, password)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (t *TLS) config() (*tls.Config, error) {
	return kafka.TLS(t.CA, t.Cert, t.Key, t.ServerName)
}
