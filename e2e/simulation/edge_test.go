package simulation

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/ingest"
)

// edge is the collector, and everybody who sends to it. The world's mutex guards what is below it.
type edge struct {
	*world
	sends sync.WaitGroup

	server *server // nil while no collector runs
	// sent and acked are the ids of beacons that were sent, and that were answered 2xx.
	sent, acked map[string]bool
}

// server is a collector as clients know it.
type server struct {
	http.Handler
	dead <-chan struct{}
}

// startEdge keeps a collector running, life after life.
func (w *world) startEdge() *edge {
	e := &edge{world: w, acked: map[string]bool{}, sent: map[string]bool{}}
	rng := w.draw("collector")
	w.wg.Go(func() {
		for life := 1; w.ctx.Err() == nil; life++ {
			e.collect(fmt.Sprintf("collector.%d", life))
			w.rest(time.Duration(rng.Int64N(int64(3 * time.Second))))
		}
	})
	return e
}

// collect runs a collector until it is killed or everything ends. What is left of a killed one ends
// by itself.
func (e *edge) collect(life string) {
	ctx, cancel := context.WithCancel(e.ctx)
	killed, ended := make(chan struct{}), make(chan struct{})
	e.net.OnKill(life, func() { close(killed); cancel() })
	defer e.born(life)()
	e.wg.Go(func() {
		defer close(ended)
		defer cancel()
		e.runCollector(ctx, life, killed)
	})
	select {
	case <-killed:
	case <-ended:
	}
	e.serve(nil)
}

func (e *edge) runCollector(ctx context.Context, life string, dead <-chan struct{}) {
	client := e.dial(life)
	defer client.Close()
	producer, err := client.NewProducer(ctx)
	if err != nil {
		e.problem("%s: %v", life, err)
		return
	}
	collector, err := ingest.New(ingest.Config{
		Collector: "edge", Partitions: partitions, SigningKey: []byte("0123456789abcdef"),
		Linger: 40 * time.Millisecond,
	}, producer, e.quiet, prometheus.NewRegistry())
	if err != nil {
		e.problem("%s: %v", life, err)
		return
	}
	e.serve(&server{collector.Handler(), dead})
	if err := collector.Run(ctx); err != nil {
		e.problem("%s: %v", life, err)
	}
}

func (e *edge) serve(s *server) {
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
}

// post is one request to the collector.
type post struct {
	at   time.Duration
	ids  []string
	body string
}

// drive sends the traffic of the run in the run's bubble, each post from a goroutine of its own, as
// browsers would: some send again what was not acknowledged, and some what was.
func (e *edge) drive() {
	rng := e.draw("traffic")
	began := time.Now()
	for _, p := range posts(rng) {
		time.Sleep(time.Until(began.Add(p.at)))
		again := rng.IntN(15) == 0
		rest := 300*time.Millisecond + time.Duration(rng.Int64N(int64(2*time.Second)))
		e.sends.Go(func() {
			for try := range 4 {
				if e.post(p) && !again {
					return
				}
				again = false
				time.Sleep(rest * time.Duration(try+1))
			}
		})
	}
	time.Sleep(time.Until(began.Add(traffic)))
}

// wait returns once nobody sends any more.
func (e *edge) wait() { e.sends.Wait() }

// post sends, and returns true where it was acknowledged.
func (e *edge) post(p post) bool {
	e.mu.Lock()
	server := e.server
	for _, id := range p.ids {
		e.sent[id] = true
	}
	e.mu.Unlock()
	if server == nil {
		return false
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/beacons", strings.NewReader(p.body))
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	answered := make(chan struct{})
	e.wg.Go(func() {
		defer close(answered)
		server.ServeHTTP(w, r)
	})
	select {
	case <-server.dead:
		return false
	case <-answered:
	}
	if w.Code != http.StatusOK {
		return false
	}
	e.mu.Lock()
	for _, id := range p.ids {
		e.acked[id] = true
	}
	e.mu.Unlock()
	return true
}

// posts makes the traffic: visitors who come, look at a few pages, go, and come back.
func posts(rng *rand.Rand) []post {
	const visitors = 40
	var all []post
	n := 0
	for v := range visitors {
		at := time.Duration(rng.Int64N(int64(10 * time.Second)))
		for at < traffic-2*time.Second {
			for range 1 + rng.IntN(4) {
				p := post{at: at}
				var beacons []string
				for range 1 + rng.IntN(2) {
					n++
					id := fmt.Sprintf("e%d", n)
					p.ids = append(p.ids, id)
					beacons = append(beacons, beacon(rng, id, v))
				}
				p.body = `{"beacons":[` + strings.Join(beacons, ",") + `]}`
				all = append(all, p)
				at += time.Duration(50+rng.IntN(1400)) * time.Millisecond
			}
			at += time.Duration(2500+rng.IntN(12_000))*time.Millisecond + time.Duration(rng.IntN(1000))
		}
	}
	slices.SortStableFunc(all, func(a, b post) int { return cmp.Compare(a.at, b.at) })
	return all
}

func beacon(rng *rand.Rand, id string, visitor int) string {
	rest := `"type":"page_view","url":"https://acme.example/p"`
	switch draw := rng.IntN(40); {
	case draw == 0:
		rest += `,"consent":"none"`
	case draw < 5:
		rest = fmt.Sprintf(`"type":"form_submit","props":{"fields":{"email":"p%d@x.example"}}`,
			rng.IntN(25))
	case draw < 10:
		rest = `"type":"ping","props":{"engaged_ms":1000}`
	}
	return fmt.Sprintf(`{"id":%q,"site":"default","visitor":"v%d",%s}`, id, visitor, rest)
}
