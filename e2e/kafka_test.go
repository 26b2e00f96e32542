package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

// realKafka starts a Kafka broker from Maven's jars and returns its address.
func realKafka(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"bash", "java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
	port := freePortPair(t)
	cmd := exec.Command("bash", "kafka.sh", filepath.Join(t.TempDir(), "kafka"), strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended by itself
		_ = cmd.Wait()
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	eventually(t, 3*time.Minute, "Kafka listens", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return address
}

// freePortPair finds a port that is free, and so is the next.
func freePortPair(t *testing.T) int {
	t.Helper()
	port, err := harness.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// A real cluster gives the visits that the embedded broker gives, its lake the same counts.
func TestRealKafkaGivesTheSameVisits(t *testing.T) {
	needThorough(t)
	brokers := realKafka(t)
	input, events := bulk(t)
	embedded := filepath.Join(t.TempDir(), "embedded")
	must(t, "replay", "--data", embedded, input)
	config := write(t, "prefixed.yaml", "topics: {prefix: \"e2e.\", partitions: 3}\n")
	cluster := filepath.Join(t.TempDir(), "cluster")
	must(t, "replay", "--config", config, "--brokers", brokers, "--data", cluster, input)
	const visits = `SELECT site, visitor_id, started_at, ended_at, beacons, late, visit_id, entry_url,
		end_reason FROM visits ORDER BY ALL`
	if query(t, embedded, visits) != query(t, cluster, visits) {
		t.Error("the visits differ")
	}
	if n := number(t, cluster, "SELECT count(*) FROM beacons"); n != events {
		t.Errorf("%d beacons in the lake, %d were sent", n, events)
	}
	t.Logf("%d beacons, %d visits", events, number(t, cluster, "SELECT count(*) FROM visits"))
}
