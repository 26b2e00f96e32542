package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/ingest"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/resolve"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

// topicsOf is a log in memory, by topic.
type topicsOf struct {
	mu      sync.Mutex
	records map[schemas.Topic][]stage.Record
}

// Produce implements ingest.Producer.
func (l *topicsOf) Produce(_ context.Context, msgs []kafka.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range msgs {
		topic := schemas.Topic(m.Topic)
		l.records[topic] = append(l.records[topic], stage.Record{
			Offset: int64(len(l.records[topic])), Timestamp: time.Now().UnixMilli(),
			Key: bytes.Clone(m.Key), Value: bytes.Clone(m.Value),
		})
	}
	return nil
}

// put is what a machine puts out on a topic for the records of its input.
func (l *topicsOf) put(m stage.Machine, input, output schemas.Topic) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out stage.Output
	m.Apply(l.records[input], &out)
	var values [][]byte
	for _, msg := range out.Messages() {
		if msg.Topic == string(output) {
			values = append(values, msg.Value)
		}
	}
	return values
}

const cookielessConfig = `
sites:
  - key: acme
    cookieless: true
    salt_hour: 4
    time_zone: Europe/Paris
`

// TestCookielessVisits follows somebody of whom nothing is stored over the end of a day: it is one
// visit, a form links it to nobody, and consent in the middle of it begins another one.
func TestCookielessVisits(t *testing.T) {
	cfg, _, problems := parseConfig("crumbtrail.yaml", []byte(cookielessConfig))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	synctest.Test(t, func(t *testing.T) { // it begins at 01:00 in Paris
		log := &topicsOf{records: map[schemas.Topic][]stage.Record{}}
		edge := cfg.collectorConfig()
		edge.Collector, edge.Partitions = "test", 1
		collector, err := ingest.New(edge, log, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- collector.Run(ctx) }()
		handler, cookies := collector.Handler(), map[string]string{}
		send := func(path, body string) {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("User-Agent", "Firefox")
			for name, value := range cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code >= 300 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			for _, c := range w.Result().Cookies() {
				cookies[c.Name] = c.Value
			}
		}
		const page = `{"site":"acme","type":"page_view","url":"https://acme.example/"}`
		time.Sleep(2*time.Hour + 40*time.Minute) // to 03:40
		send("/v1/beacons", page)
		for range 3 { // to 04:40
			time.Sleep(20 * time.Minute)
			send("/v1/beacons", page)
		}
		send("/v1/forms/acme", `{"email":"ada@acme.example"}`)
		if len(cookies) > 0 {
			t.Errorf("stored without consent: %v", cookies)
		}
		time.Sleep(time.Minute)
		send("/v1/consent", `{"site":"acme","choice":"granted"}`)
		send("/v1/beacons", page)
		time.Sleep(2 * time.Hour)
		if err := collector.Flush(ctx); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		checkCookieless(t, &cfg, log, cookies["ct_visitor"])
	})
}

func checkCookieless(t *testing.T, cfg *Config, log *topicsOf, known string) {
	t.Helper()
	views := map[string]int64{}
	visits := log.put(sessionize.New(cfg.sessionizeConfig(), 0), schemas.Beacons, schemas.Visits)
	for _, value := range visits {
		var v schemas.Visit
		if err := v.UnmarshalVT(value); err != nil {
			t.Fatal(err)
		}
		kind := v.Consent.Name()
		if daily := schemas.VisitorID(v.VisitorId).OfOneDay(); daily != (kind == "statistical") ||
			!daily && v.VisitorId != known {
			t.Errorf("visit %v", &v)
		}
		views[kind] += v.PageViews
	}
	if len(visits) != 2 || views["statistical"] != 4 || views["identified"] != 1 {
		t.Errorf("%d visits with views %v, want one of 4 and one of 1", len(visits), views)
	}
	rules, err := cfg.resolveConfig()
	if err != nil {
		t.Fatal(err)
	}
	people := log.put(resolve.New(rules), schemas.Submissions, schemas.Contacts)
	if len(people) != 1 {
		t.Errorf("%d contacts, want the one of the form", len(people))
	}
	edges := log.put(resolve.New(rules), schemas.Submissions, schemas.Identities)
	if len(edges) != 0 {
		t.Errorf("%d browsers are linked to the contact, want none", len(edges))
	}
}
