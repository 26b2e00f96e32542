package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

// process is one run of a program, the head of a process group.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
	// admin and public are where it listens, empty before it does.
	admin, public string
}

// patience is how long a test waits for what must come, on a machine that has much else to do.
const patience = 3 * time.Minute

// launch starts a program and follows its log.
func launch(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(stderr)
	return p
}

// follow reads the log until the process ends.
func (p *process) follow(stderr io.Reader) {
	defer close(p.ended)
	lines := bufio.NewReader(stderr)
	for {
		text, err := lines.ReadBytes('\n')
		var line struct{ Msg, URL string }
		isJSON := json.Unmarshal(text, &line) == nil
		p.mu.Lock()
		p.log.Write(text)
		switch {
		case isJSON && line.Msg == "admin listens":
			p.admin = line.URL
		case isJSON && line.Msg == "collector listens":
			p.public = line.URL
		}
		p.mu.Unlock()
		if err != nil {
			break
		}
	}
	_ = p.cmd.Wait() // how it ended is in ProcessState
}

// said is the end of the log.
func (p *process) said() string {
	const most = 4000
	text := p.whole()
	return text[max(0, len(text)-most):]
}

// has says whether a text is in the log.
func (p *process) has(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.log.Bytes(), []byte(text))
}

// lines counts the lines of the log whose message begins so.
func (p *process) lines(message string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for line := range bytes.Lines(p.log.Bytes()) {
		var l struct{ Msg string }
		if json.Unmarshal(line, &l) == nil && strings.HasPrefix(l.Msg, message) {
			n++
		}
	}
	return n
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process and to what it has started.
func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // it may have ended by itself
}

// kill ends the process as a power cut does, short of losing what the system holds for the disk.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop ends the process as an operator does, and wants it to end with an exit code.
func (p *process) stop(t *testing.T, want int) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	p.wait(t, patience)
	if code := p.cmd.ProcessState.ExitCode(); code != want {
		t.Errorf("%s: exit code %d at a stop, want %d:\n%s", p.name, code, want, p.said())
	}
}

// wait waits until the process has ended, which something has made it do.
func (p *process) wait(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		said := p.said()
		t.Fatalf("%s did not end within %v:\n%s\n%s", p.name, within, said, p.stacks())
	}
}

// stacks ends the process and returns what it did and waited for, the running goroutine first. It
// is empty where the process has ended before.
func (p *process) stacks() string {
	if !p.alive() {
		return ""
	}
	from := len(p.whole())
	p.signal(syscall.SIGQUIT)
	p.signal(syscall.SIGCONT) // it may stand still
	<-p.ended
	const most = 60_000
	dump := p.whole()[from:]
	return dump[:min(len(dump), most)]
}

// whole is the log.
func (p *process) whole() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// killed says whether the process ended by SIGKILL.
func (p *process) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// url is where the process tells of itself, empty before it does.
func (p *process) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.admin
}

// get asks the process, and is empty where it does not answer.
func (p *process) get(path string) (status int, body string) {
	if p.url() == "" || !p.alive() {
		return 0, ""
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(p.url() + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(text)
}

// ready says whether the process does its work.
func (p *process) ready() bool {
	status, _ := p.get("/readyz")
	return status == http.StatusOK
}

// awaitReady ends the test where the process does not come to work.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	if harness.WaitFor(patience, func() bool { return p.ready() || !p.alive() }) && p.alive() {
		return
	}
	_, why := p.get("/readyz")
	t.Fatalf("%s is not ready: %s\n%s", p.name, why, p.said())
}

// metric returns a metric's samples by the value of one of its labels; "" is the label of a sample
// without it.
func (p *process) metric(name, label string) map[string]float64 {
	_, text := p.get("/metrics")
	samples := map[string]float64{}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[at:]), 64)
		if err != nil {
			continue
		}
		key := ""
		if _, after, ok := strings.Cut(rest[:at], label+`="`); ok && label != "" {
			key, _, _ = strings.Cut(after, `"`)
		}
		samples[key] += value
	}
	return samples
}

// partitions are those that the process says it works on.
func (p *process) partitions() map[string]float64 {
	return p.metric("crumbtrail_stage_lag_records", "partition")
}
