package sessionize

import "math/bits"

// pool hands out slices whose capacity is a power of two and takes them back for the next time. Of
// those of one capacity it keeps one that nobody uses, and more up to a number of elements.
type pool[T any] struct {
	// free holds the slices of a capacity of 1<<i at i.
	free [bits.UintSize][][]T
	// most is how many elements those of one capacity may have together.
	most int
	// idle is how many elements free has room for.
	idle int
}

// get returns an empty slice with room for at least n, which must be positive. What lies in that
// room is left over from before.
func (p *pool[T]) get(n int) []T {
	class := bits.Len(uint(n - 1))
	free := p.free[class]
	if len(free) == 0 {
		return make([]T, 0, 1<<class)
	}
	last := len(free) - 1
	s := free[last]
	free[last] = nil
	p.free[class] = free[:last]
	p.idle -= cap(s)
	return s[:0]
}

// put takes back what get returned. The caller must not use it again.
func (p *pool[T]) put(s []T) {
	if cap(s) == 0 {
		return
	}
	class := bits.Len(uint(cap(s) - 1))
	if free := len(p.free[class]); free > 0 && (free+1)*cap(s) > p.most {
		return
	}
	p.free[class] = append(p.free[class], s)
	p.idle += cap(s)
}

// grow returns s with room for n more; s must not be used again.
func (p *pool[T]) grow(s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	larger := append(p.get(len(s)+n), s...)
	p.put(s)
	return larger
}

// pools are the buffers that visits share.
type pools struct {
	packed pool[byte]
	ids    pool[uint64]
}

// poolBytes bounds what each pool keeps that nobody uses, of slices of one capacity. Visits have a
// dozen of them.
const poolBytes = 256 << 10

func newPools() pools {
	return pools{packed: pool[byte]{most: poolBytes}, ids: pool[uint64]{most: poolBytes / idBytes}}
}

// idleBytes is what the pools keep that nobody uses.
func (p *pools) idleBytes() int { return p.packed.idle + p.ids.idle*idBytes }

// chunkBytes is how much room an arena takes at once.
const chunkBytes = 64 << 10

// arena is room for bytes that are handed out for good: it is never written twice, and it is
// collected once nobody holds anything in it.
type arena struct{ chunk []byte }

// room returns the bytes handed out so far from a chunk that has room for n more. What the caller
// appends goes to take.
func (a *arena) room(n int) []byte {
	if cap(a.chunk)-len(a.chunk) < n {
		a.chunk = make([]byte, 0, max(n, chunkBytes))
	}
	return a.chunk
}

// take hands out what was appended to room's answer.
func (a *arena) take(chunk []byte) []byte {
	from := len(a.chunk)
	a.chunk = chunk
	return chunk[from:len(chunk):len(chunk)]
}

// key hands out a copy of a visitor's key.
func (a *arena) key(key string) []byte { return a.take(append(a.room(len(key)), key...)) }
