package match

import (
	"math/bits"
	"unicode/utf8"
)

// maxCompared bounds what Jaro–Winkler and the edit distance look at, in characters.
const maxCompared = 64

// characters is a text as it is compared, cut to maxCompared.
type characters struct {
	at [maxCompared]rune
	n  int
}

func (c *characters) set(text string) {
	c.n = 0
	for _, r := range text {
		if c.n == maxCompared {
			return
		}
		c.at[c.n] = r
		c.n++
	}
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// jaroWinkler is the similarity of two texts from 0 to 1, with Winkler's bonus of 0.1 for each of
// up to four equal characters at the beginning, where Jaro's similarity is above 0.7. A text that
// is empty is like nothing.
func jaroWinkler(a, b string) float64 {
	if len(a) <= maxCompared && len(b) <= maxCompared && isASCII(a) && isASCII(b) {
		return winkler(a, b, jaroBytes(a, b))
	}
	var x, y characters
	x.set(a)
	y.set(b)
	jaro := jaroRunes(&x, &y)
	if jaro <= 0.7 {
		return jaro
	}
	same := 0
	for same < min(4, x.n, y.n) && x.at[same] == y.at[same] {
		same++
	}
	return jaro + float64(same)*0.1*(1-jaro)
}

func winkler(a, b string, jaro float64) float64 {
	if jaro <= 0.7 {
		return jaro
	}
	same := 0
	for same < min(4, len(a), len(b)) && a[same] == b[same] {
		same++
	}
	return jaro + float64(same)*0.1*(1-jaro)
}

// jaroBytes is Jaro's similarity of two ASCII texts of at most maxCompared bytes.
func jaroBytes(a, b string) float64 {
	if a == "" || b == "" {
		return 0
	}
	var places [utf8.RuneSelf]uint64 // of each character of b, a bit for each place
	for j := range len(b) {
		places[b[j]%utf8.RuneSelf] |= 1 << j
	}
	reach := max(0, max(len(a), len(b))/2-1)
	var inA, inB uint64
	for i := range len(a) {
		window := ^uint64(0) << max(0, i-reach)
		if end := i + reach + 1; end < maxCompared {
			window &= 1<<end - 1
		}
		if free := places[a[i]%utf8.RuneSelf] & window &^ inB; free != 0 {
			inA |= 1 << i
			inB |= free & -free
		}
	}
	common := bits.OnesCount64(inA)
	if common == 0 {
		return 0
	}
	moved := 0
	for x, y := inA, inB; x != 0; x, y = x&(x-1), y&(y-1) {
		if a[bits.TrailingZeros64(x)] != b[bits.TrailingZeros64(y)] {
			moved++
		}
	}
	return jaro(common, moved, len(a), len(b))
}

func jaroRunes(a, b *characters) float64 {
	if a.n == 0 || b.n == 0 {
		return 0
	}
	reach := max(0, max(a.n, b.n)/2-1)
	var inA, inB uint64
	for i := range a.n {
		for j := max(0, i-reach); j < min(b.n, i+reach+1); j++ {
			if inB&(1<<j) == 0 && a.at[i] == b.at[j] {
				inA |= 1 << i
				inB |= 1 << j
				break
			}
		}
	}
	common := bits.OnesCount64(inA)
	if common == 0 {
		return 0
	}
	moved := 0
	for x, y := inA, inB; x != 0; x, y = x&(x-1), y&(y-1) {
		if a.at[bits.TrailingZeros64(x)] != b.at[bits.TrailingZeros64(y)] {
			moved++
		}
	}
	return jaro(common, moved, a.n, b.n)
}

func jaro(common, moved, a, b int) float64 {
	m := float64(common)
	return (m/float64(a) + m/float64(b) + (m-float64(moved/2))/m) / 3
}

// edits is the number of edits between two texts: characters put in, taken out, changed, or
// swapped with their neighbour, no place edited twice (optimal string alignment). Above most it is
// only known to be more than most.
func edits(a, b string, most int) int {
	if isASCII(a) && isASCII(b) {
		var x, y [maxCompared]byte
		return apartBy(x[:copy(x[:], a)], y[:copy(y[:], b)], most)
	}
	var x, y characters
	x.set(a)
	y.set(b)
	return apartBy(x.at[:x.n], y.at[:y.n], most)
}

func apartBy[T byte | rune](a, b []T, most int) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	least, longest := min(len(a), len(b)), max(len(a), len(b))
	switch {
	case longest-least > most:
		return most + 1
	case least == 0:
		return longest
	case longest == 1:
		return 1
	case least == 2 && longest == 2 && a[0] == b[1] && a[1] == b[0]:
		return 1
	case most < 2: // neither end is the same, so that one edit is one of those above
		return most + 1
	}
	return editTable(a, b, most)
}

// editTable fills in the table of edits as far as it may hold most or less.
func editTable[T byte | rune](a, b []T, most int) int {
	const far = 1 << 6
	var rows [3][maxCompared + 2]uint8
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = uint8(j)
	}
	for i := 1; i <= len(a); i++ {
		from, to := max(1, i-most), min(len(b), i+most)
		row[from-1] = far
		if from == 1 {
			row[0] = uint8(i)
		}
		least := row[from-1]
		for j := from; j <= to; j++ {
			change := uint8(1)
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		row[to+1] = far          // the next row looks one place further
		if int(least) > most+1 { // a swap can still gain one on the row before
			return most + 1
		}
		before, last, row = last, row, before
	}
	return min(int(last[len(b)]), most+1)
}
