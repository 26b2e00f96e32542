package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crumbtrail/internal/fault"
)

// crew are the processes of one stage, which a test lets live and die, with a broker and topics of
// the test's own.
type crew struct {
	t          *testing.T
	broker     *broker
	client     *kgo.Client
	command    string // that runs the stage
	input      string // topic
	partitions int    // of it
	prefix     string
	config     string
	extra      string // lines of the configuration that a test adds
	stages     []*process

	kills int
	// spared are partitions that a test is not about.
	spared map[int32]bool
}

// newCrew makes the input topic of a stage. No process runs yet.
func newCrew(
	t *testing.T, b *broker, seed uint64, command, input string, partitions int,
) *crew {
	t.Helper()
	binary(t, shared.program) // so that the load does not run while it is being built
	c := &crew{
		t: t, broker: b, client: newClient(t, b.address), command: command, partitions: partitions,
		prefix: fmt.Sprintf("%s-%d.", t.Name(), seed%1e9), spared: map[int32]bool{},
	}
	c.input = c.prefix + input
	c.config = c.configured(2 * time.Second)
	createTopic(t, c.client, c.input, partitions)
	t.Cleanup(func() {
		if t.Failed() {
			last := append(slices.Clone(b.past), c.stages[max(0, len(c.stages)-2):]...)
			for _, p := range last {
				t.Logf("%s said:\n%s\n%s", p.name, p.said(), p.stacks())
			}
		}
		for _, p := range c.stages {
			p.kill()
		}
	})
	return c
}

// configured writes a configuration whose stages make a checkpoint so often.
func (c *crew) configured(checkpoint time.Duration) (file string) {
	c.t.Helper()
	file = filepath.Join(c.t.TempDir(), "crumbtrail.yaml")
	text := fmt.Sprintf(`
topics: {prefix: %q, partitions: %d}
kafka: {session_timeout: %v}
stages: {commit: 200ms, checkpoint: %v}
%s`, c.prefix, partitions, sessionTimeout, checkpoint, c.extra)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// configure adds lines to the configuration.
func (c *crew) configure(extra string) {
	c.t.Helper()
	c.extra = extra
	c.config = c.configured(2 * time.Second)
}

// stage starts a process, with a fault in it if one is named, and returns at once.
func (c *crew) stage(fault ...string) *process {
	c.t.Helper()
	return c.stageWith(c.config, fault...)
}

// stageWith starts one with a configuration of its own.
func (c *crew) stageWith(config string, fault ...string) *process {
	c.t.Helper()
	return c.start(c.command, []string{"--config", config}, fault...)
}

// start starts a process of any stage.
func (c *crew) start(command string, args []string, fault ...string) *process {
	c.t.Helper()
	built, env := shared.program, os.Environ()
	if len(fault) > 0 {
		built, env = shared.faulty, append(env, fault...)
	}
	cmd := exec.Command(binary(c.t, built), append([]string{
		command, "--brokers", c.broker.address, "--admin-listen", "127.0.0.1:0",
	}, args...)...)
	cmd.Env, cmd.Dir = env, filepath.Dir(c.config)
	p := launch(c.t, fmt.Sprintf("%s %d", command, len(c.stages)+1), cmd)
	c.stages = append(c.stages, p)
	return p
}

// living are the stages that have not ended.
func (c *crew) living() (list []*process) {
	for _, p := range c.stages {
		if p.alive() {
			list = append(list, p)
		}
	}
	return list
}

// lag is how many records are in the log and not in the stages, by what they say; it is -1 where a
// partition has no owner, or two.
func (c *crew) lag() int {
	owners, behind, lag := map[string]int{}, map[string]int{}, 0
	for _, p := range c.living() {
		for partition, n := range p.partitions() {
			owners[partition]++
			behind[partition] += int(n)
		}
	}
	for p := range c.partitions {
		partition := fmt.Sprint(p)
		switch {
		case c.spared[int32(p)]:
		case owners[partition] != 1:
			return -1
		default:
			lag += behind[partition]
		}
	}
	return lag
}

// keys counts by partition what its checkpoint holds. As visitors come all the time and are kept
// for as long as their visits may go on, it grows until as many are forgotten as come.
func (c *crew) keys() []int {
	c.t.Helper()
	type key struct {
		partition int32
		name      string
	}
	held := map[key]bool{}
	topic := c.prefix + c.command + ".changelog"
	for _, r := range readAll(c.t, c.broker.address, topic, c.partitions) {
		shells := len(r.Key) > 0 && r.Key[0] == 0 // its own keys
		held[key{r.Partition, string(r.Key)}] = r.Value != nil && !shells
	}
	counts := make([]int, c.partitions)
	for k, there := range held {
		if there {
			counts[k.partition]++
		}
	}
	return counts
}

// unsaved ends a stage and starts another one, which makes no checkpoints.
func (c *crew) unsaved(other *process) *process {
	c.t.Helper()
	other.stop(c.t, 0)
	return c.stageWith(c.configured(time.Hour))
}

// awaitUnsaved waits until something of every partition was committed after its last checkpoint: it
// is for who comes next to replay.
func (c *crew) awaitUnsaved() {
	c.t.Helper()
	eventually(c.t, patience, "commits after the last checkpoint", func() bool {
		for _, at := range c.committed() {
			if at.offset <= at.checkpoint {
				return false
			}
		}
		return true
	})
}

// dieUnsaved ends a stage and lets another one die with something to replay of each partition.
func (c *crew) dieUnsaved(other *process) {
	c.t.Helper()
	p := c.unsaved(other)
	c.awaitUnsaved()
	p.kill()
	c.kills++
}

// committed returns what the group has committed.
func (c *crew) committed() []commit {
	c.t.Helper()
	return committed(c.t, c.client, c.prefix+c.command, c.input, c.partitions)
}

// settled holds what the group has committed after a clean stop against the end of the log.
func (c *crew) settled() {
	c.t.Helper()
	at := c.committed()
	for p, end := range offsets(c.t, c.client, c.input, c.partitions, latest) {
		if !c.spared[int32(p)] && max(at[p].offset, 0) != end {
			c.t.Errorf("partition %d: committed up to %d after a clean stop, the log ends at %d",
				p, at[p].offset, end)
		}
	}
}

// condemned is a process that a fault is to kill.
type condemned struct {
	*process
	name  fault.Name
	note  string // the file that says that it fired
	hit   int
	began time.Time
}

// condemn starts a process that dies when it comes to a point for one of so many times.
func (c *crew) condemn(random *rand.Rand, name fault.Name, most int) *condemned {
	c.t.Helper()
	return c.condemnTo(random, name, most, c.stage)
}

// condemnTo is condemn for a process that start starts.
func (c *crew) condemnTo(
	random *rand.Rand, name fault.Name, most int, start func(fault ...string) *process,
) *condemned {
	c.t.Helper()
	d := &condemned{
		name: name, note: filepath.Join(c.t.TempDir(), "fired"), hit: 1 + random.IntN(most),
		began: time.Now(),
	}
	action := "kill"
	if name == fault.Produce {
		action = fmt.Sprintf("kill=%v", 1+time.Duration(random.Int64N(int64(3*time.Millisecond))))
	}
	d.process = start(fmt.Sprintf("CRUMBTRAIL_FAULT=%s:%d:%s", name, d.hit, action),
		"CRUMBTRAIL_FAULT_LOG="+d.note)
	return d
}

// die waits until the fault has killed the process.
func (c *crew) die(d *condemned) {
	c.t.Helper()
	d.wait(c.t, patience)
	c.kills++
	text, err := os.ReadFile(d.note)
	if err != nil || !strings.HasPrefix(string(text), string(d.name)+" ") || !d.killed() {
		c.t.Fatalf("%s did not fire: %q, %v, %v\n%s", d.name, text, err, d.cmd.ProcessState, d.said())
	}
}
