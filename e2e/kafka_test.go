package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"crumbtrail/e2e/harness"
)

// newRealKafka starts a Kafka broker from Maven's jars.
func newRealKafka(t *testing.T) *kafkaProcess {
	t.Helper()
	for _, tool := range []string{"bash", "java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
	dir, port := filepath.Join(t.TempDir(), "kafka"), strconv.Itoa(freePortPair(t))
	k := &kafkaProcess{t: t, address: net.JoinHostPort("127.0.0.1", port), launch: func() *exec.Cmd {
		cmd := exec.Command("bash", "kafka.sh", dir, port)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		return cmd
	}}
	t.Cleanup(k.kill)
	k.start()
	return k
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
	brokers := newRealKafka(t).address
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
