package tracker

import (
	"bytes"
	"strings"
	"testing"
)

func TestScript(t *testing.T) {
	for _, text := range [][]byte{built, builtWithSignals} {
		if n := bytes.Count(text, []byte(placeholder)); n != 1 {
			t.Fatalf("a built script names its configuration %d times, want once", n)
		}
	}
	text := string(Script(Config{
		Site: "a\"</script>\u2028b", Consent: "required", CrossSite: true,
	}))
	if strings.Contains(text, placeholder) || strings.Contains(text, "</script") ||
		strings.Contains(text, "\u2028") ||
		!strings.Contains(text, `"consent":"required","cross":true}`) {
		t.Errorf("script %.200s", text)
	}
	if len(Script(Config{})) <= len(built)-len(placeholder) {
		t.Error("nothing stands for the configuration")
	}
	listens := string(Script(Config{Site: "a", Signals: []string{"tcf"}}))
	if strings.Contains(text, "__tcfapi") || !strings.Contains(listens, "__tcfapi") {
		t.Error("not just the script of a site with signals listens to them")
	}
}
