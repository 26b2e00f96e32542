package match

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestJaroWinkler(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"MARTHA", "MARHTA", 0.9611},
		{"DIXON", "DICKSONX", 0.8133},
		{"DWAYNE", "DUANE", 0.8400},
		{"abcvwxyz", "cabvwxyz", 0.9583},
		{"björn", "bjorn", 0.8933},
		{"same", "same", 1},
		{"a", "a", 1},
		{"ab", "xy", 0},
		{"", "x", 0},
		{"", "", 0},
	} {
		if got := jaroWinkler(c.a, c.b); math.Abs(got-c.want) > 5e-5 {
			t.Errorf("jaroWinkler(%q, %q) = %.4f, want %.4f", c.a, c.b, got, c.want)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b       string
		most, want int
	}{
		{"smith", "smith", 2, 0},
		{"smith", "smiht", 2, 1},
		{"ca", "abc", 5, 3}, // no place is edited twice
		{"kitten", "sitting", 5, 3},
		{"kitten", "sitting", 1, 2},
		{"björn", "bjorn", 2, 1},
		{"", "ab", 3, 2},
	} {
		if got := edits(c.a, c.b, c.most); got != c.want {
			t.Errorf("edits(%q, %q, %d) = %d, want %d", c.a, c.b, c.most, got, c.want)
		}
	}
}

// plainEdits is the textbook's table.
func plainEdits(a, b []rune) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// TestSimilarities holds the fast ways against the plain ones on any two texts.
func TestSimilarities(t *testing.T) {
	text := rapid.StringMatching(`[abc]{0,64}|[abcö ]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		most := rapid.IntRange(0, 5).Draw(t, "most")
		want := min(plainEdits([]rune(a), []rune(b)), most+1)
		if got := edits(a, b, most); got != want {
			t.Fatalf("edits(%q, %q, %d) = %d, want %d", a, b, most, got, want)
		}
		similarity := jaroWinkler(a, b)
		if similarity < 0 || similarity > 1 || math.Abs(similarity-jaroWinkler(b, a)) > 1e-9 {
			t.Fatalf("jaroWinkler(%q, %q) = %v, the other way round %v", a, b, similarity,
				jaroWinkler(b, a))
		}
		x, y := valueOf(a), valueOf(b)
		if least := 0.85; alike(x, y, least) != similarity && similarity >= least {
			t.Fatalf("alike(%q, %q) = %v, want %v", a, b, alike(x, y, least), similarity)
		}
		if got := near(x, y, 2); got != (plainEdits([]rune(a), []rune(b)) <= 2) {
			t.Fatalf("near(%q, %q, 2) = %v", a, b, got)
		}
		if isASCII(a) && isASCII(b) && a != "" && b != "" {
			var p, q characters
			p.set(a)
			q.set(b)
			if jaroBytes(a, b) != jaroRunes(&p, &q) {
				t.Fatalf("%q and %q: %v by bytes, %v by characters", a, b, jaroBytes(a, b),
					jaroRunes(&p, &q))
			}
		}
	})
}

func valueOf(text string) *value {
	v := &value{text: text, letters: lettersOf(text)}
	v.length = uint16(len([]rune(text)))
	return v
}

func TestSimilaritiesAllocateNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		jaroWinkler("katherine", "catharine")
		jaroWinkler("björn", "bjorn")
		edits("katherine", "catharine", 3)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkJaroWinkler(b *testing.B) {
	for b.Loop() {
		jaroWinkler("katherine", "catharine")
	}
}

func BenchmarkEdits(b *testing.B) {
	for b.Loop() {
		edits("katherine", "catharine", 3)
	}
}
