package waiting

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := rapid.Int64Range(1, 1<<45).Draw(t, "next")
		var offsets []int64
		at := next
		for range rapid.IntRange(0, Most).Draw(t, "n") {
			at -= rapid.Int64Range(1, 1<<34).Draw(t, "distance")
			if at < 0 {
				break
			}
			offsets = append([]int64{at}, offsets...)
		}
		text := Encode(offsets, next)
		if len(text) > 4096 {
			t.Fatalf("%d bytes", len(text))
		}
		back, err := Decode(text, next)
		if err != nil || !slices.Equal(back, offsets) {
			t.Fatalf("%v came back as %v, %v", offsets, back, err)
		}
	})
}

func TestForeignMetadata(t *testing.T) {
	for _, text := range []string{"", "2 ", "1 !", "1 AA", "1 gA", "1 /////////w8"} {
		if got, err := Decode(text, 100); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPauses(t *testing.T) {
	p := Pauses{time.Minute, time.Hour}
	for tries, want := range map[int]time.Duration{
		1: time.Minute, 2: 2 * time.Minute, 4: 8 * time.Minute, 7: time.Hour, 1 << 30: time.Hour,
	} {
		if got := p.After(tries); got != want {
			t.Errorf("after %d tries: %s, want %s", tries, got, want)
		}
	}
}
