package stage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"crumbtrail/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a machine that puts out "key n" at each so many records of a key, as its rules say.
type counter struct {
	every   uint64
	counts  map[string]uint64
	changed map[string]bool
}

func newCounter(_ int32, rules []byte) (Machine, error) {
	every, err := strconv.ParseUint(string(rules), 10, 64)
	if err != nil {
		return nil, err
	}
	return &counter{every: every, counts: map[string]uint64{}, changed: map[string]bool{}}, nil
}

func (c *counter) Apply(batch []Record, out *Output) {
	for _, r := range batch {
		key := string(r.Key)
		c.counts[key]++
		c.changed[key] = true
		if n := c.counts[key]; n%c.every == 0 {
			out.Put("out", r.Key, fmt.Appendf(nil, "%s %d", key, n))
		}
	}
}

func (c *counter) Checkpoint(put func(key, value []byte)) {
	for key := range c.changed {
		put([]byte(key), binary.AppendUvarint(nil, c.counts[key]))
	}
	clear(c.changed)
}

func (c *counter) Restore(key, value []byte) error {
	n, size := binary.Uvarint(value)
	if size <= 0 {
		return errors.New("not a count")
	}
	if c.counts[string(key)] != 0 {
		return errors.New("restored twice")
	}
	c.counts[string(key)] = n
	return nil
}

func (c *counter) Size() int64 { return int64(100 * len(c.counts)) }

const partitions = 3

// member is one process of the stage on a log in memory.
type member struct {
	*Runner
	*door
	registry *prometheus.Registry
	log      *bytes.Buffer
	ctx      context.Context
	cancel   context.CancelFunc
	done     chan error
}

// start runs a member; Run's error comes out of done.
func (m *memory) start(
	t *testing.T, name string, cfg Config, fault func(string, bool) error,
) *member {
	t.Helper()
	cfg.Name, cfg.Input, cfg.Changelog = "count", "in", "log"
	if cfg.Rules == nil {
		cfg.Rules = []byte("3")
	}
	s := &member{
		door: &door{memory: m, name: name, fault: fault}, registry: prometheus.NewRegistry(),
		log: &bytes.Buffer{}, done: make(chan error, 1),
	}
	var err error
	s.Runner, err = New(t.Context(), cfg, s.door, m.maker,
		slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelWarn})), s.registry)
	if err != nil {
		t.Fatal(err)
	}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	go func() { s.done <- s.Run(s.ctx) }()
	return s
}

func (s *member) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("member %s: %v", s.name, err)
	}
}

// metric returns a metric of one series.
func (s *member) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func newLog() *memory { return newMemory(partitions, "in", "out", "log") }

func (m *memory) produce(from, to int) {
	for i := from; i < to; i++ {
		m.append(kafka.Message{
			Topic: "in", Partition: kafka.AnyPartition, Key: fmt.Appendf(nil, "k%d", i*7%13),
		})
	}
}

// want is what a machine that never dies puts out for n records.
func want(n, every int) (values []string) {
	counts := map[string]int{}
	for i := range n {
		key := fmt.Sprintf("k%d", i*7%13)
		counts[key]++
		if counts[key]%every == 0 {
			values = append(values, fmt.Sprintf("%s %d", key, counts[key]))
		}
	}
	slices.Sort(values)
	return values
}

// Offsets before the kill were applied under the old rules: they are replayed under those, and the
// new ones begin where the log was committed to.
func TestNewRulesBeginAtTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		cfg := Config{Commit: 10 * time.Millisecond, Checkpoint: time.Hour, Rules: []byte("3")}
		down := false
		first := log.start(t, "first", cfg, func(string, bool) error {
			if down {
				return io.ErrClosedPipe
			}
			return nil
		})
		log.produce(0, 260)
		time.Sleep(time.Second)
		down = true
		first.cancel()
		<-first.done
		log.expel("first")

		cfg.Rules = []byte("5")
		for _, name := range []string{"second", "third"} { // the second start is an ordinary one
			m := log.start(t, name, cfg, nil)
			time.Sleep(time.Second)
			m.stop(t)
		}
		last := log.start(t, "last", cfg, nil)
		log.produce(260, 520)
		time.Sleep(time.Second)
		last.stop(t)

		// Each key had twenty records when the rules changed.
		var values []string
		for _, v := range want(520, 1) {
			key, number, _ := strings.Cut(v, " ")
			n, _ := strconv.Atoi(number)
			if n <= 20 && n%3 == 0 || n > 20 && n%5 == 0 {
				values = append(values, key+" "+number)
			}
		}
		slices.Sort(values)
		if diff := cmp.Diff(values, log.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

// A change of rules that this binary cannot replay under is refused before anything is written.
func TestUnknownRulesHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		down := false
		first := log.start(t, "first", Config{Checkpoint: time.Hour}, func(string, bool) error {
			if down {
				return io.ErrClosedPipe
			}
			return nil
		})
		log.produce(0, 100)
		time.Sleep(5 * time.Second)
		down = true
		first.cancel()
		<-first.done
		log.expel("first")
		for p := range partitions { // as a newer release would have left them
			for i, r := range log.topics["log"][p] {
				if string(r.Key) == rulesKey {
					log.topics["log"][p][i].Value = []byte("by the moon")
				}
			}
		}
		before := len(log.values("out"))
		second := log.start(t, "second", Config{Rules: []byte("5")}, nil)
		time.Sleep(10 * time.Second)
		if err := second.Ready(); err == nil {
			t.Error("ready, although it cannot know what was applied")
		}
		second.cancel()
		if err := <-second.done; err == nil || !strings.Contains(err.Error(), "rules") {
			t.Errorf("stopped with %v", err)
		}
		if after := len(log.values("out")); after != before {
			t.Errorf("put out %d more", after-before)
		}
	})
}

// A rebalance that leaves a partition where it is does not read its state back.
func TestStateSurvivesRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		restores := 0
		first := log.start(t, "a", Config{}, func(request string, after bool) error {
			if request == "init" && after {
				restores++
			}
			return nil
		})
		log.produce(0, 100)
		time.Sleep(5 * time.Second)
		second := log.start(t, "b", Config{}, nil)
		time.Sleep(5 * time.Second)
		log.produce(100, 200)
		time.Sleep(5 * time.Second)
		second.stop(t)
		log.produce(200, 300)
		time.Sleep(5 * time.Second)
		// Three at the start and the one or two that came back from the other member.
		if restores < 4 || restores > 5 {
			t.Errorf("the first member took partitions over %d times", restores)
		}
		first.stop(t)
		if diff := cmp.Diff(want(300, 3), log.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

// A partition that nobody can repair is left alone and told of; the others go on.
func TestBrokenPartitionHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.produce(0, 200)
		broken := false
		m := log.start(t, "m", Config{}, func(request string, after bool) error {
			if request == "fetch in" && after && !broken {
				broken = true
				return kafka.ErrOffsetOutOfRange
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		if err := m.Wait(t.Context(), log.ends("in")); !errors.Is(err, kafka.ErrOffsetOutOfRange) {
			t.Errorf("waiting for a halted partition ends with %v", err)
		}
		if err := m.Ready(); !errors.Is(err, kafka.ErrOffsetOutOfRange) {
			t.Errorf("ready: %v", err)
		}
		if n := m.metric(t, "crumbtrail_stage_halted_partitions"); n != 1 {
			t.Errorf("%v partitions halted", n)
		}
		if got, all := len(log.values("out")), len(want(200, 3)); got == 0 || got >= all {
			t.Errorf("%d of %d outputs: want those of the other partitions", got, all)
		}
		m.cancel()
		if err := <-m.done; !errors.Is(err, kafka.ErrOffsetOutOfRange) {
			t.Errorf("stopped with %v", err)
		}
	})
}

// State beyond the limit halts what would go beyond, whether it grows or is read back.
func TestStateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.produce(0, 200)
		m := log.start(t, "m", Config{MaxState: 900}, nil) // of 13 keys, 100 bytes each
		time.Sleep(10 * time.Second)
		if err := m.Ready(); !errors.Is(err, errState) {
			t.Errorf("ready: %v", err)
		}
		if n := m.metric(t, "crumbtrail_stage_state_bytes"); n > 900 {
			t.Errorf("state of %v bytes", n)
		}
		m.cancel()
		if err := <-m.done; !errors.Is(err, errState) {
			t.Errorf("stopped with %v", err)
		}
		larger := log.start(t, "larger", Config{}, nil)
		time.Sleep(10 * time.Second)
		larger.stop(t)
		if diff := cmp.Diff(want(200, 3), log.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

// A member that was silent writes nothing when it wakes up, and says so once.
func TestZombieIsFencedAndTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		asleep, awake := false, make(chan struct{})
		zombie := log.start(t, "zombie", Config{}, func(request string, after bool) error {
			if asleep && request == "commit" && !after {
				<-awake // stopped in the middle of a commit of each partition
			}
			return nil
		})
		log.produce(0, 100)
		time.Sleep(5 * time.Second)
		asleep = true
		log.produce(100, 200)
		time.Sleep(5 * time.Second)
		log.expel("zombie")
		other := log.start(t, "other", Config{}, nil)
		time.Sleep(5 * time.Second)
		before := len(log.values("out"))
		asleep = false
		close(awake)
		time.Sleep(20 * time.Second)
		if after := len(log.values("out")); after != before {
			t.Errorf("the zombie wrote %d", after-before)
		}
		if n := zombie.metric(t, "crumbtrail_stage_fenced_total"); n != 1 {
			t.Errorf("counted %v times", n)
		}
		if n := strings.Count(zombie.log.String(), "fenced"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, zombie.log)
		}
		log.produce(200, 300)
		time.Sleep(20 * time.Second)
		zombie.stop(t)
		other.stop(t)
		if diff := cmp.Diff(want(300, 3), log.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCleanStopNeedsNoReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		first := log.start(t, "first", Config{}, nil)
		log.produce(0, 100)
		time.Sleep(5 * time.Second)
		first.stop(t)
		before, replayed := len(log.values("log")), false
		second := log.start(t, "second", Config{}, func(request string, _ bool) error {
			for p, end := range log.ends("in") {
				c := log.commits[fmt.Sprint("count", "in", p)]
				replayed = replayed || c.offset != end ||
					!strings.Contains(c.metadata, fmt.Sprintf(`"c":%d`, end))
			}
			return nil
		})
		time.Sleep(5 * time.Second)
		second.stop(t)
		if replayed {
			t.Error("a clean stop leaves something to replay")
		}
		if after := len(log.values("log")); after != before {
			t.Errorf("a stop and start without traffic wrote %d checkpoint records", after-before)
		}
	})
}

// Every problem with the topics is told of at once, before anything is read.
func TestTopicsThatForgetAreRefused(t *testing.T) {
	log := newLog()
	log.configs["in"] = map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "60000"}
	log.configs["log"] = map[string]string{"cleanup.policy": "delete"}
	cfg := Config{Name: "count", Input: "in", Changelog: "log", Rules: []byte("3")}
	_, err := New(t.Context(), cfg, &door{memory: log, name: "m"}, newCounter,
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for _, part := range []string{"retention.ms", "cleanup.policy to delete", "it to compact"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v: want a word of %s", err, part)
		}
	}
}
