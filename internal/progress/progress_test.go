package progress

import (
	"strings"
	"testing"
)

func TestPlainOutputIsBounded(t *testing.T) {
	var out strings.Builder
	bar := New(&out, Options{What: "counting", Total: 1000})
	for i := range int64(1001) {
		bar.Set(i)
	}
	bar.Done("%d things", 1000)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 3 || len(lines) > plainLines+2 {
		t.Errorf("%d lines:\n%s", len(lines), out.String())
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "counting: 1000 things") {
		t.Errorf("last line %q", last)
	}
}
