// Package mail reads the decisions that submissions wait for their confirmation, and those
// submissions; it sends each of them a mail with a link over SMTP, and writes what a server refuses
// for good to bad-beacons. It guarantees that a mail goes out at least once, always under the same
// Message-ID, as long as its link holds, whatever becomes of the process or of the mail server; and
// that nothing but mails waits for that server.
//
// A mail that is put off, as by greylisting, holds up no other. How far the decisions are read, and
// which of those before are still to be sent, is committed together.
package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	stdmail "net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/internal/token"
	"crumbtrail/internal/waiting"
	"crumbtrail/schemas"
)

// TLS is how the way to the mail server is encrypted.
type TLS string

// The ways: STARTTLS, which must succeed; TLS from the first byte; none.
const (
	TLSStart TLS = "starttls"
	TLSAll   TLS = "tls"
	TLSNone  TLS = "none"
)

// Config says how mails go out.
type Config struct {
	// Server is the mail server's host:port.
	Server string
	TLS    TLS
	// Username is empty where the server asks for no sign-in.
	Username, Password string
	// From is who mails are from, as an address with a name or without.
	From string
	// URL is where browsers reach the collector; links begin with it.
	URL string
	// PerSecond is how many mails go out in a second at most.
	PerSecond int
	// Keys sign the links.
	Keys *token.Keys
	// Forms say what their mails say; others say what is said by default.
	Forms []Form
	// PutOff is how long a mail waits that the server does not take yet: the first time, and at most
	// (1 min, 1 h). Away is how long the server is left alone that is not there (1 s, 1 min). Each
	// time the pause doubles.
	PutOff, Away waiting.Pauses
	// Timeout is how long the server may take for a mail (1 min).
	Timeout time.Duration
	// Session is the session timeout of the group's members (6 s).
	Session time.Duration
}

// Form is what the mails of a form say. A text that is empty is the default's.
type Form struct {
	// Site is empty for the forms of this name on every site that has none of its own.
	Name, Site          string
	Subject, From, Text string
}

const (
	// group reads the decisions.
	group = "mail"
	// protocol is what bad beacons of this room are of.
	protocol = "mail"
	// reasonRefused is a mail that a server has refused for good.
	reasonRefused = "mail_refused"
)

// Sender sends mails, at most one process of a cluster at a time.
type Sender struct {
	cfg     Config
	cluster stage.Cluster
	log     *slog.Logger
	metrics *metrics
	server  *server
	writer  *writer

	mu sync.Mutex
	// away is since when the server does not answer, zero where it does.
	away time.Time
	// waiting is how many mails are to be sent.
	waiting int
}

// New prepares a sender.
func New(
	cfg Config, cluster stage.Cluster, log *slog.Logger, reg prometheus.Registerer,
) (*Sender, error) {
	if cfg.PutOff == (waiting.Pauses{}) {
		cfg.PutOff = waiting.Pauses{First: time.Minute, Most: time.Hour}
	}
	if cfg.Away == (waiting.Pauses{}) {
		cfg.Away = waiting.Pauses{First: time.Second, Most: time.Minute}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Session <= 0 {
		cfg.Session = 6 * time.Second
	}
	if cfg.PerSecond <= 0 {
		return nil, fmt.Errorf("mail: %d a second: want at least one", cfg.PerSecond)
	}
	host, port, err := net.SplitHostPort(cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("mail server %q: want host:port", cfg.Server)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("mail server %q: want host:port", cfg.Server)
	}
	writer, err := newWriter(cfg)
	if err != nil {
		return nil, err
	}
	return &Sender{
		cfg: cfg, cluster: cluster, log: log.With("room", "mail"), metrics: newMetrics(reg),
		server: newServer(cfg, host, number), writer: writer,
	}, nil
}

// Run sends mails until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	err := s.cluster.Share(ctx, group, string(schemas.Decisions), s.hold, func(err error) {
		s.log.Warn("join the group again", "err", err)
	})
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

// Notice is what those who run the process should know of the mail server, empty where it answers.
func (s *Sender) Notice() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away.IsZero() {
		return ""
	}
	return fmt.Sprintf("the mail server does not answer since %s: %d mails wait",
		s.away.UTC().Format(time.RFC3339), s.waiting)
}

// hold works for as long as this process is the one that sends.
func (s *Sender) hold(ctx context.Context, a kafka.Assignment) {
	for tries := 1; len(a.Partitions) > 0 && ctx.Err() == nil; tries++ {
		began := time.Now()
		err := s.work(ctx, a)
		if time.Since(began) > time.Minute {
			tries = 1
		}
		pause := s.cfg.Away.After(tries)
		if errors.Is(err, kafka.ErrFenced) {
			// Whoever has taken over must not be fenced in its turn.
			pause = s.cfg.Session / 2
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("start again from the last commit", "err", err)
		}
		kafka.Pause(ctx, pause)
	}
	<-ctx.Done()
	s.note(0, nil)
}

// note keeps what Notice says. A nil error is a server that answers.
func (s *Sender) note(waiting int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = waiting
	s.metrics.waiting.Set(float64(waiting))
	switch {
	case err == nil:
		s.away = time.Time{}
	case s.away.IsZero():
		s.away = time.Now()
	}
}

// formOf returns the texts of a form.
func (c *Config) formOf(site, name string) (found Form) {
	for _, f := range c.Forms {
		switch {
		case f.Name != name:
		case f.Site == site:
			return f
		case f.Site == "":
			found = f
		}
	}
	return found
}

// addressOf parses who mails are from.
func addressOf(text string) (*stdmail.Address, error) {
	address, err := stdmail.ParseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("mails from %q: %w", text, err)
	}
	return address, nil
}

// domainOf is what follows the @ of an address.
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
