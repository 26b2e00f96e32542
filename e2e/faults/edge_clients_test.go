package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients send numbered beacons to a collector and keep account of which it has acknowledged. No
// beacon is sent twice.
type clients struct {
	http *http.Client
	stop chan struct{}
	end  sync.Once
	done sync.WaitGroup

	mu           sync.Mutex
	base         string
	sent         map[string]bool
	acknowledged map[string]bool
}

const (
	edgeClients = 4
	edgeBatch   = 3
	// edgeStay is how many requests of a client its visitors come in, so that visits end.
	edgeStay     = 50
	edgeVisitors = 20
)

func newClients(seed uint64) *clients {
	c := &clients{
		http: &http.Client{Timeout: 20 * time.Second}, stop: make(chan struct{}),
		sent: map[string]bool{}, acknowledged: map[string]bool{},
	}
	for n := range edgeClients {
		c.done.Go(func() { c.send(n, rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	return c
}

func (c *clients) send(client int, random *rand.Rand) {
	for n := 0; ; n++ {
		pause := 2 * time.Millisecond
		if !c.post(client, n, random) {
			pause = 20 * time.Millisecond // nobody is there
		}
		select {
		case <-c.stop:
			return
		case <-time.After(pause):
		}
	}
}

// post sends one batch and says whether it was acknowledged.
func (c *clients) post(client, n int, random *rand.Rand) bool {
	c.mu.Lock()
	base := c.base
	c.mu.Unlock()
	if base == "" {
		return false
	}
	var ids, beacons []string
	for i := range edgeBatch {
		id := fmt.Sprintf("e-%d-%d-%d", client, n, i)
		ids = append(ids, id)
		beacons = append(beacons, fmt.Sprintf(`{"id":%q,"site":%q,"visitor":"v%d","type":"ping"}`,
			id, loadSite, n/edgeStay*edgeVisitors+random.IntN(edgeVisitors)))
	}
	c.note(c.sent, ids)
	body := []byte("[" + strings.Join(beacons, ",") + "]")
	resp, err := c.http.Post(base+"/v1/beacons", "application/json", bytes.NewReader(body))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); resp.StatusCode/100 != 2 {
		return false
	}
	c.note(c.acknowledged, ids) // the status is enough, whatever becomes of the rest
	return err == nil
}

func (c *clients) note(in map[string]bool, ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		in[id] = true
	}
}

// aim points the clients at a collector.
func (c *clients) aim(base string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = base
}

// count is how many beacons were acknowledged.
func (c *clients) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acknowledged)
}

func (c *clients) halt() {
	c.end.Do(func() { close(c.stop) })
	c.done.Wait()
	c.http.CloseIdleConnections()
}

// edgeVerdict is what is wrong with a log, by what the clients know.
type edgeVerdict struct {
	sent, acknowledged int
	// logged counts beacons, copies what stands in the log again.
	logged, copies int
	lost, invented int
	examples       []string
}

// judge holds the log against what the clients know. A copy must be a copy: of the same visitor,
// at the same time, or those who drop copies do not know it.
func (c *clients) judge(log []beacon) edgeVerdict {
	v := edgeVerdict{sent: len(c.sent), acknowledged: len(c.acknowledged)}
	blame := func(format string, args ...any) {
		if len(v.examples) < 5 {
			v.examples = append(v.examples, fmt.Sprintf(format, args...))
		}
	}
	first := map[string]beacon{}
	for _, b := range log {
		before, known := first[b.id]
		switch {
		case !c.sent[b.id]:
			v.invented++
			blame("beacon %s is in the log, and nobody sent it", b.id)
		case known && before != b:
			v.invented++
			blame("beacon %s is in the log as %v and as %v", b.id, before, b)
		case known:
			v.copies++
		default:
			first[b.id] = b
		}
	}
	v.logged = len(first)
	for id := range c.acknowledged {
		if _, known := first[id]; !known {
			v.lost++
			blame("beacon %s was answered 2xx and is not in the log", id)
		}
	}
	return v
}

// The verdict is worth something: it sees a beacon that is lost, one that nobody sent, and a copy
// that is none.
func TestEdgeVerdict(t *testing.T) {
	c := &clients{
		sent: map[string]bool{"a": true, "b": true}, acknowledged: map[string]bool{"a": true},
	}
	a := beacon{"a", loadSite, "v", 1}
	other := a
	other.visitor = "w"
	for _, at := range []struct {
		name string
		log  []beacon
		want edgeVerdict
	}{
		{"all is well", []beacon{a}, edgeVerdict{logged: 1}},
		{"one was not acknowledged", []beacon{a, {"b", loadSite, "v", 2}}, edgeVerdict{logged: 2}},
		{"a copy", []beacon{a, a}, edgeVerdict{logged: 1, copies: 1}},
		{"lost", nil, edgeVerdict{lost: 1}},
		{"invented", []beacon{a, {"x", loadSite, "v", 1}}, edgeVerdict{logged: 1, invented: 1}},
		{"no copy", []beacon{a, other}, edgeVerdict{logged: 1, invented: 1}},
	} {
		got := c.judge(at.log)
		if got.logged != at.want.logged || got.copies != at.want.copies || got.lost != at.want.lost ||
			got.invented != at.want.invented || (got.lost+got.invented > 0) != (len(got.examples) > 0) {
			t.Errorf("%s: %+v", at.name, got)
		}
	}
}
