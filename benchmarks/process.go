package benchmarks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one run of the program as a child.
type process struct {
	name  string
	cmd   *exec.Cmd
	began time.Time
	// ended is closed once it has; cmd.ProcessState then says how.
	ended chan struct{}
	// listens gets the address that it serves at, and admin that of its private listener, once.
	listens, admin chan string
	// stdout is complete once it has ended.
	stdout bytes.Buffer

	mu   sync.Mutex
	tail []string // the last lines of its log
	took []takeOver
}

// takeOver is what a stage logs of a partition that it has brought back.
type takeOver struct {
	Keys       int64   `json:"keys"`
	Offset     int64   `json:"offset"`
	Checkpoint int64   `json:"checkpoint"`
	Seconds    float64 `json:"seconds"`
}

const (
	// startTimeout is how long a child has to open its listener.
	startTimeout = time.Minute
	// stopTimeout is how long it has to end after SIGTERM.
	stopTimeout = 2 * time.Minute
	// tailLines of its log are kept for an error.
	tailLines = 20
	// poll is how often something is looked at that tells nobody when it changes.
	poll = 10 * time.Millisecond
)

// launch starts the program, and kills it where ctx ends.
func launch(ctx context.Context, exe, name string, args ...string) (*process, error) {
	p := &process{
		name: name, cmd: exec.CommandContext(ctx, exe, append([]string{name}, args...)...),
		ended: make(chan struct{}), listens: make(chan string, 1), admin: make(chan string, 1),
	}
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.follow(stderr)
	return p, nil
}

// follow reads the log until the process has ended.
func (p *process) follow(stderr io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewReader(stderr); ; {
		text, err := lines.ReadBytes('\n')
		p.line(bytes.TrimSpace(text))
		if err != nil {
			break
		}
	}
	_ = p.cmd.Wait() // how it ended is in ProcessState
}

func (p *process) line(text []byte) {
	if len(text) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tail) == tailLines {
		p.tail = p.tail[1:]
	}
	p.tail = append(p.tail, string(text))
	var line struct {
		Msg, Address, URL string
		takeOver
	}
	if json.Unmarshal(text, &line) != nil {
		return
	}
	switch line.Msg {
	case "broker listens":
		p.listens <- line.Address
	case "collector listens", "peer listens":
		p.listens <- line.URL
	case "admin listens":
		p.admin <- line.URL
	case "partition taken over":
		p.took = append(p.took, line.takeOver)
	}
}

// address waits for an address that the process serves at.
func (p *process) address(ctx context.Context, of <-chan string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case address := <-of:
		return address, nil
	case <-p.ended:
		return "", p.failed(errors.New("it ended"))
	case <-ctx.Done():
		return "", p.failed(ctx.Err())
	}
}

// failed is err with the end of the process's log.
func (p *process) failed(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("%s: %w; its log ends with\n%s", p.name, err, strings.Join(p.tail, "\n"))
}

// alive returns an error once the process has ended.
func (p *process) alive() error {
	select {
	case <-p.ended:
		return p.failed(errors.New("it ended"))
	default:
		return nil
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// stop ends the process as an operator does, and wants it to end well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return p.failed(err)
	}
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		p.kill()
		return p.failed(fmt.Errorf("it did not end within %v", stopTimeout))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return p.failed(fmt.Errorf("exit code %d", code))
	}
	return nil
}

// usage is what a process has taken.
type usage struct {
	user, system time.Duration
	peakRSSBytes int64
}

// usageOf is what a process took that has ended.
func usageOf(state *os.ProcessState) usage {
	u := usage{user: state.UserTime(), system: state.SystemTime()}
	if resources, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.peakRSSBytes = resources.Maxrss << 10 // Linux counts KiB
	}
	return u
}

// clockTick is the unit of CPU times in /proc.
const clockTick = time.Second / 100

// using is what the process has taken so far; nothing where the system has no /proc.
func (p *process) using() usage {
	var u usage
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	if stat, err := os.ReadFile(dir + "/stat"); err == nil {
		// After the name, which is in brackets, utime and stime are the 12th and 13th field.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 12 {
			u.user, u.system = ticks(fields[11]), ticks(fields[12])
		}
	}
	if status, err := os.ReadFile(dir + "/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, _ := strconv.ParseInt(strings.Fields(peak)[0], 10, 64)
				u.peakRSSBytes = kib << 10
			}
		}
	}
	return u
}

func ticks(field string) time.Duration {
	n, _ := strconv.ParseInt(field, 10, 64)
	return time.Duration(n) * clockTick
}

func (u usage) core() time.Duration { return u.user + u.system }
