package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// announced waits for the address in a log line.
type announced chan string

func (a announced) Write(line []byte) (int, error) {
	var l struct{ URL string }
	if json.Unmarshal(bytes.TrimSpace(line), &l) == nil && l.URL != "" {
		a <- l.URL
	}
	return len(line), nil
}

func post(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	urls, done := make(announced, 1), make(chan error, 1)
	go func() { done <- Main(ctx, args, slog.New(slog.NewJSONHandler(urls, nil))) }()
	res, err := http.Post(<-urls, "text/plain", strings.NewReader("a body"))
	if err != nil || res.StatusCode != http.StatusNoContent {
		t.Errorf("%v: %v, %v", args, res, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPeers(t *testing.T) {
	post(t, Discard)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "forwarded"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	brokers := strings.Join(cluster.ListenAddrs(), ",")
	post(t, Forward, "--brokers", brokers, "--topic", "forwarded")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics("forwarded"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	fetches := client.PollFetches(t.Context())
	if records := fetches.Records(); len(records) != 1 || string(records[0].Value) != "a body" {
		t.Errorf("the topic has %v", records)
	}
	for _, args := range [][]string{nil, {"nobody"}, {Discard, "--what"}} {
		if Main(t.Context(), args, slog.New(slog.DiscardHandler)) == nil {
			t.Errorf("%v is no peer", args)
		}
	}
}
