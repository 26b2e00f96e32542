package mail

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWaitingOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := rapid.Int64Range(1, 1<<45).Draw(t, "next")
		var offsets []int64
		at := next
		for range rapid.IntRange(0, maxWaiting).Draw(t, "n") {
			at -= rapid.Int64Range(1, 1<<34).Draw(t, "distance")
			if at < 0 {
				break
			}
			offsets = append([]int64{at}, offsets...)
		}
		text := encodeWaiting(offsets, next)
		if len(text) > 4096 {
			t.Fatalf("%d bytes", len(text))
		}
		back, err := decodeWaiting(text, next)
		if err != nil || !slices.Equal(back, offsets) {
			t.Fatalf("%v came back as %v, %v", offsets, back, err)
		}
	})
}

func TestForeignMetadata(t *testing.T) {
	for _, text := range []string{"", "2 ", "1 !", "1 AA", "1 gA", "1 /////////w8"} {
		if got, err := decodeWaiting(text, 100); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestRecipients(t *testing.T) {
	for typed, want := range map[string]string{
		" Ann.B+x@X.example\u200b": "Ann.B+x@x.example",
		"ann@bücher.example.":      "ann@xn--bcher-kva.example",
		"ü@x.example":              "ü@x.example",
		"":                         "",
		"ann":                      "",
		"@x.example":               "",
		"ann@":                     "",
		"a@b@x.example":            "",
		"a b@x.example":            "",
		"a@x.example\r\nBcc: b@c":  "",
		"Ann <ann@x.example>":      "",
		"a@x.example,b@x.example":  "",
		"\"a\"@x.example":          "",
	} {
		if got, err := recipient(typed); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", typed, got, err, want)
		}
	}
}

func TestPauses(t *testing.T) {
	p := Pauses{time.Minute, time.Hour}
	for tries, want := range map[int]time.Duration{
		1: time.Minute, 2: 2 * time.Minute, 4: 8 * time.Minute, 7: time.Hour, 1 << 30: time.Hour,
	} {
		if got := p.after(tries); got != want {
			t.Errorf("after %d tries: %s, want %s", tries, got, want)
		}
	}
}
