//go:build fault

package fault

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text, action string
		hit          int64
		after        time.Duration
	}{
		{"", "", 0, 0},
		{"transaction.before-end:3:kill", "kill", 3, 0},
		{"transaction.produce:1:kill=2ms", "kill", 1, 2 * time.Millisecond},
		{"stage.hand-over:1:stop", "stop", 1, 0},
		{"stage.mid-replay:2:sleep=1s", "sleep", 2, time.Second},
	} {
		p, err := parse(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if p.action != c.action || p.hit != c.hit || p.after != c.after {
			t.Errorf("%q: read as %s at hit %d after %v", c.text, p.action, p.hit, p.after)
		}
	}
	for _, text := range []string{
		"transaction.before-end", "nowhere:1:kill", "stage.hand-over:0:kill",
		"stage.hand-over:x:kill", "stage.hand-over:1:panic", "stage.hand-over:1:sleep",
		"stage.hand-over:1:stop=1s", "stage.hand-over:1:kill=soon", "stage.hand-over:1:kill=-1s",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
