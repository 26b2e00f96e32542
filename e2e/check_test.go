package e2e

import (
	"strings"
	"testing"
)

func TestCheckNamesEveryProblem(t *testing.T) {
	config := write(t, "crumbtrail.yaml", `
topics: {partitions: 0}
sites:
  - key: acme
    gap: half an hour
    consent: maybe
    time_zone: Mars/Olympus
colour: red
`)
	r := command(t, "", "check", "--config", config, "--data", t.TempDir())
	if r.code != 1 {
		t.Errorf("exit code %d, want 1", r.code)
	}
	said := r.stdout + r.stderr
	for _, want := range []string{
		"partitions", "gap", "maybe", "Mars/Olympus", "colour", "crumbtrail.yaml:",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said of %q:\n%s", want, said)
		}
	}
}

func TestCheckOfNothingIsFine(t *testing.T) {
	r := command(t, "", "check", "--data", t.TempDir(),
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	if r.code != 0 {
		t.Errorf("exit code %d without a configuration, want 0:\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"sing"}, {"up", "--loud"}, {"sql", "a", "b"}} {
		want := 2
		if len(args) == 0 || args[0] == "help" {
			want = 0
		}
		if r := command(t, "", args...); r.code != want {
			t.Errorf("crumbtrail %v: exit code %d, want %d:\n%s", args, r.code, want, r.stderr)
		}
	}
}
