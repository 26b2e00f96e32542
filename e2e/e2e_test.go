// Package e2e runs the built program as its users do: commands, a browser, analysts' clients, and
// a kill at the worst moment. It reads nothing from the project but the binary that it builds, what
// lake/TABLES.md tells those who read the lake, and files of an older version.
//
// CRUMBTRAIL_E2E=1 adds what takes minutes, or needs Chromium, Python or Kafka.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crumbtrail/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// program is the path of the binary under test. It is set once, before any test.
var program string

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crumbtrail-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "crumbtrail")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build crumbtrail: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// TestSourcesAreNoted looks at every file that the binary may be built from, so that `go test` does
// not take an earlier result for one of the program as it is now: it knows what a test has looked
// at, and nothing of what a build has.
func TestSourcesAreNoted(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "data"):
			return filepath.SkipDir
		case !e.IsDir():
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// thorough is true where the tests may take minutes.
func thorough() bool { return os.Getenv("CRUMBTRAIL_E2E") == "1" }

// needThorough skips a test that takes minutes or needs what not every machine has.
func needThorough(t *testing.T) {
	t.Helper()
	if !thorough() {
		t.Skip("set CRUMBTRAIL_E2E=1 to run it")
	}
}

// lacking ends a test for want of something: a failure in CI, a skip elsewhere.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("missing in CI: " + what)
	}
	t.Skip("missing: " + what)
}

const commandTimeout = 3 * time.Minute

// result is what came of a command.
type result struct {
	stdout, stderr string
	code           int
}

// command runs the program to its end.
func command(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir() // so that no crumbtrail.yaml of a developer is read
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("crumbtrail %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs the program and wants exit code 0.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := command(t, "", args...)
	if r.code != 0 {
		t.Fatalf("crumbtrail %s: exit code %d\n%s\n%s",
			strings.Join(args, " "), r.code, tail(r.stderr), tail(r.stdout))
	}
	return r.stdout
}

// tail is the end of what a program said.
func tail(s string) string {
	const most = 4000
	return s[max(0, len(s)-most):]
}

// query asks the lake of a data directory and returns the CSV.
func query(t *testing.T, data, sql string) string {
	t.Helper()
	return must(t, "sql", "--data", data, "--format", "csv", sql)
}

// rows asks the lake and returns the rows without the header.
func rows(t *testing.T, data, sql string) [][]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(query(t, data, sql))).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("answer to %s is no CSV: %v", sql, err)
	}
	return all[1:]
}

// number asks the lake for one number.
func number(t *testing.T, data, sql string) int {
	t.Helper()
	all := rows(t, data, sql)
	if len(all) != 1 || len(all[0]) != 1 {
		t.Fatalf("%s: got %d rows, want one number", sql, len(all))
	}
	n, err := strconv.Atoi(all[0][0])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// write puts a file into a fresh directory and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually waits until a condition holds, and ends the test where it does not.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	if !harness.WaitFor(within, holds) {
		t.Fatalf("waited %v for %s", within, what)
	}
}

// server is a command with a collector as a process.
type server struct {
	t           *testing.T
	cmd         *exec.Cmd
	url, admin  string
	ended       chan struct{}
	mu          sync.Mutex
	log         bytes.Buffer
	heard       chan struct{} // closed once both addresses are known
	heardClosed bool
}

// patience is how long a test waits for what must come, on a machine that has much else to do.
const patience = 3 * time.Minute

// up starts all stages on a data directory and waits until they are ready.
func up(t *testing.T, data, config string) *server {
	t.Helper()
	return serve(t, "up", "--data", data, "--config", config)
}

// serve starts the program and waits until it is ready.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, ended: make(chan struct{}), heard: make(chan struct{})}
	s.cmd = exec.Command(program,
		append(args, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")...)
	s.cmd.Dir = t.TempDir()
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.follow(stderr)
	t.Cleanup(s.kill)
	select {
	case <-s.heard:
	case <-s.ended:
		t.Fatalf("crumbtrail %s ended at its start:\n%s", args[0], s.said())
	case <-time.After(patience):
		t.Fatalf("crumbtrail %s did not say where it listens:\n%s", args[0], s.said())
	}
	eventually(t, patience, "crumbtrail "+args[0]+" to be ready", func() bool {
		resp, err := http.Get(s.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

// follow reads the log, which says where the program listens, until the process ends.
func (s *server) follow(stderr io.Reader) {
	defer close(s.ended)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Msg, URL string }
		isJSON := json.Unmarshal(lines.Bytes(), &line) == nil
		s.mu.Lock()
		s.log.Write(lines.Bytes())
		s.log.WriteByte('\n')
		switch {
		case isJSON && line.Msg == "collector listens":
			s.url = line.URL
		case isJSON && line.Msg == "admin listens":
			s.admin = line.URL
		}
		if s.url != "" && s.admin != "" && !s.heardClosed {
			s.heardClosed = true
			close(s.heard)
		}
		s.mu.Unlock()
	}
	_ = s.cmd.Wait()
}

// said is the end of the log.
func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return tail(s.log.String())
}

// kill ends the process as a power cut does, short of losing what the system holds for the disk.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// stop ends the process as an operator does, and wants it to end well.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatalf("stop: %v\n%s", err, s.said())
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // a dump of what it waits for
		<-s.ended
		s.t.Fatalf("the process did not stop within %v:\n%s", patience, s.said())
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("the process ended with exit code %d:\n%s", code, s.said())
	}
}

// quick is a configuration in which visits end within seconds.
const quick = `
sites:
  - key: default
    origins: ["*"]
    consent: implied
    gap: 2s
    grace: 1s
lake: {flush: 1s}
`
