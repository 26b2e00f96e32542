package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/internal/strictyaml"
)

// Problem and Problems are what is wrong with the configuration and what surrounds it.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// Config is crumbtrail.yaml, with everything that it leaves out at its default.
type Config struct {
	Topics     TopicSettings `yaml:"topics"`
	Kafka      KafkaSettings `yaml:"kafka"`
	Sites      []Site        `yaml:"sites"`
	Strategies []Strategy    `yaml:"strategies"`
	Forms      []Form        `yaml:"forms"`
	// Resolve says how submissions find their contacts.
	Resolve ResolveSettings `yaml:"resolve"`
	Links   []Link          `yaml:"links"`
	Keys    []Key           `yaml:"keys"`
	// Mail is nil where no mails go out.
	Mail *Mail `yaml:"mail"`
	// Handoffs says who is told that a lead is ready for sales.
	Handoffs Handoffs `yaml:"handoffs"`
	// Models is the directory of the scoring models. In the file it is relative to the file.
	Models   string        `yaml:"models"`
	Stages   StageSettings `yaml:"stages"`
	Lake     LakeSettings  `yaml:"lake"`
	Limits   ingest.Limits `yaml:"limits"`
	Country  Country       `yaml:"country"`
	Snowplow Snowplow      `yaml:"snowplow"`
	Segment  Segment       `yaml:"segment"`
	// Salts is the directory of the secrets behind cookieless visitors, which collectors may share;
	// empty is one in the data directory. In the file it is relative to the file.
	Salts string `yaml:"salts"`
	// TrustedProxies are the peers whose X-Forwarded-For and X-Forwarded-Proto are believed.
	TrustedProxies []Network `yaml:"trusted_proxies,single"`
}

// TopicSettings say how topics are laid out when they are made.
type TopicSettings struct {
	// Prefix stands before every topic's name, consumer group and transactional id.
	Prefix string `yaml:"prefix"`
	// Partitions is fixed once the topics exist.
	Partitions  int `yaml:"partitions"`
	Replication int `yaml:"replication"`
}

// KafkaSettings say how to reach a cluster, where there is one.
type KafkaSettings struct {
	// TLS is nil for plain connections; an empty mapping trusts the system's authorities.
	TLS *TLS `yaml:"tls"`
	// SASL is nil where the brokers ask for no sign-in.
	SASL *SASL `yaml:"sasl"`
	// SessionTimeout is how long a process may be silent before its partitions go to others. Brokers
	// set a least one, by default 6 s.
	SessionTimeout time.Duration `yaml:"session_timeout"`
}

// TLS names PEM files, in the file relative to it.
type TLS struct {
	CA         string `yaml:"ca"`
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`
}

// SASL is a sign-in at the brokers.
type SASL struct {
	Mechanism Mechanism `yaml:"mechanism,required"`
	Username  string    `yaml:"username,required"`
	Password  string    `yaml:"password"`
	// PasswordFile holds the password, less a newline at its end; in the file relative to it.
	PasswordFile string `yaml:"password_file"`
}

// Mechanism is plain, scram-sha-256 or scram-sha-512.
type Mechanism string

// UnmarshalText refuses what is no mechanism.
func (m *Mechanism) UnmarshalText(text []byte) error {
	*m = Mechanism(text)
	return strictyaml.OneOf(string(text), "plain", "scram-sha-256", "scram-sha-512")
}

// StageSettings say how the sessionizer and the resolver run.
type StageSettings struct {
	// Commit is how often what comes out is committed.
	Commit time.Duration `yaml:"commit"`
	// Checkpoint is how often the changed state is written to the changelog, and so how much is
	// replayed after a kill at most.
	Checkpoint time.Duration `yaml:"checkpoint"`
	// StateBytes is how much state one stage of a process may hold. A partition that goes beyond is
	// halted.
	StateBytes int `yaml:"state_bytes"`
}

// LakeSettings say how the lake is written.
type LakeSettings struct {
	// Flush is how often a file is written, and so how old an analyst's view is at most.
	Flush time.Duration `yaml:"flush"`
	// CompactAfter is how long a day must be over before its files are compacted.
	CompactAfter time.Duration `yaml:"compact_after"`
	// Grace is how long a file stays that newer ones have replaced.
	Grace time.Duration `yaml:"grace"`
	// Keep is how long beacons, visits and bad beacons stay, by their day; 0 is for ever.
	Keep time.Duration `yaml:"keep"`
	// ErasureGrace is how long files stay that hold rows of somebody who was erased.
	ErasureGrace time.Duration `yaml:"erasure_grace"`
}

// DefaultConfig is the configuration of an empty file called path: one site, default, that a page
// from disk can try.
func DefaultConfig(path string) Config {
	return Config{
		Topics: TopicSettings{Partitions: 8, Replication: 1},
		Sites:  []Site{defaultSite()},
		Models: filepath.Join(filepath.Dir(path), "models"),
		Kafka:  KafkaSettings{SessionTimeout: 6 * time.Second},
		Stages: StageSettings{
			Commit: time.Second, Checkpoint: 30 * time.Second, StateBytes: 2 << 30,
		},
		Resolve: defaultResolve(),
		Lake: LakeSettings{
			Flush: time.Minute, CompactAfter: time.Hour, Grace: time.Hour, ErasureGrace: time.Minute,
		},
		Limits: ingest.DefaultLimits(),
	}
}

// maxConfigBytes bounds what is read as a configuration.
const maxConfigBytes = 4 << 20

// LoadConfig reads a configuration file, which may be absent, and returns every problem with it at
// once. It opens nothing else, but looks whether the files exist that it names.
func LoadConfig(path string) (Config, Problems) {
	cfg, _, problems := readConfig(path)
	return cfg, problems
}

// readConfig is LoadConfig, and says where in the file things stand.
func readConfig(path string) (Config, *strictyaml.Document, Problems) {
	text, err := os.ReadFile(path)
	var problem Problem
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = nil
	case err != nil:
		problem = Problem{
			File: path, Message: fmt.Sprintf("cannot be read: %v", errors.Unwrap(err)),
			Hint: "name another file with --config",
		}
	case len(text) > maxConfigBytes:
		problem = Problem{
			File: path, Message: fmt.Sprintf("has %d bytes, more than %d", len(text), maxConfigBytes),
		}
	}
	if problem.Message != "" {
		return DefaultConfig(path), &strictyaml.Document{File: path}, Problems{problem}
	}
	return parseConfig(path, text)
}

func parseConfig(path string, text []byte) (Config, *strictyaml.Document, Problems) {
	cfg := DefaultConfig(path)
	cfg.Sites = nil
	doc, problems := strictyaml.Decode(path, text, &cfg)
	cfg.resolvePaths(filepath.Dir(path), doc)
	rules := configRules{cfg: &cfg, doc: doc, problems: problems}
	rules.check()
	if len(cfg.Sites) == 0 {
		cfg.Sites = []Site{defaultSite()}
	}
	return cfg, doc, rules.problems
}

// resolvePaths makes the paths in the file relative to the working directory.
func (c *Config) resolvePaths(dir string, doc *strictyaml.Document) {
	paths := []*string{&c.Salts}
	if doc.Has("models") {
		paths = append(paths, &c.Models)
	}
	paths = append(paths, &c.Country.File, &c.Resolve.Model)
	if c.Kafka.TLS != nil {
		paths = append(paths, &c.Kafka.TLS.CA, &c.Kafka.TLS.Cert, &c.Kafka.TLS.Key)
	}
	if c.Kafka.SASL != nil {
		paths = append(paths, &c.Kafka.SASL.PasswordFile)
	}
	if c.Mail != nil {
		paths = append(paths, &c.Mail.PasswordFile)
	}
	for i := range c.Handoffs.Webhooks {
		paths = append(paths, &c.Handoffs.Webhooks[i].SecretFile)
	}
	for i := range c.Keys {
		paths = append(paths, &c.Keys[i].SecretFile)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}
