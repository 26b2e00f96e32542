package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// shot is one hostile request, as bytes on a connection.
type shot struct {
	name string
	// wire is what is sent. Where it is left open, the client neither ends nor closes it.
	wire []byte
	open bool
	// want are the statuses that are right; 0 is a connection that is closed without an answer.
	want []int
	// reason is what must be counted, empty where nothing must be.
	reason string
	// answers is how many there are, 0 for one.
	answers int
}

// hostileSlack is how much more memory than before the whole corpus may take, most of it garbage
// that is not collected yet; bombSlack is what each of a volley of bombs may: what it is allowed to
// become, with the copies of a buffer that grows.
const (
	hostileSlack = 160 << 20
	volley       = 16
	bombSlack    = 16 << 20
	// soon is how long an answer may take, however slow the machine; bodies without an end have
	// body_timeout on top.
	soon        = 30 * time.Second
	bodyTimeout = 2 * time.Second
)

// V6, V7: whatever comes over a socket is answered soon with a status that its protocol knows, is
// counted with a reason, and takes no more than its share of memory; good traffic goes on.
func TestHostileInput(t *testing.T) {
	k := newKafka(t)
	config := write(t, "crumbtrail.yaml", fmt.Sprintf("limits: {body_timeout: %v}\n"+
		"sites: [{key: default, origins: ['*'], consent: implied, redirects: [ok.example]}]\n",
		bodyTimeout))
	s := serve(t, "ingest", "--data", filepath.Join(t.TempDir(), "data"), "--brokers", k.address,
		"--config", config)
	good := func() {
		t.Helper()
		post(t, s.url, `{"site":"default","type":"ping"}`)
	}
	for range 200 {
		good()
	}
	address := strings.TrimPrefix(s.url, "http://")
	before := s.peak(t)
	shots := hostileShots()
	byStatus := map[int]int{}
	slowest, slow := time.Duration(0), ""
	for _, shot := range shots {
		counted := s.reasons(t)
		status, took := shot.fire(t, address)
		byStatus[status]++
		if took > slowest {
			slowest, slow = took, shot.name
		}
		if !slices.Contains(shot.want, status) {
			t.Errorf("%s: answered %d, want %v", shot.name, status, shot.want)
		}
		now := s.reasons(t)
		switch more := now[shot.reason] - counted[shot.reason]; {
		case shot.reason != "" && more < 1:
			t.Errorf("%s: %s was not counted: %v, before %v", shot.name, shot.reason, now, counted)
		case shot.reason == "" && sum(now) != sum(counted):
			t.Errorf("%s: counted as refused: %v, before %v", shot.name, now, counted)
		}
		good()
	}
	after := s.peak(t)
	t.Logf("%d shots, statuses %v, the slowest %v (%s); peak memory %.0f MB before, %.0f MB after",
		len(shots), byStatus, slowest.Round(time.Millisecond), slow, mb(before), mb(after))
	if after > before+hostileSlack {
		t.Errorf("peak memory rose by %.0f MB, want at most %.0f", mb(after-before), mb(hostileSlack))
	}

	bomb := volleyShot()
	var all sync.WaitGroup
	for range volley {
		all.Go(func() {
			// More at once than the machine can unpack may be turned away.
			status, _ := bomb.fire(t, address)
			if status != http.StatusServiceUnavailable && !slices.Contains(bomb.want, status) {
				t.Errorf("a volley of %s: answered %d", bomb.name, status)
			}
		})
	}
	all.Wait()
	good()
	worst := s.peak(t)
	t.Logf("%d bombs at once: peak memory %.0f MB", volley, mb(worst))
	if worst > after+volley*bombSlack {
		t.Errorf("%d bombs at once took %.0f MB", volley, mb(worst-after))
	}
	if resp, err := http.Get(s.admin + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("it is not ready afterwards: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	s.stop()
	keptReasons(t, k, shots)
}

// V7: who says that a large body is to come, and sends next to nothing, takes next to no memory.
func TestLyingLengths(t *testing.T) {
	k := newKafka(t)
	s := serve(t, "ingest", "--data", filepath.Join(t.TempDir(), "data"), "--brokers", k.address)
	const liars, each = 500, 96 << 10
	before := s.peak(t)
	for range liars {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /v1/beacons HTTP/1.1\r\nHost: a\r\n"+
			"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n[1,", 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, soon, "all of them to be heard", func() bool {
		return metrics(t, s.admin)["go_goroutines"] > liars
	})
	post(t, s.url, `{"site":"default","type":"ping"}`)
	after := s.peak(t)
	t.Logf("%d liars took %.1f MB", liars, mb(after-before))
	if after > before+liars*each {
		t.Errorf("%d liars took %.1f MB", liars, mb(after-before))
	}
}

// keptReasons wants a bad beacon of each reason that a shot was refused for, no longer than what is
// kept of one.
func keptReasons(t *testing.T, k *kafkaProcess, shots []shot) {
	t.Helper()
	kept := map[string]int{}
	for _, b := range k.badBeacons() {
		kept[b.Reason]++
		if len(b.Raw) > 8<<10 || b.Detail == "" || b.Protocol == "" {
			t.Errorf("bad beacon of %d bytes: %s, %q, %q", len(b.Raw), b.Reason, b.Detail, b.Protocol)
		}
	}
	for _, shot := range shots {
		if shot.reason != "" && kept[shot.reason] == 0 {
			t.Errorf("%s: no bad beacon says %s", shot.name, shot.reason)
		}
	}
	t.Logf("kept: %v", kept)
}

// fire sends a shot on a connection of its own and reads what is answered.
func (s shot) fire(t *testing.T, address string) (status int, took time.Duration) {
	began := time.Now()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Errorf("%s: %v", s.name, err)
		return -1, 0
	}
	defer conn.Close()
	if err := conn.SetDeadline(began.Add(soon + bodyTimeout)); err != nil {
		t.Error(err)
		return -1, 0
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, err := conn.Write(s.wire) // the other end may have closed
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil && !s.open {
			_ = tcp.CloseWrite()
		}
	}()
	defer func() { conn.Close(); <-sent }()
	answers := bufio.NewReader(conn)
	for n := range max(1, s.answers) {
		for {
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: no answer %d within %v", s.name, n+1, time.Since(began))
				}
				return 0, time.Since(began)
			}
			_, _ = io.Copy(io.Discard, resp.Body) // what was asked for is the status
			resp.Body.Close()
			if status = resp.StatusCode; status != http.StatusContinue {
				break
			}
		}
	}
	return status, time.Since(began)
}

// peak is the most memory that the process has taken, in bytes.
func (s *server) peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Skipf("memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no peak in\n%s", text)
	return 0
}

func mb(bytes int) float64 { return float64(bytes) / (1 << 20) }

// reasons is how many inputs were refused, by reason.
func (s *server) reasons(t *testing.T) map[string]int {
	t.Helper()
	resp, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatalf("%v\n%s", err, s.said())
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for line := range bytes.Lines(text) {
		var reason string
		var n int
		if _, err := fmt.Sscanf(string(line),
			"crumbtrail_ingest_beacons_rejected_total{reason=%q} %d", &reason, &n); err == nil {
			out[reason] = n
		}
	}
	return out
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
