// Package handoff reads the topic of hand-offs and posts each of them, signed, to the webhooks that
// want it; what became of it at each it writes to the same topic. It guarantees that a webhook that
// takes hand-offs gets each at least once, always under the same webhook-id, whatever becomes of
// the process or of the webhook; that what it does not take for max_age is written as expired; and
// that nothing but its own hand-offs waits for a webhook.
//
// How far a webhook has come, and which hand-offs before that it is still to be sent, is committed
// together. Requests are those of the Standard Webhooks specification.
package handoff

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/internal/waiting"
	"crumbtrail/schemas"
)

// Config says where hand-offs go.
type Config struct {
	Webhooks []Webhook
	// Session is the session timeout of the groups' members (6 s).
	Session time.Duration
	// Away is how long a webhook is left alone that does not answer, or asks to be (1 s, 5 min);
	// Refused how long a hand-off waits that it refuses (1 min, 1 h). Each time the pause doubles.
	Away, Refused waiting.Pauses
}

// Webhook is an address that hand-offs are posted to.
type Webhook struct {
	// Name stands in its consumer group and in what became of a hand-off.
	Name, URL string
	// Secret signs what is sent.
	Secret []byte
	// Models are the models whose hand-offs it gets; none: all.
	Models []string
	// Contact are the attributes of a contact that it is told.
	Contact []string
	// Private allows addresses that are not of the public internet.
	Private bool
	// Timeout is how long it may take for an answer, MaxAge for how long a hand-off is offered.
	Timeout, MaxAge time.Duration
}

// Sender posts hand-offs, for each webhook at most one process of a cluster at a time.
type Sender struct {
	hooks []*hook
}

// hook is a webhook and what is known of it.
type hook struct {
	Webhook
	cfg     Config
	cluster stage.Cluster
	log     *slog.Logger
	metrics *hookMetrics
	poster  *poster

	mu sync.Mutex
	// away is since when it does not answer, zero where it does.
	away time.Time
	// gone is true once it has said that it is there no more.
	gone bool
	// waiting is how many hand-offs are to be sent.
	waiting int
}

// New prepares a sender.
func New(
	cfg Config, cluster stage.Cluster, log *slog.Logger, reg prometheus.Registerer,
) *Sender {
	if cfg.Session <= 0 {
		cfg.Session = 6 * time.Second
	}
	if cfg.Away == (waiting.Pauses{}) {
		cfg.Away = waiting.Pauses{First: time.Second, Most: 5 * time.Minute}
	}
	if cfg.Refused == (waiting.Pauses{}) {
		cfg.Refused = waiting.Pauses{First: time.Minute, Most: time.Hour}
	}
	s, m := &Sender{}, newMetrics(reg)
	for _, w := range cfg.Webhooks {
		s.hooks = append(s.hooks, &hook{
			Webhook: w, cfg: cfg, cluster: cluster, metrics: m.of(w.Name), poster: newPoster(w),
			log: log.With("room", "handoff", "webhook", w.Name),
		})
	}
	return s
}

// Run posts until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range s.hooks {
		g.Go(func() error {
			err := h.cluster.Share(ctx, h.group(), string(schemas.Handoffs), h.hold, func(err error) {
				h.log.Warn("join the group again", "err", err)
			})
			if err != nil {
				return fmt.Errorf("webhook %s: %w", h.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// group reads the hand-offs for a webhook, and is the transactional id of who does.
func (h *hook) group() string { return "handoff-" + h.Name }

// Notice is what those who run the process should know of the webhooks, empty where all answer.
func (s *Sender) Notice() string {
	var all []string
	for _, h := range s.hooks {
		if notice := h.notice(); notice != "" {
			all = append(all, notice)
		}
	}
	return strings.Join(all, "; ")
}

func (h *hook) notice() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.gone:
		return fmt.Sprintf("webhook %s is gone, by its own word: %d hand-offs wait for a restart",
			h.Name, h.waiting)
	case !h.away.IsZero():
		return fmt.Sprintf("webhook %s takes nothing since %s: %d hand-offs wait", h.Name,
			h.away.UTC().Format(time.RFC3339), h.waiting)
	}
	return ""
}

// hold works for as long as this process is the one that sends.
func (h *hook) hold(ctx context.Context, a kafka.Assignment) {
	for tries := 1; len(a.Partitions) > 0 && ctx.Err() == nil; tries++ {
		began := time.Now()
		err := h.work(ctx, a)
		if time.Since(began) > time.Minute {
			tries = 1
		}
		pause := h.cfg.Away.After(tries)
		if errors.Is(err, kafka.ErrFenced) {
			// Whoever has taken over must not be fenced in its turn.
			pause = h.cfg.Session / 2
		}
		if err != nil && ctx.Err() == nil {
			h.log.Warn("start again from the last commit", "err", err)
		}
		kafka.Pause(ctx, pause)
	}
	<-ctx.Done()
	h.note(0, true)
}

// note keeps what Notice says.
func (h *hook) note(waiting int, answers bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = waiting
	h.metrics.waiting.Set(float64(waiting))
	switch {
	case answers:
		h.away = time.Time{}
	case h.away.IsZero():
		h.away = time.Now()
	}
}

func (h *hook) isGone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

func (h *hook) setGone() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
}
