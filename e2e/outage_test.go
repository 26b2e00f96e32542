package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// kafkaProcess is a broker as a process of its own, which may die and come back.
type kafkaProcess struct {
	t       *testing.T
	address string
	// launch makes its command, anew for each start.
	launch func() *exec.Cmd
	cmd    *exec.Cmd
}

// newKafka starts the embedded broker.
func newKafka(t *testing.T) *kafkaProcess {
	t.Helper()
	data := filepath.Join(t.TempDir(), "kafka")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePortPair(t)))
	k := &kafkaProcess{t: t, address: address, launch: func() *exec.Cmd {
		cmd := exec.Command(program, "broker", "--data", data, "--listen", address)
		cmd.Dir = t.TempDir()
		return cmd
	}}
	t.Cleanup(k.kill)
	k.start()
	return k
}

func (k *kafkaProcess) start() {
	k.t.Helper()
	k.cmd = k.launch()
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	eventually(k.t, patience, "the broker to listen", func() bool {
		conn, err := net.DialTimeout("tcp", k.address, time.Second)
		return err == nil && conn.Close() == nil
	})
}

// end sends a signal to the broker and waits until it has ended.
func (k *kafkaProcess) end(s syscall.Signal) {
	if k.cmd != nil {
		_ = syscall.Kill(-k.cmd.Process.Pid, s) // it may have ended by itself
		_ = k.cmd.Wait()
		k.cmd = nil
	}
}

func (k *kafkaProcess) kill() { k.end(syscall.SIGKILL) }

// appended is a beacon as it stands in the log.
type appended struct {
	id, visitor string
	partition   int
}

// beacons reads the topic from its first record to its last.
func (k *kafkaProcess) beacons() (all []appended) {
	k.t.Helper()
	k.each(schemas.Beacons, func(p int, r *kafka.Record) {
		var record schemas.BeaconRecord
		if err := record.UnmarshalVT(r.Value); err != nil {
			k.t.Fatalf("partition %d offset %d: %v", p, r.Offset, err)
		}
		if b := record.GetBeacon(); b != nil {
			all = append(all, appended{b.EventId, b.VisitorId, p})
		}
	})
	return all
}

// badBeacons reads the topic of those.
func (k *kafkaProcess) badBeacons() (all []*schemas.BadBeacon) {
	k.t.Helper()
	k.each(schemas.BadBeacons, func(p int, r *kafka.Record) {
		b := &schemas.BadBeacon{}
		if err := b.UnmarshalVT(r.Value); err != nil {
			k.t.Fatalf("partition %d offset %d: %v", p, r.Offset, err)
		}
		all = append(all, b)
	})
	return all
}

// each reads a topic.
func (k *kafkaProcess) each(topic schemas.Topic, see func(partition int, r *kafka.Record)) {
	t := k.t
	t.Helper()
	client, err := kafka.Dial(kafka.Config{Brokers: []string{k.address}, ClientID: "e2e"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := client.Ends(t.Context(), string(topic))
	if err != nil {
		t.Fatal(err)
	}
	for p, end := range ends {
		for at := int64(0); at < end; {
			f, err := client.Fetch(t.Context(), string(topic), int32(p), at, kafka.FetchWait)
			if err != nil {
				t.Fatal(err)
			}
			for i := range f.Records {
				see(p, &f.Records[i])
			}
			at = f.Next
		}
	}
}

// outage is how long Kafka is away: seconds, or what CRUMBTRAIL_OUTAGE says.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("CRUMBTRAIL_OUTAGE")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		t.Fatalf("CRUMBTRAIL_OUTAGE=%q: want a duration such as 5m", text)
	}
	return d
}

// V1, V5, V8: Kafka is away under load, and the collector is killed twice meanwhile, and stopped
// once. Each beacon that was answered 2xx is in the log, once if one goes by the ids, in order, and
// none that nobody sent.
func TestOutageLosesNothing(t *testing.T) {
	needThorough(t)
	outageLosesNothing(t, newKafka(t))
}

// The same holds with the broker that was not written for tests.
func TestOutageOfKafkaLosesNothing(t *testing.T) {
	needThorough(t)
	outageLosesNothing(t, newRealKafka(t))
}

func outageLosesNothing(t *testing.T, k *kafkaProcess) {
	away := outage(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	collect := func() *server { return serve(t, "ingest", "--data", data, "--brokers", k.address) }
	s := collect()
	l := newLoad(seed)
	taken := func(more int) {
		t.Helper()
		want := l.count() + more
		eventually(t, patience, "beacons to be taken", func() bool { return l.count() >= want })
	}
	l.aim(s.url)
	taken(500)

	k.kill()
	began, before := time.Now(), l.count()
	for n := range 3 {
		timer := time.NewTimer(away/8 + time.Duration(random.Int64N(int64(away/8))))
		<-timer.C
		taken(100)
		wantHealth(t, s, http.StatusOK, "beacons go to the spill")
		l.aim("")
		if n == 1 {
			s.stop() // has what is queued in the spill, and ends well
		} else {
			s.kill()
		}
		s = collect()
		l.aim(s.url)
		taken(100)
	}
	eventually(t, away, "the outage to end", func() bool { return time.Since(began) >= away })
	during := l.count() - before
	m := metrics(t, s.admin)
	waiting := m["crumbtrail_ingest_spill_pending_records"]
	if during < 400 || int(waiting) < during/2 {
		t.Errorf("%d beacons were taken while Kafka was away, %v records wait", during, waiting)
	}
	const fsync = "crumbtrail_ingest_spill_fsync_seconds"
	t.Logf("%d beacons taken in %v without Kafka; %v records, %.1f MB wait; fsync %.1f ms on average",
		during, away, waiting, m["crumbtrail_ingest_spill_pending_bytes"]/1e6,
		1e3*m[fsync+"_sum"]/m[fsync+"_count"])

	k.start()
	back := time.Now()
	eventually(t, away/2+patience, "the spill to be empty under load", func() bool {
		return metrics(t, s.admin)["crumbtrail_ingest_spill_pending_records"] == 0
	})
	t.Logf("drained in %v, with load", time.Since(back).Round(100*time.Millisecond))
	taken(300)
	wantHealth(t, s, http.StatusOK, "")
	l.halt()
	s.stop()
	must(t, "spill", "verify", "--data", data)
	l.checkLog(t, k.beacons())
}

// V1, V5, V8: the broker dies, or is stopped, again and again under load.
func TestBouncesLoseNothing(t *testing.T) {
	needThorough(t)
	bouncesLoseNothing(t, newKafka(t), 20)
}

// The same holds with the broker that was not written for tests.
func TestBouncesOfKafkaLoseNothing(t *testing.T) {
	needThorough(t)
	bouncesLoseNothing(t, newRealKafka(t), 4)
}

func bouncesLoseNothing(t *testing.T, k *kafkaProcess, bounces int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	data := filepath.Join(t.TempDir(), "data")
	s := serve(t, "ingest", "--data", data, "--brokers", k.address)
	l := newLoad(seed)
	l.aim(s.url)
	for n := range bounces {
		more := l.count() + 200
		eventually(t, patience, "beacons to be taken", func() bool { return l.count() >= more })
		if n%4 == 3 {
			k.end(syscall.SIGTERM)
		} else {
			k.kill()
		}
		k.start()
	}
	back := time.Now()
	eventually(t, patience, "the spill to be empty under load", func() bool {
		return metrics(t, s.admin)["crumbtrail_ingest_spill_pending_records"] == 0
	})
	t.Logf("%d bounces; drained in %v", bounces, time.Since(back).Round(100*time.Millisecond))
	l.halt()
	s.stop()
	l.checkLog(t, k.beacons())
}

// wantHealth waits until /readyz answers with a status, and a reason that holds some words.
func wantHealth(t *testing.T, s *server, status int, words string) {
	t.Helper()
	var reason string
	eventually(t, patience, fmt.Sprintf("health to be %d, %q", status, words), func() bool {
		resp, err := http.Get(s.admin + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var said struct{ Reason string }
		err = json.NewDecoder(resp.Body).Decode(&said)
		reason = said.Reason
		return err == nil && resp.StatusCode == status && strings.Contains(reason, words)
	})
}

// checkLog holds the log against what the clients know.
func (l *load) checkLog(t *testing.T, log []appended) {
	t.Helper()
	stored, last := map[string]bool{}, map[string]int{}
	doubled := 0
	for _, b := range log {
		if stored[b.id] {
			doubled++
			continue
		}
		stored[b.id] = true
		if !l.sent[b.id] {
			t.Errorf("beacon %s is in the log, and nobody sent it", b.id)
		}
		// A client sends a request once the one before it is answered.
		var client, n, i int
		if _, err := fmt.Sscanf(b.id, "k-%d-%d-%d", &client, &n, &i); err != nil {
			t.Fatal(err)
		}
		of := fmt.Sprintf("%d in partition %d", client, b.partition)
		if n < last[of] && l.safe[b.id] {
			t.Errorf("beacon %s comes after request %d of the same client", b.id, last[of])
		}
		last[of] = max(last[of], n)
	}
	lost := 0
	for id := range l.safe {
		if !stored[id] {
			if lost++; lost <= 5 {
				t.Errorf("beacon %s was answered 2xx and is not in the log", id)
			}
		}
	}
	t.Logf("%d sent, %d answered 2xx, %d refused requests; %d in the log, %d doubled, %d lost",
		len(l.sent), len(l.safe), l.refused, len(stored), doubled, lost)
}

// A full disk, with Kafka away: requests are refused and told when to come again, health says why,
// and both end by themselves once there is room.
func TestFullDisk(t *testing.T) {
	needThorough(t)
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	k := newKafka(t)
	config := write(t, "crumbtrail.yaml", "limits: {spill_bytes: 67108864}\n") // keeps 4 MB free
	s := serve(t, "ingest", "--data", data, "--brokers", k.address, "--config", config)
	k.kill()
	long := `{"site":"default","type":"custom","props":{"a":"` + strings.Repeat("x", 60_000) + `"}}`
	send := func() *http.Response {
		t.Helper()
		resp, err := http.Post(s.url+"/v1/beacons", "application/json", strings.NewReader(long))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	safe := 0
	fill := func(name string, most int) {
		t.Helper()
		err := os.WriteFile(filepath.Join(data, name), bytes.Repeat([]byte{1}, most), 0o600)
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	refused := func() {
		t.Helper()
		for range 1000 {
			resp := send()
			if resp.StatusCode == http.StatusOK {
				safe++
				continue
			}
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
			}
			wantHealth(t, s, http.StatusServiceUnavailable, "disk")
			return
		}
		t.Fatal("a full disk takes everything")
	}
	taken := func() {
		t.Helper()
		wantHealth(t, s, http.StatusOK, "beacons go to the spill")
		if resp := send(); resp.StatusCode != http.StatusOK {
			t.Fatalf("there is room again, but %s", resp.Status)
		}
		safe++
	}
	for _, size := range []int{6 << 20, 64 << 20} { // some of it; all, past what is kept free
		fill("others", size)
		refused()
		if err := os.Remove(filepath.Join(data, "others")); err != nil {
			t.Fatal(err)
		}
		taken()
	}
	k.start()
	eventually(t, patience, "the spill to be empty", func() bool {
		return metrics(t, s.admin)["crumbtrail_ingest_spill_pending_records"] == 0
	})
	s.stop()
	if n := len(k.beacons()); n < safe {
		t.Errorf("%d beacons are in the log, %d were answered 2xx", n, safe)
	}
	t.Logf("%d beacons taken on a disk of 16 MB", safe)
}
