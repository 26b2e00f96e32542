package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// handoffsTopic is a broker with that topic.
func handoffsTopic(t *testing.T) *kafka.Client {
	t.Helper()
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{
		Dir: filepath.Join(t.TempDir(), "broker"), LazySync: true, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	client, err := kafka.Dial(kafka.Config{Brokers: []string{broker.Addr()}, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	err = client.EnsureTopics(t.Context(), []kafka.TopicSpec{
		{Name: string(schemas.Handoffs), Partitions: 1, Replication: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestRedriveHandoffs(t *testing.T) {
	client := handoffsTopic(t)
	topic := string(schemas.Handoffs)
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put := func(entry *schemas.HandoffRecord) {
		value, err := entry.MarshalVT()
		if err == nil {
			err = producer.Produce(t.Context(), []kafka.Message{{Topic: topic, Value: value}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ended := func(id, webhook string, day int, outcome schemas.DeliveryOutcome) {
		put(&schemas.HandoffRecord{Entry: &schemas.HandoffRecord_Delivery{
			Delivery: &schemas.HandoffDelivery{
				HandoffId: id, Webhook: webhook, Outcome: outcome,
				AtUs: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC).UnixMicro(),
			},
		}})
	}
	for i := range 4 {
		put(&schemas.HandoffRecord{Entry: &schemas.HandoffRecord_Handoff{
			Handoff: &schemas.Handoff{HandoffId: fmt.Sprint("h", i)},
		}})
	}
	const (
		delivered = schemas.DeliveryOutcome_DELIVERY_OUTCOME_DELIVERED
		expired   = schemas.DeliveryOutcome_DELIVERY_OUTCOME_EXPIRED
	)
	ended("h0", "crm", 1, delivered)
	ended("h0", "bot", 2, expired)
	ended("h2", "crm", 4, expired)
	ended("h1", "crm", 3, expired)
	ended("h3", "crm", 5, expired)
	ended("h3", "crm", 6, delivered)
	ended("gone", "crm", 1, expired)

	// drive returns what the call says, and what it asks for.
	drive := func(r redrive) (string, []string) {
		from, err := client.Ends(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		r.call, r.client = &call{stdout: &out}, client
		if err := r.runHandoffs(t.Context()); err != nil {
			t.Fatal(err)
		}
		to, err := client.Ends(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		var asked []string
		err = client.Scan(t.Context(), topic, from, to, func(records []kafka.Record) error {
			for i := range records {
				entry := &schemas.HandoffRecord{}
				if err := entry.UnmarshalVT(records[i].Value); err != nil {
					return err
				}
				again := entry.GetRedelivery()
				asked = append(asked,
					fmt.Sprintf("%s %s at %d", again.HandoffId, again.Webhook, again.HandoffOffset))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), asked
	}
	for _, step := range []struct {
		name  string
		r     redrive
		says  string
		asked []string
	}{
		{
			"a look",
			redrive{dryRun: true, format: "json"},
			`{"dry_run":true,"webhooks":[{"webhook":"bot","handoffs":1},{"webhook":"crm","handoffs":2}]}` +
				"\n", nil,
		},
		{"none", redrive{ids: "h3"}, "there are no such hand-offs\n", nil},
		{
			"the first to crm",
			redrive{webhooks: "crm", limit: 1},
			"  hand-offs webhook\n          1 crm\n",
			[]string{"h1 crm at 1"},
		},
		{
			"the rest",
			redrive{format: "json"},
			`{"dry_run":false,"webhooks":[{"webhook":"bot","handoffs":1},{"webhook":"crm","handoffs":1}]}` +
				"\n",
			[]string{"h0 bot at 0", "h2 crm at 2"},
		},
		{"nothing twice", redrive{}, "there are no such hand-offs\n", nil},
	} {
		says, asked := drive(step.r)
		if diff := cmp.Diff(step.says, says); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
		if diff := cmp.Diff(step.asked, asked); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}
