// Package peers holds the least that an HTTP collector can be, to measure ours beside it: it reads
// requests and writes their bodies to a topic, or nowhere, and guarantees nothing of what is in
// them. It is the floor below which no collector on net/http can go.
package peers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The peers.
const (
	// Discard answers 204 and reads no body.
	Discard = "discard"
	// Forward appends each body to a topic and answers 204 once all replicas have it.
	Forward = "forward"
)

// Main serves as the peer that args name until ctx ends.
func Main(ctx context.Context, args []string, log *slog.Logger) error {
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	brokers := flags.String("brokers", "", "")
	topic := flags.String("topic", "", "")
	if len(args) == 0 {
		return errors.New("want the name of a peer")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	handler := http.Handler(http.HandlerFunc(discard))
	switch args[0] {
	case Discard:
	case Forward:
		client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(*brokers, ",")...),
			kgo.DefaultProduceTopic(*topic), kgo.ProducerLinger(linger))
		if err != nil {
			return fmt.Errorf("connect to %s: %w", *brokers, err)
		}
		defer client.Close()
		handler = &forwarder{client}
	default:
		return fmt.Errorf("no peer %q", args[0])
	}
	return serve(ctx, handler, log)
}

// linger is what the forwarder waits for company: without it, it is slower.
const linger = 2 * time.Millisecond

func serve(ctx context.Context, handler http.Handler, log *slog.Logger) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Info("peer listens", "url", "http://"+listener.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

func discard(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

type forwarder struct{ client *kgo.Client }

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, max(r.ContentLength, 0))
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if err := f.client.ProduceSync(r.Context(), &kgo.Record{Value: body}).FirstErr(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
