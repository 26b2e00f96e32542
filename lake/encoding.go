package lake

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The encodings of Parquet that the lake writes, by
// https://parquet.apache.org/docs/file-format/data-pages/encodings/.

// appendHybrid writes numbers below 1<<width as runs and bit-packed groups of eight (RLE).
func appendHybrid(to []byte, values []uint32, width int) []byte {
	const worthwhile = 8
	for at := 0; at < len(values); {
		if n := runOf(values[at:]); n >= worthwhile {
			to = binary.AppendUvarint(to, uint64(n)<<1)
			for shift := 0; shift < width; shift += 8 {
				to = append(to, byte(values[at]>>shift))
			}
			at += n
			continue
		}
		end := at + 8
		for end < len(values) && !runsOn(values[end:], worthwhile) {
			end += 8
		}
		groups := (end - at) / 8
		to = binary.AppendUvarint(to, uint64(groups)<<1|1)
		to = appendPacked(to, values[at:min(end, len(values))], groups*8, width)
		at = end
	}
	return to
}

// runOf is how many values are like the first.
func runOf(values []uint32) int {
	n := 1
	for n < len(values) && values[n] == values[0] {
		n++
	}
	return n
}

// runsOn is true where the first n values are alike.
func runsOn(values []uint32, n int) bool {
	if len(values) < n {
		return false
	}
	for _, v := range values[1:n] {
		if v != values[0] {
			return false
		}
	}
	return true
}

// appendPacked writes the lowest bits of n values, 8 of them or a multiple; those that are missing
// are 0.
func appendPacked[T uint32 | uint64](to []byte, values []T, n, width int) []byte {
	var waiting uint64 // the lowest held bits are to be written
	held := 0
	for i := range n {
		v := uint64(0)
		if i < len(values) {
			v = uint64(values[i])
		}
		waiting |= v << held
		if held += width; held < 64 {
			continue
		}
		to = binary.LittleEndian.AppendUint64(to, waiting)
		held -= 64
		waiting = v >> (width - held) // 0 where nothing is left
	}
	for ; held > 0; held -= 8 {
		to = append(to, byte(waiting))
		waiting >>= 8
	}
	return to
}

const (
	deltaBlock = 128
	deltaMini  = 32
)

// appendDelta writes numbers as differences (DELTA_BINARY_PACKED). Those of 32 bits wrap around as
// such.
func appendDelta(to []byte, values []int64, wide bool) []byte {
	to = binary.AppendUvarint(to, deltaBlock)
	to = binary.AppendUvarint(to, deltaBlock/deltaMini)
	to = binary.AppendUvarint(to, uint64(len(values)))
	if len(values) == 0 {
		return append(to, 0)
	}
	to = binary.AppendVarint(to, values[0])
	var block [deltaBlock]int64
	for at := 1; at < len(values); at += deltaBlock {
		deltas := block[:min(deltaBlock, len(values)-at)]
		for i := range deltas {
			deltas[i] = values[at+i] - values[at+i-1]
			if !wide {
				deltas[i] = int64(int32(deltas[i]))
			}
		}
		to = appendDeltas(to, deltas)
	}
	return to
}

// appendDeltas writes a block: how much the differences are above the least of them.
func appendDeltas(to []byte, deltas []int64) []byte {
	least := int64(math.MaxInt64)
	for _, d := range deltas {
		least = min(least, d)
	}
	to = binary.AppendVarint(to, least)
	widths := len(to)
	to = append(to, 0, 0, 0, 0)
	var above [deltaMini]uint64
	for mini := 0; mini*deltaMini < len(deltas); mini++ {
		part := deltas[mini*deltaMini : min(len(deltas), (mini+1)*deltaMini)]
		all := uint64(0)
		for i, d := range part {
			above[i] = uint64(d) - uint64(least)
			all |= above[i]
		}
		width := bits.Len64(all)
		to[widths+mini] = byte(width)
		to = appendPacked(to, above[:len(part)], deltaMini, width)
	}
	return to
}

// appendBits writes truth values, a bit each.
func appendBits(to []byte, values []int64) []byte {
	for at := 0; at < len(values); at += 8 {
		b := byte(0)
		for i, v := range values[at:min(at+8, len(values))] {
			b |= byte(v) << i
		}
		to = append(to, b)
	}
	return to
}

// appendNumber writes a number of 4 or 8 bytes.
func appendNumber(to []byte, v int64, wide bool) []byte {
	if wide {
		return binary.LittleEndian.AppendUint64(to, uint64(v))
	}
	return binary.LittleEndian.AppendUint32(to, uint32(v))
}

// appendText writes a text behind its length.
func appendText(to []byte, s string) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(len(s)))
	return append(to, s...)
}

func bitsOf(v float64) int64 { return int64(math.Float64bits(v)) }

func truth(v bool) int64 {
	if v {
		return 1
	}
	return 0
}
