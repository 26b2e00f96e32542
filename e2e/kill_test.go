package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

// load sends beacons to a collector and remembers which it was told are safe.
type load struct {
	client *http.Client
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	base    string
	sent    map[string]bool
	safe    map[string]bool
	refused int
}

const (
	loadClients  = 8
	loadBatch    = 5
	loadVisitors = 200
	// loadStay is how many requests of a client its visitors come in: then others come, so that
	// visits end however fast the machine is.
	loadStay = 100
)

// newLoad starts clients that send until halt. Each request has new beacons: a batch that got no
// answer is not sent again, so that each id is sent once.
func newLoad(seed uint64) *load {
	l := &load{
		client: &http.Client{Timeout: 20 * time.Second}, stop: make(chan struct{}),
		sent: map[string]bool{}, safe: map[string]bool{},
	}
	for n := range loadClients {
		l.done.Go(func() { l.send(n, rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	return l
}

func (l *load) send(client int, random *rand.Rand) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		l.mu.Lock()
		base := l.base
		l.mu.Unlock()
		if base == "" || !l.post(base, client, n, random) {
			// Nobody there: ask again in a moment.
			select {
			case <-l.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// post sends one batch and is true where it is safe.
func (l *load) post(base string, client, n int, random *rand.Rand) bool {
	var body bytes.Buffer
	var ids []string
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	fmt.Fprintf(&body, `{"sent_at":%q,"beacons":[`, now)
	for i := range loadBatch {
		id := fmt.Sprintf("k-%d-%d-%d", client, n, i)
		ids = append(ids, id)
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"id":%q,"site":"default","visitor":"v%d","type":"page_view",`+
			`"created_at":%q,"url":"https://default.example/p%d"}`,
			id, n/loadStay*loadVisitors+random.IntN(loadVisitors), now, random.IntN(9))
	}
	body.WriteString("]}")
	l.mu.Lock()
	for _, id := range ids {
		l.sent[id] = true
	}
	l.mu.Unlock()
	resp, err := l.client.Post(base+"/v1/beacons", "application/json", &body)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	err = errors.Join(err, resp.Body.Close())
	l.mu.Lock()
	defer l.mu.Unlock()
	if resp.StatusCode/100 != 2 {
		l.refused++
		return false
	}
	for _, id := range ids {
		l.safe[id] = true
	}
	return err == nil
}

// aim points the clients at a collector, or at none.
func (l *load) aim(base string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base = base
}

// count returns how many beacons are safe.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.safe)
}

// halt ends the clients.
func (l *load) halt() {
	close(l.stop)
	l.done.Wait()
	l.client.CloseIdleConnections()
}

// V1, V2, V5: what was answered 2xx is in the lake once, in one visit, and nothing else is there.
func TestKillLosesNothing(t *testing.T) {
	kills := 2
	if thorough() {
		kills = 10
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", quick)
	l := newLoad(seed)
	for range kills {
		s := up(t, data, config)
		l.aim(s.url)
		more := l.count() + 100 + random.IntN(900)
		eventually(t, patience, "beacons to be taken", func() bool { return l.count() >= more })
		s.kill()
	}
	s := up(t, data, config)
	l.aim(s.url)
	more := l.count() + 300
	eventually(t, patience, "beacons to be taken", func() bool { return l.count() >= more })
	l.halt()
	l.settle(t, data)
	s.stop()
	l.check(t, data)
}

// settle waits until every safe beacon is in a visit: the last ones end a gap and a grace after
// their last beacon. Where that does not come to pass, check says which are missing.
func (l *load) settle(t *testing.T, data string) {
	t.Helper()
	if !harness.WaitFor(patience, func() bool {
		return number(t, data, "SELECT coalesce(sum(beacons), 0)::BIGINT FROM visits") >= l.count()
	}) {
		t.Errorf("waited %v for every beacon to be in a visit", patience)
	}
}

// check holds the lake against what the clients know.
func (l *load) check(t *testing.T, data string) {
	t.Helper()
	stored := map[string]bool{}
	for _, row := range rows(t, data, "SELECT event_id FROM beacons") {
		if stored[row[0]] {
			t.Errorf("beacon %s is in the lake twice", row[0])
		}
		stored[row[0]] = true
		if !l.sent[row[0]] {
			t.Errorf("beacon %s is in the lake, and nobody sent it", row[0])
		}
	}
	lost := 0
	for id := range l.safe {
		if !stored[id] {
			if lost++; lost <= 5 {
				t.Errorf("beacon %s was answered 2xx and is not in the lake", id)
			}
		}
	}
	t.Logf("%d sent, %d answered 2xx, %d refused requests, %d stored, %d lost",
		len(l.sent), len(l.safe), l.refused, len(stored), lost)
	inVisits := number(t, data, "SELECT sum(beacons)::BIGINT FROM visits")
	if inVisits != len(stored) {
		t.Errorf("visits hold %d beacons, the lake %d", inVisits, len(stored))
	}
	visits := number(t, data, "SELECT count(*) FROM visits")
	if n := number(t, data, "SELECT count(DISTINCT visit_id) FROM visits"); n != visits {
		t.Errorf("%d visits have %d ids", visits, n)
	}
}
