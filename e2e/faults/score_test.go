package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crumbtrail/internal/fault"
)

// V2: a run of scores may be killed at any step: the scores of the run before are served, whole,
// until one has ended, and that one needs no repair. The runs publish in batches, so that a part of
// a run is on the topic when it ends.
func TestScoringDies(t *testing.T) {
	needE2E(t)
	t.Parallel()
	s := scorings{t: t, program: binary(t, shared.faulty), data: filepath.Join(t.TempDir(), "data")}
	s.must("replay", s.write("in.ndjson", scoredVisitors()))
	s.score(0, "")
	s.shows(0)
	random, _ := seeded(t)
	rounds := count(t, "CRUMBTRAIL_ROUNDS", 1)
	for range rounds {
		for _, name := range fault.ScoreNames() {
			hit := 1
			if name != fault.ScoreEnded {
				hit += random.IntN(scoredBatches + 1)
			}
			s.die(name, hit)
		}
	}
	s.days++
	s.score(s.days, "")
	s.shows(s.days)
	t.Logf("%d runs killed, %d of them with a part of their scores in the lake", s.days-1, s.halves)
}

// scoredBatches is in how many batches the scores of a run go to their topic. Its end is one more.
const scoredBatches = 3

// scoredVisitors is a page view of each of a number of visitors, as NDJSON.
func scoredVisitors() string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	at := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for i := range scoredBatches * 1000 {
		err := encoder.Encode(map[string]any{
			"id": fmt.Sprint("e", i), "site": "acme", "visitor": fmt.Sprint("v", i),
			"type": "page_view", "consent": "identified",
			"created_at": at, "sent_at": at, "received_at": at,
		})
		if err != nil {
			panic(err)
		}
	}
	return b.String()
}

// scorings are runs of one model on one directory, each as of a day later than the one before.
type scorings struct {
	t             *testing.T
	program, data string
	// days is the day of the last run, shown that of the scores that are served, and halves how many
	// runs have left a part of themselves.
	days, shown, halves int
}

func (s *scorings) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// command is the program with arguments, on the directory.
func (s *scorings) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), s.program, append(args[:1:1], append([]string{
		"--data", s.data,
	}, args[1:]...)...)...)
	cmd.Dir = s.t.TempDir()
	return cmd
}

func (s *scorings) must(args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).Output()
	if err != nil {
		s.t.Fatalf("%s: %v", args[0], err)
	}
	return strings.TrimSpace(string(out))
}

// score runs a model of that name, with a fault or without.
func (s *scorings) score(day int, condition string) *exec.Cmd {
	s.t.Helper()
	model := s.write("visitor.yaml", "model: visitor\nversion: 1\nsubject: visitor\n"+
		"score: {max: 10}\nrules: [{id: seen, on: page_view, points: 1, window: 900d}]\n")
	asOf := time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC).AddDate(0, 0, day).Format(time.RFC3339)
	cmd := s.command("score", "--model", model, "--as-of", asOf)
	if condition != "" {
		cmd.Env = append(os.Environ(), condition)
	}
	if err := cmd.Run(); err != nil && condition == "" {
		s.t.Fatalf("score: %v", err)
	}
	return cmd
}

// die has a run die at a point, brings what it has left into the lake, and looks at what is served.
func (s *scorings) die(name fault.Name, hit int) {
	s.t.Helper()
	s.days++
	cmd := s.score(s.days, fmt.Sprintf("CRUMBTRAIL_FAULT=%s:%d:kill", name, hit))
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		s.t.Fatalf("%s, hit %d: the run was not killed: %v", name, hit, cmd.ProcessState)
	}
	// A run of another model has the lake read all that there is.
	s.must("score", "--model", s.write("other.yaml", "model: other\nversion: 1\nsubject: contact\n"+
		"score: {max: 10}\nrules: [{id: seen, on: page_view, points: 1, window: 1d}]\n"))
	ended := name == fault.ScoreEnded || name == fault.ScoreWritten && hit == scoredBatches+1
	if ended {
		s.shown = s.days
	}
	s.shows(s.shown)
	parts := s.must("sql", "--format", "csv", "SELECT count(*) FROM score_history "+
		"WHERE model = 'visitor' AND run_at > (SELECT max(run_at) FROM score_runs "+
		"WHERE model = 'visitor')")
	left := !strings.HasSuffix(parts, "\n0")
	if want := !ended && (name == fault.ScoreWritten || hit > 1); left != want {
		s.t.Fatalf("%s, hit %d: a part of the run is in the lake: %t", name, hit, left)
	}
	if left {
		s.halves++
	}
}

// shows checks that the scores of one day are served, and of each visitor one.
func (s *scorings) shows(day int) {
	s.t.Helper()
	got := s.must("sql", "--format", "csv", "SELECT as_of::DATE - DATE '2026-10-02' AS day, count(*) "+
		"AS scores, count(DISTINCT subject_id) AS subjects FROM scores WHERE model = 'visitor' "+
		"GROUP BY ALL ORDER BY ALL")
	want := fmt.Sprintf("day,scores,subjects\n%d,%[2]d,%[2]d", day, scoredBatches*1000)
	if got != want {
		s.t.Fatalf("the scores are\n%s\nnot\n%s", got, want)
	}
}
